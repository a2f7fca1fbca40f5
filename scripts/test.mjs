// `npm test`: every test file in one process tree, on the Node that the project installs for itself.
// `npm test -- test/log.test.ts` runs some of them; `SEED=7 npm test` re-runs the simulation from a seed.
// `npm test -- --failed` runs the files again in which the last run of all had a failure.
// A run of all leaves what passed and failed in .cache, where `npm run requirements` reads it.
import { spawnSync } from 'node:child_process'
import { appendFileSync, globSync, mkdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

const results = '.cache/test-results.jsonl'
const resultsAgain = '.cache/test-results-again.jsonl'

const words = process.argv.slice(2)
const isAgain = words.includes('--failed')
const files = words.filter(word => !word.startsWith('-'))
const options = words.filter(word => word.startsWith('-') && word !== '--failed')
const destination = isAgain ? resultsAgain : words.length === 0 ? results : undefined

mkdirSync('.cache', { recursive: true })
const chosen = isAgain ? failedFiles() : files.length > 0 ? files.flatMap(testsIn) : testsIn('test')
if (chosen.length === 0) {
  console.error(isAgain ? 'nothing failed in the last run of all' : `no tests in ${files.join(', ')}`)
  process.exit(2)
}
const done = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    ...(destination
      ? ['--test-reporter=./scripts/test-results.mjs', `--test-reporter-destination=${destination}`]
      : []),
    ...options,
    ...chosen,
  ],
  { stdio: 'inherit' },
)
if (isAgain) appendFileSync(results, readFileSync(resultsAgain))
// Who was killed has not said all that failed: no second run of some files makes up for it.
process.exit(done.status ?? 2)

/** A file as it is, a folder as the tests in it. */
function testsIn(path) {
  return path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`).sort()
}

/** A test that stands in a suite failed in one of the files that use the suite: which one, node:test does not tell. */
function failedFiles() {
  const lines = readFileSync(results, 'utf8').trim().split('\n')
  const failed = lines.map(line => JSON.parse(line)).filter(({ passed }) => !passed)
  const names = new Set(failed.map(({ file }) => basename(file)))
  const isConcerned = test => {
    const text = readFileSync(test, 'utf8')
    return names.values().some(name => name === basename(test) || text.includes(`/${name}'`))
  }
  return testsIn('test').filter(isConcerned)
}
