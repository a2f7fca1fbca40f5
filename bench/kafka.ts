// P10: tokens of a run into Kafka and out again through the sink and the source, against the client library alone with
// records of the same bytes. The library takes part with the same promises: acks of all replicas, zstd, a transaction.
import { randomUUID } from 'node:crypto'
import { Admin, Consumer, Producer } from '@platformatic/kafka'
import { memory } from '../src/backends/memory.ts'
import { entryOf, plainEntry } from '../src/batch.ts'
import { realDeps as deps } from '../src/deps.ts'
import { type Log, type NewHead, runKey, tenantFeed } from '../src/log.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { kafkaSource } from '../src/sources/kafka.ts'
import { type Kafka, missing, startKafka } from '../test/services/kafka.ts'
import type { Row } from './row.ts'

const runs = 8
const tokensPerRun = 4_000
const rounds = 3
/** As many events as the sink takes into one transaction. */
const perTransaction = 2_000
const partitions = 10

export async function run(): Promise<Row[]> {
  const reason = missing()
  if (reason !== undefined) {
    process.stderr.write(`left out: ${reason}\n`)
    return []
  }
  await using broker = await startKafka()
  const into: number[][] = [[], []]
  const out: number[][] = [[], []]
  for (let round = 0; round <= rounds; round++) {
    const ours = await sinkMs(broker)
    const values = await valuesOf(broker, ours.topic)
    const bare = await produceMs(broker, values)
    const read = await sourceMs(broker, ours.topic)
    const consumed = await consumeMs(broker, bare.topic, values.length)
    if (round === 0) continue // warms up
    into[0]?.push(ours.ms)
    into[1]?.push(bare.ms)
    out[0]?.push(read)
    out[1]?.push(consumed)
  }
  const row = (name: string, [ours = [], bare = []]: number[][]): Row => ({
    id: 'P10',
    name: `Kafka ${name}, ${runs} runs of ${tokensPerRun} tokens`,
    ratio: median(bare) / median(ours),
    bar: 0.8,
    unit: 'x the client library alone',
    detail: `${median(ours).toFixed(0)} against ${median(bare).toFixed(0)} ms`,
  })
  return [row('in', into), row('out', out)]
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0
}

/** Ended runs, announced all at once. */
async function fill(log: Log): Promise<void> {
  const now = deps.now()
  const feed = []
  for (let n = 0; n < runs; n++) {
    const run_id = randomUUID()
    const head: NewHead = {
      run_id,
      status: 'completed',
      agent: 'a',
      framework: 'f',
      tenant: 'default',
      input: null,
      owner: 'o',
      created_at: now,
    }
    await log.append(runKey(run_id), 0, [], head)
    const tokens = Array.from({ length: tokensPerRun }, (_, i) =>
      entryOf({ type: 'token', content: ` word${i % 500}` }, now + i),
    )
    await log.append(runKey(run_id), 0, tokens)
    await log.append(runKey(run_id), tokensPerRun, [
      entryOf({ type: 'complete', output: null, latency_seconds: 1 }, now),
    ])
    feed.push(plainEntry({ type: 'started', run_id, thread_base: 0 } as { type: string }, now))
    feed.push(
      plainEntry(
        { type: 'ended', run_id, status: 'completed', last: tokensPerRun + 1, thread_base: 0 } as { type: string },
        now,
      ),
    )
  }
  await log.append(tenantFeed('default'), 0, feed)
}

async function sinkMs({ brokers }: Kafka): Promise<{ ms: number; topic: string }> {
  const topic = `ours-${randomUUID()}`
  const log = memory()
  const place = { brokers, topic, transactionalId: topic, cursorsTopic: `${topic}-cursors`, deps, partitions }
  await using sink = kafkaSink({ ...place, log, tenants: ['default'], format: 'dashstream' })
  await sink.opened
  await fill(log)
  const from = performance.now()
  while ((await sink.lag())?.events !== 0) await deps.sleep(2)
  return { ms: performance.now() - from, topic }
}

async function valuesOf({ brokers }: Kafka, topic: string): Promise<{ key: Buffer; value: Buffer }[]> {
  const values: { key: Buffer; value: Buffer }[] = []
  await consume(brokers, topic, runs * (tokensPerRun + 2), ({ key, value }) => values.push({ key, value }))
  return values
}

async function produceMs(
  { brokers }: Kafka,
  values: readonly { key: Buffer; value: Buffer }[],
): Promise<{ ms: number; topic: string }> {
  const topic = `bare-${randomUUID()}`
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: brokers })
  await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  await admin.close()
  const options = {
    clientId: 'bench',
    bootstrapBrokers: brokers,
    retryDelay: 10,
    idempotent: true,
    compression: 'zstd' as const,
  }
  const producer = new Producer({ ...options, transactionalId: topic })
  // The sink has begun as well before its time is taken.
  const first = await producer.beginTransaction({ producerId: -1n, producerEpoch: -1 })
  await first.send({ messages: values.slice(0, 1).map(({ key, value }) => ({ topic, key, value })), acks: -1 })
  await first.commit()
  const from = performance.now()
  for (let at = 1; at < values.length; at += perTransaction) {
    const transaction = await producer.beginTransaction()
    const messages = values.slice(at, at + perTransaction).map(({ key, value }) => ({ topic, key, value }))
    await transaction.send({ messages, acks: -1 })
    await transaction.commit()
  }
  const ms = performance.now() - from
  await producer.close()
  return { ms, topic }
}

async function sourceMs({ brokers }: Kafka, topic: string): Promise<number> {
  const from = performance.now()
  await using source = kafkaSource({
    brokers,
    format: 'dashstream',
    topics: [topic],
    group: randomUUID(),
    deadLetters: false,
    deps,
  })
  while ((await source.list({ status: 'completed' })).runs.length < runs) await deps.sleep(2)
  return performance.now() - from
}

async function consumeMs({ brokers }: Kafka, topic: string, count: number): Promise<number> {
  const from = performance.now()
  await consume(brokers, topic, count, () => {})
  return performance.now() - from
}

async function consume(
  brokers: string[],
  topic: string,
  count: number,
  take: (message: { key: Buffer; value: Buffer }) => void,
): Promise<void> {
  const consumer = new Consumer({
    clientId: 'bench',
    bootstrapBrokers: brokers,
    groupId: randomUUID(),
    autocommit: false,
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
  let seen = 0
  for await (const message of stream) {
    take(message)
    if (++seen === count) break
  }
  await consumer.close(true)
}
