// Runs that others told, as logs: what a decoder gives is appended as an owner would have, with head and feeds, so that
// every reader of a log can read it. What is had already is not written again. It must never number over a hole: what
// is missing is forgotten like what retention drops, and readers are told of the gap.
import { type Entry, entryOf, entryOfEvent, plainEntry } from '../batch.ts'
import { RuncastError } from '../error.ts'
import { type Event, isTerminal } from '../event.ts'
import { msOfIso } from '../iso-time.ts'
import type { RunBatch } from '../formats/format.ts'
import {
  type FeedEntry,
  type Head,
  type HeadChange,
  isEnded,
  type Key,
  type Log,
  type NewHead,
  runKey,
  type Status,
  tenantFeed,
  threadFeed,
} from '../log.ts'
import type { Retention } from '../retention.ts'
import { foldBatch } from '../state/fold.ts'
import { viewAt } from '../view-at.ts'

/** What kept a batch, or a part of it, out of the log. */
export type Refusal = 'after_end' | 'other_tenant' | 'had_already' | 'hole_too_large'

export interface RunWriter {
  write(batch: RunBatch): Promise<Refusal | undefined>
}

/** Larger holes end the run: a number is a place in a log, and more than a log keeps is not made up. */
const holeEventsMax = 100_000
/** Threads whose length is remembered. */
const threadsMax = 10_000

export function createRunWriter(options: {
  readonly log: Log
  readonly retention: Retention
  readonly owner: string
}): RunWriter {
  const { log, retention, owner } = options
  const tails = new Map<Key, number>()
  /** Events of the ended runs of each thread. */
  const bases = new Map<Key, number>()

  const announce = async (feed: Key, entry: FeedEntry, time: number) => {
    for (;;) {
      const after = tails.get(feed) ?? 0
      try {
        tails.set(feed, await log.append(feed, after, [plainEntry(entry, time)]))
        return
      } catch (error) {
        const last = error instanceof RuncastError && error.code === 'conflict' ? error.details['last'] : undefined
        if (typeof last !== 'number' || last === after) throw error
        tails.set(feed, last)
      }
    }
  }

  const announceRun = async (head: Head | NewHead, entry: FeedEntry, time: number) => {
    const { tenant, thread_id } = head
    if (thread_id !== undefined) await announce(threadFeed(tenant, thread_id), entry, time)
    await announce(tenantFeed(tenant), entry, time)
  }

  const create = async (batch: RunBatch, tenant: string, first: Event): Promise<NewHead> => {
    const { run_id, thread } = batch
    const said = first.type === 'started' ? first : undefined
    const time = timeOf(first)
    const thread_id = thread === run_id ? undefined : thread
    const thread_base = thread_id === undefined ? 0 : (bases.get(threadFeed(tenant, thread_id)) ?? 0)
    const head: NewHead = {
      run_id,
      status: 'running',
      agent: said?.agent_name ?? 'unknown',
      framework: said?.framework ?? 'unknown',
      tenant,
      ...(thread_id !== undefined && { thread_id }),
      ...(said?.user_id !== undefined && { user_id: said.user_id }),
      input: null,
      thread_base,
      owner,
      created_at: time,
      started_at: time,
    }
    await announceRun(head, { type: 'accepted', run_id, owner }, time)
    await log.append(runKey(run_id), 0, [], head)
    await announceRun(head, { type: 'started', run_id, thread_base }, time)
    return head
  }

  /** Makes room for what never came, and forgets it at once: a reader before it is told of a gap, and given the view. */
  const skip = async (run: string, last: number, hole: number, time: number) => {
    const view = foldBatch(await viewAt(log, run, last), { after: last + hole, last: last + hole, events: [] })
    const filler = Array.from({ length: hole }, () => missing(time))
    await log.append(runKey(run), last, filler)
    await log.drop(runKey(run), last + hole, Buffer.from(JSON.stringify(view)))
  }

  const end = async (head: Head | NewHead, last: number, event: Event) => {
    const { run_id, tenant, thread_id, thread_base = 0 } = head
    if (thread_id !== undefined) {
      bases.set(threadFeed(tenant, thread_id), thread_base + last)
      if (bases.size > threadsMax) bases.delete(bases.keys().next().value as Key)
    }
    await announceRun(head, { type: 'ended', run_id, status: statusOf(event), last, thread_base }, timeOf(event))
    retention.ended(run_id)
  }

  return {
    async write(batch) {
      const { run_id } = batch
      const tenant = batch.tenant === '' ? 'default' : batch.tenant
      const known = await log.head(run_id)
      // A run's id is one, whoever writes it: another tenant's events must never get into it.
      if (known && known.tenant !== tenant) return 'other_tenant'
      if (known && isEnded(known.status)) return batch.last <= known.last ? 'had_already' : 'after_end'
      let last = known?.last ?? 0
      const events = batch.events.filter(event => event.sequence > last)
      const [first] = events
      const final = events.at(-1)
      if (first === undefined || final === undefined) return 'had_already'
      const head = known ?? (await create(batch, tenant, first))
      const time = timeOf(first)
      const hole = first.sequence - 1 - last
      if (hole > holeEventsMax) {
        const error = `the next event has number ${first.sequence}, behind ${last}; the source cannot go on`
        const terminal = { type: 'error', error, code: 'interrupted' } as const
        await log.append(runKey(run_id), last, [entryOf(terminal, time)], { status: 'failed', completed_at: time })
        await end(head, last + 1, { ...first, ...terminal } as Event)
        return 'hole_too_large'
      }
      if (hole > 0) await skip(run_id, last, hole, time)
      last += hole
      const entries = events.map(entryOfEvent)
      const change: HeadChange | undefined = isTerminal(final.type)
        ? { status: statusOf(final), completed_at: timeOf(final) }
        : undefined
      await log.append(runKey(run_id), last, entries, change)
      retention.grown(
        run_id,
        entries.length,
        entries.reduce((bytes, { body }) => bytes + body.length, 0),
      )
      if (change !== undefined) await end(head, last + entries.length, final)
      return undefined
    },
  }
}

const missing = (time: number): Entry => ({ type: 'missing', code: 0, time, body: '' })

function timeOf({ timestamp }: Event): number {
  return msOfIso(timestamp)
}

function statusOf({ type }: Event): Status {
  if (type === 'complete') return 'completed'
  return type === 'cancelled' ? 'cancelled' : 'failed'
}
