// The OpenAPI document against the server that wrote it: what it says of requests and answers is what comes and goes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import * as v from 'valibot'
import { z } from 'zod'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { createConversations } from '../src/conversations/conversations.ts'
import { realDeps as deps } from '../src/deps.ts'
import type { Listening } from '../src/listen.ts'
import { serveSource } from '../src/serve-source.ts'
import { type Served, type ServeOptions, serve } from '../src/server.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { kafkaSource } from '../src/sources/kafka.ts'
import { readOnly } from '../src/sources/read-only.ts'
import { names } from './kafka-topics.ts'
import { serviceOrSkip } from './services/require.ts'
import { until } from './until.ts'

const counter = defineAgent(
  { name: 'counter', input: z.looseObject({ count: z.number().default(3) }), output: z.unknown() },
  async function* ({ count }) {
    for (let n = 1; n <= count; n++) yield `t${n}`
    return { count }
  },
)

interface Content {
  content: { 'application/json': { schema: { anyOf: object[]; properties: Record<string, { anyOf: object[] }> } } }
}
interface Operation {
  parameters?: { name: string }[]
  requestBody: Content
  responses: Record<string, Content>
}

const serving = (options: Partial<ServeOptions> = {}) => serve({ agents: [counter as Agent], port: 0, ...options })

async function pathsOf(served: Listening): Promise<Record<string, Record<string, Operation>>> {
  const document = (await (await fetch(`${served.url}/openapi.json`)).json()) as { paths: never }
  return document.paths
}

function post(served: Served, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(served.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
}

test('a schema of valibot validates, and OpenAPI shows it, or says what to do', async () => {
  const taken = v.object({ who: v.pipe(v.string(), v.minLength(1)) })
  const shown = (type: string) => ({ type: 'object', properties: { who: { type } }, required: ['who'] })
  // What toStandardJsonSchema of @valibot/to-json-schema gives: the same checks, and a JSON Schema of them.
  const telling = <S extends v.GenericSchema>(schema: S, type: string) => ({
    '~standard': {
      ...schema['~standard'],
      jsonSchema: { input: () => shown(type), output: () => shown(`${type} or what it becomes`) },
    },
  })
  const greet = async ({ who }: { who: string }) => ({ who: who.length })
  const agents = [
    defineAgent({ name: 'silent', input: taken }, greet),
    defineAgent(
      { name: 'telling', input: telling(taken, 'string'), output: telling(v.object({ who: v.number() }), 'number') },
      greet,
    ),
    defineAgent({ name: 'odd', input: z.object({ at: z.date() }) }, async () => null),
  ] as readonly Agent[]
  await using served = await serving({ agents })
  const invoke = (await pathsOf(served))['/invoke']?.['post'] as Operation
  const { requestBody, responses } = invoke
  const [silent, told, odd] = requestBody.content['application/json'].schema.anyOf as Record<string, string>[]
  assert.deepEqual(Object.keys(silent ?? {}), ['title', 'description'])
  assert.match(silent?.['description'] ?? '', /valibot .*toStandardJsonSchema/)
  assert.deepEqual(told, { title: 'telling', ...shown('string') })
  assert.match(odd?.['description'] ?? '', /zod .*Date/)
  const { output } = (responses['200'] as Content).content['application/json'].schema.properties
  assert.deepEqual(output?.anyOf[1], { title: 'telling', ...shown('number or what it becomes') })
  for (const agent of ['silent', 'telling']) {
    assert.equal((await post(served, `/invoke?agent=${agent}`, { who: 'Ada' })).status, 200)
    const refused = await post(served, `/invoke?agent=${agent}`, { who: '' })
    assert.equal(refused.status, 422)
    assert.match(await refused.text(), /"field":"who"/)
  }
})

test('OpenAPI 3.1 shows every route with the schemas that validate, and a docs page', async () => {
  await using served = await serving()
  const openapi = (await (await fetch(`${served.url}/openapi.json`)).json()) as {
    openapi: string
    paths: Record<string, Record<string, { parameters?: { name: string }[] }>>
  }
  assert.equal(openapi.openapi, '3.1.0')
  assert.deepEqual(openapi.paths['/runs/{id}/events']?.['get']?.parameters?.map(one => one.name).toSorted(), [
    'after',
    'from_sequence',
    'id',
    'strict',
    'timeout',
    'types',
  ])
  assert.ok(openapi.paths['/invoke/stream']?.['post'])
  const docs = await (await fetch(`${served.url}/docs`)).text()
  assert.match(docs, /from_sequence/)
  assert.match(docs, /<p>204: The run has ended/)
  assert.match(docs, /<summary>202: The run was started.*\(application\/json\)<\/summary><pre>[^<]*events_url/)
})

test('OpenAPI shows what agents take and give, and the one body of errors', async () => {
  const io = { input: z.object({ who: z.string() }), output: z.object({ hello: z.string() }) }
  const greet = defineAgent({ name: 'greet', ...io }, async ({ who }) => ({ hello: who, more: 1 }))
  await using served = await serving({ agents: [greet, counter] })
  const paths = await pathsOf(served)
  const invoke = paths['/invoke']?.['post'] as Operation
  const [taken] = invoke.requestBody.content['application/json'].schema.anyOf
  assert.deepEqual(taken, {
    title: 'greet',
    type: 'object',
    properties: { who: { type: 'string' } },
    required: ['who'],
  })
  const { output } = (invoke.responses['200'] as Content).content['application/json'].schema.properties
  const [given] = (output as { anyOf: Record<string, unknown>[] }).anyOf
  assert.deepEqual(given?.['properties'], { hello: { type: 'string' } })
  const start = paths['/runs']?.['post'] as Operation
  assert.deepEqual(Object.keys(start.responses), ['200', '202', 'default'])
  const { properties } = (invoke.responses['default'] as Content).content['application/json'].schema
  assert.deepEqual(Object.keys(properties), ['success', 'error', 'code', 'details'])
  const answer = (await (await post(served, '/invoke', { who: 'Ada' })).json()) as { output: object }
  assert.deepEqual(answer.output, { hello: 'Ada' }, 'the schema decides, not what is shown of it')
})

/** Says something of every kind, and asks. */
const lively = defineAgent({ name: 'lively', input: z.unknown() }, async function* (input, ctx) {
  ctx.step('plan', { phase: 'start', input_keys: ['a'] })
  yield 'said '
  ctx.token('thought', { channel: 'reasoning', llm_request_id: 'q', model: 'm' })
  ctx.step('plan', { output_keys: ['b'] })
  ctx.progress('read', 0.5, 'half')
  ctx.checkpoint('c', { at: 1 })
  ctx.tool({ call_id: 'c1', tool_name: 'search', stage: 'completed', result: [1], duration_ms: 2 })
  ctx.metrics('llm', { tokens_total: { value: 3 }, cost_usd: { value: 0.1 } }, { tags: { model: 'm' } })
  ctx.text('a text', { language: 'en', position: 'before' })
  ctx.chart('chart', { series: [] }, { title: 'A chart', data_points: 2 })
  ctx.item({ n: 1 })
  ctx.bytes(Uint8Array.of(1))
  ctx.warning('w', 'careful', { step: 'plan', details: { n: 1 } })
  ctx.emit('own', { n: 1 })
  ctx.state.update(draft => void (draft['n'] = 1))
  if (input === 'fail') throw Object.assign(new Error('no luck'), { code: 'bad_luck' })
  if (input === 'ask') await ctx.ask('Sure?', { kind: 'approval', input_id: 'sure', details: { n: 1 } })
  return { done: true }
})

type Row = readonly [operation: string, path: string, status: number, init?: RequestInit]

const posted = (body: unknown, headers: Record<string, string> = {}, method = 'POST'): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const sse = { accept: 'text/event-stream' }
const said = { id: 'm1', role: 'user', parts: [{ type: 'text', text: 'hello' }] }

/** Every operation, in an order in which each finds what it wants; several answers of one where they differ. */
const rows: readonly Row[] = [
  ['get /health', '/health', 200],
  ['get /ready', '/ready', 200],
  ['get /metrics', '/metrics', 200],
  ['get /schema', '/schema', 200],
  ['get /info', '/info', 200],
  ['post /invoke', '/invoke', 200, posted('go')],
  ['post /invoke', '/invoke', 500, posted('fail')],
  ['post /invoke/stream', '/invoke/stream', 200, posted('go')],
  ['post /runs', '/runs?run_id=done&thread_id=t&scenario=s&company_id=c', 200, posted('go', sse)],
  ['post /runs', '/runs?run_id=failed&thread_id=t', 200, posted('fail', { accept: 'application/x-ndjson' })],
  ['post /runs', '/runs?run_id=asks&thread_id=t', 202, posted('ask')],
  ['post /runs', '/runs?run_id=done', 409, posted('go')],
  ['get /conversations/{id}/messages', '/conversations/t/messages', 200],
  ['get /runs', '/runs?limit=2', 200],
  ['get /runs/{id}', '/runs/done', 200],
  ['get /runs/{id}', '/runs/failed', 200],
  ['get /runs/{id}', '/runs/asks', 200],
  ['get /runs/{id}', '/runs/nobody', 404],
  ['get /runs/{id}/events', '/runs/done/events', 200],
  ['get /runs/{id}/events', '/runs/done/events?after=1000', 204],
  ['get /runs/{id}/events', '/runs/done/events?after=1000&strict=1', 410],
  ['get /runs/{id}/snapshot', '/runs/done/snapshot', 200],
  ['get /runs/{id}/snapshot', '/runs/failed/snapshot', 200],
  ['get /runs/{id}/snapshot', '/runs/asks/snapshot', 200],
  ['post /runs/{id}/input', '/runs/asks/input', 202, posted({ input_id: 'other', value: 1 })],
  ['post /runs/{id}/cancel', '/runs/asks/cancel?reason=enough', 202, { method: 'POST' }],
  ['get /runs/{id}/events', '/runs/asks/events', 200],
  ['get /runs/{id}', '/runs/asks', 200],
  ['post /runs', '/runs?run_id=stopped', 202, posted('ask')],
  ['delete /runs/{id}', '/runs/stopped?reason=enough', 200, { method: 'DELETE' }],
  ['get /threads/{id}/events', '/threads/t/events?timeout=1', 200],
  ['post /conversations', '/conversations', 201, posted({ id: 'mine', title: 'Mine' })],
  ['post /conversations', '/conversations', 409, posted({ id: 'mine' })],
  ['get /conversations', '/conversations?limit=1', 200],
  ['get /conversations/{id}', '/conversations/mine', 200],
  ['patch /conversations/{id}', '/conversations/mine', 200, posted({ title: 'Ours' }, {}, 'PATCH')],
  ['post /conversations/{id}/messages', '/conversations/mine/messages', 201, posted({ content: 'hello' })],
  ['get /conversations/{id}/messages', '/conversations/t/messages', 200],
  ['get /conversations/{id}/messages', '/conversations/t/messages?limit=1', 200],
  ['get /conversations/{id}/export', '/conversations/t/export', 200],
  ['get /conversations/{id}/export', '/conversations/t/export?format=markdown', 200],
  ['get /conversations/{id}/export', '/conversations/t/export?format=chat.v1', 200],
  ['delete /conversations/{id}', '/conversations/mine', 204, { method: 'DELETE' }],
  ['post /agui', '/agui', 200, posted({ threadId: 'a', runId: 'agui1', messages: [] })],
  ['post /agui/{agent}', '/agui/lively', 200, posted({ threadId: 'a', runId: 'agui2', messages: [] })],
  ['post /api/chat', '/api/chat', 200, posted({ id: 'chat', messages: [said] })],
  ['get /api/chat/{id}/stream', '/api/chat/chat/stream', 200],
  ['get /api/chat/{id}/stream', '/api/chat/nobody/stream', 204],
  ['delete /api/chat/{id}', '/api/chat/chat', 200, { method: 'DELETE' }],
]

test('OpenAPI describes every operation’s answers: real ones fit it, and have no field that it does not name', async () => {
  const log = memory()
  const conversations = await createConversations({ log, db: { sqlite: ':memory:' }, deps })
  await using served = await serving({ agents: [lively as Agent], log, conversations })
  const paths = await fitting(served, rows)
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map(one => `${one} ${path}`),
  )
  assert.deepEqual(new Set(described), new Set(rows.map(([operation]) => operation)))
})

test('OpenAPI says the truth of a server without agents, too', async () => {
  await using served = await serveSource({ source: readOnly(memory(), 'nothing', deps), port: 0 })
  await fitting(served, [
    ['get /health', '/health', 200],
    ['get /ready', '/ready', 200],
    ['get /info', '/info', 200],
    ['get /runs', '/runs', 200],
  ])
})

test('OpenAPI says of health what export and reading say of themselves, with a broker and without one', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  for (const { brokers, isThere } of [
    { brokers: service.brokers, isThere: true },
    { brokers: ['127.0.0.1:1'], isThere: false },
  ]) {
    const log = memory()
    const own = names()
    const place = { brokers, ...own, deps, format: 'dashstream' as const }
    const sink = kafkaSink({ ...place, log, tenants: ['default'], drainMs: 0 })
    await using exporting = await serving({ log, sink })
    await exporting.runs.start('counter', {})
    await until('it sends, or cannot', async () =>
      isThere ? (await sink.lag())?.events === 0 : (await sink.status()).failure !== undefined,
    )
    await fitting(exporting, [['get /health', '/health', 200]])
    const source = kafkaSource({ ...place, topics: [own.topic], from: 'always', deadLetters: false })
    await using showing = await serveSource({ source, port: 0 })
    if (isThere) await until('it reads', () => source.status().records > 0)
    await fitting(showing, [['get /health', '/health', 200]])
  }
})

/** The paths of the document, which has nothing to say against the answers to these. */
async function fitting(served: Listening, asked: readonly Row[]) {
  const paths = (await pathsOf(served)) as never as Record<string, Record<string, { responses: Record<string, Shown> }>>
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  for (const [operation, path, status, init] of asked) {
    const [method = '', where = ''] = operation.split(' ')
    const { responses } = paths[where]?.[method] ?? assert.fail(`${operation} is not described`)
    const answer = await fetch(served.url + path, init)
    const text = await answer.text()
    assert.equal(answer.status, status, `${method} ${path}: ${text}`)
    const { content } =
      responses[status] ?? ((status >= 400 && responses['default']) || assert.fail(`${operation} ${status}`))
    const type = answer.headers.get('content-type')?.split(';')[0]
    assert.deepEqual(
      type === undefined ? [] : [type],
      Object.keys(content ?? {}).filter(one => one === type),
      operation,
    )
    if (type !== 'application/json') continue
    const schema = content?.[type]?.schema ?? {}
    if (schema['type'] === 'string') continue // a file
    assert.ok('properties' in schema, operation)
    assert.ok(
      ajv.validate(closed(schema) as object, JSON.parse(text)),
      `${method} ${path}: ${ajv.errorsText()} ${text}`,
    )
  }
  return paths
}

interface Shown {
  readonly content?: Record<string, { schema: Record<string, unknown> }>
}

/** A schema of the document with nothing beside what it names. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]))
  return 'properties' in inner ? { additionalProperties: false, ...inner } : inner
}
