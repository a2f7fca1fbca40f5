// How far the sink is, as records of a compacted topic: one per run that is not over, one per tenant's feed, and who
// writes them. They are written in the transaction of the records that they stand for, so the two cannot part.
// It must never answer before it has read all that was committed: a cursor that is too old doubles records.
import type { Admin } from '@platformatic/kafka'
import type { Fetcher } from '../../kafka/fetch.ts'

export interface RunCursor {
  readonly tenant: string
  readonly run: string
  /** The last sequence that was sent. */
  after: number
  /** thread_base of the run. */
  readonly base: number
  /** Sent to its end. */
  done: boolean
  /** Its `ended` stands before the feed's cursor: nothing will speak of it again. */
  left: boolean
}

export interface FeedCursor {
  readonly tenant: string
  at: number
  /** When the entry at the cursor was written: another one there means another log. */
  time: string
}

export interface Cursors {
  readonly runs: Map<string, RunCursor>
  readonly feeds: Map<string, FeedCursor>
  /** The sink that began last. */
  owner?: string
}

export const emptyCursors = (): Cursors => ({ runs: new Map(), feeds: new Map() })

/** A record of the cursors topic; no value = forget it. */
export interface CursorRecord {
  readonly key: string
  readonly value?: string | undefined
}

const names = (...parts: string[]) => parts.map(encodeURIComponent).join('/')

/** One partition: they are few, and read as a whole. */
export const cursorsPartition = 0

export function runRecord(sink: string, cursor: RunCursor): CursorRecord {
  const key = names(sink, 'run', cursor.tenant, cursor.run)
  if (cursor.done && cursor.left) return { key }
  const { after, base, done, left } = cursor
  return { key, value: JSON.stringify({ after, base, ...(done && { done }), ...(left && { left }) }) }
}

export function feedRecord(sink: string, { tenant, at, time }: FeedCursor): CursorRecord {
  return { key: names(sink, 'feed', tenant), value: JSON.stringify({ at, time }) }
}

export function ownerRecord(sink: string, owner: string): CursorRecord {
  return { key: names(sink, 'owner'), value: JSON.stringify({ owner }) }
}

/** All that was committed for this sink, at the time of the call. */
export async function readCursors(
  admin: Admin,
  fetcher: Fetcher,
  { topic, sink }: { topic: string; sink: string },
): Promise<Cursors> {
  const list = async (timestamp: bigint) => {
    const partitions = [{ partitionIndex: cursorsPartition, timestamp }]
    const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions }], isolationLevel: 0 })
    return listed?.partitions[0]?.offset ?? 0n
  }
  const [start, end] = [await list(-2n), await list(-1n)]
  const cursors = emptyCursors()
  // To the end of all that is written, not only of what is decided: another sink's open transaction may stand in front
  // of what we committed. It is decided within its timeout.
  for (let offset = start; offset < end; ) {
    const [fetched] = await fetcher.fetch([{ topic, partition: cursorsPartition, offset }], waitMs)
    if (fetched === undefined) continue
    for (const { key, value } of fetched.records) take(cursors, sink, String(key), value?.toString())
    offset = fetched.outOfRange ? fetched.logStart : fetched.offset
  }
  return cursors
}

/** How long the broker may wait for a transaction to be decided before it answers that it is not. */
const waitMs = 200

function take(cursors: Cursors, sink: string, key: string, value: string | undefined): void {
  const [whose, kind, tenant = '', run = ''] = key.split('/').map(decodeURIComponent)
  if (whose !== sink) return
  const said = value === undefined ? undefined : (JSON.parse(value) as Record<string, never>)
  if (kind === 'owner' && said !== undefined) cursors.owner = said['owner'] ?? ''
  if (kind === 'feed' && said !== undefined) {
    cursors.feeds.set(tenant, { tenant, at: said['at'] ?? 0, time: said['time'] ?? '' })
  }
  if (kind !== 'run') return
  // Deleted first: the order of the runs is the order of their threads.
  if (said === undefined) cursors.runs.delete(run)
  else {
    const {
      after,
      base,
      done = false,
      left = false,
    } = said as unknown as Partial<RunCursor> & { after: number; base: number }
    cursors.runs.set(run, { tenant, run, after, base, done, left })
  }
}
