// The only loop that waits. Replay, live, late join and resume are all this: read from the cursor; if there is nothing
// and the log is open, wait for the bell; again. It must never hold events: a slow reader is only further behind.
import { type SlabBatch, select, type State, type Types } from './batch.ts'
import { RuncastError } from './error.ts'
import type { Event } from './event.ts'
import { type Deliver, iterate } from './iterate.ts'
import { type Key, type Log, readLimitEntries } from './log.ts'

export interface FollowOptions {
  /** The last sequence the reader has seen; 0 = from the start. */
  readonly after?: number
  /** Entries per batch at most. */
  readonly limit?: number
  /** Only these event types; the cursor still moves over the others. */
  readonly types?: Types | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Delivers a log from the cursor on until it is sealed, the signal aborts (then it resolves), or it fails.
 * An absent run throws `not_found`; an absent feed or inbox is waited for.
 */
export function follow(log: Log, key: Key, options: FollowOptions, deliver: Deliver<SlabBatch>): Promise<void> {
  const { types, signal, limit = readLimitEntries } = options
  let after = options.after ?? 0
  let told: State = 'open'
  let rung = false
  let busy = false
  let ended = false

  return new Promise<void>((resolve, reject) => {
    // Armed before the first read: an append that lands between an empty read and the wait must still wake us.
    const bell = log.watch(key, () => {
      rung = true
      if (!busy) run()
    })

    const end = (error?: unknown) => {
      if (ended) return
      ended = true
      bell[Symbol.dispose]()
      signal?.removeEventListener('abort', stop)
      if (error === undefined) resolve()
      else reject(error)
    }
    const stop = () => end()

    /** Reads and delivers until the tail; a promise from the log or the reader suspends it. */
    const run = () => {
      busy = true
      try {
        while (!ended) {
          rung = false
          const batch = log.read(key, after, limit)
          if (batch instanceof Promise) {
            batch.then(take, end)
            return
          }
          if (!step(batch)) return
        }
      } catch (error) {
        end(error)
      }
    }
    const take = (batch: SlabBatch) => {
      try {
        if (!ended && step(batch)) run()
      } catch (error) {
        end(error)
      }
    }

    /** Handles one read; true = read again now. */
    const step = (batch: SlabBatch): boolean => {
      if (batch.state === 'absent' && key.startsWith('run/')) {
        end(new RuncastError('not_found', `there is no run ${key.slice('run/'.length)}`))
        return false
      }
      const news = batch.last > after || batch.gap !== undefined || (batch.state !== told && batch.state !== 'absent')
      if (!news) {
        if (rung) return true
        busy = false
        return false
      }
      after = batch.last
      told = batch.state
      const blocked = deliver(types ? select(batch, types) : batch)
      if (batch.state === 'sealed') {
        if (blocked) blocked.then(() => end(), end)
        else end()
        return false
      }
      if (blocked) {
        blocked.then(run, end)
        return false
      }
      busy = rung || !batch.atTail
      return busy
    }

    if (signal?.aborted) return end()
    signal?.addEventListener('abort', stop, { once: true })
    run()
  })
}

/** The batches of a log from the cursor on, as an async iterable. */
export function tail(log: Log, key: Key, options: FollowOptions = {}): AsyncGenerator<SlabBatch, void, undefined> {
  return iterate((signal, deliver) => follow(log, key, { ...options, signal }, deliver), options.signal)
}

export { type Deliver, type Following, iterate } from './iterate.ts'
export type { Event }
