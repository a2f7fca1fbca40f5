// A read-only Runs over any log: what every source offers once it has a log to read. What would write is refused, with
// the way that leads to a server that can.
import { RuncastError } from '../error.ts'
import type { Log } from '../log.ts'
import { createRuns, type Deps, type Principal, type Runs } from '../runs.ts'

export interface ReadOnlyRuns extends Runs {
  /** The same runs as somebody sees them: only those of their tenant. */
  as(who: Principal): Runs
}

/** `what` names the source in refusals: a file, a topic. Disposing of it disposes of the log. */
export function readOnly(log: Log, what: string, deps: Deps): ReadOnlyRuns {
  const all = createRuns({ log, agents: [], deps })
  const refuse = (act: string) => async () => {
    throw new RuncastError('refused_by_policy', `${what} is read-only: ${act} on the server that writes it`)
  }
  const refusing = (runs: Runs): Runs => ({
    ...runs,
    start: refuse('start the run'),
    tell: refuse('answer'),
    cancel: refuse('cancel the run'),
  })
  return {
    ...refusing(all),
    as: who => refusing(all.as(who)),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}
