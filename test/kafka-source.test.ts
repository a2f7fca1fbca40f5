// The Kafka source against a real broker: what it reads, where it goes on, what it reports, and what it must not let through.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { Admin, Producer } from '@platformatic/kafka'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { type Event, eventId } from '../src/event.ts'
import { follow } from '../src/follow.ts'
import { chat } from '../src/formats/chat.ts'
import { dashstream } from '../src/formats/dashstream.ts'
import { runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import type { Runs } from '../src/runs.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { type KafkaSource, kafkaSource, type KafkaSourceOptions, type SourceProblem } from '../src/sources/kafka.ts'
import { deps, names, recordsOf } from './kafka-topics.ts'
import { until } from './until.ts'
import { committedValues } from './services/kafka-console.ts'
import { serviceOrSkip } from './services/require.ts'

type Place = { brokers: string[] }

async function createTopic({ brokers }: Place, topic: string, partitions = 1): Promise<void> {
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: brokers })
  await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  await admin.close()
}

async function produce(
  { brokers }: Place,
  topic: string,
  values: readonly (Uint8Array | null)[],
  compression: 'none' | 'zstd' = 'none',
): Promise<void> {
  const producer = new Producer({ clientId: 'test', bootstrapBrokers: brokers, compression })
  const messages = values.map(value => ({ topic, key: Buffer.from('t'), value: value as Buffer }))
  await producer.send({ messages, acks: -1 })
  await producer.close()
}

/** A run as payloads: started, tokens, complete. */
function payloadsOf(run: string, tokens: number): Uint8Array[] {
  const at = (sequence: number) => ({
    id: eventId(run, sequence),
    run_id: run,
    sequence,
    timestamp: new Date(1_763_733_333_000 + sequence).toISOString(),
  })
  const events: Event[] = [{ ...at(1), type: 'started', agent_name: 'a', framework: 'f', thread_id: 't' }]
  for (let n = 2; n <= tokens + 1; n++) events.push({ ...at(n), type: 'token', content: `t${n} ` })
  events.push({ ...at(tokens + 2), type: 'complete', output: 1, latency_seconds: 1 })
  const encode = dashstream.encoder({ run, tenant: 'default', thread: 't' })
  return encode(events)
    .filter(({ kind }) => kind !== 'executionTrace')
    .map(({ payload }) => payload)
}

function open(
  t: TestContext,
  place: Place,
  options: Partial<KafkaSourceOptions> & { topics: string[]; group: string },
) {
  const problems: SourceProblem[] = []
  const errors: string[] = []
  const source = kafkaSource({
    ...place,
    format: 'dashstream',
    deadLetters: false,
    deps,
    onProblem: problem => void problems.push(problem),
    onError: error => void errors.push(error.message),
    ...options,
  })
  t.after(() => source[Symbol.asyncDispose]())
  return { source, problems, errors }
}

async function eventsOf(runs: Runs, run: string): Promise<Event[]> {
  const events: Event[] = []
  for await (const batch of runs.tail(run)) events.push(...batch.events)
  return events
}

const completed = async (runs: Runs) => (await runs.list({ status: 'completed' })).runs.map(({ run_id }) => run_id)
const isLive = (source: KafkaSource) => until('it is live', () => source.status().state === 'live')

const talks = defineAgent({ name: 'talks' }, async function* (input: number, ctx) {
  ctx.progress('read', 0.5, 'half')
  ctx.text('before', { position: 'before' })
  ctx.chart('c', { series: [{ type: 'bar', data: [1] }] }, { chart_type: 'bar' })
  for (let n = 0; n < input; n++) yield `t${n} `
  ctx.warning('slow', 'slow today')
  return { tokens: input }
})

for (const format of ['dashstream', 'chat'] as const) {
  const ids = format === 'chat' ? 'ON17 DF21' : 'DF21 DF22'
  test(`${ids} ${format}: what a sink spread over a tree of topics is read as the same runs, live`, async t => {
    const service = await serviceOrSkip(t, 'kafka')
    if (!service) return
    const { topic: topicPrefix, topic: _, group, ...own } = names()
    await using log = memory()
    const runs = createRuns({ log, agents: [talks] as unknown as Agent[], deps })
    await using sink = kafkaSink({
      ...service,
      ...own,
      topicPrefix,
      format,
      log,
      deps,
      tenants: ['default'],
      partitions: 2,
    })
    await sink.opened
    const ends =
      format === 'chat'
        ? ['status', 'text', 'chart', 'error', 'complete']
        : ['events', 'state', 'checkpoints', 'metrics', 'errors']
    const topics = ends.map(end => `${topicPrefix}.${end}${format === 'chat' ? '' : '.default'}`)
    const { source, problems } = open(t, service, { topics, group, format })
    await isLive(source)
    const started = []
    for (let n = 0; n < 6; n++) started.push(await runs.start('talks', 5, { thread: `t${n % 3}`, onBusy: 'queue' }))
    await until('all are there', async () => (await completed(source)).length === started.length)
    for (const { run_id } of started) await follow(log, runKey(run_id), { after: 1_000 }, () => {})
    assert.deepEqual(problems, [])
    if (format === 'dashstream') {
      for (const { run_id } of started) assert.deepEqual(await eventsOf(source, run_id), await eventsOf(runs, run_id))
    } else {
      for (const run_id of await completed(source)) {
        const types = (await eventsOf(source, run_id)).map(({ type }) => type)
        assert.deepEqual(types, ['started', 'progress', 'text', 'chart', 'warning', 'text', 'complete'])
      }
    }
    await until('nothing is behind', () => source.status().lag === 0)
    assert.deepEqual(source.status().coverage, { assigned: 10, total: 10 })
  })
}

test('DF21 H42 H43 a group goes on exactly behind what it has read', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  await produce(service, topic, payloadsOf('one', 3))
  {
    const { source } = open(t, service, { topics: [topic], group })
    await until('it is read', async () => (await completed(source)).length === 1)
    await until('nothing is behind', () => source.status().lag === 0)
    await produce(service, topic, payloadsOf('two', 3))
    await until('it is read', async () => (await completed(source)).length === 2)
    await source[Symbol.asyncDispose]()
  }
  await produce(service, topic, payloadsOf('three', 3))
  const { source, problems } = open(t, service, { topics: [topic], group })
  await until('it is read', async () => (await completed(source)).length > 0)
  await isLive(source)
  // The second one's end may not have been committed before it was closed; then it is read again, as after a crash.
  const again = (await completed(source)).filter(run => run !== 'two')
  assert.deepEqual(again, ['three'])
  assert.deepEqual(problems, [])
})

test('a source that always begins anew leaves no position behind in its group', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  await produce(service, topic, payloadsOf('one', 3))
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const positions = async () => {
    const [found] = await admin.listConsumerGroupOffsets({ groups: [group] })
    return found?.topics.flatMap(({ partitions }) => partitions.map(one => one.committedOffset)) ?? []
  }
  for (const [from, left] of [
    ['always', []],
    ['earliest', [5n]],
  ] as const) {
    const { source } = open(t, service, { topics: [topic], group, from })
    await until('it is read', async () => (await completed(source)).length === 1)
    await isLive(source) // said behind the commit
    await source[Symbol.asyncDispose]()
    assert.deepEqual(await positions(), left, from)
  }
})

test('DF21 duplicates, reorder and gaps are reported; a reader is told of the gap, and given the view before it', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  const [a, b, c, d, e, ...rest] = payloadsOf('one', 60) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const later = rest as Uint8Array[]
  // b twice, d before c, e and the 20 behind it never.
  await produce(service, topic, [a, b, b, d, c, ...later.slice(20)])
  const { source, problems } = open(t, service, { topics: [topic], group })
  await until('it is read', async () => (await completed(source)).length === 1)
  assert.deepEqual(
    problems.map(({ kind }) => kind),
    ['duplicate', 'reordered', 'gap'],
  )
  assert.equal((problems[2] as { missing: bigint }).missing, 21n)
  assert.equal(e === undefined, false)
  const batches = []
  for await (const batch of source.tail('one')) batches.push(batch)
  assert.equal(batches[0]?.gap?.oldest, 26)
  const events = batches.flatMap(batch => batch.events)
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    Array.from({ length: 37 }, (_, n) => n + 26),
  )
  const view = await source.snapshot('one')
  assert.ok(JSON.stringify(view).includes('t4 '), 'what came before the gap is in the view')
})

test('DF23 H44 H45 H105 what cannot be read is a dead letter, bounded and hashed, before the position moves', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  const deadLetters = `${topic}-dlq`
  await createTopic(service, topic)
  const poison = Buffer.concat([Buffer.from([7]), Buffer.alloc(5_000, 'x')])
  const [first, ...others] = payloadsOf('one', 3)
  await produce(service, topic, [first as Uint8Array, poison, ...others])
  const { source, errors } = open(t, service, { topics: [topic], group, deadLetters, deadLetterBytes: 1_000 })
  await until('the letter is refused', () => errors.length > 0)
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const positions = await admin.listConsumerGroupOffsets({ groups: [group] })
  const position = positions[0]?.topics[0]?.partitions[0]?.committedOffset ?? 0n
  assert.ok(position <= 1n, `the position is ${position}, past the poison`)
  assert.deepEqual(await completed(source), [])

  await createTopic(service, deadLetters)
  await until('it goes on', async () => (await completed(source)).length === 1)
  const [letter, ...more] = await recordsOf(service, deadLetters)
  assert.deepEqual(more, [])
  const said = JSON.parse(String(letter?.value)) as Record<string, unknown>
  assert.equal(Buffer.from(String(said['original_payload_base64']), 'base64').length, 1_000)
  assert.match(String(said['sha256']), /^[0-9a-f]{64}$/)
  const { source_topic, source_partition, source_offset, truncated, original_payload_size_bytes, included_bytes } = said
  assert.deepEqual(
    { source_topic, source_partition, source_offset, truncated, original_payload_size_bytes, included_bytes },
    {
      source_topic: topic,
      source_partition: 0,
      source_offset: '1',
      truncated: true,
      original_payload_size_bytes: 5_001,
      included_bytes: 1_000,
    },
  )
  assert.match(String(said['error_type']), /^(invalid_format|decode_error|schema_error)$/)
  assert.equal(source.status().deadLetters, 1)
})

test('H138 of what cannot be read a dead letter keeps a beginning: 5 kB of a megabyte, whatever its key and headers are', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  const deadLetters = `${topic}-dlq`
  await createTopic(service, topic)
  await createTopic(service, deadLetters)
  const producer = new Producer({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => producer.close())
  const noise = () => Buffer.concat([Buffer.of(7), randomBytes(1_000_000)])
  const long = Buffer.alloc(900_000, 'é')
  const poison = [
    ...Array.from({ length: 20 }, () => ({ key: Buffer.from('t'), value: noise() })),
    { key: long, value: Buffer.of(7) },
    {
      key: Buffer.from('t'),
      value: Buffer.of(7),
      headers: new Map([[Buffer.from('traceparent'), Buffer.from(`00-${long.toString()}-1-00`)]]),
    },
  ]
  // Into a named partition: to choose one by such a key takes the client more than a minute.
  for (const message of poison) await producer.send({ messages: [{ topic, partition: 0, ...message }], acks: -1 })
  await produce(service, topic, payloadsOf('one', 3))
  const { source, problems, errors } = open(t, service, { topics: [topic], group, deadLetters })
  await until('it goes on', async () => (await completed(source)).length === 1)
  assert.deepEqual(errors, [])
  const letters = await recordsOf(service, deadLetters)
  assert.equal(letters.length, poison.length)
  for (const { key, value } of letters) {
    const bytes = (key?.length ?? 0) + (value?.length ?? 0)
    assert.ok(bytes < 5_000, `a letter has ${bytes} bytes`)
  }
  const kept = JSON.stringify(problems).length
  assert.ok(kept < 5_000, `${kept} characters are told of them`)
})

test('H46 a record without value is counted apart, and passed', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  await produce(service, topic, [null, ...payloadsOf('one', 1), null])
  const { source, problems } = open(t, service, { topics: [topic], group })
  await until('it is read', () => source.status().tombstones === 2)
  assert.deepEqual(await completed(source), ['one'])
  assert.deepEqual(problems, [])
})

test('H46 an answer with more records than a call takes arguments is read, and others get their turn meanwhile', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  const some = Array.from({ length: 40_000 }, () => null)
  for (let n = 0; n < 5; n++) await produce(service, topic, some, 'zstd')
  const { source, problems } = open(t, service, { topics: [topic], group })
  const seen = new Set<number>()
  const look = () => {
    if (!seen.add(source.status().tombstones).has(200_000)) setImmediate(look)
  }
  look()
  await until('all is read', () => seen.has(200_000))
  assert.ok(seen.size > 10, `others had ${seen.size} turns`)
  assert.deepEqual(problems, [])
})

test('H47 H48 H55 coverage says what another member has, and an unknown lag is not 0', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic, 4)
  const one = open(t, service, { topics: [topic], group })
  assert.equal(one.source.status().lag, undefined)
  await until('it has all', () => one.source.status().coverage.assigned === 4)
  const two = open(t, service, { topics: [topic], group })
  await until('they share', () => [one, two].every(({ source }) => source.status().coverage.assigned === 2))
  assert.equal(two.source.status().coverage.total, 4)
  await two.source[Symbol.asyncDispose]()
  await until('it has all again', () => one.source.status().coverage.assigned === 4)
})

test('H52 a member without partitions is joining, with a lag that nobody knows, before it has some and when all are taken', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  await produce(service, topic, payloadsOf('one', 3))
  const seen = new Set<string>()
  const look = ({ source }: { source: KafkaSource }) => {
    const { state, coverage, lag, records } = source.status()
    if (coverage.assigned === 0) seen.add(`${state} ${lag}`)
    else if (state === 'live') assert.ok(records >= 5)
    return coverage.assigned
  }
  // The group's leader gives the one partition to whom it likes: by their names, it seems, so each round has new ones.
  for (let taken = false; !taken; ) {
    const first = open(t, service, { topics: [topic], group, from: 'always' })
    await until('it is live', () => look(first) > 0 && first.source.status().state === 'live')
    const others = [0, 1, 2].map(() => open(t, service, { topics: [topic], group, from: 'latest' }).source)
    await until('all have joined', () => others.every(other => other.status().coverage.total === 1))
    const one = await until('one has it', () => {
      const has = [look(first), ...others.map(other => other.status().coverage.assigned)]
      return has.reduce((sum, one) => sum + one) === 1 && { first: has[0] === 1 }
    })
    taken = !one.first
    await Promise.all(others.map(other => other[Symbol.asyncDispose]()))
    await until('it has it again', () => look(first) > 0 && first.source.status().state === 'live')
    await first.source[Symbol.asyncDispose]()
  }
  assert.deepEqual([...seen], ['joining undefined'])
})

test('H54 whether it catches up or is live is told by positions: no clock of a producer makes it so', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  const producer = new Producer({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => producer.close())
  const say = async (run: string, aheadMs: number) => {
    const timestamp = BigInt(Date.now() + aheadMs)
    const messages = payloadsOf(run, 10_000).map(value => ({ topic, value: value as Buffer, timestamp }))
    for (let n = 0; n < messages.length; n += 1_000) {
      await producer.send({ messages: messages.slice(n, n + 1_000), acks: -1 })
    }
    return messages.length
  }
  const there = (await say('ahead', 1_800_000)) + (await say('behind', -dayMs))
  const { source } = open(t, service, { topics: [topic], group })
  const states = new Set<string>()
  const look = () => {
    const { state, records } = source.status()
    if (state === 'live') assert.ok(records >= there, `live with ${records} of ${there}`)
    return states.add(state).has('live')
  }
  await until('it is live', look)
  await say('later', -dayMs)
  await until('it is read', async () => look() && (await completed(source)).length === 3)
  assert.deepEqual([...states], ['joining', 'catching_up', 'live'])
})

test('H50 a position beyond the end is said, and reading goes on at the end', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, group } = names()
  await createTopic(service, topic)
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const partitionOffsets = [{ partition: 0, offset: 1_000n }]
  await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] })
  const { source, problems } = open(t, service, { topics: [topic], group })
  await isLive(source)
  await produce(service, topic, payloadsOf('one', 1))
  await until('it is read', async () => (await completed(source)).length === 1)
  assert.deepEqual(problems, [{ kind: 'position_lost', topic, partition: 0, at: '1000', continues: '0' }])
})

for (const running of [true, false]) {
  const when = running ? 'while the source runs' : 'while no source runs'
  test(`H51 a topic that is deleted and made again ${when} is read from its start, and a running source says so`, async t => {
    const service = await serviceOrSkip(t, 'kafka')
    if (!service) return
    const { topic, group } = names()
    await createTopic(service, topic)
    await produce(service, topic, payloadsOf('old', 3))
    const first = open(t, service, { topics: [topic], group })
    await until('the old one is read', async () => (await completed(first.source)).includes('old'))
    if (!running) await first.source[Symbol.asyncDispose]()
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
    t.after(() => admin.close())
    await admin.deleteTopics({ topics: [topic] })
    await until('it is gone', async () => !(await admin.listTopics()).includes(topic))
    await createTopic(service, topic)
    // More than the old one had, on the same thread: neither the position nor the thread's numbers show the difference.
    for (const run of ['new-1', 'new-2']) await produce(service, topic, payloadsOf(run, 5))
    const { source, problems } = running ? first : open(t, service, { topics: [topic], group })
    await until('all is read', async () => (await completed(source)).includes('new-2'))
    for (const run of ['new-1', 'new-2']) {
      const events = await eventsOf(source, run)
      assert.deepEqual(
        events.map(({ sequence }) => sequence),
        [1, 2, 3, 4, 5, 6, 7],
        run,
      )
    }
    const told = problems.map(({ kind }) => kind)
    assert.deepEqual(told, running ? ['topic_recreated'] : [])
    assert.equal(source.status().problems['topic_recreated'], running ? 1 : undefined)
    // What the group has now is a position of the new topic.
    await source[Symbol.asyncDispose]()
    const again = open(t, service, { topics: [topic], group })
    await isLive(again.source)
    assert.equal(again.source.status().records, 0)
  })
}

/** What a run says over the topics of chat.v1, in order; its own thread is the key. */
async function chatTopics(t: TestContext, place: Place) {
  const { topic, group } = names()
  const ends = ['status', 'text', 'complete'] as const
  const topics = ends.map(end => `${topic}.${end}`)
  for (const one of topics) await createTopic(place, one)
  const producer = new Producer({ clientId: 'test', bootstrapBrokers: place.brokers })
  t.after(() => producer.close())
  /** `at` is when the first event was; the others follow `everyMs`. */
  const say = async (run: string, bodies: object[], { at, everyMs }: { at: number; everyMs: number }) => {
    const events = bodies.map((body, n) => {
      const timestamp = new Date(at + Math.floor(n * everyMs)).toISOString()
      return { ...body, id: eventId(run, n + 1), run_id: run, sequence: n + 1, timestamp } as unknown as Event
    })
    const encode = chat.encoder({ run, tenant: 'default', thread: run })
    return encode(events).map(({ topic: end, key, payload, sequence }) => {
      const timestamp = BigInt(at + Math.floor((sequence - 1) * everyMs))
      return { topic: `${topic}.${end}`, key: Buffer.from(key), value: Buffer.from(payload), timestamp }
    })
  }
  return { topics, group, producer, say }
}

const started = { type: 'started', agent_name: 'a', framework: 'f' }
const complete = { type: 'complete', output: null, latency_seconds: 1 }
const dayMs = 86_400_000
/** A broker refuses what is of tomorrow, and forgets what is of last week. */
const yesterday = Date.now() - dayMs

test('one producer whose clock is a day ahead lets no other run end before its texts', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topics, group, producer, say } = await chatTopics(t, service)
  // More than a fetch brings of one partition, so that the end is read first.
  const text = 'x'.repeat(300_000)
  const bodies = Array.from({ length: 12 }, (_, n) => ({ type: 'text', content: `${n} ${text}` }))
  const right = await say('right', [started, ...bodies, complete], { at: yesterday, everyMs: 100 })
  const early = [{ type: 'progress', step: 's', progress: 0.5 }, { type: 'text', content: 'early' }, complete]
  const ahead = await say('ahead', [started, ...early], { at: yesterday + dayMs, everyMs: 100 })
  const [first, ...others] = right
  for (const message of [first, ...ahead, ...others]) await producer.send({ messages: [message as never], acks: -1 })
  const { source, problems } = open(t, service, { topics, group, format: 'chat' })
  await until('both are read', async () => (await completed(source)).length === 2)
  await isLive(source)
  await until('nothing is behind', () => source.status().lag === 0)
  assert.deepEqual(problems, [])
  const lengths: number[] = []
  for (const { run_id } of (await source.list()).runs) lengths.push((await eventsOf(source, run_id)).length)
  // The newest is said to be first, and that is all that its clock decides.
  assert.deepEqual(lengths, [4, 14])
})

test('a dense backlog in two topics is read to its end while a third has nothing', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topics, group, producer, say } = await chatTopics(t, service)
  // More than may wait of a partition, all within the time that partitions are waited for.
  const many = (body: object) => Array.from({ length: 6_000 }, () => body)
  const steps = await say('steps', [started, ...many({ type: 'progress', step: 's', progress: 0.5 })], {
    at: yesterday,
    everyMs: 0.1,
  })
  const texts = await say('texts', [started, ...many({ type: 'text', content: 'x' })], { at: yesterday, everyMs: 0.1 })
  for (const messages of [steps, texts]) await producer.send({ messages, acks: -1 })
  const { source, problems } = open(t, service, { topics, group, format: 'chat' })
  await until('all is in the log', async () => {
    const { runs } = await source.list()
    return runs.length === 2 && runs.every(({ last_sequence }) => last_sequence === 6_001)
  })
  assert.deepEqual(problems, [])
})

test('a source refuses to start, answer or cancel, for every tenant', async t => {
  const source = kafkaSource({ brokers: ['127.0.0.1:1'], format: 'chat', group: 'g', deps })
  t.after(() => source[Symbol.asyncDispose]())
  for (const runs of [source, source.as({ tenant: 'other' })]) {
    await assert.rejects(runs.start('a', 1), { code: 'refused_by_policy' })
    await assert.rejects(runs.tell('r', { type: 'input', input_id: '1', value: 1 }), { code: 'refused_by_policy' })
    await assert.rejects(runs.cancel('r'), { code: 'refused_by_policy' })
  }
})

test('DF20 DF21 records of aborted transactions are not let through, as Kafka own consumer judges', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic, transactionalId } = names()
  await createTopic(service, topic)
  const producers = [0, 1].map(n => {
    const options = { clientId: 'test', bootstrapBrokers: service.brokers, idempotent: true, retryDelay: 10 }
    return new Producer({ ...options, transactionalId: `${transactionalId}-${n}` })
  })
  t.after(() => Promise.all(producers.map(producer => producer.close(true))))
  const want: string[] = []
  // Two producers whose transactions overlap; each aborts several, so that one fetch holds many aborted ranges of one id.
  for (let round = 0; round < 12; round++) {
    const open = await Promise.all(
      producers.map(producer => producer.beginTransaction({ producerId: -1n, producerEpoch: -1 })),
    )
    for (const [n, transaction] of open.entries()) {
      const values = Array.from({ length: 20 }, (_, m) => `${round}.${n}.${m}`)
      await transaction.send({ messages: values.map(value => ({ topic, value: Buffer.from(value) })), acks: -1 })
      if ((round + n) % 3 === 0) want.push(...values)
    }
    for (const [n, transaction] of open.entries()) {
      await ((round + n) % 3 === 0 ? transaction.commit() : transaction.abort())
    }
  }
  const judge = await committedValues(service.brokers, topic)
  assert.deepEqual(judge.toSorted(), want.toSorted())
  assert.deepEqual((await recordsOf(service, topic)).map(({ value }) => String(value)).toSorted(), judge.toSorted())
})
