// What the log has and Kafka has not: follows the feeds of the tenants and each run from its cursor, and makes the next
// load of records. It reads only; the cursors that it moves are written by whoever sends the load.
// It must never let a run of a thread overtake the one before it, nor hold more than one load.
import { msOfIso } from '../../iso-time.ts'
import { RuncastError } from '../../error.ts'
import type { Event } from '../../event.ts'
import type { Encoder, Format, Identity, Message } from '../../formats/format.ts'
import {
  type FeedEntry,
  hasEntry,
  isRunEntry,
  type Log,
  type Numbered,
  readLimitEntries,
  runKey,
  tenantFeed,
} from '../../log.ts'
import { emptyView, foldBatch, type View } from '../../state/fold.ts'
import { atEndOfTurn } from '../../turn.ts'
import { viewAt } from '../../view-at.ts'
import type { Cursors, FeedCursor, RunCursor } from './cursors.ts'
import { headersOf } from './records.ts'

/** A message with what its record needs besides. */
export interface Outgoing {
  readonly message: Message
  readonly tenant: string
  readonly run: string
  /** When the event happened, ms since the epoch. */
  readonly time: number
  readonly headers: readonly Buffer[]
}

export interface Load {
  readonly messages: Outgoing[]
  /** Cursors that moved, as they stand behind this load. */
  readonly runs: readonly RunCursor[]
  readonly feeds: readonly FeedCursor[]
  /** Events that it takes out of the backlog. */
  readonly events: number
  /** When the oldest of them happened, ms since the epoch; Infinity without any. */
  readonly oldest: number
  /** Events that cannot be sent, by reason. */
  readonly lost: ReadonlyMap<string, number>
  /** There is more than it could take. */
  readonly full: boolean
}

export interface Backlog extends Disposable {
  /** The next load; without messages and runs when all is sent. */
  next(): Promise<Load>
  /** Nothing is read of tenants that were not named here. */
  attend(tenant: string): void
}

interface Lane {
  readonly cursor: RunCursor
  /** Its thread, or itself; known once it was opened. */
  thread: string
  /** Something may be there to read. */
  ready: boolean
  /** Where it ended, as the feed says; undefined until it does. */
  last: number | undefined
  encode?: Encoder
  identity?: Identity
  headers?: readonly Buffer[]
  bell?: Disposable
}

/** Events of one load, over all runs: a transaction of this size takes some tens of milliseconds. */
const eventsPerLoadMax = 2_000
/** Events of one run in one load: some others fit beside it. */
const eventsPerTurnMax = 500
/** Bytes of one load: what is held in memory, whatever the broker does. */
const bytesPerLoadMax = 4 * 1024 * 1024
/** Runs begun, beyond which the feeds are read on only when all that these have is sent: who waits there costs nothing. */
export const lanesAheadMax = 1_000

export function createBacklog(options: {
  readonly log: Log
  readonly format: Format
  readonly cursors: Cursors
  readonly ring: () => void
}): Backlog {
  const { log, format, cursors, ring } = options
  const bells = new Map<string, Disposable>()
  const checked = new Set<string>()
  /** Cursors of tenants that are not attended; nothing is read of these, so none comes to them. */
  const unattended = Map.groupBy(cursors.runs.values(), ({ tenant }) => tenant)
  const lanes = new Map<string, Lane>()
  /** Moved, and not in a load yet. */
  const movedFeeds = new Set<FeedCursor>()
  const movedRuns = new Set<RunCursor>()
  /** Had their turn in this round. */
  const served = new Set<Lane>()
  /** The last load could not take all that there was. */
  let behind = false

  const add = (cursor: RunCursor, last?: number) => {
    cursors.runs.set(cursor.run, cursor)
    if (!cursor.done) lanes.set(cursor.run, { cursor, thread: '', ready: true, last })
  }

  const attend = (tenant: string) => {
    if (bells.has(tenant)) return
    bells.set(tenant, log.watch(tenantFeed(tenant), ring))
    if (!cursors.feeds.has(tenant)) cursors.feeds.set(tenant, { tenant, at: 0, time: '' })
    for (const cursor of unattended.get(tenant) ?? []) add(cursor)
    unattended.delete(tenant)
  }

  /** Another log than the one that the cursor was read from: nothing of it was sent. */
  const anew = (feed: FeedCursor) => {
    for (const cursor of cursors.runs.values()) {
      if (cursor.tenant !== feed.tenant) continue
      cursor.done = cursor.left = true
      close(cursor.run)
      movedRuns.add(cursor)
      cursors.runs.delete(cursor.run)
    }
    Object.assign(feed, { at: 0, time: '' })
    movedFeeds.add(feed)
  }

  const followFeed = async (feed: FeedCursor, load: Draft) => {
    const key = tenantFeed(feed.tenant)
    if (!checked.has(feed.tenant)) {
      if (!(await hasEntry(log, key, feed))) anew(feed)
      checked.add(feed.tenant)
    }
    for (;;) {
      if (behind && lanes.size >= lanesAheadMax) return
      const batch = await log.read(key, feed.at, readLimitEntries)
      if (batch.gap && feed.at > 0) count(load.lost, 'unlisted', batch.after - feed.at)
      if (batch.last <= feed.at) return
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        await pass(feed.tenant, entry, load)
        feed.time = entry.timestamp
      }
      feed.at = batch.last
      movedFeeds.add(feed)
      if (lanes.size >= lanesAheadMax && load.runs.size >= lanesAheadMax) return
    }
  }

  const pass = async (tenant: string, entry: Numbered<FeedEntry>, load: Draft) => {
    if (!isRunEntry(entry) || entry.type === 'accepted') return
    const { run_id: run, thread_base: base } = entry
    const known = cursors.runs.get(run)
    const left = entry.type === 'ended'
    if (known !== undefined) {
      if (!left || known.left) return
      known.left = true
      load.runs.add(known)
      const lane = lanes.get(run)
      // The feed may be read before the run's own bell has rung: a sink that is closed waits for no bell.
      if (lane) Object.assign(lane, { last: entry.last, ready: true })
      if (known.done) cursors.runs.delete(run)
    } else if (!left || !(await spokenOf(log, tenant, run, entry.sequence))) {
      const cursor: RunCursor = { tenant, run, after: 0, base, done: false, left }
      add(cursor, left ? entry.last : undefined)
      load.runs.add(cursor)
    }
  }

  const close = (run: string) => {
    const lane = lanes.get(run)
    lane?.bell?.[Symbol.dispose]()
    if (lane) served.delete(lane)
    lanes.delete(run)
  }

  const finish = (lane: Lane, load: Draft) => {
    const { cursor } = lane
    cursor.done = true
    load.runs.add(cursor)
    close(cursor.run)
    if (cursor.left) cursors.runs.delete(cursor.run)
  }

  /** The log has forgotten the run before all of it was sent. */
  const forget = (lane: Lane, load: Draft) => {
    const { after } = lane.cursor
    if (lane.last !== undefined && lane.last > after) count(load.lost, 'forgotten', lane.last - after)
    finish(lane, load)
  }

  /** Whose it is. False when the run is gone. */
  const find = async (lane: Lane): Promise<boolean> => {
    const { run, tenant, base } = lane.cursor
    const head = await log.head(run)
    if (head === undefined || head.tenant !== tenant) return false
    const { thread_id, user_id, labels = {} } = head
    lane.thread = JSON.stringify(thread_id === undefined ? [tenant, '', run] : [tenant, thread_id])
    const { scenario, company_id: company } = labels
    lane.identity = { run, tenant, thread: thread_id, threadBase: base, user: user_id, scenario, company }
    lane.headers = headersOf(run, labels)
    return true
  }

  /** A bell, and an encoder that stands where the cursor does. */
  const open = async (lane: Lane): Promise<Encoder> => {
    const { run, after } = lane.cursor
    lane.bell ??= log.watch(runKey(run), () => {
      lane.ready = true
      ring()
    })
    const view = after === 0 ? undefined : await viewAt(log, run, after).catch(forgotten)
    return format.encoder(lane.identity as Identity, view)
  }

  const take = async (lane: Lane, limit: number, load: Draft) => {
    const until = lane.cursor.after + limit
    lane.encode ??= await open(lane)
    lane.ready = true
    while (lane.ready && lane.cursor.after < until && load.bytes < bytesPerLoadMax) {
      await takeBatch(lane, until - lane.cursor.after, load)
    }
  }

  const takeBatch = async (lane: Lane, limit: number, load: Draft) => {
    const { cursor } = lane
    lane.ready = false
    const batch = await log.read(runKey(cursor.run), cursor.after, limit)
    if (batch.state === 'absent') return forget(lane, load)
    if (batch.gap !== undefined) {
      count(load.lost, 'forgotten', batch.after - cursor.after)
      const left = batch.gap.snapshot && (JSON.parse(Buffer.from(batch.gap.snapshot).toString()) as View)
      const view = foldBatch(left ?? emptyView(cursor.run), { after: batch.after, last: batch.after, events: [] })
      lane.encode = format.encoder(lane.identity as Identity, view)
    }
    if (batch.count > 0) await encode(lane, batch.events, load)
    if (batch.last > cursor.after) load.runs.add(cursor)
    load.events += batch.count
    cursor.after = Math.max(cursor.after, batch.last)
    if (batch.state === 'sealed') finish(lane, load)
    else if (batch.count > 0) lane.ready = true
  }

  const encode = async (lane: Lane, events: readonly Event[], load: Draft) => {
    const { tenant, run, after } = lane.cursor
    const headers = lane.headers as readonly Buffer[]
    const put = (messages: readonly Message[], of: readonly Event[]) => {
      for (const message of messages) {
        const time = msOfIso(of[message.sequence - (of[0]?.sequence ?? 0)]?.timestamp ?? '')
        load.messages.push({ message, tenant, run, time, headers })
        load.bytes += message.payload.length
        load.oldest = Math.min(load.oldest, time)
      }
    }
    try {
      put((lane.encode as Encoder)(events), events)
    } catch {
      // One of them cannot be said in this format: the others can, from the view before each.
      let view = after === 0 ? emptyView(run) : await viewAt(log, run, after)
      for (const event of events) {
        try {
          put(format.encoder(lane.identity as Identity, view)([event]), [event])
        } catch {
          count(load.lost, 'undecodable', 1)
        }
        view = foldBatch(view, { after: event.sequence - 1, last: event.sequence, events: [event] })
      }
      lane.encode = format.encoder(lane.identity as Identity, view)
    }
  }

  /** Each run's share of the load, in the order of the feed. True when the load is full. */
  const round = async (load: Draft): Promise<boolean> => {
    const waiting = new Set<string>()
    for (const lane of lanes.values()) {
      if (load.events >= eventsPerLoadMax || load.bytes >= bytesPerLoadMax) return true
      if (lane.identity === undefined && !(await find(lane))) {
        forget(lane, load)
        continue
      }
      if (lane.ready && !served.has(lane) && !waiting.has(lane.thread)) {
        const before = load.events
        await take(lane, eventsPerTurnMax, load)
        served.add(lane)
        // A full turn is milliseconds of work: the load before this one, and everyone else, go on in between.
        if (load.events - before >= eventsPerTurnMax) await new Promise<void>(atEndOfTurn)
      }
      if (!lane.cursor.done) waiting.add(lane.thread)
    }
    // A fast run has its turn again when all others had theirs.
    served.clear()
    return false
  }

  const fill = async (load: Draft): Promise<boolean> => {
    for (const feed of cursors.feeds.values()) if (bells.has(feed.tenant)) await followFeed(feed, load)
    const again = served.size > 0
    const full = await round(load)
    return !full && again && load.events === 0 ? round(load) : full
  }

  return {
    attend,
    async next() {
      const load: Draft = {
        messages: [],
        runs: new Set(movedRuns),
        lost: new Map(),
        bytes: 0,
        events: 0,
        oldest: Infinity,
      }
      let full = await fill(load)
      if (!full && behind) {
        behind = false
        full = await fill(load)
      }
      behind = full
      // What the feed's follower found out counts as well; its cursor is written with it, or with the next load.
      for (const cursor of movedRuns) load.runs.add(cursor)
      movedRuns.clear()
      const { messages, lost, events, oldest } = load
      const runs = [...load.runs].map(cursor => ({ ...cursor }))
      if (messages.length === 0 && runs.length === 0) return { messages, runs, feeds: [], lost, events, oldest, full }
      const feeds = [...movedFeeds].map(feed => ({ ...feed }))
      movedFeeds.clear()
      return { messages, runs, feeds, lost, events, oldest, full }
    },
    [Symbol.dispose]() {
      for (const bell of bells.values()) bell[Symbol.dispose]()
      for (const run of lanes.keys()) close(run)
    },
  }
}

interface Draft {
  readonly messages: Outgoing[]
  readonly runs: Set<RunCursor>
  readonly lost: Map<string, number>
  bytes: number
  events: number
  oldest: number
}

function count(counts: Map<string, number>, name: string, n: number): void {
  counts.set(name, (counts.get(name) ?? 0) + n)
}

/** A view older than what is kept, or of a run that is forgotten meanwhile: what the next read shows says where to go on. */
function forgotten(error: unknown): undefined {
  if (error instanceof RuncastError && (error.code === 'cursor_gone' || error.code === 'not_found')) return undefined
  throw error
}

/** Whether an entry before this one speaks of the run as begun: then it was sent, and is forgotten here. */
async function spokenOf(log: Log, tenant: string, run: string, before: number): Promise<boolean> {
  for (let after = 0; ; ) {
    const batch = await log.read(tenantFeed(tenant), after, readLimitEntries)
    if (batch.count === 0) return false
    for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
      if (entry.sequence >= before) return false
      if (isRunEntry(entry) && entry.run_id === run && entry.type !== 'accepted') return true
    }
    after = batch.last
  }
}
