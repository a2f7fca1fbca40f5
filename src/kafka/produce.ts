// Sends records as parts of a transaction of the client's producer, which begins, ends and is fenced as ever; the batches
// and the request are ours (write-batches.ts says why). It must never number a batch anew when it sends it again: by its
// number the broker knows what it has already.
import type * as Client from '@platformatic/kafka'
import { ask, isPassing, type Kafka, patientAttempts, retryMs } from './client.ts'
import { type NewRecord, writeBatch } from './write-batches.ts'

/** The client has no name for what its producer begins. */
export type Transaction = Awaited<ReturnType<Client.Producer['beginTransaction']>>

export interface Sender {
  /** In their order; resolves when all replicas have them. Not while another call is on its way. */
  send(transaction: Transaction, records: readonly NewRecord[]): Promise<void>
  close(): Promise<void>
}

interface Batch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

const allReplicas = -1
/** How long the broker may wait for its replicas. */
const replicasMsMax = 30_000
/** Numbers of records begin anew behind it. */
const sequences = 2 ** 31

export function createSender(options: {
  readonly kafka: Kafka
  /** Of one transactional id, and used by nobody else. */
  readonly producer: Client.Producer
  readonly base: object
  readonly sleep: (ms: number) => Promise<void>
}): Sender {
  const { kafka, producer, base, sleep } = options
  const pool = new kafka.ConnectionPool('runcast', base)
  /** The next number of each partition. */
  const next = new Map<string, number>()
  let closed = false

  const batchesOf = (records: readonly NewRecord[]): Batch[] => {
    const { producerId = -1n, producerEpoch = -1 } = producer
    const batch = (topic: string, partition: number, own: readonly NewRecord[]) => {
      const name = `${topic}/${partition}`
      const sequence = next.get(name) ?? 0
      next.set(name, (sequence + own.length) % sequences)
      return { topic, partition, bytes: writeBatch(kafka, own, { producerId, producerEpoch, sequence }) }
    }
    return [...Map.groupBy(records, ({ topic }) => topic)].flatMap(([topic, ofTopic]) =>
      [...Map.groupBy(ofTopic, ({ partition }) => partition)].map(([partition, own]) => batch(topic, partition, own)),
    )
  }

  const metadataOf = (batches: readonly Batch[], forceUpdate: boolean) =>
    producer.metadata({ topics: [...new Set(batches.map(({ topic }) => topic))], forceUpdate })

  /** To the leader of each. */
  const put = async (id: string, batches: readonly Batch[], { topics, brokers }: Client.ClusterMetadata) => {
    const leaderOf = ({ topic, partition }: Batch) => topics.get(topic)?.partitions[partition]?.leader ?? -1
    const requests = [...Map.groupBy(batches, leaderOf)].map(async ([leader, own]) => {
      const broker = brokers.get(leader)
      if (broker === undefined) throw new kafka.NetworkError(`${own[0]?.topic}/${own[0]?.partition} has no leader`)
      // 9 is the first version of today's encoding; what came later is about transactions without AddPartitionsToTxn.
      const { api, parseResponse } = kafka.produceV9
      await ask(await pool.get(broker), api, () => requestOf(kafka, id, own), parseResponse)
    })
    await Promise.all(requests)
  }

  return {
    async send(transaction, records) {
      const batches = batchesOf(records)
      const metadata = await metadataOf(batches, false)
      // It looks at topics and partitions only.
      await transaction.addPartitions(metadata, batches as unknown as Client.MessageRecord[])
      for (let attempt = 1; ; attempt++) {
        try {
          return await put(transaction.id, batches, attempt === 1 ? metadata : await metadataOf(batches, true))
        } catch (error) {
          if (closed || attempt > patientAttempts || !isPassing(error)) throw error
          await sleep(retryMs)
        }
      }
    },
    async close() {
      closed = true
      await pool.close()
    },
  }
}

function requestOf(kafka: Kafka, transactionalId: string, batches: readonly Batch[]): Client.Writer {
  return kafka.Writer.create()
    .appendString(transactionalId)
    .appendInt16(allReplicas)
    .appendInt32(replicasMsMax)
    .appendArray([...Map.groupBy(batches, ({ topic }) => topic)], (topics, [topic, own]) => {
      topics.appendString(topic).appendArray([...own], (partitions, { partition, bytes }) => {
        partitions.appendInt32(partition).appendBytes(bytes)
      })
    })
    .appendTaggedFields()
}
