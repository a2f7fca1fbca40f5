// Which runs exist, as logs: one feed per tenant, one per thread. A thread's feed is also its queue: compare-and-append
// is "one run at a time". Written first, repaired on read; it must never need two logs to change together.
import { type Entry, plainEntry } from './batch.ts'
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
  /** Appends behind whatever is there. Whoever repeats it after a failure may have said it twice: readers fold by run. */
  announce(feed: Key, entry: FeedEntry): Promise<void>
  /** Takes a place on a thread, or throws `thread_busy`. A claim of the same run is one's own: go on. */
  claim(feed: Key, run: string, onBusy: OnBusy): Promise<void>
  /** Waits until all earlier claims ended and says so; returns the run's thread_base. Undefined when aborted. */
  turn(feed: Key, run: string, signal: AbortSignal): Promise<number | undefined>
  /** Whether a run has a place on a thread. */
  holds(feed: Key, run: string): Promise<boolean>
  /** Gives up the place of a run that had its turn and is sealed. Saying it twice says it once. */
  leave(feed: Key, run: string, ended: { status: Status; last: number }): Promise<void>
}

export interface FeedsOptions {
  readonly log: Log
  readonly owner: string
  readonly now: () => number
  /** Ends the first claim of a feed when nobody stands behind it any more; false when somebody does. */
  readonly settle: (feed: Key, claim: Claim) => Promise<boolean>
  /** Waits a moment for a run that has ended to leave its thread; false when it has not ended, or does not leave. */
  readonly left: (run: string) => Promise<boolean>
  /** Asks a run to stop because another one takes its thread. */
  readonly interrupt: (run: string) => Promise<void>
}

/** Announcements of one feed that go out together. */
interface Outbox {
  readonly entries: Entry[]
  /** Takes more until it is sent. */
  open: boolean
  sent: Promise<void>
}

/** Threads whose queue is kept folded; the others are folded again from their feed when they are next used. */
const queuesMax = 1_000

export function createFeeds({ log, owner, now, settle, left, interrupt }: FeedsOptions): Feeds {
  const queues = new Map<Key, Queue>()
  /** Where the feeds of tenants end; a thread's own queue knows that. */
  const tails = new Map<Key, number>()
  const outboxes = new Map<Key, Outbox>()

  const append = async (feed: Key, after: number, entry: FeedEntry) =>
    log.append(feed, after, [plainEntry(entry, now())])

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

  /** One append at a time per feed, with everything that came meanwhile: a thousand starters do not race each other. */
  const announce = (feed: Key, entry: FeedEntry): Promise<void> => {
    const waiting = outboxes.get(feed)
    if (waiting?.open) {
      waiting.entries.push(plainEntry(entry, now()))
      return waiting.sent
    }
    const outbox: Outbox = { entries: [plainEntry(entry, now())], open: true, sent: Promise.resolve() }
    outboxes.set(feed, outbox)
    outbox.sent = (waiting?.sent.catch(() => {}) ?? Promise.resolve()).then(async () => {
      outbox.open = false
      await sendBehind(feed, outbox.entries).finally(() => {
        if (outboxes.get(feed) === outbox) outboxes.delete(feed)
      })
    })
    return outbox.sent
  }

  const sendBehind = async (feed: Key, entries: readonly Entry[]): Promise<void> => {
    for (let after = tails.get(feed) ?? 0; ; ) {
      try {
        return remember(feed, await log.append(feed, after, entries))
      } catch (error) {
        const last = error instanceof RuncastError && error.code === 'conflict' ? error.details['last'] : undefined
        if (typeof last !== 'number' || last === after) throw error
        after = last
      }
    }
  }

  /** Where a feed ended when we last wrote to it: a guess that saves a read. */
  const remember = (feed: Key, last: number) => {
    tails.delete(feed)
    tails.set(feed, last)
    const oldest = tails.size > queuesMax && tails.keys().next().value
    if (oldest) tails.delete(oldest)
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

  const leave = async (feed: Key, run: string, ended: { status: Status; last: number }) => {
    for (;;) {
      const queue = await queueOf(feed)
      const claim = queue.open.find(one => one.run_id === run)
      if (!claim) return
      const thread_base = claim.base ?? queue.base
      if (await appended(feed, queue.at, { type: 'ended', run_id: run, ...ended, thread_base })) return
    }
  }

  /**
   * Ends the first claim when nobody stands behind it; true when the queue moved. The others wait for their turn to be
   * ended, as a live run would: their numbers begin where the one before them ends.
   */
  const repaired = async (feed: Key, queue: Queue): Promise<boolean> => {
    const first = queue.open[0]
    return first !== undefined && (await settle(feed, first))
  }

  /** Their ends may have been read already, and whoever read the last one may go on. */
  const allLeft = async (claims: readonly Claim[]): Promise<boolean> => {
    for (const { run_id } of claims) if (!(await left(run_id))) return false
    return true
  }

  /** The base of the first claim, which it gets now if it has none; undefined for all others. */
  const begun = async (feed: Key, run: string): Promise<number | undefined> => {
    for (;;) {
      const queue = await queueOf(feed)
      const first = queue.open[0]
      if (first?.run_id !== run) return undefined
      if (first.base !== undefined) return first.base
      const thread_base = queue.base
      if (await appended(feed, queue.at, { type: 'started', run_id: run, thread_base })) return thread_base
    }
  }

  const started = async (feed: Key, run: string): Promise<number | undefined> => {
    for (;;) {
      const base = await begun(feed, run)
      if (base !== undefined) return base
      const queue = await queueOf(feed)
      if (queue.open[0]?.run_id === run) continue
      if (!queue.open.some(claim => claim.run_id === run)) return past(feed, run)
      if (!(await repaired(feed, queue))) return undefined
    }
  }

  /** Where a run began that has left its thread: somebody has ended it meanwhile, or its feed has forgotten it. */
  const past = async (feed: Key, run: string): Promise<number> => {
    let base = 0
    for (let after = 0; ; ) {
      const batch = await log.read(feed, after, readLimitEntries)
      if (batch.count === 0) return base
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        if (isRunEntry(entry) && entry.run_id === run && entry.type !== 'accepted') base = entry.thread_base
      }
      after = batch.last
    }
  }

  return {
    announce,
    async claim(feed, run, onBusy) {
      for (;;) {
        const queue = await queueOf(feed)
        const own = queue.open.findIndex(claim => claim.run_id === run)
        const busy = own < 0 ? [...queue.open] : queue.open.slice(0, own)
        if (own < 0 && busy.length > 0 && onBusy === 'reject') {
          if ((await repaired(feed, queue)) || (await allLeft(busy))) continue
          const runs = busy.map(claim => claim.run_id)
          throw new RuncastError(
            'thread_busy',
            `the thread runs ${runs.join(', ')}; wait, cancel it, or start with on_busy=queue or interrupt`,
            { details: { runs } },
          )
        }
        if (own < 0 && !(await appended(feed, queue.at, { type: 'accepted', run_id: run, owner }))) continue
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
    leave,
    holds: async (feed, run) => (await queueOf(feed)).open.some(claim => claim.run_id === run),
  }
}

/** Whose thread a feed is. */
export function threadOf(feed: Key): { tenant: string; thread_id: string } {
  const [, , tenant = '', ...thread] = feed.split('/')
  return { tenant: decodeURIComponent(tenant), thread_id: thread.join('/') }
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
    queue.base = Math.max(queue.base, entry.thread_base)
    if (claim) claim.base ??= entry.thread_base
  } else {
    queue.base = Math.max(queue.base, entry.thread_base + entry.last)
    if (claim) queue.open.splice(index, 1)
  }
}
