// `npm test`: every test file in one process tree, on the Node that the project installs for itself.
// `npm test -- test/log.test.ts` runs some of them; `SEED=7 npm test` re-runs the simulation from a seed.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'

const named = process.argv.slice(2)
const files = named.filter(word => !word.startsWith('-'))
const options = named.filter(word => word.startsWith('-'))
const all = files.length > 0 ? files : globSync('test/**/*.test.ts').sort()
const done = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    ...options,
    ...all,
  ],
  { stdio: 'inherit' },
)
process.exit(done.status ?? 1)
