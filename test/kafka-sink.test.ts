// The Kafka sink against a real broker: what it sends, that nothing is lost or doubled whoever is killed, what it refuses.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Admin, ConfigResourceTypes } from '@platformatic/kafka'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { type Entry, entryOf, plainEntry } from '../src/batch.ts'
import { loadConfig } from '../src/config/load.ts'
import type { RuncastError } from '../src/error.ts'
import type { Event } from '../src/event.ts'
import { follow } from '../src/follow.ts'
import { chatDecoder } from '../src/formats/chat.ts'
import { dashstream, dashstreamDecoder } from '../src/formats/dashstream.ts'
import { type DecodedRun, runsOf } from '../src/formats/format.ts'
import { everyTenant, type FeedEntry, type Key, type Log, runKey, tenantFeed } from '../src/log.ts'
import { compilePatterns } from '../src/redact.ts'
import { createRuns } from '../src/local-runs.ts'
import type { LocalRuns, RunsOptions } from '../src/runs.ts'
import { optionsOf, serve } from '../src/server.ts'
import { createBacklog } from '../src/sinks/kafka/backlog.ts'
import { emptyCursors } from '../src/sinks/kafka/cursors.ts'
import { type KafkaSink, type KafkaSinkOptions, kafkaSink } from '../src/sinks/kafka/sink.ts'
import { deps, names, recordsOf } from './kafka-topics.ts'
import { newHead, token, turns } from './suites/log.suite.ts'
import { until } from './until.ts'
import { temporaryDir } from './services/child.ts'
import * as kafka from './services/kafka.ts'
import { needs, serviceOrSkip } from './services/require.ts'

/** How often somebody is killed: enough to meet each of them in the suite; RUNCAST_KAFKA_KILLS=100 for a night. */
const kills = Number(process.env.RUNCAST_KAFKA_KILLS ?? 12)

const talks = defineAgent({ name: 'talks' }, async function* (input: number | string, ctx) {
  if (typeof input === 'string') {
    ctx.progress('read', 0.5, 'half')
    ctx.text('before', { position: 'before' })
    ctx.chart('c', { series: [{ type: 'bar', data: [1] }] }, { chart_type: 'bar' })
    ctx.warning('slow', 'slow today')
    yield input
    return 'done'
  }
  for (let n = 0; n < input; n++) yield `t${n} `
  return { tokens: input }
})

interface Setup extends AsyncDisposable {
  readonly log: Log
  readonly runs: LocalRuns
  readonly sink: KafkaSink
  readonly errors: RuncastError[]
}

function setup(
  options: Partial<KafkaSinkOptions> & { brokers: readonly string[] },
  more: Partial<RunsOptions> = {},
): Setup {
  const log = options.log ?? memory()
  const runs = createRuns({ log, agents: [talks] as unknown as Agent[], deps, ...more })
  const errors: RuncastError[] = []
  const onError = (error: RuncastError) => void errors.push(error)
  const sink = kafkaSink({ log, deps, tenants: ['default'], format: 'dashstream', onError, ...options })
  return {
    log,
    runs,
    sink,
    errors,
    async [Symbol.asyncDispose]() {
      await runs.stop(0)
      await sink[Symbol.asyncDispose]()
      if (!options.log) await log[Symbol.asyncDispose]()
    },
  }
}

async function ended(log: Log, run: string): Promise<void> {
  await follow(log, runKey(run), { after: Number.MAX_SAFE_INTEGER }, () => {})
}

const sent = (sink: KafkaSink) => until('all is sent', async () => (await sink.lag())?.events === 0)

async function eventsOf(log: Log, run: string): Promise<Event[]> {
  const events: Event[] = []
  for (let after = 0; ; ) {
    const batch = await log.read(runKey(run), after, 1_000)
    if (batch.count === 0) return events
    events.push(...batch.events)
    after = batch.last
  }
}

/** More than any test here starts. */
const headsMax = 100_000

/** Judges a topic against the log: every event of every run once, whole threads in order. */
async function agree(log: Log, topic: readonly { readonly value: Buffer | null }[]): Promise<DecodedRun[]> {
  const payloads = topic.map(({ value }) => value as Buffer)
  const { runs, problems } = runsOf(dashstreamDecoder({ fromBeginning: true }), payloads)
  assert.deepEqual(problems, [])
  const heads = await log.list({ tenant: everyTenant, limit: headsMax })
  assert.ok(heads.length < headsMax)
  assert.deepEqual(new Set(runs.map(one => one.run_id)), new Set(heads.map(one => one.run_id)))
  for (const { run_id, events, gaps } of runs) {
    assert.deepEqual(gaps, [])
    assert.deepEqual(events, await eventsOf(log, run_id), run_id)
  }
  return runs
}

test('DF20 DF25 H100 each event is one record, keyed by its thread, in order of the thread; the counters add up', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using all = setup({ ...service, ...own })
  for (let n = 0; n < 8; n++) {
    const thread = n < 6 ? { thread: `thread-${n % 2}` } : {}
    await all.runs.start('talks', n === 0 ? 2_500 : 20, { ...thread, onBusy: 'queue' })
  }
  for (const { run_id } of (await all.runs.list()).runs) await ended(all.log, run_id)
  await sent(all.sink)
  const records = await recordsOf(service, own.topic)
  const runs = await agree(all.log, records)
  assert.deepEqual(new Set(records.map(({ key }) => String(key))), new Set(runs.map(({ thread }) => thread)))
  // Of one thread: the runs one behind the other, as they were started.
  for (const thread of ['thread-0', 'thread-1']) {
    const order = runs.filter(one => one.thread === thread).map(one => one.run_id)
    const begun = (await all.runs.list({ thread })).runs.map(({ run_id }) => run_id).toReversed()
    assert.deepEqual(order, begun)
  }
  const { kinds, dropped } = all.sink.counters()
  assert.deepEqual(dropped, {})
  const sum = Object.values(kinds).reduce((n, { sent: one }) => n + one, 0)
  assert.equal(sum, records.length)
  for (const counts of Object.values(kinds)) {
    assert.deepEqual(counts, { created: counts.sent, sent: counts.sent, failed: 0, pending: 0 })
  }
})

test('ON2 chat.v1 envelopes land on their five topics, keyed by conversation, in order', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  await using all = setup({ ...service, ...own, format: 'chat', topicPrefix })
  const thread = 'conversation-1'
  for (const text of ['hello', 'again']) await all.runs.start('talks', text, { thread, onBusy: 'queue' })
  for (const { run_id } of (await all.runs.list()).runs) await ended(all.log, run_id)
  await sent(all.sink)
  const kinds = { status: 'status', text: 'text', chart: 'chart', error: 'error', complete: 'completion' }
  for (const [topic, kind] of Object.entries(kinds)) {
    const records = await recordsOf(service, `${topicPrefix}.${topic}`)
    const decoder = chatDecoder()
    const events = records.flatMap(({ value }) => decoder.push(value as Buffer).batches).flatMap(one => one.events)
    assert.equal(records.length, topic === 'text' ? 4 : 2, topic)
    assert.deepEqual(new Set(records.map(({ key }) => String(key))), new Set([thread]), kind)
    assert.equal(
      new Set(records.map(({ headers }) => String(headers.find(([k]) => String(k) === 'runcast-id')?.[1]))).size,
      records.length,
    )
    if (topic === 'text') {
      const contents = events.flatMap(event => (event.type === 'text' ? [event.content] : []))
      assert.deepEqual(contents, ['before', 'hello', 'before', 'again'])
    }
  }
})

test('DF20 a record has a W3C traceparent: the one that the run was given as a label, else one of its own', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using all = setup({ ...service, ...own })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const labelled = await all.runs.start('talks', 1, { labels: { traceparent, tracestate: 'a=b' } })
  const other = await all.runs.start('talks', 1)
  for (const { run_id } of [labelled, other]) await ended(all.log, run_id)
  await sent(all.sink)
  const headersOf = async (run: string) =>
    (await recordsOf(service, own.topic))
      .filter(({ key }) => String(key) === run)
      .map(({ headers }) => Object.fromEntries(headers.map(([name, value]) => [String(name), String(value)])))
  for (const headers of await headersOf(labelled.run_id)) assert.deepEqual(headers, { traceparent, tracestate: 'a=b' })
  const made = await headersOf(other.run_id)
  assert.match(made[0]?.['traceparent'] ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
  assert.equal(new Set(made.map(headers => headers['traceparent'])).size, 1)
})

test('DF20 DF25 H111 while the broker is down agents run on, the lag is told, and the sink catches up; no count is lost', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  await using broker = await kafka.startKafka()
  const own = names()
  await using all = setup({ brokers: broker.brokers, ...own })
  assert.equal(await all.sink.lag(), undefined, 'unknown, not 0')
  await all.sink.opened
  const before = await all.runs.start('talks', 5)
  await ended(all.log, before.run_id)
  await sent(all.sink)
  await broker.kill()
  const during = await all.runs.start('talks', 3_000)
  await ended(all.log, during.run_id)
  await until('the failure shows', () => all.sink.state === 'retrying' && all.errors.length > 0)
  const last = (await all.log.head(during.run_id))?.last ?? 0
  const oldest = Date.parse((await eventsOf(all.log, during.run_id))[0]?.timestamp ?? '')
  assert.deepEqual(await all.sink.lag(), { events: last, runs: 1, oldest })
  const place = { tenant: 'default', thread_id: undefined }
  assert.equal(await all.sink.holds({ ...place, run_id: during.run_id }), true)
  assert.equal(await all.sink.holds({ ...place, run_id: before.run_id }), false)
  await broker.restart()
  await sent(all.sink)
  assert.equal(await all.sink.holds({ ...place, run_id: during.run_id }), false)
  const records = await recordsOf(broker, own.topic)
  await agree(all.log, records)
  const { kinds, dropped } = all.sink.counters()
  assert.deepEqual(dropped, {})
  for (const { created, sent: one, failed, pending } of Object.values(kinds)) {
    assert.deepEqual([created, failed, pending], [one, 0, 0])
  }
  assert.equal(
    Object.values(kinds).reduce((sum, counts) => sum + counts.sent, 0),
    records.length,
  )
})

test('DF20 H42 H43 neither lost nor doubled, whoever is killed at any moment: the server with its sink, the broker', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  const dir = temporaryDir('kafka-sink')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  await using broker = await kafka.startKafka()
  const own = names()
  /** What the children said of their troubles: the reason, should one of them fail. */
  let stderr = ''
  const child = (...mode: string[]): ChildProcess => {
    const args = [join(import.meta.dirname, 'kafka-sink-child.ts'), dir, broker.brokers.join(), JSON.stringify(own)]
    const command = ['--disable-warning=ExperimentalWarning', ...args, ...mode]
    const started = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] })
    started.stderr?.on('data', (said: Buffer) => (stderr += said))
    t.after(() => void started.kill('SIGKILL'))
    return started
  }
  for (let n = 0; n < kills; n++) {
    const server = child()
    const ready = once(server.stdout as NodeJS.ReadableStream, 'data').then(() => true)
    const isReady = await Promise.race([ready, once(server, 'close').then(() => false)])
    assert.ok(isReady, `server ${n} ended by itself: ${stderr}`)
    await sleep(Math.random() * 600)
    if (n % 4 === 3) {
      await broker.restart()
      await sleep(Math.random() * 600)
    }
    server.kill('SIGKILL')
    await once(server, 'exit')
  }
  const [code] = await once(child('drain'), 'close')
  assert.equal(code, 0, stderr)
  await using log = sqlite({ path: join(dir, 'log.db') })
  const runs = await agree(log, await recordsOf(broker, own.topic))
  assert.ok(runs.length >= kills, `${runs.length} runs`)
  const events = runs.reduce((sum, run) => sum + run.events.length, 0)
  t.diagnostic(`${kills} kills, ${runs.length} runs, ${events} events, none lost, none doubled`)
})

test('DF38 a token waits for one linger and one transaction on its way to the broker, and for nothing else', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const sleeps: number[] = []
  const sleep = (ms: number, signal?: AbortSignal) => {
    sleeps.push(ms)
    return deps.sleep(ms, signal)
  }
  const { promise: goOn, resolve: speak } = Promise.withResolvers<void>()
  const waits = defineAgent({ name: 'waits' }, async function* () {
    yield 'first'
    await goOn
    yield 'second'
    await new Promise(() => {})
  })
  const log = memory()
  const runs = createRuns({ log, agents: [waits] as unknown as Agent[], deps })
  await using all = setup({ ...service, ...names(), log, deps: { ...deps, sleep } })
  const { run_id } = await runs.start('waits', {})
  await until('it has begun', async () => (await log.head(run_id))?.last === 2)
  await sent(all.sink)
  // It rests: what it says next is one load.
  await until('it rests', () => (sleeps.at(-1) ?? 0) > 1_000)
  const { transactions } = all.sink.counters()
  sleeps.length = 0
  speak()
  await until('it is said', async () => (await log.head(run_id))?.last === 3)
  await sent(all.sink)
  await until('it rests again', () => (sleeps.at(-1) ?? 0) > 1_000)
  assert.equal(all.sink.counters().transactions, transactions + 1)
  assert.deepEqual(sleeps.slice(0, -1), [10])
  await runs.stop(0)
})

test('DF20 a fresh broker that makes its topics and coordinators first is waited for without a warning', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  await using broker = await kafka.startKafka()
  await using all = setup({ brokers: broker.brokers, ...names() })
  await ended(all.log, (await all.runs.start('talks', 3)).run_id)
  await sent(all.sink)
  assert.deepEqual(all.errors, [])
})

test('DF20 a second sink of the same id fences the first, which stops and says so; nothing is doubled', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using all = setup({ ...service, ...own })
  await all.sink.opened
  const one = await all.runs.start('talks', 50)
  await ended(all.log, one.run_id)
  await sent(all.sink)
  await using second = kafkaSink({ ...service, ...own, log: all.log, deps, tenants: ['default'], format: 'dashstream' })
  await second.opened
  const two = await all.runs.start('talks', 50)
  await ended(all.log, two.run_id)
  await until('the first stops', () => all.sink.state === 'fenced')
  assert.equal(all.errors.at(-1)?.code, 'conflict')
  await sent(second)
  await agree(all.log, await recordsOf(service, own.topic))
})

test('DF22 H110 topics are made with their settings, or refused with all that is different', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  await using all = setup({ ...service, ...own, topicPrefix, partitions: 3 })
  await all.sink.opened
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const topics = ['events', 'state', 'checkpoints', 'metrics', 'errors'].map(end => `${topicPrefix}.${end}.default`)
  const settings = async (topic: string, ...keys: string[]) => {
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: keys }
    const [described] = await admin.describeConfigs({ resources: [resource] })
    return Object.fromEntries((described?.configs ?? []).map(({ name, value }) => [name, value]))
  }
  for (const topic of topics) {
    assert.equal((await admin.metadata({ topics: [topic] })).topics.get(topic)?.partitionsCount, 3)
    const days = /state|checkpoints/.test(topic) ? 30 : 7
    const made = await settings(topic, 'retention.ms', 'cleanup.policy', 'max.message.bytes')
    const wanted = {
      'retention.ms': String(days * 86_400_000),
      'cleanup.policy': 'delete',
      'max.message.bytes': '2097152',
    }
    assert.deepEqual(made, wanted, topic)
  }
  assert.deepEqual(await settings(own.cursorsTopic, 'cleanup.policy'), { 'cleanup.policy': 'compact' })

  const wrong = names()
  const configs = [{ name: 'retention.ms', value: '1000' }]
  await admin.createTopics({ topics: [wrong.topic], partitions: 2, replicas: 1, configs })
  await using refused = setup({ ...service, ...wrong })
  await assert.rejects(refused.sink.opened, (error: RuncastError) => {
    assert.equal(error.code, 'refused_by_policy')
    for (const told of ['retention.ms is 1000, not 604800000', 'partitions is 2, not 10', 'max.message.bytes is']) {
      assert.ok(error.message.includes(told), error.message)
    }
    return true
  })
  assert.equal(refused.sink.state, 'refused')
})

test('H40 partitions that are added while it sends tear no thread apart', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using all = setup({ ...service, ...own, partitions: 2 })
  const threads = Array.from({ length: 12 }, (_, n) => `thread ${n}`)
  const sendAll = async () => {
    for (const thread of threads) {
      await ended(all.log, (await all.runs.start('talks', 1, { thread, onBusy: 'queue' })).run_id)
    }
    await sent(all.sink)
  }
  await sendAll()
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const [broker = 0] = (await admin.metadata({ topics: [own.topic] })).brokers.keys()
  const assignments = Array.from({ length: 6 }, () => ({ brokerIds: [broker] }))
  await admin.createPartitions({ topics: [{ name: own.topic, count: 8, assignments }], validateOnly: false })
  await sleep(metadataMs)
  await sendAll()
  const partitions = new Map<string, Set<number>>()
  for (const { key, partition } of await recordsOf(service, own.topic)) {
    const of = partitions.get(String(key)) ?? new Set()
    partitions.set(String(key), of.add(partition))
  }
  assert.ok(partitions.size >= threads.length)
  for (const [key, { size }] of partitions) assert.equal(size, 1, key)
})

/** The client looks at a topic again when what it knows is older than 5 s. */
const metadataMs = 6_000

test('DF22 topic and topicPrefix together, and tenants that no topic can be named after, are refused', async () => {
  const base = { brokers: ['127.0.0.1:1'], log: memory(), deps, format: 'dashstream' as const }
  for (const options of [
    { tenants: ['default'], topic: 'a', topicPrefix: 'b' },
    { tenants: ['a/b'], topicPrefix: 'b' },
  ]) {
    await using sink = kafkaSink({ ...base, ...options })
    await assert.rejects(sink.opened, { code: 'invalid_request' })
  }
})

test('H109 DF20 TLS, its authority, and each SASL mechanism have an effect', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  const sasl = { username: 'alice', password: 'open sesame' }
  await using broker = await kafka.startKafka({ tls: true, sasl })
  const { brokers, ca } = broker.secure ?? {}
  assert.ok(brokers !== undefined && ca !== undefined)
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
    const right = { brokers, tls: true, ca, sasl: { mechanism, ...sasl } }
    const own = names()
    await using all = setup({ ...right, ...own })
    await ended(all.log, (await all.runs.start('talks', 3)).run_id)
    await sent(all.sink)
    assert.ok((await agree(all.log, await recordsOf(broker, own.topic))).length === 1, mechanism)
    await using wrong = setup({ ...right, ...names(), sasl: { mechanism, ...sasl, password: 'guess' } })
    await assert.rejects(wrong.sink.opened, { code: 'unauthenticated' }, mechanism)
  }
  const base = { brokers, sasl: { mechanism: 'PLAIN' as const, ...sasl } }
  for (const untrusted of [base, { ...base, tls: true }, { brokers, tls: true, ca }]) {
    await using wrong = setup({ ...untrusted, ...names(), drainMs: 0 })
    await until('it fails', () => wrong.errors.length > 0)
    assert.notEqual(wrong.sink.state, 'sending')
  }
})

test('a connection that is reset while we log in is told as an error, and ends no process', async () => {
  const broker = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => socket.resetAndDestroy())
  })
  await once(broker.listen(0, '127.0.0.1'), 'listening')
  try {
    const brokers = [`127.0.0.1:${(broker.address() as AddressInfo).port}`]
    const sasl = { mechanism: 'PLAIN', username: 'alice', password: 'open sesame' } as const
    await using all = setup({ brokers, ...names(), sasl, drainMs: 0 })
    await until('it is told', () => all.errors.length > 0)
    assert.equal(all.errors[0]?.code, 'unavailable')
  } finally {
    broker.close()
  }
})

test('DF20 what a run said last is sent with its end, also while many others are still rung for it', async () => {
  await using log = memory()
  const cursors = emptyCursors()
  const run = runKey('r')
  const feed = tenantFeed('default')
  const say = (key: Key, after: number, entry: Entry) => void log.append(key, after, [entry])
  const tell = (after: number, entry: FeedEntry) => say(feed, after, plainEntry(entry, Date.now()))
  void log.append(run, 0, [], newHead('r'))
  using rings = new DisposableStack()
  for (let n = 0; n < 200; n++) rings.use(log.watch(run, () => {}))
  using backlog = createBacklog({ log, format: dashstream, cursors, ring: () => {} })
  backlog.attend('default')
  say(run, 0, token('hello'))
  tell(0, { type: 'started', run_id: 'r', thread_base: 0 })
  const takeAll = async () => {
    const sent: number[] = []
    for (;;) {
      const { messages, runs } = await backlog.next()
      if (messages.length === 0 && runs.length === 0) return sent // a sink that closes sends no more
      sent.push(...messages.map(({ message }) => message.sequence))
    }
  }
  assert.ok((await takeAll()).includes(1))
  await turns(10) // all that rang is over,
  assert.deepEqual(await takeAll(), []) // and heard
  say(run, 1, entryOf({ type: 'complete', output: null, latency_seconds: 1 }, Date.now()))
  tell(1, { type: 'ended', run_id: 'r', status: 'completed', last: 2, thread_base: 0 })
  const sent = await takeAll()
  assert.ok(sent.includes(2), `sent: ${sent.join()}`)
  assert.equal(cursors.runs.size, 0)
})

test('DF20 a log that began anew is sent from its start, and a restart goes on where it was', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  const seen: string[] = []
  for (let n = 0; n < 2; n++) {
    // The memory log of a server is gone with it; the cursors are not.
    await using all = setup({ ...service, ...own })
    for (let m = 0; m < 2; m++) {
      const { run_id } = await all.runs.start('talks', 5)
      seen.push(run_id)
      await ended(all.log, run_id)
      await sent(all.sink)
    }
    if (n === 1) {
      await all.sink[Symbol.asyncDispose]()
      await using again = kafkaSink({
        ...service,
        ...own,
        log: all.log,
        deps,
        tenants: ['default'],
        format: 'dashstream',
      })
      await again.opened
      assert.deepEqual(await again.lag(), { events: 0, runs: 0 })
    }
  }
  const { runs, problems } = runsOf(
    dashstreamDecoder({ fromBeginning: true }),
    (await recordsOf(service, own.topic)).map(({ value }) => value as Buffer),
  )
  assert.deepEqual(problems, [])
  assert.deepEqual(new Set(runs.map(({ run_id }) => run_id)), new Set(seen))
  assert.equal(runs.length, 4)
})

test('H100 DF25 what the log forgot before it was sent is a gap for readers, and counted', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  const log = memory()
  const runs = createRuns({ log, agents: [talks] as unknown as Agent[], deps })
  const { run_id } = await runs.start('talks', 20)
  await ended(log, run_id)
  await until('it is announced', async () => (await log.read(tenantFeed('default'), 2, 1)).count === 1)
  await log.drop(runKey(run_id), 10)
  await using all = setup({ ...service, ...own, log })
  await sent(all.sink)
  assert.deepEqual(all.sink.counters().dropped, { forgotten: 10 })
  const payloads = (await recordsOf(service, own.topic)).map(({ value }) => value as Buffer)
  const [told] = runsOf(dashstreamDecoder({ fromBeginning: true }), payloads).runs
  assert.deepEqual(
    told?.events.map(({ sequence }) => sequence),
    (await eventsOf(log, run_id)).map(({ sequence }) => sequence),
  )
  assert.deepEqual(told?.gaps, [{ requested: 0, oldest: 11 }])
})

test('DF35 H104 what the exit redacts is in no record', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  for (const format of ['dashstream', 'chat'] as const) {
    const own = names()
    const redactPatterns = compilePatterns(['sk-[a-z0-9]{8}'])
    await using all = setup({ ...service, ...own, format }, { redactPatterns })
    await ended(all.log, (await all.runs.start('talks', 'my key is sk-abcd1234, keep it')).run_id)
    await sent(all.sink)
    const records = await recordsOf(service, own.topic)
    assert.ok(records.length > 0)
    for (const { value, headers } of records) assert.ok(!String(value).concat(String(headers)).includes('sk-abcd1234'))
  }
})

test('H49 H109 every key of runcast.kafka has an effect on a server: brokers, format, topic, topic_prefix, tls, ca, cert, key, sasl', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  const sasl = { username: 'alice', password: 'open sesame' }
  await using broker = await kafka.startKafka({ tls: true, mutual: true, sasl })
  const dir = temporaryDir('kafka-config')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const pems = { ca: broker.secure?.ca, ...broker.secure?.client }
  for (const [name, pem] of Object.entries(pems)) writeFileSync(join(dir, `${name}.pem`), pem ?? '')
  const serving = async (keys: Record<string, unknown>) => {
    const path = join(dir, 'Dockfile.yaml')
    writeFileSync(
      path,
      JSON.stringify({ version: '1.0', agent: { name: 'a', handler: 'a.mjs:run' }, runcast: { kafka: keys } }),
    )
    const config = await loadConfig({ path, env: {} })
    return serve({ ...(await optionsOf(config, [talks] as unknown as Agent[], {})), port: 0, web: false })
  }
  const secure = {
    brokers: broker.secure?.brokers,
    tls: true,
    ca: 'ca.pem',
    sasl: { mechanism: 'SCRAM-SHA-256', ...sasl },
  }
  const known = { ...secure, cert: 'cert.pem', key: 'key.pem' }
  const rows: [Record<string, unknown>, string][] = [
    [{ brokers: broker.brokers }, 'dashstream-events'],
    [{ brokers: broker.brokers, topic: 'mine' }, 'mine'],
    [{ brokers: broker.brokers, topic_prefix: 'tree' }, 'tree.metrics.default'],
    [{ brokers: broker.brokers, format: 'chat' }, 'ondash.llm.complete'],
    [{ ...known, topic: 'secure' }, 'secure'],
  ]
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: broker.brokers })
  t.after(() => admin.close())
  for (const [keys, topic] of rows) {
    const served = await serving(keys)
    await served.runs.start('talks', 3)
    // Whatever a new broker takes to find its coordinators: a stop waits for a few seconds only.
    await until(`${topic} has records`, async () => {
      const topics = await admin.listTopics()
      return topics.includes(topic) && (topic.includes('metrics') || (await recordsOf(broker, topic)).length > 0)
    })
    await served.stop()
  }
  for (const keys of [secure, { ...known, sasl: { ...secure.sasl, password: 'guess' } }])
    await assert.rejects(serving(keys), { code: 'unauthenticated' })
})
