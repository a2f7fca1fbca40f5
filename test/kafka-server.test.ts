// A server that exports to Kafka, or shows what a topic has: what it says of that in /health and /metrics, whose runs it
// exports, what it keeps while a broker is away, and that its memory stays flat meanwhile.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Admin } from '@platformatic/kafka'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { connect } from '../src/client/index.ts'
import { follow } from '../src/follow.ts'
import { dashstreamDecoder } from '../src/formats/dashstream.ts'
import { type DecodedRun, runsOf } from '../src/formats/format.ts'
import { type Log, readLimitEntries, runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import { serve, type Served, type ServeOptions } from '../src/server.ts'
import { serveSource } from '../src/serve-source.ts'
import { lanesAheadMax } from '../src/sinks/kafka/backlog.ts'
import { type KafkaSink, type KafkaSinkOptions, kafkaSink } from '../src/sinks/kafka/sink.ts'
import { createWaiting } from '../src/sinks/kafka/waiting.ts'
import { kafkaSource } from '../src/sources/kafka.ts'
import { deps, names, recordsOf } from './kafka-topics.ts'
import { until } from './until.ts'
import { temporaryDir } from './services/child.ts'
import * as kafka from './services/kafka.ts'
import { needs, serviceOrSkip } from './services/require.ts'

const counts = defineAgent({ name: 'counts' }, async (tokens: number, ctx) => {
  for (let n = 1; n <= tokens; n++) {
    ctx.token(`t${n} `)
    if (n % 1_000 === 0) await ctx.token('.')
  }
})
const agents = [counts] as unknown as Agent[]

interface Health {
  readonly status: string
  readonly sink: {
    readonly state: string
    readonly lag: { readonly events: number; readonly runs: number; readonly oldest_seconds: number } | null
    readonly error?: { readonly code: string; readonly error?: string; readonly timestamp: string }
    readonly messages: Readonly<Record<string, Readonly<Record<string, number>>>>
    readonly dropped: Readonly<Record<string, number>>
    readonly refused_tenants: number
  }
  readonly source: {
    readonly state: string
    readonly lag: { readonly records: number } | null
    readonly coverage: { readonly assigned: number; readonly total: number | null }
    readonly records: number
  }
}

const healthOf = async (served: { url: string }) => (await (await fetch(`${served.url}/health`)).json()) as Health

/** Samples by name with labels. */
async function metricsOf(served: { url: string }, headers: Record<string, string> = {}): Promise<Map<string, number>> {
  const text = await (await fetch(`${served.url}/metrics`, { headers })).text()
  const samples = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(samples.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

type Exporting = Partial<KafkaSinkOptions> & { readonly brokers: readonly string[] }

async function exporting(to: Exporting, options: Partial<ServeOptions> = {}): Promise<Served & { sink: KafkaSink }> {
  const log = options.log ?? memory()
  const sink = kafkaSink({ log, deps, tenants: [], format: 'dashstream', drainMs: 500, ...to })
  const served = await serve({ agents, port: 0, ...options, log, sink })
  return { ...served, sink }
}

/** A broker that has just started may answer the first try that it is not ready. */
const sending = (sink: KafkaSink) => until('the sink sends', () => sink.state === 'sending')

async function ended(log: Log, run: string): Promise<void> {
  await follow(log, runKey(run), { after: Number.MAX_SAFE_INTEGER }, () => {})
}

async function runsIn(place: { brokers: readonly string[] }, ...topics: string[]): Promise<readonly DecodedRun[]> {
  const payloads = (await recordsOf(place, ...topics)).map(({ value }) => value as Buffer)
  const { runs, problems } = runsOf(dashstreamDecoder({ fromBeginning: true }), payloads)
  assert.deepEqual(problems, [])
  return runs
}

test('DF20 DF25 H55 H111 H122 a broker that stops is seen in health and metrics, with work and without, and so is the lag', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  await using broker = await kafka.startKafka()
  const log = memory()
  await using served = await exporting({ brokers: broker.brokers, ...names() }, { log })
  await sending(served.sink)
  const first = await served.runs.start('counts', 5)
  await ended(log, first.run_id)
  await until('all is sent', async () => (await healthOf(served)).sink.lag?.events === 0)
  const before = await metricsOf(served)
  const sent = [...before].filter(([name]) => /^runcast_sink_messages_total\{.*outcome="sent"/.test(name))
  const last = (await log.head(first.run_id))?.last ?? 0
  assert.ok(sent.reduce((sum, [, value]) => sum + value, 0) >= last)
  assert.equal(before.get('runcast_sink_lag_events'), 0)
  assert.equal(before.get('runcast_sink_lag_seconds'), 0)
  assert.equal(before.get('runcast_sink_state{state="sending"}'), 1)

  await broker.kill()
  await until('health says so, though nothing was to be sent', async () => {
    const { sink } = await healthOf(served)
    return sink.state === 'retrying' && sink.error?.code === 'unavailable'
  })
  const second = await served.runs.start('counts', 100)
  await ended(log, second.run_id)
  const waiting = (await log.head(second.run_id))?.last ?? 0
  const { status, sink } = await healthOf(served)
  assert.equal(status, 'ok')
  assert.equal((await fetch(`${served.url}/ready`)).status, 200)
  assert.deepEqual([sink.lag?.events, sink.lag?.runs], [waiting, 1])
  assert.match(sink.error?.error ?? '', /^Kafka: /)
  const aged = sink.lag?.oldest_seconds ?? 0
  await until('it grows old', async () => ((await healthOf(served)).sink.lag?.oldest_seconds ?? 0) > aged)
  const during = await metricsOf(served)
  assert.equal(during.get('runcast_sink_lag_events'), waiting)
  assert.equal(during.get('runcast_sink_lag_runs'), 1)
  assert.equal(during.get('runcast_sink_state{state="retrying"}'), 1)
  assert.equal(during.get('runcast_sink_state{state="sending"}'), 0)

  await broker.restart()
  await until('it catches up', async () => {
    const { state, lag, error } = (await healthOf(served)).sink
    return state === 'sending' && lag?.events === 0 && error === undefined
  })
  const kinds = (await healthOf(served)).sink.messages
  for (const { created, sent: well, failed, pending } of Object.values(kinds)) {
    assert.deepEqual([created, pending], [(well ?? 0) + (failed ?? 0), 0])
  }
})

test('H55 H123 what is unknown is null and has no sample, and without a key nobody learns where the brokers are', async () => {
  const secret = 'open sesame'
  const authenticate = (headers: { 'x-key'?: unknown }) => {
    if (headers['x-key'] !== secret) throw new Error('no')
    return { tenant: 'default' }
  }
  const nobody = { brokers: ['127.0.0.1:9'], ...names() }
  await using served = await exporting(nobody, { authenticate: authenticate as never })
  await until('it fails', async () => (await healthOf(served)).sink.state === 'retrying')
  const { status, sink } = await healthOf(served)
  assert.equal(status, 'ok')
  assert.equal(sink.lag, null)
  assert.deepEqual(Object.keys(sink.error ?? {}), ['code', 'timestamp'])
  const metrics = await metricsOf(served, { 'x-key': secret })
  assert.equal(metrics.get('runcast_sink_state{state="retrying"}'), 1)
  assert.equal(metrics.has('runcast_sink_lag_events'), false)
})

test('DF20 a second sink that takes over is seen: fenced, with the reason', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using served = await exporting({ ...service, ...own })
  await sending(served.sink)
  await using other = kafkaSink({ ...service, ...own, log: memory(), deps, tenants: [], format: 'dashstream' })
  await sending(other)
  await served.runs.start('counts', 3)
  await until('it is fenced', async () => (await healthOf(served)).sink.state === 'fenced')
  assert.equal((await healthOf(served)).sink.error?.code, 'conflict')
  assert.equal((await metricsOf(served)).get('runcast_sink_state{state="fenced"}'), 1)
})

test('H47 H55 a server over a source says how much of its topics it sees, and how far it is', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using writer = await exporting({ ...service, ...own, partitions: 3 })
  const run = await writer.runs.start('counts', 20)
  await until('it is sent', async () => {
    const head = await writer.runs.get(run.run_id)
    return head.status === 'completed' && (await healthOf(writer)).sink.lag?.events === 0
  })
  const source = kafkaSource({ ...service, topics: [own.topic], group: own.group, format: 'dashstream', deps })
  await using served = await serveSource({ source, port: 0 })
  await until('it has read all', async () => (await healthOf(served)).source.state === 'live')
  const { lag, coverage, records } = (await healthOf(served)).source
  assert.deepEqual([lag, coverage], [{ records: 0 }, { assigned: 3, total: 3 }])
  const metrics = await metricsOf(served)
  assert.equal(metrics.get('runcast_source_lag_records'), 0)
  assert.equal(metrics.get('runcast_source_partitions'), 3)
  assert.equal(metrics.get('runcast_source_partitions_assigned'), 3)
  assert.equal(metrics.get('runcast_source_records_total'), records)
  assert.equal(metrics.get('runcast_source_state{state="live"}'), 1)
  await using there = connect(served.url)
  assert.equal((await there.get(run.run_id)).status, 'completed')
})

test('ON17 a server over a source shows its clients live what another system publishes in chat.v1', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  const { promise: goOn, resolve: speak } = Promise.withResolvers<void>()
  const waits = defineAgent({ name: 'waits' }, async (_input: unknown, ctx) => {
    ctx.progress('read', 0.5)
    ctx.text('first ')
    await goOn
    ctx.text('second')
  })
  await using other = await exporting(
    { ...service, ...own, topicPrefix, format: 'chat', tenants: ['default'] },
    { agents: [waits] as unknown as Agent[] },
  )
  await sending(other.sink)
  const topics = ['status', 'text', 'chart', 'error', 'complete'].map(end => `${topicPrefix}.${end}`)
  const source = kafkaSource({ ...service, topics, group: own.group, format: 'chat', deps })
  await using served = await serveSource({ source, port: 0 })
  await other.runs.start('waits', {}, { thread: 'conversation-1' })
  await using there = connect(served.url)
  const run = await until('it is listed', async () => (await there.list()).runs[0])
  assert.equal(run.thread_id, 'conversation-1')
  let text = ''
  for await (const { events } of there.tail(run.run_id)) {
    for (const event of events) if (event.type === 'text') text += event.content
    if (text !== '') speak()
  }
  assert.equal(text, 'first second')
})

test('DF22 DF34 the runs of every tenant are exported: of before, of later, each to its own topics', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  const log = memory()
  const before = createRuns({ log, agents, deps })
  const want = new Map<string, string[]>()
  const started = (tenant: string, { run_id }: { run_id: string }) =>
    want.set(tenant, [...(want.get(tenant) ?? []), run_id])
  const thread = 'the same'
  started('early', await before.as({ tenant: 'early' }).start('counts', 3, { thread }))
  while (before.running > 0) await new Promise(resolve => setImmediate(resolve))
  const warnings: string[] = []
  await using served = await exporting(
    { ...service, ...own, topicPrefix, onError: ({ message }) => void warnings.push(message) },
    { log },
  )
  for (const tenant of ['early', 'late', 'default', 'not/a/topic']) {
    const info = await served.runs.as({ tenant }).start('counts', 3, { thread, onBusy: 'queue' })
    await ended(log, info.run_id)
    if (tenant !== 'not/a/topic') started(tenant, info)
  }
  await until('all is sent', async () => (await served.sink.lag())?.events === 0)
  assert.equal(want.size, 3)
  for (const [tenant, runs] of want) {
    const topics = ['events', 'state', 'checkpoints', 'metrics', 'errors'].map(end => `${topicPrefix}.${end}.${tenant}`)
    await until('its topics are there', async () => {
      const there = await topicsOf(service.brokers)
      return topics.every(one => there.includes(one))
    })
    const payloads: Buffer[] = (await recordsOf(service, ...topics)).map(({ value }) => value as Buffer)
    const decoder = dashstreamDecoder({ fromBeginning: true })
    const batches = payloads.flatMap(payload => decoder.push(payload).batches).concat(decoder.flush().batches)
    assert.deepEqual(new Set(batches.map(({ run_id }) => run_id)), new Set(runs), tenant)
    assert.deepEqual(new Set(batches.map(batch => batch.tenant)), new Set([tenant]))
  }
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /not\/a\/topic/)
})

test('DF22 DF34 a tenant whose topics cannot be used keeps no other from being exported, is told of, and comes in when they are mended', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: service.brokers })
  t.after(() => admin.close())
  const wrong = `${topicPrefix}.state.wrong`
  await admin.createTopics({ topics: [wrong], partitions: 1, replicas: 1 })
  const log = memory()
  const errors: string[] = []
  const onError = ({ message }: Error) => void errors.push(message)
  const before = createRuns({ log, agents, deps })
  const kept = await before.as({ tenant: 'wrong' }).start('counts', 3)
  await ended(log, kept.run_id)
  await using served = await exporting({ ...service, ...own, topicPrefix, onError, tenants: ['default'] }, { log })
  await sending(served.sink)
  // For Kafka `a.b` and `a_b` are one name.
  for (const tenant of ['a.b', 'a_b', 'no/topic', 'well']) {
    const { run_id } = await served.runs.as({ tenant }).start('counts', 3)
    await ended(log, run_id)
  }
  await until('the others are exported', async () => (await healthOf(served)).sink.lag?.events === 0)
  for (const tenant of ['a.b', 'well'])
    assert.equal((await runsIn(service, `${topicPrefix}.events.${tenant}`)).length, 1)
  const { state, refused_tenants: refused } = (await healthOf(served)).sink
  assert.deepEqual([state, refused], ['sending', 3])
  assert.equal((await metricsOf(served)).get('runcast_sink_refused_tenants'), 3)
  const told = ['"wrong" are not exported: topics are', '"a_b" are not exported: ', '"no/topic" are not exported: ']
  for (const words of told) assert.equal(errors.filter(error => error.includes(words)).length, 1, errors.join('\n'))
  assert.ok(errors.some(error => error.includes('retention.ms is') && error.includes(wrong)))
  assert.ok(
    errors.some(error => error.includes('collides with existing topic')),
    errors.join('\n'),
  )

  await admin.deleteTopics({ topics: [wrong] })
  await until('it is exported too', async () => (await healthOf(served)).sink.refused_tenants === 2)
  await until('all is sent', async () => (await healthOf(served)).sink.lag?.events === 0)
  assert.deepEqual(
    (await runsIn(service, `${topicPrefix}.events.wrong`)).map(({ run_id }) => run_id),
    [kept.run_id],
  )
})

test('DF34 ON2 envelopes do not say whose they are: only those of the default tenant are on the plain topics', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const { topic: topicPrefix, topic: _, ...own } = names()
  const log = memory()
  await using served = await exporting({ ...service, ...own, topicPrefix, format: 'chat' }, { log })
  for (const tenant of ['default', 'other']) {
    const { run_id } = await served.runs.as({ tenant }).start('counts', 1, { thread: `of ${tenant}` })
    await ended(log, run_id)
  }
  await until('all is sent', async () => (await served.sink.lag())?.events === 0)
  const keysOf = async (topic: string) => new Set((await recordsOf(service, topic)).map(({ key }) => String(key)))
  assert.deepEqual(await keysOf(`${topicPrefix}.complete`), new Set(['of default']))
  assert.deepEqual(await keysOf(`${topicPrefix}.complete.other`), new Set(['of other']))
})

test('DF20 H111 retention waits for the export: what ended while the broker was down is sent, then forgotten', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  await using broker = await kafka.startKafka()
  const own = names()
  const log = memory()
  const retention = { runsMax: 2 }
  await using served = await exporting({ brokers: broker.brokers, ...own }, { log, retention })
  await sending(served.sink)
  await broker.kill()
  const runs: string[] = []
  for (let n = 0; n < 8; n++) {
    const { run_id } = await served.runs.start('counts', 10)
    runs.push(run_id)
    await ended(log, run_id)
  }
  await until('it fails', () => served.sink.state === 'retrying')
  for (const run of runs) assert.ok(await log.head(run), 'kept')
  await broker.restart()
  await until('all is sent', async () => (await served.sink.lag())?.events === 0)
  const { run_id } = await served.runs.start('counts', 10)
  await until('the limit holds again', async () => (await served.runs.list()).runs.length <= 2)
  await ended(log, run_id)
  await until('all is sent', async () => (await served.sink.lag())?.events === 0)
  const told = await runsIn(broker, own.topic)
  assert.deepEqual(new Set(told.map(one => one.run_id)), new Set([...runs, run_id]))
  for (const { gaps, events } of told) assert.deepEqual([gaps, events.at(-1)?.type], [[], 'complete'])
  assert.deepEqual(served.sink.counters().dropped, {})
})

test('whoever asks how far the export is lets others have their turn, however many runs wait', async () => {
  await using log = memory()
  const runs = new Map(
    Array.from({ length: 2_000 }, (_, n) => {
      const run = `r${n}`
      return [run, { tenant: 'default', run, after: 0, base: 0, done: false, left: false }] as const
    }),
  )
  const cursors = () => ({ runs, feeds: new Map() })
  const none = { refused: new Map(), taken: () => [], steps: () => 0 }
  const waiting = createWaiting({ log, tenants: new Set(['default']), cursors, ...none })
  let turns = 0
  let turn = setImmediate(function next() {
    turns++
    turn = setImmediate(next)
  })
  assert.deepEqual(await waiting.lag(), { events: 0, runs: 0 })
  clearImmediate(turn)
  assert.ok(turns >= 10, `${turns} turns`)
})

test('DF25 a run that retention could wait for no longer is counted as dropped, with all of its events', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  const log = memory()
  const runs = createRuns({ log, agents, deps })
  const { run_id } = await runs.start('counts', 18)
  await ended(log, run_id)
  const last = (await log.head(run_id))?.last ?? 0
  await until('it is announced', async () => (await log.read('feed/tenant/default', 2, 1)).count === 1)
  await log.drop(runKey(run_id))
  await using sink = kafkaSink({ ...service, ...own, log, deps, tenants: ['default'], format: 'dashstream' })
  await until('it is counted', async () => sink.counters().dropped['forgotten'] === last)
  assert.equal((await sink.lag())?.events, 0)
})

test('DF20 H111 memory stays flat while 100,000 events wait for a broker that is down', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  const dir = temporaryDir('kafka-outage')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  await using broker = await kafka.startKafka()
  await using log = sqlite({ path: join(dir, 'log.db') })
  await using served = await exporting({ brokers: broker.brokers, ...names() }, { log })
  await sending(served.sink)
  await broker.kill()
  const before = memoryAfterGc()
  /** Two loads: the one that the broker took with it, and the one that was made meanwhile. */
  const bufferedMax = { events: 2 * 2_500, bytes: 2 * 5 * 1024 * 1024 }
  for (let n = 0; n < 50; n++) {
    const { run_id } = await served.runs.start('counts', 2_000)
    await ended(log, run_id)
    const { buffered } = await served.sink.status()
    assert.ok(buffered.events <= bufferedMax.events && buffered.bytes <= bufferedMax.bytes, JSON.stringify(buffered))
  }
  await until('it fails', () => served.sink.state === 'retrying')
  const { lag, buffered } = await served.sink.status()
  assert.ok((lag?.events ?? 0) >= 100_000, JSON.stringify(lag))
  const after = memoryAfterGc()
  const mib = (bytes: number) => (bytes / 1024 / 1024).toFixed(1)
  t.diagnostic(`${lag?.events} events wait; the sink holds ${buffered.events} of them, ${buffered.bytes} bytes`)
  t.diagnostic(
    `heap ${mib(before.heapUsed)} to ${mib(after.heapUsed)} MiB, rss ${mib(before.rss)} to ${mib(after.rss)} MiB`,
  )
  await broker.restart()
  await until('it catches up', async () => {
    const now = await served.sink.status()
    assert.ok(now.buffered.events <= bufferedMax.events && now.buffered.bytes <= bufferedMax.bytes)
    return now.lag?.events === 0
  })
})

test('DF20 however many runs wait, the sink begins a thousand or two at a time, and sends each of them once', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  const log = memory()
  const runs = createRuns({ log, agents, deps })
  const want = new Set<string>()
  for (let n = 0; n < 6_000; n++) {
    const { run_id } = await runs.start('counts', 0, n % 3 === 0 ? { thread: `t${n % 9}`, onBusy: 'queue' } : {})
    want.add(run_id)
    if (n % 100 === 0) while (runs.running > 0) await new Promise(resolve => setImmediate(resolve))
  }
  while (runs.running > 0) await new Promise(resolve => setImmediate(resolve))
  await using sink = kafkaSink({ ...service, ...own, log, deps, tenants: ['default'], format: 'dashstream' })
  let most = 0
  await until('all is sent', async () => {
    const { buffered, lag } = await sink.status()
    most = Math.max(most, buffered.runs)
    return lag?.events === 0
  })
  /** A page of the feed, behind as many runs as are begun ahead. */
  assert.ok(most <= lanesAheadMax + readLimitEntries, `${most} runs at once`)
  t.diagnostic(`${most} runs at once`)
  const told = await runsIn(service, own.topic)
  assert.equal(told.length, want.size)
  assert.deepEqual(new Set(told.map(({ run_id }) => run_id)), want)
  for (const { gaps, events } of told) assert.deepEqual([gaps, events.length], [[], 2])
})

test('DF20 the traceparent of a request is on the records of its run', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  await using served = await exporting({ ...service, ...own })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const post = async (headers: Record<string, string>) => {
    const json = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers: { ...json, ...headers }, body: '2' }
    return ((await (await fetch(`${served.url}/runs`, init)).json()) as { run_id: string }).run_id
  }
  const traced = await post({ traceparent, tracestate: 'a=b' })
  const broken = await post({ traceparent: traceparent.replace('00-', 'ff-') })
  for (const run of [traced, broken]) {
    await until('it ends', async () => (await served.runs.get(run)).status === 'completed')
  }
  await until('all is sent', async () => (await served.sink.lag())?.events === 0)
  const headersOf = async (run: string) =>
    (await recordsOf(service, own.topic))
      .filter(({ key }) => String(key) === run)
      .map(({ headers }) => Object.fromEntries(headers.map(([name, value]) => [String(name), String(value)])))
  const of = await headersOf(traced)
  assert.ok(of.length > 0)
  for (const headers of of) assert.deepEqual(headers, { traceparent, tracestate: 'a=b' })
  for (const headers of await headersOf(broken)) assert.match(headers['traceparent'] ?? '', /-00$/)
})

/** What is in use, without what only waits to be collected. */
function memoryAfterGc(): NodeJS.MemoryUsage {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  return process.memoryUsage()
}

async function topicsOf(brokers: readonly string[]): Promise<string[]> {
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [...brokers] })
  try {
    return await admin.listTopics()
  } finally {
    await admin.close()
  }
}
