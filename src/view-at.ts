// The view of a run at a sequence: the view that retention left at the cut, if any, and the events behind it.
import { RuncastError } from './error.ts'
import { type Log, readLimitEntries, runKey } from './log.ts'
import { emptyView, foldBatch, type View } from './state/fold.ts'
import { notContradicted } from './state/hash.ts'
import { atEndOfTurn } from './turn.ts'

/** Throws `cursor_gone` when `at` lies before what is kept. An `at` beyond the last event is the newest. */
export async function viewAt(log: Log, run: string, at: number): Promise<View> {
  let view = emptyView(run)
  while (view.at < at) {
    const batch = await log.read(runKey(run), view.at, Math.min(readLimitEntries, at - view.at))
    if (batch.gap) {
      const { oldest, snapshot } = batch.gap
      if (at < oldest - 1) throw goneError(run, { requested: at, oldest })
      const left = snapshot && (JSON.parse(Buffer.from(snapshot).toString()) as View)
      if (left && left.at > view.at) {
        view = left
        continue // read again from there: this batch was asked for with another limit
      }
    }
    if (batch.state === 'absent' && view.at > 0)
      throw new RuncastError('not_found', `the run ${run} was just forgotten`)
    if (batch.last <= view.at) break
    view = foldBatch(view, batch, notContradicted)
    // A long run is seconds of work, and those who follow others shall not wait for it.
    if (!batch.atTail) await new Promise<void>(atEndOfTurn)
  }
  return view
}

export function goneError(run: string, { requested, oldest }: { requested: number; oldest: number }): RuncastError {
  const message = `run ${run} starts at ${oldest}, asked for ${requested}; take its snapshot and continue from ${oldest}`
  return new RuncastError('cursor_gone', message, { details: { requested, oldest } })
}

/** A cursor that this run never gave out. */
export function foreignError(run: string, at: { requested: number; oldest: number; last: number }): RuncastError {
  const message = `run ${run} is at ${at.last}, asked for ${at.requested}: this cursor is of another run that had its id; read it from the start`
  return new RuncastError('cursor_gone', message, { details: at })
}
