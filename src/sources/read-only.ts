// A read-only Runs over any log: what every source offers once it has a log to read. What would write is refused, with
// the way that leads to a server that can.
import { RuncastError } from '../error.ts'
import type { Log } from '../log.ts'
import { createRuns } from '../local-runs.ts'
import type { Deps, Principal, Runs } from '../runs.ts'
import type { SourceStatus } from './status.ts'

/** A read-only Runs over something that others wrote. Disposing of it disposes of its log. */
export interface Source extends Runs {
  /** What it reads, as refusals say it: `the file runs.db`. */
  readonly name: string
  /** Where the runs are that it has read, for whoever folds them. It must not be written. */
  readonly log: Log
  /** Nobody is asked here. */
  readonly agents: readonly never[]
  /** The same runs as somebody sees them: only those of their tenant. */
  as(who: Principal): Runs
  /** How the reading goes, where it goes on by itself. */
  status?(): SourceStatus
}

/** `name` names the source in refusals: a file, a topic. */
export function readOnly(log: Log, name: string, deps: Deps): Source {
  const all = createRuns({ log, agents: [], deps })
  const refusing = (runs: Runs): Runs => ({
    ...runs,
    start: refused(name, 'start the run'),
    tell: refused(name, 'answer'),
    cancel: refused(name, 'cancel the run'),
  })
  return {
    ...refusing(all),
    name,
    log,
    agents: [],
    as: who => refusing(all.as(who)),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}

/** What stands where something would be written. */
export function refused(name: string, act: string): () => Promise<never> {
  return async () => {
    throw new RuncastError('refused_by_policy', `${name} is read-only: ${act} on the server that writes it`)
  }
}
