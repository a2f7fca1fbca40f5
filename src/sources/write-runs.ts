// Runs that others told, as logs: what a decoder gives is appended as an owner would have, with head and feeds, so that
// every reader of a log can read it. What is had already is not written again. It must never number over a hole: what
// is missing is forgotten like what retention drops, and readers are told of the gap.
import { type Entry, entryOf, plainEntry } from '../batch.ts'
import { RuncastError } from '../error.ts'
import { type Event, isTerminal } from '../event.ts'
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

/** Consecutive events of a run, on their way into its log. */
export interface RunEntries extends Pick<RunBatch, 'run_id' | 'tenant' | 'thread'> {
  /** Of the last entry. */
  readonly last: number
  readonly entries: readonly Entry[]
}

export interface RunWriter {
  write(batch: RunEntries): Promise<Refusal | undefined>
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

  const create = async (batch: RunEntries, tenant: string, first: Entry): Promise<NewHead> => {
    const { run_id, thread } = batch
    const said = first.type === 'started' ? (JSON.parse(first.body) as Partial<Started>) : undefined
    const { time } = first
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
    // In one turn: a reader who is there already is woken when the room is forgotten, not while it is made.
    const made = log.append(runKey(run), last, filler)
    await Promise.all([made, log.drop(runKey(run), last + hole, Buffer.from(JSON.stringify(view)))])
  }

  const end = async (head: Head | NewHead, last: number, { type, time }: Entry) => {
    const { run_id, tenant, thread_id, thread_base = 0 } = head
    if (thread_id !== undefined) {
      bases.set(threadFeed(tenant, thread_id), thread_base + last)
      if (bases.size > threadsMax) bases.delete(bases.keys().next().value as Key)
    }
    await announceRun(head, { type: 'ended', run_id, status: statusOf(type), last, thread_base }, time)
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
      const entries = batch.entries.slice(Math.max(0, batch.entries.length - (batch.last - last)))
      const [first] = entries
      const final = entries.at(-1)
      if (batch.last <= last || first === undefined || final === undefined) return 'had_already'
      const head = known ?? (await create(batch, tenant, first))
      const { time } = first
      const hole = batch.last - entries.length - last
      if (hole > holeEventsMax) {
        const error = `the next event has number ${last + hole + 1}, behind ${last}; the source cannot go on`
        const terminal = entryOf({ type: 'error', error, code: 'interrupted' }, time)
        await log.append(runKey(run_id), last, [terminal], { status: 'failed', completed_at: time })
        await end(head, last + 1, terminal)
        return 'hole_too_large'
      }
      if (hole > 0) await skip(run_id, last, hole, time)
      last += hole
      const change: HeadChange | undefined = isTerminal(final.type)
        ? { status: statusOf(final.type), completed_at: final.time }
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

const missing = (time: number): Entry => ({ type: 'missing', code: 0, time, body: '{}' })

type Started = Extract<Event, { type: 'started' }>

function statusOf(type: string): Status {
  if (type === 'complete') return 'completed'
  return type === 'cancelled' ? 'cancelled' : 'failed'
}
