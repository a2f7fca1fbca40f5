// What became of every message: `created = sent + failed + pending` at any time, also when the answer to a commit was
// lost. It holds the loads that are out of the log and not committed; it must never count one twice.
import type { KindCounts, SinkCounters } from '../sink.ts'
import type { Load, Outgoing } from './backlog.ts'
import type { Cursors } from './cursors.ts'
import { fits } from './records.ts'

export interface Ledger {
  /** Out of the backlog, and not committed: the one that is sent, and the next one. */
  readonly taken: readonly Load[]
  take(load: Load): void
  /** Its transaction begins. */
  begin(load: Load): void
  commit(load: Load): void
  /** A new session: a commit whose answer was lost happened if these cursors say so; all else is made again. */
  settle(found: Cursors): void
  counters(): SinkCounters
  buffered(): { readonly events: number; readonly bytes: number }
}

/** `onLost` is told of each message that no record can hold, once it is sure that it was left out. */
export function createLedger(onLost: (lost: Outgoing) => void): Ledger {
  const kinds: Record<string, KindCounts> = {}
  const dropped: Record<string, number> = {}
  let transactions = 0
  let taken: Load[] = []
  /** The one that counts as pending. */
  let flying: Load | undefined

  const kindOf = (kind: string) => (kinds[kind] ??= { created: 0, sent: 0, failed: 0, pending: 0 })

  const decided = (load: Load, committed: boolean) => {
    flying = undefined
    taken = taken.filter(one => one !== load)
    for (const one of load.messages) {
      const counts = kindOf(one.message.kind)
      counts.pending--
      if (!committed) counts.created--
      else if (fits(one.message)) counts.sent++
      else {
        counts.failed++
        onLost(one)
      }
    }
    if (committed) for (const [reason, n] of load.lost) dropped[reason] = (dropped[reason] ?? 0) + n
  }

  return {
    get taken() {
      return taken
    },
    take: load => void taken.push(load),
    begin(load) {
      flying = load
      for (const { message } of load.messages) {
        const counts = kindOf(message.kind)
        counts.created++
        counts.pending++
      }
    },
    commit(load) {
      transactions++
      decided(load, true)
    },
    settle(found) {
      if (flying !== undefined) decided(flying, isIn(found, flying))
      taken = []
    },
    counters: () => ({ kinds: structuredClone(kinds), dropped: { ...dropped }, transactions }),
    buffered() {
      const messages = taken.flatMap(load => load.messages)
      const events = taken.reduce((sum, load) => sum + load.events, 0)
      return { events, bytes: messages.reduce((sum, { message }) => sum + message.payload.length, 0) }
    },
  }
}

function isIn({ runs }: Cursors, load: Load): boolean {
  return load.runs.every(({ run, after, done, left }) => {
    const there = runs.get(run)
    return there === undefined ? done && left : there.after === after && there.done === done && there.left === left
  })
}
