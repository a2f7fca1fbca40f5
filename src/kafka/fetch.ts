// Reads partitions from given positions on, committed records only. Our own, over the client's wire layer: its consumer
// lets records of aborted transactions through where a producer aborted twice or the end of a transaction lies behind
// the fetch. It must never skip a record that counts, nor hand out one that was taken back.
import type * as Client from '@platformatic/kafka'
import { ask, type Kafka } from './client.ts'
import { type FetchedRecord, type PartitionAnswer, readFetchAnswer, recordBatches } from './record-batches.ts'

export type { FetchedRecord } from './record-batches.ts'

export interface Position {
  readonly topic: string
  readonly partition: number
  /** The next to read. */
  readonly offset: bigint
  /** Which topic of this name it is a position of: another one is not read. Default: the one that is there. */
  readonly topicId?: string | undefined
}

export interface Fetched extends Position {
  readonly records: FetchedRecord[]
  /** Where reading ends for now: what lies behind is not decided yet. */
  readonly stable: bigint
  readonly highWatermark: bigint
  readonly logStart: bigint
  /** The position lies outside of what is kept. */
  readonly outOfRange: boolean
}

export interface Fetcher {
  /** What is there behind these positions, in one round to each broker; waits at most `waitMs` for something. */
  fetch(positions: readonly Position[], waitMs: number): Promise<Fetched[]>
  close(): Promise<void>
}

/** Of one answer: some milliseconds of work, so that other work gets its turn. */
const fetchBytesMax = 4 * 1024 * 1024
const partitionBytesMax = 1024 * 1024
const readCommitted = 1
const offsetOutOfRange = 1

export function createFetcher(kafka: Kafka, client: Client.Admin | Client.Consumer, base: object): Fetcher {
  const pool = new kafka.ConnectionPool('runcast', base)

  const fetchFrom = async (broker: Client.Broker, topics: Client.fetchV13.FetchRequestTopic[], waitMs: number) => {
    const connection = await pool.get(broker)
    // 13 is the first version with topic ids, the answer of every broker since 3.1. Session 0, epoch -1: no session.
    const request = () => kafka.fetchV13.createRequest(waitMs, 1, fetchBytesMax, readCommitted, 0, -1, topics, [], '')
    const answer = await ask(connection, kafka.fetchV13.api, request, readFetchAnswer)
    const codes = [answer.errorCode, ...answer.topics.flatMap(one => one.partitions.map(({ errorCode }) => errorCode))]
    const failed = codes.filter(code => code !== 0 && code !== offsetOutOfRange)
    if (failed.length > 0) {
      const errors = Object.fromEntries(failed.map((code, i) => [`/${i}`, [code, null] as [number, null]]))
      throw new kafka.ResponseError(kafka.fetchV13.api.key, kafka.fetchV13.api.version, errors, answer)
    }
    return answer
  }

  return {
    async fetch(positions, waitMs) {
      const names = [...new Set(positions.map(({ topic }) => topic))]
      const metadata = await client.metadata({ topics: names })
      const byLeader = new Map<number, Map<string, Client.fetchV13.FetchRequestTopic>>()
      for (const { topic, partition, offset, topicId } of positions) {
        const known = metadata.topics.get(topic)
        const leader = known?.partitions[partition]?.leader ?? -1
        const topics = byLeader.get(leader) ?? new Map<string, Client.fetchV13.FetchRequestTopic>()
        byLeader.set(leader, topics)
        const request = topics.get(topic) ?? { topicId: topicId ?? known?.id ?? '', partitions: [] }
        topics.set(topic, request)
        request.partitions.push({
          partition,
          currentLeaderEpoch: -1,
          fetchOffset: offset,
          lastFetchedEpoch: -1,
          partitionMaxBytes: partitionBytesMax,
        })
      }
      const answers = await Promise.all(
        [...byLeader].map(async ([leader, topics]) => {
          const broker = metadata.brokers.get(leader)
          if (broker === undefined) throw new Error(`no leader for ${[...topics.keys()].join()}`)
          return fetchFrom(broker, [...topics.values()], waitMs)
        }),
      ).catch((error: unknown) => {
        client.clearMetadata()
        throw error
      })
      const topicOf = new Map(positions.map(one => [one.topicId ?? metadata.topics.get(one.topic)?.id, one.topic]))
      const from = new Map(positions.map(one => [`${one.topic}/${one.partition}`, one.offset]))
      return answers.flatMap(({ topics }) =>
        topics.flatMap(({ topicId, partitions }) => {
          const topic = topicOf.get(topicId) ?? ''
          return partitions.map(one => committed(kafka, topic, from.get(`${topic}/${one.partition}`) ?? 0n, one))
        }),
      )
    },
    close: () => pool.close(),
  }
}

/** As the protocol says it: a producer's records from an aborted transaction's first offset to its abort marker are void. */
function committed(kafka: Kafka, topic: string, from: bigint, answer: PartitionAnswer): Fetched {
  const { partition, stable, highWatermark, logStart } = answer
  const aborted = answer.aborted.toSorted((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  const void_ = new Set<bigint>()
  const records: FetchedRecord[] = []
  let offset = from
  for (const batch of recordBatches(kafka, answer.bytes, { topic, partition })) {
    while (aborted[0] !== undefined && aborted[0].firstOffset <= batch.lastOffset) {
      void_.add(aborted[0].producerId)
      aborted.shift()
    }
    if (batch.lastOffset >= offset) offset = batch.lastOffset + 1n
    if (batch.control) {
      // The key of a marker: version, then type, 0 = abort.
      if (batch.records()[0]?.key?.readInt16BE(2) === 0) void_.delete(batch.producerId)
      continue
    }
    if (batch.transactional && void_.has(batch.producerId)) continue
    // Only the first batch may begin before what was asked for.
    const some = batch.firstOffset < from
    for (const record of batch.records()) if (!some || record.offset >= from) records.push(record)
  }
  const outOfRange = answer.errorCode === offsetOutOfRange
  return { topic, partition, offset, records, stable, highWatermark, logStart, outOfRange }
}
