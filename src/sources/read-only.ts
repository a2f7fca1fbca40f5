// A read-only Runs over any log: what every source offers once it has a log to read. What would write is refused, with
// the way that leads to a server that can.
import type { Log } from '../log.ts'
import { RuncastError } from '../error.ts'
import { createRuns, type Deps, type Runs } from '../runs.ts'

/** `what` names the source in refusals: a file, a topic. Disposing of it disposes of the log. */
export function readOnly(log: Log, what: string, deps: Deps): Runs {
  const runs = createRuns({ log, agents: [], deps })
  const refuse = (act: string) => async () => {
    throw new RuncastError('refused_by_policy', `${what} is read-only: ${act} on the server that writes it`)
  }
  return {
    ...runs,
    start: refuse('start the run'),
    tell: refuse('answer'),
    cancel: refuse('cancel the run'),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  }
}
