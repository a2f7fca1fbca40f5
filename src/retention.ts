// What is forgotten, and the view left behind: whole runs by age, count and bytes; the oldest events of a run that grew
// too long; feeds up to their oldest kept run. Backends never trim by themselves. It must never drop a run that is open.
import {
  everyTenant,
  type FeedEntry,
  type Head,
  inboxKey,
  isEnded,
  isRunEntry,
  type Key,
  type Log,
  type Numbered,
  runKey,
  tenantFeed,
  threadFeed,
} from './log.ts'
import { persist } from './persist.ts'
import { viewAt } from './view-at.ts'

export interface RetentionLimits {
  /** Ended runs are kept this long. Default one hour, as the seeds did. */
  readonly ageMs?: number
  /** Ended runs kept at most. */
  readonly runsMax?: number
  /** Events kept of one run; the oldest are folded into its view. */
  readonly eventsPerRunMax?: number
  readonly bytesPerRunMax?: number
  /** Bytes of all ended runs together. */
  readonly bytesTotalMax?: number
  /** True while somebody still needs the run, such as a store that has not read it: it is kept, within {@link heldMax}. */
  readonly hold?: (run: RunPlace) => boolean | Promise<boolean>
}

/** Where an ended run belongs. */
export interface RunPlace {
  readonly run_id: string
  readonly tenant: string
  readonly thread_id: string | undefined
}

const retentionDefaults = {
  ageMs: 3_600_000,
  runsMax: 10_000,
  eventsPerRunMax: 100_000,
  bytesPerRunMax: 64 * 1024 * 1024,
  bytesTotalMax: 512 * 1024 * 1024,
} as const

/**
 * What the limits may be exceeded by for those who still need a run. Who is away for longer loses it: a log that waits
 * for ever for a broker that nobody mends would fill the disk.
 */
export const heldMax = {
  /** A weekend. */
  ageMs: 72 * 3_600_000,
  /** As many as are kept by default. */
  runs: 10_000,
  /** Of `bytesTotalMax`: as much again. */
  bytesShare: 1,
} as const

export interface Retention {
  /** A run has so many more events and bytes. */
  grown(run: string, events: number, bytes: number): void
  ended(run: string): void
  /** Finds the ended runs of a durable log after a start. */
  load(): Promise<void>
  stop(): void
}

interface Ended {
  readonly run: string
  readonly tenant: string
  readonly thread: string | undefined
  readonly at: number
  readonly bytes: number
}

/** Trimming folds events into a view, so it is done for a tenth of the limit at a time. */
const keptShare = 0.9
/** How much a run may grow, as a share of its limits, before its size is looked at again. */
const lookShare = 0.02
/** How often runs are looked at whose time is up. */
const sweepMs = 1_000
/** Runs that are needed still, after which a sweep stops: those behind them ended later, and each question costs a read. */
const heldPerSweepMax = 100

export function createRetention(
  log: Log,
  limits: RetentionLimits,
  deps: { readonly now: () => number; readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void> },
): Retention {
  const { ageMs, runsMax, eventsPerRunMax, bytesPerRunMax, bytesTotalMax } = { ...retentionDefaults, ...limits }
  const { hold } = limits
  const stopping = new AbortController()
  const ended: Ended[] = [] // oldest first
  const growths = new Map<string, { events: number; bytes: number; busy: boolean }>()
  let bytesTotal = 0
  let sweeping = false
  let timing = false

  const add = (head: Head) => {
    ended.push({
      run: head.run_id,
      tenant: head.tenant,
      thread: head.thread_id,
      // A clock that was ahead must not keep it, nor those behind it, until that time comes.
      at: Math.min(head.completed_at ?? head.created_at, deps.now()),
      bytes: head.bytes,
    })
    bytesTotal += head.bytes
  }

  const due = () => {
    const oldest = ended[0]
    return (
      oldest !== undefined && (ended.length > runsMax || bytesTotal > bytesTotalMax || oldest.at + ageMs <= deps.now())
    )
  }

  /** Whoever needs the run was away for too long, or too much waits for them. */
  const isLate = ({ at }: Ended, all: { runs: number; bytes: number }) =>
    all.runs > runsMax + heldMax.runs ||
    all.bytes > bytesTotalMax * (1 + heldMax.bytesShare) ||
    at + ageMs + heldMax.ageMs <= deps.now()

  const sweep = async () => {
    if (sweeping || stopping.signal.aborted) return
    sweeping = true
    const held: Ended[] = []
    let heldBytes = 0
    try {
      const feeds = new Set<Key>()
      while (held.length < heldPerSweepMax && due()) {
        const all = { runs: ended.length + held.length, bytes: bytesTotal + heldBytes }
        const gone = ended.shift() as Ended
        bytesTotal -= gone.bytes
        if ((!isLate(gone, all) && (await isHeld(gone))) || !(await isDropped(gone))) {
          held.push(gone)
          heldBytes += gone.bytes
          continue
        }
        feeds.add(tenantFeed(gone.tenant))
        if (gone.thread !== undefined) feeds.add(threadFeed(gone.tenant, gone.thread))
      }
      for (const feed of feeds) await trimFeed(log, feed)
    } catch {
      // The log is away: the next sweep goes on.
    } finally {
      ended.unshift(...held)
      bytesTotal += heldBytes
      sweeping = false
    }
  }

  /** The inbox first: without its run nobody would ask for it again. */
  const isDropped = async ({ run }: Ended): Promise<boolean> => {
    try {
      await log.drop(inboxKey(run))
      await log.drop(runKey(run))
      return true
    } catch {
      return false
    }
  }

  /** Who cannot say that it needs a run no more, needs it. */
  const isHeld = async ({ run, tenant, thread }: Ended): Promise<boolean> => {
    try {
      return (await hold?.({ run_id: run, tenant, thread_id: thread })) ?? false
    } catch {
      return true
    }
  }

  /** One timer while anything may grow old. */
  const watchTime = () => {
    if (timing || ended.length === 0) return
    timing = true
    deps.sleep(Math.max(sweepMs, Math.min(ageMs, 60_000)), stopping.signal).then(
      async () => {
        timing = false
        await sweep()
        watchTime()
      },
      () => {},
    )
  }

  /** Cuts a run back to nine tenths of its limits, and leaves the view of what it forgets. */
  const trim = async (run: string) => {
    const head = await log.head(run)
    if (!head || isEnded(head.status)) return
    const size = head.last - head.first + 1
    const share = Math.min(1, (eventsPerRunMax * keptShare) / size, (bytesPerRunMax * keptShare) / head.bytes)
    if (size <= eventsPerRunMax && head.bytes <= bytesPerRunMax) return
    const upTo = Math.min(head.last - 1, head.first - 1 + Math.ceil(size * (1 - share)))
    await log.drop(runKey(run), upTo, Buffer.from(JSON.stringify(await viewAt(log, run, upTo))))
  }

  return {
    grown(run, events, bytes) {
      let growth = growths.get(run)
      if (!growth) growths.set(run, (growth = { events: 0, bytes: 0, busy: false }))
      growth.events += events
      growth.bytes += bytes
      const due = growth.events > eventsPerRunMax * lookShare || growth.bytes > bytesPerRunMax * lookShare
      if (!due || growth.busy) return
      Object.assign(growth, { events: 0, bytes: 0, busy: true })
      void trim(run)
        .catch(() => {}) // the log is away: the next growth tries again
        .finally(() => (growth.busy = false))
    },
    ended(run) {
      growths.delete(run)
      const look = async () => {
        const head = await log.head(run)
        if (!head || !isEnded(head.status)) return
        add(head)
        watchTime()
        if (due()) void sweep()
      }
      persist(look, { sleep: deps.sleep, signal: stopping.signal }).catch(() => {}) // the next start finds it
    },
    async load() {
      const found: Head[] = []
      let before: Head | undefined
      for (;;) {
        const page = await log.list({ tenant: everyTenant, limit: 1_000, ...(before && { before }) })
        found.push(...page.filter(head => isEnded(head.status)))
        before = page.at(-1)
        if (!before) break
      }
      found.sort((a, b) => (a.completed_at ?? a.created_at) - (b.completed_at ?? b.created_at))
      for (const head of found) add(head)
      await sweep()
      watchTime()
    },
    stop: () => stopping.abort(),
  }
}

/** A busy server forgets a run or two at a time, and with them as many entries of a feed: reading more costs each of them more. */
const trimmedEntries = 16

/**
 * Forgets a feed up to the last entry of a dropped run before its oldest kept one. What the feed says of a conversation
 * behind that entry is perhaps not read yet; a thread keeps the entry too, because it numbers what follows.
 */
async function trimFeed(log: Log, feed: Key): Promise<void> {
  let dropped = 0
  let droppedBefore = 0
  let before = 0
  let after = 0
  reading: for (;;) {
    const batch = await log.read(feed, after, trimmedEntries)
    if (batch.count === 0) break
    for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
      if (!isRunEntry(entry)) continue
      if (await log.head(entry.run_id)) break reading
      // A run without a head may also be one that is about to begin; only its end says that it is gone.
      if (entry.type === 'ended') {
        droppedBefore = before
        dropped = entry.sequence
      }
      before = entry.sequence
    }
    after = batch.last
  }
  const upTo = feed.startsWith('feed/thread/') ? droppedBefore : dropped
  if (upTo > 0) await log.drop(feed, upTo)
}
