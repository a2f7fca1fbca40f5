// A run from its first event to its last as it is now, for the commands that look back. One that still runs is read up to
// where it is, not followed. It must never hold more than a batch, nor keep quiet about what is missing.
import type { Event, RunInfo, Runs } from '../client/index.ts'
import { note, oneLine } from './terminal.ts'

export interface ReadOptions {
  /** The first and the last sequence wanted. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** The events themselves are shown as they are read. */
  readonly quiet?: boolean | undefined
}

type Take = (events: readonly Event[]) => void | Promise<void>

/** How often a person sees how far it is. */
const tellMs = 200

export async function readRun(runs: Runs, info: RunInfo, options: ReadOptions, take: Take): Promise<void> {
  const { from = 1, to = Infinity, signal, quiet = false } = options
  const last = Math.min(to, info.last_sequence)
  const after = Math.max(0, from - 1)
  if (last <= after) return
  const enough = new AbortController()
  const reading = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal
  const progress = tellProgress(info.run_id, last - after, quiet)
  try {
    await runs.follow(info.run_id, { after, signal: reading }, async batch => {
      if (enough.signal.aborted) return
      const { gap } = batch
      if (gap) note(`run ${oneLine(info.run_id)}: events ${gap.requested} to ${gap.oldest - 1} are forgotten`)
      const wanted = batch.last <= last ? batch.events : batch.events.filter(event => event.sequence <= last)
      if (wanted.length > 0) await take(wanted)
      progress.at(batch.last - after)
      if (batch.last >= last) enough.abort()
    })
  } finally {
    progress.done()
  }
}

/** On a terminal only, and only when it takes long. */
function tellProgress(run: string, total: number, quiet: boolean) {
  const began = Date.now()
  let told = began
  return {
    at(count: number) {
      if (quiet || !process.stderr.isTTY || Date.now() - told < tellMs) return
      told = Date.now()
      process.stderr.write(`\r\u001b[K  ${oneLine(run)}: ${count} of ${total} events`)
    },
    done() {
      if (told !== began) process.stderr.write('\r\u001b[K')
    },
  }
}
