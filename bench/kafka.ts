// P10: tokens of runs into Kafka and out again through the sink and the source, against the client library alone.
// In: the library sends the records that the sink sent, bytes, headers, times and order, with the same promises: acks of
// all replicas, zstd, transactions of the same size with a position in each. Out: a consumer group from its join on; the
// library only hands out the records, the source also decodes, checks and keeps the events. Nobody's close is timed.
import { randomUUID } from 'node:crypto'
import { Admin, Consumer, Producer } from '@platformatic/kafka'
import { memory } from '../src/backends/memory.ts'
import { entryOf, plainEntry } from '../src/batch.ts'
import { realDeps as deps } from '../src/deps.ts'
import { type Log, type NewHead, runKey, tenantFeed } from '../src/log.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { kafkaSource } from '../src/sources/kafka.ts'
import { type Kafka, missing, startKafka } from '../test/services/kafka.ts'
import { within } from './patience.ts'
import type { Row } from './row.ts'

const runs = 8
const tokensPerRun = 20_000
const rounds = 5
/** As many events as the sink takes into one transaction, and of one run into it. */
const perTransaction = 2_000
const perTurn = 500
const partitions = 10

export async function run(): Promise<Row[]> {
  const reason = missing()
  if (reason !== undefined) {
    process.stderr.write(`left out: ${reason}\n`)
    return []
  }
  await using broker = await startKafka()
  const into: Times = { ours: [], bare: [] }
  const out: Times = { ours: [], bare: [] }
  for (let round = 0; round <= rounds; round++) {
    const sent = await within('the sink', sink(broker))
    const records = await within('the records of the sink', recordsOf(broker, sent.topic))
    const produced = await within('the producer', produce(broker, records))
    const read = await within('the source', source(broker, sent.topic))
    const consumed = await within(
      'the consumer',
      consume(broker.brokers, produced.topic, records.length, () => {}),
    )
    if (round === 0) continue // warms up
    into.ours.push(sent)
    into.bare.push(produced)
    out.ours.push(read)
    out.bare.push(consumed)
  }
  const row = (name: string, { ours, bare }: Times, what: string): Row => {
    const [ms, bareMs] = [median(ours, 'ms'), median(bare, 'ms')]
    const [cpu, bareCpu] = [median(ours, 'cpu'), median(bare, 'cpu')]
    return {
      id: 'P10',
      name: `Kafka ${name}, ${runs} runs of ${tokensPerRun} tokens`,
      ratio: bareMs / ms,
      bar: 0.8,
      unit: 'x the client library alone',
      detail: `${ms.toFixed(0)} against ${bareMs.toFixed(0)} ms, CPU ${cpu.toFixed(0)} against ${bareCpu.toFixed(0)}; ${what}`,
    }
  }
  return [
    row('in', into, 'the same records, transactions and positions'),
    row('out', out, 'the library decodes, checks and keeps nothing'),
  ]
}

interface Spent {
  readonly ms: number
  /** ms of this process, its threads included. */
  readonly cpu: number
}

interface Times {
  readonly ours: Spent[]
  readonly bare: Spent[]
}

function stopwatch(): () => Spent {
  const from = performance.now()
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return { ms: performance.now() - from, cpu: (user + system) / 1_000 }
  }
}

function median(times: readonly Spent[], what: keyof Spent): number {
  return times.map(each => each[what]).toSorted((a, b) => a - b)[times.length >> 1] ?? 0
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

async function sink({ brokers }: Kafka): Promise<Spent & { topic: string }> {
  const topic = `ours-${randomUUID()}`
  const log = memory()
  const place = { brokers, topic, transactionalId: topic, cursorsTopic: `${topic}-cursors`, deps, partitions }
  const onError = (error: Error) => process.stderr.write(`the sink: ${error.message}\n`)
  await using sink = kafkaSink({ ...place, log, tenants: ['default'], format: 'dashstream', onError })
  await sink.opened
  await fill(log)
  const spent = stopwatch()
  while ((await sink.lag())?.events !== 0) {
    if (sink.state === 'refused' || sink.state === 'fenced') throw new Error(`the sink is ${sink.state}`)
    await deps.sleep(2)
  }
  return { ...spent(), topic }
}

interface Sent {
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Map<Buffer, Buffer>
  readonly timestamp: bigint
}

/** What the sink sent, in the order in which it did: a turn of each run after the other. */
async function recordsOf({ brokers }: Kafka, topic: string): Promise<Sent[]> {
  const byRun = new Map<string, Sent[]>()
  await consume(brokers, topic, runs * (tokensPerRun + 2), ({ key, value, headers, timestamp }) => {
    const records = byRun.get(String(key)) ?? []
    byRun.set(String(key), records)
    records.push({ key, value, headers, timestamp })
  })
  const queues = [...byRun.values()]
  const turns = Math.ceil(Math.max(...queues.map(queue => queue.length)) / perTurn)
  return Array.from({ length: turns }, (_, turn) =>
    queues.flatMap(queue => queue.slice(turn * perTurn, (turn + 1) * perTurn)),
  ).flat()
}

async function produce({ brokers }: Kafka, records: readonly Sent[]): Promise<Spent & { topic: string }> {
  const topic = `bare-${randomUUID()}`
  const positions = `${topic}-cursors`
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: brokers })
  await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  await admin.createTopics({ topics: [positions], partitions: 1, replicas: 1 })
  await admin.close()
  const options = {
    clientId: 'bench',
    bootstrapBrokers: brokers,
    retryDelay: 10,
    idempotent: true,
    compression: 'zstd' as const,
  }
  const producer = new Producer({ ...options, transactionalId: topic })
  const send = async (from: number, to: number, begin = {}) => {
    const transaction = await producer.beginTransaction(begin)
    const position = { topic: positions, partition: 0, key: Buffer.from('position'), value: Buffer.from(String(to)) }
    const messages = [...records.slice(from, to).map(record => ({ topic, ...record })), position]
    await transaction.send({ messages, acks: -1 })
    await transaction.commit()
  }
  // The sink has begun as well before its time is taken, and written its name beside the positions; no record yet.
  await send(0, 0, { producerId: -1n, producerEpoch: -1 })
  const spent = stopwatch()
  for (let at = 0; at < records.length; at += perTransaction) await send(at, at + perTransaction)
  const time = spent()
  await producer.close()
  return { ...time, topic }
}

async function source({ brokers }: Kafka, topic: string): Promise<Spent> {
  const spent = stopwatch()
  await using source = kafkaSource({
    brokers,
    format: 'dashstream',
    topics: [topic],
    group: randomUUID(),
    deadLetters: false,
    deps,
  })
  while ((await source.list({ status: 'completed' })).runs.length < runs) await deps.sleep(2)
  return spent()
}

async function consume(brokers: string[], topic: string, count: number, take: (message: Sent) => void): Promise<Spent> {
  const spent = stopwatch()
  const consumer = new Consumer({
    clientId: 'bench',
    bootstrapBrokers: brokers,
    groupId: randomUUID(),
    autocommit: false,
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
  let seen = 0
  let time = spent()
  for await (const message of stream) {
    take(message)
    if (++seen < count) continue
    time = spent()
    break
  }
  await consumer.close(true)
  return time
}
