// The OpenAPI document against the server that wrote it: what it says of requests and answers is what comes and goes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { z } from 'zod'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { type Served, type ServeOptions, serve } from '../src/server.ts'

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

async function pathsOf(served: Served): Promise<Record<string, Record<string, Operation>>> {
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
  assert.deepEqual(Object.keys(start.responses), ['202', 'default'])
  const { properties } = (invoke.responses['default'] as Content).content['application/json'].schema
  assert.deepEqual(Object.keys(properties), ['success', 'error', 'code', 'details'])
  const answer = (await (await post(served, '/invoke', { who: 'Ada' })).json()) as { output: object }
  assert.deepEqual(answer.output, { hello: 'Ada' }, 'the schema decides, not what is shown of it')
})
