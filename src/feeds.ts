// Which runs exist, as logs: one feed per tenant, one per thread. A thread's feed is also its queue: compare-and-append
// is "one run at a time". Written first, repaired on read; it must never need two logs to change together.
import { plainEntry } from './batch.ts'
import { RuncastError } from './error.ts'
import { follow } from './follow.ts'
import { type FeedEntry, isRunEntry, type Key, type Log, type Numbered, readLimitEntries, type Status } from './log.ts'

/** What happens when a run starts on a thread that has one already. */
export type OnBusy = 'reject' | 'queue' | 'interrupt'

/** A run that was accepted on a thread and has not ended. */
export interface Claim {
  readonly run_id: string
  readonly owner: string
  /** Set once it started: the events of all runs of the thread before it. */
  base?: number
}

/** The fold of a thread's feed. */
interface Queue {
  at: number
  readonly open: Claim[]
  base: number
}

export interface Feeds {
  /** Appends behind whatever is there. */
  announce(feed: Key, entry: FeedEntry): Promise<void>
  /** Takes a place on a thread, or throws `thread_busy`. A claim of the same run is one's own: go on. */
  claim(feed: Key, run: string, onBusy: OnBusy): Promise<void>
  /** Waits until all earlier claims ended and says so; returns the run's thread_base. Undefined when aborted. */
  turn(feed: Key, run: string, signal: AbortSignal): Promise<number | undefined>
}

export interface FeedsOptions {
  readonly log: Log
  readonly owner: string
  readonly now: () => number
  /** Ends a claim whose process is gone: seals its run and returns how it ended. */
  readonly settle: (claim: Claim) => Promise<{ status: Status; last: number } | undefined>
  /** Asks a run to stop because another one takes its thread. */
  readonly interrupt: (run: string) => Promise<void>
}

/** Threads whose queue is kept folded; the others are folded again from their feed when they are next used. */
const queuesMax = 1_000

export function createFeeds({ log, owner, now, settle, interrupt }: FeedsOptions): Feeds {
  const queues = new Map<Key, Queue>()
  const tails = new Map<Key, number>()

  const append = async (feed: Key, after: number, entry: FeedEntry) => {
    const last = await log.append(feed, after, [plainEntry(entry, now())])
    tails.set(feed, last)
  }

  /** False when somebody was faster. */
  const appended = async (feed: Key, after: number, entry: FeedEntry): Promise<boolean> => {
    try {
      await append(feed, after, entry)
      return true
    } catch (error) {
      if (error instanceof RuncastError && error.code === 'conflict') return false
      throw error
    }
  }

  const announce = async (feed: Key, entry: FeedEntry) => {
    for (;;) {
      const after = tails.get(feed) ?? 0
      try {
        return await append(feed, after, entry)
      } catch (error) {
        const last = error instanceof RuncastError && error.code === 'conflict' ? error.details['last'] : undefined
        if (typeof last !== 'number' || last === after) throw error
        tails.set(feed, last)
      }
    }
  }

  const queueOf = async (feed: Key): Promise<Queue> => {
    const queue = queues.get(feed) ?? { at: 0, open: [], base: 0 }
    queues.delete(feed) // to the end: the least recently used is first
    queues.set(feed, queue)
    const oldest = queues.size > queuesMax && queues.keys().next().value
    if (oldest) queues.delete(oldest)
    for (;;) {
      const batch = await log.read(feed, queue.at, readLimitEntries)
      if (batch.count === 0) return queue
      if (batch.after < queue.at) continue // another caller has folded this batch meanwhile
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        if (entry.sequence > queue.at) advance(queue, entry)
        queue.at = Math.max(queue.at, entry.sequence)
      }
      queue.at = Math.max(queue.at, batch.last)
    }
  }

  /** Ends what a dead process left open; true when something changed. */
  const repaired = async (feed: Key, queue: Queue): Promise<boolean> => {
    const dead = queue.open.find(claim => claim.owner !== owner)
    const ended = dead && (await settle(dead))
    if (!dead || !ended) return false
    if (dead.base === undefined) {
      await appended(feed, queue.at, { type: 'started', run_id: dead.run_id, thread_base: queue.base })
      await queueOf(feed)
    }
    return appended(feed, queue.at, {
      type: 'ended',
      run_id: dead.run_id,
      ...ended,
      thread_base: dead.base ?? queue.base,
    })
  }

  const started = async (feed: Key, run: string): Promise<number | undefined> => {
    for (;;) {
      const queue = await queueOf(feed)
      const first = queue.open[0]
      if (first?.run_id !== run) {
        if (await repaired(feed, queue)) continue
        return undefined
      }
      if (first.base !== undefined) return first.base
      const thread_base = queue.base
      if (await appended(feed, queue.at, { type: 'started', run_id: run, thread_base })) return thread_base
    }
  }

  return {
    announce,
    async claim(feed, run, onBusy) {
      for (;;) {
        const queue = await queueOf(feed)
        if (queue.open.some(claim => claim.run_id === run)) return
        const busy = [...queue.open]
        if (busy.length > 0 && onBusy === 'reject') {
          if (await repaired(feed, queue)) continue
          const runs = busy.map(claim => claim.run_id)
          throw new RuncastError(
            'thread_busy',
            `the thread runs ${runs.join(', ')}; wait, cancel it, or start with on_busy=queue or interrupt`,
            { details: { runs } },
          )
        }
        if (!(await appended(feed, queue.at, { type: 'accepted', run_id: run, owner }))) continue
        if (onBusy === 'interrupt') for (const claim of busy) await interrupt(claim.run_id)
        return
      }
    },
    async turn(feed, run, signal) {
      let base = await started(feed, run)
      if (base !== undefined || signal.aborted) return base
      const stop = new AbortController()
      const { at } = await queueOf(feed)
      const after = Math.max(0, at - 1) // the entry before our wait is seen again, so nothing can slip in between
      await follow(log, feed, { after, signal: AbortSignal.any([signal, stop.signal]) }, async () => {
        base = await started(feed, run)
        if (base !== undefined) stop.abort()
      })
      return base
    },
  }
}

/** What the feed says of a conversation takes no place in the queue. */
function advance(queue: Queue, entry: FeedEntry): void {
  if (!isRunEntry(entry)) return
  if (entry.type === 'accepted') {
    queue.open.push({ run_id: entry.run_id, owner: entry.owner })
    return
  }
  const index = queue.open.findIndex(claim => claim.run_id === entry.run_id)
  const claim = queue.open[index]
  if (entry.type === 'started') {
    queue.base = entry.thread_base
    if (claim) claim.base = entry.thread_base
  } else {
    queue.base = entry.thread_base + entry.last
    if (claim) queue.open.splice(index, 1)
  }
}
