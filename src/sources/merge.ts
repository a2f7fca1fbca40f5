// The records of several topics in the order of their times, key by key: what one run says is spread over the topics, and
// each is in order only by itself. A record waits until every other partition shows what it has next of the key, was found
// empty after it came, or is well past its time. Of one topic nothing waits: what belongs together is in one partition.
import type { Fetched, FetchedRecord } from '../kafka/fetch.ts'

export interface Merge {
  /** Takes the answers of one round. */
  add(answers: readonly Fetched[]): void
  /** What can go on, in order. Each is outstanding until it is `done`. */
  release(): FetchedRecord[]
  done(record: FetchedRecord): void
  /** Where a partition may go on: nothing before it is needed again. */
  positionOf(topic: string, partition: number): bigint | undefined
  /** Whether a partition is so far ahead of the others that it need not be read now. */
  isAhead(topic: string, partition: number): boolean
  /** Forgets partitions that are another's now. */
  keep(assigned: ReadonlySet<string>): void
}

interface Entry {
  readonly record: FetchedRecord
  readonly round: number
}

interface Lane {
  /** Records that came, ascending; those before `at` are done. */
  outstanding: FetchedRecord[]
  at: number
  /** Done before one that came earlier. */
  readonly early: Set<FetchedRecord>
  /** What was fetched so far. */
  next: bigint
  /** The last round that found nothing more. */
  emptyAt: number
  /** Whether the last round read it to its end. */
  ended: boolean
  /** The earliest time of the records that came last: one wrong clock must not speak for all. None where it ended. */
  floor: number
  /** The latest time of any record that came. */
  latest: number
}

export const partitionKey = (topic: string, partition: number) => `${topic}/${partition}`

/** How far the times of a partition go back: its runs are sent side by side, each in order. */
const slackMs = 5_000
/** Records of a partition that wait for the others: some megabytes at most, in memory. */
const waitingMax = 5_000

export function createMerge(ordered: boolean): Merge {
  const lanes = new Map<string, Lane>()
  /** By key of the records, then by partition: what waits. */
  const waiting = new Map<string, Map<string, Entry[]>>()
  /** Where nothing waits: what came, as it came. */
  let passing: FetchedRecord[] = []
  let round = 0
  let newest: { topic: string; partition: number; lane: Lane | undefined } | undefined

  const laneOf = (topic: string, partition: number, next: bigint): Lane => {
    const key = partitionKey(topic, partition)
    const lane = lanes.get(key) ?? {
      outstanding: [],
      at: 0,
      early: new Set<FetchedRecord>(),
      next,
      emptyAt: 0,
      ended: false,
      floor: -Infinity,
      latest: 0,
    }
    lanes.set(key, lane)
    newest = undefined
    return lane
  }

  /** Neighbours are mostly of one partition. */
  const laneAt = (topic: string, partition: number): Lane | undefined => {
    if (newest?.topic !== topic || newest.partition !== partition) {
      newest = { topic, partition, lane: lanes.get(partitionKey(topic, partition)) }
    }
    return newest.lane
  }

  const put = (record: FetchedRecord) => {
    const key = record.key?.toString() ?? ''
    const queues = waiting.get(key) ?? new Map<string, Entry[]>()
    waiting.set(key, queues)
    const at = partitionKey(record.topic, record.partition)
    const queue = queues.get(at)
    if (queue) queue.push({ record, round })
    else queues.set(at, [{ record, round }])
  }

  /** Nothing of its key that is before it can come any more. */
  const isDue = ({ record, round: came }: Entry, queues: ReadonlyMap<string, Entry[]>, full: boolean): boolean => {
    for (const [key, lane] of lanes) {
      if (queues.has(key) || lane.emptyAt > came) continue
      if ((full ? lane.latest : lane.floor) > record.timestamp + slackMs) continue
      return false
    }
    return true
  }

  /** Whether a partition can be read before the others need to go on. */
  const isOneBehind = () => [...lanes.values()].some(lane => !lane.ended && waitsOf(lane) <= waitingMax)
  /** What waits has no room any more: then the latest time of a partition must do. */
  const isFull = () => !isOneBehind() && [...lanes.values()].some(lane => waitsOf(lane) > waitingMax)

  const releaseKey = (queues: Map<string, Entry[]>, out: FetchedRecord[], full: boolean) => {
    while (queues.size > 0) {
      let least: [string, Entry[]] | undefined
      for (const one of queues) {
        if (least === undefined || before(first(one[1]).record, first(least[1]).record)) least = one
      }
      const [key, queue] = least as [string, Entry[]]
      if (!isDue(first(queue), queues, full)) return
      out.push(first(queue).record)
      queue.shift()
      if (queue.length === 0) queues.delete(key)
    }
  }

  return {
    add(answers) {
      round++
      for (const { topic, partition, offset, records, highWatermark } of answers) {
        const lane = laneOf(topic, partition, offset)
        if (records.length > 0) lane.floor = Infinity
        for (const record of records) {
          lane.outstanding.push(record)
          if (!ordered) continue
          lane.floor = Math.min(lane.floor, record.timestamp)
          lane.latest = Math.max(lane.latest, record.timestamp)
          put(record)
        }
        if (!ordered) passing = passing.concat(records)
        lane.next = offset
        // Undecided records are none that are missing: a transaction ends in one partition after the other.
        lane.ended = offset >= highWatermark
        if (!lane.ended) continue
        lane.emptyAt = round
        lane.floor = -Infinity
      }
    },
    release() {
      const out = passing
      passing = []
      const full = isFull()
      for (const [key, queues] of waiting) {
        releaseKey(queues, out, full)
        if (queues.size === 0) waiting.delete(key)
      }
      return out
    },
    done(record) {
      const lane = laneAt(record.topic, record.partition)
      if (lane === undefined) return
      if (lane.outstanding[lane.at] !== record) {
        lane.early.add(record)
        return
      }
      lane.at++
      while (lane.early.size > 0 && lane.early.delete(lane.outstanding[lane.at] as FetchedRecord)) lane.at++
      if (lane.at < lane.outstanding.length && lane.at < waitingMax) return
      lane.outstanding = lane.outstanding.slice(lane.at)
      lane.at = 0
    },
    positionOf(topic, partition) {
      const lane = lanes.get(partitionKey(topic, partition))
      return lane && (lane.outstanding[lane.at]?.offset ?? lane.next)
    },
    isAhead: (topic, partition) => waitsOf(lanes.get(partitionKey(topic, partition))) > waitingMax && isOneBehind(),
    keep(assigned) {
      for (const key of lanes.keys()) if (!assigned.has(key)) lanes.delete(key)
      newest = undefined
      passing = passing.filter(({ topic, partition }) => assigned.has(partitionKey(topic, partition)))
      for (const [name, queues] of waiting) {
        for (const key of queues.keys()) if (!assigned.has(key)) queues.delete(key)
        if (queues.size === 0) waiting.delete(name)
      }
    },
  }
}

function waitsOf(lane: Lane | undefined): number {
  return lane === undefined ? 0 : lane.outstanding.length - lane.at
}

function first(queue: readonly Entry[]): Entry {
  return queue[0] as Entry
}

/** The order of the topics of one run where times are equal: the end comes last, what failed right before it. */
const ranks = ['status', 'text', 'chart', 'state', 'checkpoints', 'metrics', 'error', 'errors', 'events', 'complete']

/** One total order, or two records could each wait for the other. Our own envelopes say their place in their run. */
function before(a: FetchedRecord, b: FetchedRecord): boolean {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp
  const [left, right] = [placeOf(a), placeOf(b)]
  if (left.run !== right.run) return left.run < right.run
  if (left.sequence !== right.sequence) return left.sequence < right.sequence
  if (left.index !== right.index) return left.index < right.index
  return rankOf(a) < rankOf(b)
}

function rankOf({ topic }: FetchedRecord): number {
  return ranks.findIndex(end => topic.split('.').includes(end))
}

/** `RUN:SEQUENCE:INDEX` of the header that our sink writes; strangers' records have none, and their topics decide. */
function placeOf({ headers }: FetchedRecord): { run: string; sequence: number; index: number } {
  const id = headers.find(([name]) => name?.toString() === 'runcast-id')?.[1]?.toString()
  const [run = '', sequence = 0, index = 0] = id?.split(':') ?? []
  return { run, sequence: Number(sequence), index: Number(index) }
}
