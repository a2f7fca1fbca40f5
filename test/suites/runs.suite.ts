// What `Runs` promises, whoever offers it: the core in this process, or a client over a wire. Plain functions, called
// once per row, a subject in a file; a row owns its exceptions.
import { test } from 'node:test'
import type { Agent } from '../../src/agent/define.ts'
import type { Runs, RunsOptions } from '../../src/runs.ts'
import { type Promised, sharedAgents } from './runs-agents.ts'
import { emitAgents, emitPromises } from './runs-emit.suite.ts'
import { endAgents, endPromises } from './runs-end.suite.ts'
import { readAgents, readPromises } from './runs-read.suite.ts'
import { startPromises } from './runs-start.suite.ts'
import { threadPromises } from './runs-threads.suite.ts'

export interface RunsRow {
  readonly name: string
  open(agents: readonly Agent[], options?: Partial<RunsOptions>): Promise<{ runs: Runs } & AsyncDisposable>
  readonly skip?: readonly { readonly test: string; readonly reason: string }[]
}

const agents = [...sharedAgents, ...readAgents, ...emitAgents, ...endAgents]

export function runsSuite(row: RunsRow): void {
  const promise: Promised = (title, body, options = {}) => {
    const skipped = row.skip?.find(entry => entry.test === title)
    test(`${row.name}: ${title}`, { skip: skipped?.reason ?? false, timeout: 120_000 }, async () => {
      await using opened = await row.open(agents, options)
      await body(opened.runs)
    })
  }

  startPromises(promise)
  readPromises(promise)
  emitPromises(promise)
  endPromises(promise, row.name)
  threadPromises(promise)
}
