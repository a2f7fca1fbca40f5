// Reads partitions from given positions on, committed records only. Our own, over the client's wire layer: its consumer
// lets records of aborted transactions through where a producer aborted twice or the end of a transaction lies behind
// the fetch. It must never skip a record that counts, nor hand out one that was taken back.
import type * as Client from '@platformatic/kafka'
import type { Kafka } from './client.ts'

export interface FetchedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** ms since the epoch. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
}

export interface Position {
  readonly topic: string
  readonly partition: number
  /** The next to read. */
  readonly offset: bigint
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

const control = 0x20
const transactional = 0x10

export function createFetcher(kafka: Kafka, client: Client.Admin | Client.Consumer, base: object): Fetcher {
  const pool = new kafka.ConnectionPool('runcast', base)

  const fetchFrom = async (broker: Client.Broker, topics: Client.fetchV13.FetchRequestTopic[], waitMs: number) => {
    const connection = await pool.get(broker)
    // 13 is the first version with topic ids, the answer of every broker since 3.1. Session 0, epoch -1: no session.
    const ask = kafka.fetchV13.api.async as unknown as (...args: unknown[]) => Promise<Client.fetchV13.FetchResponse>
    try {
      return await ask(connection, waitMs, 1, fetchBytesMax, readCommitted, 0, -1, topics, [], '')
    } catch (error) {
      const response = (error as { response?: Client.fetchV13.FetchResponse }).response
      if (response === undefined || response.errorCode !== 0) throw error
      const codes = response.responses.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
      if (codes.some(code => code !== 0 && code !== offsetOutOfRange)) throw error
      return response
    }
  }

  return {
    async fetch(positions, waitMs) {
      const names = [...new Set(positions.map(({ topic }) => topic))]
      const metadata = await client.metadata({ topics: names })
      const byLeader = new Map<number, Map<string, Client.fetchV13.FetchRequestTopic>>()
      for (const { topic, partition, offset } of positions) {
        const known = metadata.topics.get(topic)
        const leader = known?.partitions[partition]?.leader ?? -1
        const topics = byLeader.get(leader) ?? new Map<string, Client.fetchV13.FetchRequestTopic>()
        byLeader.set(leader, topics)
        const request = topics.get(topic) ?? { topicId: known?.id ?? '', partitions: [] }
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
      const topicOf = new Map(names.map(name => [metadata.topics.get(name)?.id, name]))
      const from = new Map(positions.map(one => [`${one.topic}/${one.partition}`, one.offset]))
      return answers.flatMap(({ responses }) =>
        responses.flatMap(({ topicId, partitions }) => {
          const topic = topicOf.get(topicId) ?? ''
          return partitions.map(one => committed(topic, from.get(`${topic}/${one.partitionIndex}`) ?? 0n, one))
        }),
      )
    },
    close: () => pool.close(),
  }
}

/** As the protocol says it: a producer's records from an aborted transaction's first offset to its abort marker are void. */
function committed(topic: string, from: bigint, answer: Client.fetchV13.FetchResponsePartition): Fetched {
  const { partitionIndex: partition, lastStableOffset: stable, highWatermark, logStartOffset: logStart } = answer
  const aborted = [...(answer.abortedTransactions ?? [])].sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  const void_ = new Set<bigint>()
  const records: FetchedRecord[] = []
  let offset = from
  for (const batch of answer.records ?? []) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    while (aborted[0] !== undefined && aborted[0].firstOffset <= last) {
      void_.add(aborted[0].producerId)
      aborted.shift()
    }
    if (last >= offset) offset = last + 1n
    if ((batch.attributes & control) !== 0) {
      // The key of a marker: version, then type, 0 = abort.
      if (batch.records[0]?.key?.readInt16BE(2) === 0) void_.delete(batch.producerId)
      continue
    }
    if ((batch.attributes & transactional) !== 0 && void_.has(batch.producerId)) continue
    for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
      const at = batch.firstOffset + BigInt(offsetDelta)
      if (at < from) continue
      const timestamp = Number(batch.firstTimestamp + timestampDelta)
      records.push({ topic, partition, offset: at, timestamp, key, value, headers })
    }
  }
  const outOfRange = answer.errorCode === offsetOutOfRange
  return { topic, partition, offset, records, stable, highWatermark, logStart, outOfRange }
}
