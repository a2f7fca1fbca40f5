// Runs in this process, over every backend that needs nothing installed.
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { createRuns } from '../src/runs.ts'
import { runsSuite } from './suites/runs.suite.ts'

runsSuite({
  name: 'core',
  async open(agents, options) {
    const runs = createRuns({ log: memory(), agents, deps: realDeps, ...options })
    return { runs, [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
  },
})
