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
  return new Promise<void>((resolve, reject) => {
    new Reader(log, key, options, deliver, { resolve, reject }).begin()
  })
}

/** One that follows. A class, because thousands may wait at once: fields weigh less than as many closures. */
class Reader {
  private after: number
  private told: State = 'open'
  private rung = false
  private busy = false
  private ended = false
  private bell: Disposable | undefined
  private readonly log: Log
  private readonly key: Key
  private readonly limit: number
  private readonly types: Types | undefined
  private readonly signal: AbortSignal | undefined
  private readonly deliver: Deliver<SlabBatch>
  private readonly over: { resolve(): void; reject(error: unknown): void }

  constructor(
    log: Log,
    key: Key,
    { after = 0, limit = readLimitEntries, types, signal }: FollowOptions,
    deliver: Deliver<SlabBatch>,
    over: { resolve(): void; reject(error: unknown): void },
  ) {
    this.log = log
    this.key = key
    this.after = after
    this.limit = limit
    this.types = types
    this.signal = signal
    this.deliver = deliver
    this.over = over
  }

  begin(): void {
    // Armed before the first read: an append that lands between an empty read and the wait must still wake us.
    this.bell = this.log.watch(this.key, () => {
      this.rung = true
      if (!this.busy) this.run()
    })
    if (this.signal?.aborted) return this.end()
    this.signal?.addEventListener('abort', this, { once: true })
    this.run()
  }

  /** The signal aborted. */
  handleEvent(): void {
    this.end()
  }

  private end(): void {
    if (this.close()) this.over.resolve()
  }

  private fail(error: unknown): void {
    if (this.close()) this.over.reject(error)
  }

  /** False when it was closed before. */
  private close(): boolean {
    if (this.ended) return false
    this.ended = true
    this.bell?.[Symbol.dispose]()
    this.signal?.removeEventListener('abort', this)
    return true
  }

  /** Reads and delivers until the tail; a promise from the log or the reader suspends it. */
  private run(): void {
    this.busy = true
    try {
      while (!this.ended) {
        this.rung = false
        const batch = this.log.read(this.key, this.after, this.limit)
        if (batch instanceof Promise) {
          batch.then(
            later => this.take(later),
            error => this.fail(error),
          )
          return
        }
        if (!this.step(batch)) return
      }
    } catch (error) {
      this.fail(error)
    }
  }

  private take(batch: SlabBatch): void {
    try {
      if (!this.ended && this.step(batch)) this.run()
    } catch (error) {
      this.fail(error)
    }
  }

  /** Handles one read; true = read again now. */
  private step(batch: SlabBatch): boolean {
    const { key, types } = this
    if (batch.state === 'absent' && key.startsWith('run/')) {
      this.fail(new RuncastError('not_found', `there is no run ${key.slice('run/'.length)}`))
      return false
    }
    const changed = batch.state !== this.told && batch.state !== 'absent'
    if (batch.last <= this.after && batch.gap === undefined && !changed) {
      if (this.rung) return true
      this.busy = false
      return false
    }
    this.after = batch.last
    this.told = batch.state
    const blocked = this.deliver(types ? select(batch, types) : batch)
    if (blocked) {
      blocked.then(
        () => (batch.state === 'sealed' ? this.end() : this.run()),
        error => this.fail(error),
      )
      return false
    }
    if (batch.state === 'sealed') {
      this.end()
      return false
    }
    this.busy = this.rung || !batch.atTail
    return this.busy
  }
}

/** The batches of a log from the cursor on, as an async iterable. */
export function tail(log: Log, key: Key, options: FollowOptions = {}): AsyncGenerator<SlabBatch, void, undefined> {
  return iterate((signal, deliver) => follow(log, key, { ...options, signal }, deliver), options.signal)
}

export { type Deliver, type Following, iterate } from './iterate.ts'
export type { Event }
