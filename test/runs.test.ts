// Runs in this process, over every backend that needs nothing installed.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { memory } from '../src/backends/memory.ts'
import { createRuns, type Deps } from '../src/runs.ts'
import { runsSuite } from './suites/runs.suite.ts'

export const realDeps: Deps = {
  now: Date.now,
  id: randomUUID,
  random: Math.random,
  sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: false }),
}

runsSuite({
  name: 'core',
  async open(agents, options) {
    const runs = createRuns({ log: memory(), agents, deps: realDeps, ...options })
    return { runs, [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
  },
})
