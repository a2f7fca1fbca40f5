// A log for one reader that keeps nothing which that reader has read. Where a managed run lets a slow reader fall behind,
// a direct stream has no store to fall back on, so here is decided who gives way: old events, new events, or the agent.
// It must never lose the terminal event, nor anything without counting it and telling the reader.
import { type Entry, type Gap, SlabBatch } from '../batch.ts'
import { type Key, type Log, seals } from '../log.ts'

export interface Bounds {
  /** Events that may wait for the reader. */
  readonly size: number
  /** What gives way beyond `size`: the oldest events, the newest, or the agent, which waits. */
  readonly overflow: 'drop_oldest' | 'drop_newest' | 'block'
  /** With more unread events than this, `strategy` acts. */
  readonly threshold: number
  /** `pause`: the agent waits. `drop`: new events are refused. `buffer`: nothing happens before `size`. */
  readonly strategy: 'pause' | 'drop' | 'buffer'
}

export interface Bounded {
  readonly log: Log
  /** A promise while the agent is to wait; `pending` events are on their way into the log. */
  pressure(pending?: number): Promise<void> | undefined
  /** Events that the reader will never see. */
  readonly dropped: number
  /** The reader is gone: nobody waits any more, and only the terminal event is kept. */
  leave(): void
}

/** The same log, but what is appended to `key` is bounded by what its one reader has read. Other keys pass. */
export function bounded(log: Log, key: Key, { size, overflow, threshold, strategy }: Bounds): Bounded {
  let last = 0
  /** What the reader says it has seen. */
  let cursor = 0
  /** What it was handed: seen, unless it leaves. */
  let handed = 0
  /** What the log below has forgotten. */
  let forgotten = 0
  let dropped = 0
  let gone = false
  /** Events that got no number, by the sequence behind which they would stand: no more places than events that wait. */
  const refusals: { readonly at: number; count: number }[] = []
  let paused: PromiseWithResolvers<void> | undefined
  let full: PromiseWithResolvers<void> | undefined

  const waiting = () => last - Math.max(cursor, forgotten)

  const append: Log['append'] = (to, after, entries, head) => {
    if (to !== key) return log.append(to, after, entries, head)
    const end = entries.at(-1)
    const ending = end && seals(key, end) ? [end] : []
    const events = ending.length > 0 ? entries.slice(0, -1) : entries
    const admitted = events.slice(0, places())
    if (overflow === 'block' && admitted.length > size - waiting()) {
      return inPieces(after, admitted, ending, head, events.length - admitted.length)
    }
    const appended = log.append(key, after, [...admitted, ...ending], head)
    return next(appended, newLast => settle(newLast, ending.length, events.length - admitted.length))
  }

  /** How many new events may come in, now or after a wait. */
  const places = () => {
    if (gone) return 0
    const below = strategy === 'drop' ? threshold + 1 - waiting() : Infinity
    return Math.max(0, overflow === 'drop_newest' ? Math.min(below, size - waiting()) : below)
  }

  /** Lets events in as the reader makes room; the terminal event comes last and waits for none. */
  const inPieces = async (
    after: number,
    events: readonly Entry[],
    ending: readonly Entry[],
    head: Parameters<Log['append']>[3],
    refused: number,
  ) => {
    last = after
    for (let at = 0; ; ) {
      const piece = gone ? [] : events.slice(at, at + Math.max(0, size - waiting()))
      at += piece.length
      if (gone || at === events.length) {
        return settle(await log.append(key, last, [...piece, ...ending], head), ending.length, refused)
      }
      if (piece.length > 0) {
        const appended = log.append(key, last, piece)
        last = typeof appended === 'number' ? appended : await appended
      }
      if (waiting() < size || gone) continue
      full ??= Promise.withResolvers()
      await full.promise
    }
  }

  const settle = (newLast: number, ends: number, refused: number) => {
    last = newLast
    const at = last - ends
    if (refused > 0 && !gone) {
      dropped += refused
      const behind = refusals.at(-1)
      if (behind?.at === at) behind.count += refused
      else refusals.push({ at, count: refused })
    }
    const trimmed = overflow === 'drop_oldest' ? forget(at - size) : undefined
    return next(trimmed, () => last)
  }

  const forget = (upTo: number) => {
    if (upTo <= forgotten) return undefined
    if (!gone) dropped += Math.max(0, upTo - Math.max(handed, forgotten))
    forgotten = upTo
    return log.drop(key, upTo)
  }

  const read = (after: number, limit: number) => {
    cursor = Math.max(cursor, after)
    handed = Math.max(handed, cursor)
    // What is read can go, a whole buffer at a time: each drop rings the bell.
    const kept = cursor - forgotten >= size ? forget(cursor) : undefined
    if (waiting() < size) full = open(full)
    if (waiting() <= threshold) paused = open(paused)

    const from = Math.max(after, forgotten)
    let refused = 0
    while ((refusals[0]?.at ?? Infinity) <= from) refused += refusals.shift()?.count ?? 0
    // A batch ends where events were refused, so that the reader is told at the right place.
    const count = Math.min(limit, (refusals[0]?.at ?? Infinity) - from)
    return next(kept, () =>
      next(log.read(key, from, count), batch => {
        handed = Math.max(handed, batch.last)
        if (from === after && refused === 0) return batch
        return withGap(batch, {
          requested: after + 1,
          oldest: from + 1,
          ...(refused > 0 && { dropped: refused }),
        })
      }),
    )
  }

  return {
    log: {
      ...log,
      append,
      read: (from, after, limit) => (from === key ? read(after, limit) : log.read(from, after, limit)),
    },
    pressure(pending = 0) {
      if (gone || strategy !== 'pause' || waiting() + pending <= threshold) return undefined
      paused ??= Promise.withResolvers()
      return paused.promise
    },
    get dropped() {
      return dropped
    },
    leave() {
      gone = true
      full = open(full)
      paused = open(paused)
    },
  }
}

function open(gate: PromiseWithResolvers<void> | undefined): undefined {
  gate?.resolve()
}

function withGap(batch: SlabBatch, gap: Gap): SlabBatch {
  const { after, last, state, slab, from, to } = batch
  return new SlabBatch({ after, last, state, gap, slab, from, to })
}

/** A log in memory answers at once, and so do we. */
function next<T, R>(value: T | Promise<T>, act: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(act) : act(value)
}
