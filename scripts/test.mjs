// `npm test`: every test file in one process tree, on the Node that the project installs for itself.
// `npm test -- test/log.test.ts` runs some of them; `SEED=7 npm test` re-runs the simulation from a seed.
// A run of all leaves the titles that passed in .cache, where `npm run requirements` reads them.
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync } from 'node:fs'

const words = process.argv.slice(2)
const files = words.filter(word => !word.startsWith('-'))
const options = words.filter(word => word.startsWith('-'))
const isWhole = words.length === 0

if (isWhole) mkdirSync('.cache', { recursive: true })
const results = ['--test-reporter=./scripts/test-results.mjs', '--test-reporter-destination=.cache/test-results.jsonl']
const done = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    ...(isWhole ? results : []),
    ...options,
    ...(files.length > 0 ? files.flatMap(testsIn) : testsIn('test')),
  ],
  { stdio: 'inherit' },
)
process.exit(done.status ?? 1)

/** A file as it is, a folder as the tests in it. */
function testsIn(path) {
  return path.endsWith('.ts') ? [path] : globSync(`${path}/**/*.test.ts`).sort()
}
