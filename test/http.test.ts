// The HTTP API as anyone meets it: real sockets, real clients. What `Runs` promises is in the runs suite; here is what
// only HTTP has: statuses, headers, frames, cursors, deadlines, limits, errors.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import type { Log } from '../src/log.ts'
import { serveSource } from '../src/serve-source.ts'
import { type Served, type ServeOptions, serve } from '../src/server.ts'
import { readOnly } from '../src/sources/read-only.ts'
import { until } from './until.ts'

const counter = defineAgent(
  {
    name: 'counter',
    input: z.looseObject({ count: z.number().default(3), ms: z.number().default(0) }),
    output: z.unknown(),
  },
  async function* ({ count, ms }) {
    for (let n = 1; n <= count; n++) {
      if (ms > 0) await sleep(ms)
      yield `t${n}`
    }
    return { count }
  },
)
const aborted: unknown[] = []
const silent = defineAgent({ name: 'silent' }, async (input: { ms?: number; lingerMs?: number } | null, ctx) => {
  ctx.signal.addEventListener('abort', () => aborted.push(input))
  await sleep(input?.ms ?? 60_000, undefined, { signal: ctx.signal }).catch(() => {})
  await sleep(input?.lingerMs ?? 0)
  return 'woke'
})
const fails = defineAgent({ name: 'fails' }, async () => {
  throw new Error('no luck')
})
const agents: readonly Agent[] = [counter, silent, fails]

const serving = (options: Partial<ServeOptions> = {}) => serve({ agents, port: 0, ...options })

const json = { 'content-type': 'application/json' }

async function post(
  served: Served,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(served.url + path, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) })
}

async function started(served: Served, input: unknown, query = ''): Promise<string> {
  const answer = await post(served, `/runs${query}`, input)
  assert.equal(answer.status, 202)
  return ((await answer.json()) as { run_id: string }).run_id
}

/** A response as it stands on the wire, until the connection closes or the body has `enough`. */
async function raw(
  served: Served,
  request: string,
  enough?: RegExp,
): Promise<{ head: string; body: string; clean: boolean }> {
  const { hostname, port } = new URL(served.url)
  const socket = connect({ host: hostname, port: Number(port) })
  let text = ''
  socket.setEncoding('utf8')
  socket.on('data', chunk => {
    text += chunk
    if (enough?.test(plain(text).body)) socket.destroy()
  })
  socket.on('error', () => {})
  socket.write(request)
  await new Promise(resolve => socket.once('close', resolve))
  return plain(text)
}

/** Head and body, and whether it ended as a whole response does. */
function plain(text: string): { head: string; body: string; clean: boolean } {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const chunked = rest.join('\r\n\r\n')
  const clean = chunked.endsWith('0\r\n') || chunked.endsWith('0\r\n\r\n')
  return { head, body: chunked.replace(/(^|\r\n)[0-9a-f]+\r\n/g, '').replace(/\r\n$/, ''), clean }
}

const connectionsOf = ({ app }: Served) =>
  new Promise<number>((resolve, reject) =>
    app.fastify.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )

/** A log that counts who watches it, and how many ever began to. */
function watchedLog(inner: Log) {
  const count = { now: 0, begun: 0 }
  const log: Log = {
    ...inner,
    watch(key, ring) {
      const bell = inner.watch(key, ring)
      count.now++
      count.begun++
      return {
        [Symbol.dispose]() {
          count.now--
          bell[Symbol.dispose]()
        },
      }
    },
  }
  return { log, count }
}

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`

async function eventsOf(
  served: Served,
  run: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<string> {
  return (await fetch(`${served.url}/runs/${run}/events${query}`, { headers })).text()
}

const ids = (body: string) => [...body.matchAll(/^id: (\d+)$/gm)].map(match => Number(match[1]))

test('DK14 POST /runs answers 202 with where to read, while the agent works', async () => {
  await using served = await serving()
  const answer = await post(served, '/runs?agent=silent', {})
  assert.equal(answer.status, 202)
  const body = (await answer.json()) as Record<string, string>
  assert.deepEqual(Object.keys(body), ['run_id', 'status', 'events_url', 'created_at'])
  assert.equal(body['status'], 'accepted')
  assert.equal(answer.headers.get('location'), `/runs/${body['run_id']}`)
  assert.equal(body['events_url'], `/runs/${body['run_id']}/events`)
})

test('DK62 DK63 PX7 PX8 a stream has the headers and the frames of PROTOCOL.md', async () => {
  await using served = await serving({ retryMs: 5_000 })
  const run = await started(served, { count: 1 }, '?run_id=r1')
  const { head, body, clean } = await raw(served, get(`/runs/${run}/events`))
  assert.match(head, /^HTTP\/1\.1 200 OK/)
  for (const header of [
    'content-type: text/event-stream; charset=utf-8',
    'cache-control: no-cache, no-transform',
    'x-accel-buffering: no',
    'x-runcast-heartbeat-ms: 15000',
  ]) {
    assert.ok(head.toLowerCase().includes(header), header)
  }
  const timestamp = '"timestamp":"[^"]+"'
  const frame = (type: string, n: number, rest: string) =>
    `event: ${type}\ndata: \\{"id":"r1:${n}","type":"${type}","run_id":"r1","sequence":${n},${timestamp}${rest}\\}\nid: ${n}\n\n`
  const expected = `^retry: 5000\n${frame('started', 1, ',"agent_name":"counter","framework":"runcast"')}${frame('token', 2, ',"content":"t1"')}${frame('complete', 3, ',"output":\\{"count":1\\},"latency_seconds":[\\d.e-]+')}$`
  assert.match(body, new RegExp(expected))
  assert.ok(clean)
})

test('DK22 DK24 the cursor comes as from_sequence, after or Last-Event-ID, and the header wins', async () => {
  await using served = await serving()
  const run = await started(served, { count: 7 })
  await eventsOf(served, run)
  assert.deepEqual(ids(await eventsOf(served, run, '?from_sequence=5')), [5, 6, 7, 8, 9])
  assert.deepEqual(ids(await eventsOf(served, run, '?from_sequence=0')), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.deepEqual(ids(await eventsOf(served, run, '?after=5')), [6, 7, 8, 9])
  assert.deepEqual(ids(await eventsOf(served, run, '?after=2&from_sequence=9')), [3, 4, 5, 6, 7, 8, 9])
  assert.deepEqual(ids(await eventsOf(served, run, '?after=2', { 'last-event-id': '7' })), [8, 9])
})

test('DK21 DK23 a reader at or past the end of an ended run gets 204', async () => {
  await using served = await serving()
  const run = await started(served, { count: 1 })
  await eventsOf(served, run)
  for (const [query, header] of [
    ['', '3'],
    ['?after=3', ''],
    ['?from_sequence=99', ''],
    ['', '400'],
  ] as const) {
    const answer = await fetch(`${served.url}/runs/${run}/events${query}`, {
      headers: header ? { 'last-event-id': header } : {},
    })
    assert.equal(answer.status, 204, `${query} ${header}`)
  }
})

test('NDJSON gives the same objects, one per line', async () => {
  await using served = await serving()
  const run = await started(served, { count: 2 })
  const answer = await fetch(`${served.url}/runs/${run}/events`, { headers: { accept: 'application/x-ndjson' } })
  assert.equal(answer.headers.get('content-type'), 'application/x-ndjson')
  const lines = (await answer.text())
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string; sequence: number })
  assert.deepEqual(
    lines.map(line => [line.type, line.sequence]),
    [
      ['started', 1],
      ['token', 2],
      ['token', 3],
      ['complete', 4],
    ],
  )
})

test('Accept says with q values what it wants, and what not', async () => {
  await using served = await serving()
  const run = await started(served, { count: 1 })
  const typeOf = async (answer: Response) => {
    await answer.text()
    return [answer.status, answer.headers.get('content-type')?.split(';')[0]]
  }
  const accept = 'text/event-stream;q=0, application/x-ndjson;q=0.5, application/json;q=0.9'
  assert.deepEqual(await typeOf(await post(served, '/runs', { count: 1 }, { accept })), [202, 'application/json'])
  const events = await fetch(`${served.url}/runs/${run}/events`, { headers: { accept } })
  assert.deepEqual(await typeOf(events), [200, 'application/x-ndjson'])
  const lines = await post(served, '/runs', { count: 1 }, { accept: 'application/json;q=0.1, application/x-ndjson' })
  assert.deepEqual(await typeOf(lines), [200, 'application/x-ndjson'])
})

test('POST /runs with Accept: text/event-stream starts and tails in one request, and the same key attaches again', async () => {
  await using served = await serving()
  const headers = { accept: 'text/event-stream', 'idempotency-key': 'k' }
  const first = await post(served, '/runs', { count: 2 }, headers)
  assert.equal(first.status, 200)
  assert.match(first.headers.get('location') ?? '', /^\/runs\/k[0-9a-f]+$/)
  assert.deepEqual(ids(await first.text()), [1, 2, 3, 4])
  assert.deepEqual(ids(await (await post(served, '/runs', { count: 2 }, headers)).text()), [1, 2, 3, 4])
  assert.equal((await post(served, '/runs', { count: 3 }, headers)).status, 409)
})

test('DK5 DK45 OL1 POST /invoke answers with the output, or with the failure of the agent', async () => {
  await using served = await serving()
  const good = await post(served, '/invoke', { count: 2 })
  assert.equal(good.status, 200)
  const body = (await good.json()) as { metadata: { latency_seconds: number } }
  assert.ok(body.metadata.latency_seconds >= 0)
  assert.deepEqual(body, {
    success: true,
    output: { count: 2 },
    metadata: { agent: 'counter', framework: 'runcast', latency_seconds: body.metadata.latency_seconds },
  })
  const bad = await post(served, '/invoke?agent=fails', {})
  assert.equal(bad.status, 500)
  assert.deepEqual(await bad.json(), { success: false, error: 'no luck', code: 'agent_error', details: {} })
})

test('DK6 a start whose types are none is refused before anything runs', async () => {
  await using served = await serving()
  for (const accept of ['text/event-stream', 'application/json']) {
    const answer = await post(served, '/runs?types=token,bogus', {}, { accept })
    assert.equal(answer.status, 400)
    assert.match(await answer.text(), /types: there is no event type \\"bogus\\"/)
  }
  assert.deepEqual(await (await fetch(`${served.url}/runs`)).json(), { runs: [] })
})

test('no body is null: for the agent, and in what is kept of the run', async () => {
  const given: unknown[] = []
  const hears = defineAgent({ name: 'hears' }, async (input: unknown) => void given.push(input))
  await using served = await serving({ agents: [hears] })
  for (const path of ['/invoke', '/invoke/stream']) await (await fetch(served.url + path, { method: 'POST' })).text()
  const tailed = await fetch(`${served.url}/runs?run_id=r`, {
    method: 'POST',
    headers: { accept: 'text/event-stream' },
  })
  await tailed.text()
  assert.deepEqual(given, [null, null, null])
  const run = (await (await fetch(`${served.url}/runs/r`)).json()) as Record<string, unknown>
  assert.deepEqual(run['input'], null)
})

test('DK6 a body that does not fit is 422 with the field named, on all three entry points, and the agent never runs', async () => {
  await using served = await serving()
  for (const path of ['/invoke', '/invoke/stream', '/runs']) {
    const answer = await post(served, path, { count: 'many' })
    assert.equal(answer.status, 422, path)
    const body = (await answer.json()) as { code: string; error: string; details: { issues: { field: string }[] } }
    assert.equal(body.code, 'invalid_input')
    assert.equal(body.details.issues[0]?.field, 'count')
  }
  assert.deepEqual(await (await fetch(`${served.url}/runs`)).json(), { runs: [] })
})

test('DK7 DK9 DK10 DK11 a direct stream carries request_id alone, has no ids, and leaves no run', async () => {
  await using served = await serving()
  const answer = await post(served, '/invoke/stream', { count: 2 })
  assert.equal(answer.status, 200)
  const body = await answer.text()
  assert.deepEqual(ids(body), [])
  const events = [...body.matchAll(/^data: (.*)$/gm)].map(
    match => JSON.parse(match[1] ?? '') as Record<string, unknown>,
  )
  assert.deepEqual(
    events.map(event => event['type']),
    ['started', 'token', 'token', 'complete'],
  )
  assert.equal(new Set(events.map(event => event['request_id'])).size, 1)
  assert.ok(
    events.every(event => typeof event['request_id'] === 'string' && !('run_id' in event) && !('sequence' in event)),
  )
  assert.deepEqual(events.at(-1)?.['output'], { count: 2 })
  assert.deepEqual(await (await fetch(`${served.url}/runs`)).json(), { runs: [] })
})

test('DK12 closing a direct stream aborts its agent', async () => {
  await using served = await serving()
  const mark = { ms: 60_000, mark: 'direct' }
  const leaving = new AbortController()
  const answer = await fetch(`${served.url}/invoke/stream?agent=silent`, {
    method: 'POST',
    headers: json,
    body: JSON.stringify(mark),
    signal: leaving.signal,
  })
  const reader = answer.body?.getReader()
  await reader?.read()
  leaving.abort()
  await until('the abort', () => aborted.some(input => (input as typeof mark)?.mark === 'direct'))
})

test('DK29 DK32 DELETE answers when the run is sealed; a finished run answers 409', async () => {
  await using served = await serving()
  const run = await started(served, { lingerMs: 100 }, '?agent=silent')
  const reading = await fetch(`${served.url}/runs/${run}/events`)
  const answer = await fetch(`${served.url}/runs/${run}?reason=enough`, { method: 'DELETE' })
  assert.equal(answer.status, 200)
  assert.deepEqual(await answer.json(), { run_id: run, status: 'cancelled', reason: 'enough' })
  const body = await reading.text()
  assert.match(
    body,
    /event: cancel_requested\ndata: \{"type":"cancel_requested","run_id":"[^"]+","timestamp":"[^"]+"\}\n\n/,
  )
  assert.match(body, /event: cancelled\ndata: .*"reason":"enough"\}\nid: \d+\n\n$/)
  assert.equal((await fetch(`${served.url}/runs/${run}`, { method: 'DELETE' })).status, 409)
  assert.equal((await fetch(`${served.url}/runs/${run}/cancel`, { method: 'POST' })).status, 409)
})

test('POST /runs/{id}/cancel answers 202 at once', async () => {
  await using served = await serving()
  const run = await started(served, {}, '?agent=silent')
  const answer = await fetch(`${served.url}/runs/${run}/cancel`, { method: 'POST' })
  assert.equal(answer.status, 202)
  assert.equal(((await answer.json()) as { run_id: string }).run_id, run)
  assert.match(await eventsOf(served, run), /event: cancelled/)
})

test('DK34 DK35 PX10 a silent run has heartbeats without an id', async () => {
  await using served = await serving({ heartbeatMs: 300 })
  const run = await started(served, {}, '?agent=silent')
  const { body } = await raw(served, get(`/runs/${run}/events`), /(event: heartbeat\n[^]*){2}\n\n$/)
  const beats = [...body.matchAll(/event: heartbeat\ndata: (.*)\n\n/g)].map(
    match => JSON.parse(match[1] ?? '') as Record<string, string>,
  )
  assert.ok(beats.length >= 2)
  assert.deepEqual(Object.keys(beats[0] ?? {}), ['type', 'run_id', 'timestamp'])
  assert.deepEqual(ids(body), [1])
})

test('DK24 DK34 a resumed reader hears comments until it has an id again: an event without one would cost it its cursor', async () => {
  await using served = await serving({ heartbeatMs: 300 })
  const run = await started(served, {}, '?agent=silent')
  const { body } = await raw(served, get(`/runs/${run}/events`, 'last-event-id: 1\r\n'), /(: hb\n){3}$/)
  assert.match(body, /^retry: \d+\n(: hb\n)+$/)
})

test('DK51 where the filter leaves heartbeats out they are comments with one newline', async () => {
  await using served = await serving({ heartbeatMs: 300, heartbeatEvents: false })
  const run = await started(served, {}, '?agent=silent')
  const { body } = await raw(served, get(`/runs/${run}/events`), /(: hb\n){3}$/)
  assert.match(body, /\n\n: hb\n(: hb\n)*$/)
})

test('DK36 the idle deadline ends the response without a terminal event, heartbeats or not', async () => {
  await using served = await serving({ heartbeatMs: 200 })
  const run = await started(served, {}, '?agent=silent')
  const { body, clean } = await raw(served, get(`/runs/${run}/events?timeout=1`))
  assert.ok(clean)
  assert.doesNotMatch(body, /event: (complete|error|cancelled)/)
  assert.match(body, /event: heartbeat/)
})

test('DK27 PX9 PX31 one reader too many of a run is 429, one stream too many of the server 503', async () => {
  await using served = await serving({ readersPerRunMax: 1, connectionsMax: 2 })
  const leaving = new AbortController()
  const { signal } = leaving
  const first = await started(served, {}, '?agent=silent')
  const second = await started(served, {}, '?agent=silent')
  await fetch(`${served.url}/runs/${first}/events`, { signal })
  assert.equal((await fetch(`${served.url}/runs/${first}/events`)).status, 429)
  await fetch(`${served.url}/runs/${second}/events`, { signal })
  assert.equal((await fetch(`${served.url}/runs/${second}/events`)).status, 503)
  const untold = await post(served, '/runs?run_id=untold', {}, { accept: 'text/event-stream' })
  assert.deepEqual([untold.status, untold.headers.get('location')], [503, '/runs/untold'], 'it runs all the same')
  assert.equal(((await untold.json()) as { code: string }).code, 'overloaded')
  leaving.abort()
})

test('DK70 a forgotten cursor gets a gap notice without an id, and 410 when strict', async () => {
  await using served = await serving({ retention: { eventsPerRunMax: 20 } })
  const run = await started(served, { count: 60, ms: 1 })
  await eventsOf(served, run)
  const body = await eventsOf(served, run)
  const gap = /^retry: \d+\nevent: gap\ndata: (.*)\n\n/.exec(body)
  const { requested, oldest } = JSON.parse(gap?.[1] ?? '{}') as { requested: number; oldest: number }
  assert.equal(requested, 1)
  assert.ok(oldest > 1)
  const seen = ids(body)
  assert.deepEqual(
    seen,
    Array.from({ length: 62 - oldest + 1 }, (_, index) => oldest + index),
  )
  const strict = await fetch(`${served.url}/runs/${run}/events?strict=1`)
  assert.equal(strict.status, 410)
  assert.deepEqual(((await strict.json()) as { details: unknown }).details, { requested: 1, oldest })
  const view = (await (await fetch(`${served.url}/runs/${run}/snapshot`)).json()) as {
    at: number
    view: { parts: { content: string }[] }
  }
  assert.equal(view.at, 62)
  assert.equal(view.view.parts[0]?.content, Array.from({ length: 60 }, (_, index) => `t${index + 1}`).join(''))
  assert.equal((await fetch(`${served.url}/runs/${run}/snapshot?at=1`)).status, 410)
})

test('DK8 a direct stream is incremental: what an agent emits comes when it is emitted', async () => {
  let read = Promise.withResolvers<void>()
  const heard = defineAgent({ name: 'heard' }, async function* () {
    for (let n = 0; n < 4; n++) {
      yield 'a word'
      await read.promise // a word that waited for the next one would never come
      read = Promise.withResolvers()
    }
  })
  await using served = await serving({ agents: [heard] })
  const answer = await post(served, '/invoke/stream', {})
  let arrivals = 0
  for await (const chunk of answer.body ?? []) {
    if (!Buffer.from(chunk).includes('event: token')) continue
    arrivals++
    read.resolve()
  }
  assert.equal(arrivals, 4)
})

test('PX9 a direct stream for which the server has no place is refused before its agent runs', async () => {
  await using served = await serving({ connectionsMax: 0 })
  assert.equal((await post(served, '/invoke/stream?agent=silent', {})).status, 503)
  assert.doesNotMatch(await (await fetch(`${served.url}/metrics`)).text(), /^runcast_runs_started_total/m)
})

test('PX1 a reader that leaves while the log looks for its run keeps no place', async () => {
  const found = Promise.withResolvers<void>()
  let isSlow = false
  let asked = false
  const inner = memory()
  const { log, count } = watchedLog({
    ...inner,
    async head(run) {
      asked = isSlow
      if (isSlow) await found.promise
      return inner.head(run)
    },
  })
  await using served = await serving({ log, idleMs: 600_000 })
  const run = await started(served, {}, '?agent=silent')
  await until('it runs', async () => ((await inner.head(run))?.last ?? 0) > 0)
  const before = { ...count, connections: await connectionsOf(served) }
  isSlow = true
  const { hostname, port } = new URL(served.url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.write(get(`/runs/${run}/events`, 'last-event-id: 1\r\n'))
  await until('the log is asked', () => asked)
  socket.destroy()
  await until('the server sees it', async () => (await connectionsOf(served)) <= before.connections)
  const { begun } = count
  found.resolve()
  await until('the run is read', () => count.begun > begun)
  await until('its end', () => served.app.streams.open === 0 && count.now === before.now)
})

test('a source that cannot be served, because its port is taken, is followed by nobody then', async () => {
  await using served = await serving()
  const { log, count } = watchedLog(memory())
  await using source = readOnly(log, 'the log', realDeps)
  const shown = serveSource({ source, tenant: 'default', port: Number(new URL(served.url).port) })
  await assert.rejects(shown, { code: 'EADDRINUSE' })
  assert.ok(count.begun > 0)
  assert.equal(count.now, 0)
})

test('PX1 H117 open streams are counted, and gone from the count, with their places, when they end', async () => {
  await using served = await serving({ connectionsMax: 3 })
  const run = await started(served, {}, '?agent=silent')
  const leaving = new AbortController()
  for (let n = 0; n < 3; n++) await fetch(`${served.url}/runs/${run}/events`, { signal: leaving.signal })
  assert.equal(served.app.streams.open, 3)
  assert.match(await (await fetch(`${served.url}/metrics`)).text(), /^runcast_streams_open 3$/m)
  assert.equal((await fetch(`${served.url}/runs/${run}/events`)).status, 503)
  leaving.abort()
  await until('their end', () => served.app.streams.open === 0)
  assert.match(await (await fetch(`${served.url}/metrics`)).text(), /^runcast_streams_open 0$/m)
  for (let n = 0; n < 50; n++) {
    const given = new AbortController()
    const asking = fetch(`${served.url}/runs/${run}/events`, { signal: given.signal })
    given.abort() // before, while or after it is answered
    await asking.catch(() => {})
  }
  await until('their end', () => served.app.streams.open === 0)
  const again = new AbortController()
  const { status } = await fetch(`${served.url}/runs/${run}/events`, { signal: again.signal })
  again.abort()
  assert.equal(status, 200)
})

test("H118 nobody sees another tenant's runs, threads or numbers, nor can tell or stop them", async () => {
  const authenticate = ({ 'x-tenant': own }: Readonly<Record<string, unknown>>) => ({ tenant: String(own) })
  await using served = await serving({ authenticate })
  const as = (own: string, path: string, init: RequestInit = {}) =>
    fetch(served.url + path, { ...init, headers: { ...json, 'x-tenant': own } })
  const start = (own: string, query: string) => as(own, `/runs${query}`, { method: 'POST', body: '{}' })
  const name = 'a/t'
  const thread = encodeURIComponent(name)
  assert.equal((await start('a', `?run_id=mine&thread_id=${thread}&agent=silent`)).status, 202)
  for (const [path, init] of [
    ['/runs/mine', {}],
    ['/runs/mine/events', {}],
    ['/runs/mine/events?after=1', {}],
    ['/runs/mine/snapshot', {}],
    ['/runs/mine/input', { method: 'POST', body: '{"input_id":"i","value":1}' }],
    ['/runs/mine/cancel', { method: 'POST' }],
    ['/runs/mine', { method: 'DELETE' }],
  ] as const) {
    const answer = await as('b', path, init)
    assert.equal(answer.status, 404, path)
    assert.match(await answer.text(), /there is no run \\"mine\\"/)
  }
  assert.deepEqual(await (await as('b', '/runs')).json(), { runs: [] })
  assert.deepEqual(await (await as('b', `/runs?thread_id=${thread}`)).json(), { runs: [] })
  // The same thread of another tenant is another thread: free, and with a feed of its own.
  assert.equal((await start('b', `?run_id=other&thread_id=${thread}&agent=counter`)).status, 202)
  const feed = await (await as('b', `/threads/${thread}/events?timeout=1`)).text()
  assert.deepEqual(ids(feed), [1, 2, 3])
  assert.doesNotMatch(feed, /mine/)
  assert.doesNotMatch(await (await as('b', '/metrics')).text(), /tenant|mine/)
  assert.equal(((await (await as('a', '/runs/mine')).json()) as { status: string }).status, 'running')
  // No name of a tenant reaches into another's.
  assert.deepEqual(ids(await (await as('a/a', '/threads/t/events?timeout=1')).text()), [])
})

test('DK1 DK2 DK3 DK4 the server says how it is, what it has, and what it did', async () => {
  let ready = false
  await using served = await serving({ ready: () => ready })
  const health = (await (await fetch(`${served.url}/health`)).json()) as Record<string, string>
  assert.deepEqual(Object.keys(health), ['status', 'service', 'version', 'timestamp', 'agent', 'framework'])
  assert.equal((await fetch(`${served.url}/ready`)).status, 503)
  ready = true
  assert.deepEqual(await (await fetch(`${served.url}/ready`)).json(), {
    success: true,
    status: 'ready',
    agent: 'counter',
  })
  const metric = async (name: string) =>
    Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await (await fetch(`${served.url}/metrics`)).text())?.[1] ?? 0)
  await post(served, '/invoke', { count: 1 })
  assert.equal(await metric('runcast_runs_started_total\\{agent="counter"\\}'), 1)
  await eventsOf(served, await started(served, { count: 1 }))
  assert.equal(await metric('runcast_runs_started_total\\{agent="counter"\\}'), 2)
  assert.equal(await metric('runcast_runs_ended_total\\{agent="counter",status="completed"\\}'), 2)
  await until('the end of the run', async () => (await metric('runcast_runs_active')) === 0)
  assert.equal(await metric('runcast_streams_open'), 0)
  const schema = (await (await fetch(`${served.url}/schema`)).json()) as { agents: { input: { properties: object } }[] }
  assert.deepEqual(Object.keys(schema.agents[0]?.input.properties ?? {}), ['count', 'ms'])
})

test('DK64 DK65 what is switched off is not there', async () => {
  await using served = await serving({ asyncRuns: false, streaming: false })
  assert.equal((await post(served, '/runs', {})).status, 404)
  assert.equal((await post(served, '/invoke/stream', {})).status, 404)
  assert.equal((await post(served, '/invoke', {})).status, 200)
})

test('DK28 H112 H114 a reader that never reads neither delays the others nor fills memory', async () => {
  await using served = await serving()
  const { hostname, port } = new URL(served.url)
  const run = await started(served, { count: 30_000 })
  const stalled = connect({ host: hostname, port: Number(port) })
  stalled.pause()
  stalled.write(get(`/runs/${run}/events`))
  const others = await Promise.all(Array.from({ length: 5 }, () => eventsOf(served, run)))
  for (const body of others) assert.equal(ids(body).length, 30_002)
  stalled.destroy()
})

test('PX48 a stopping server lets runs end, seals the rest as interrupted, and closes', async () => {
  const stopping = Promise.withResolvers<void>()
  const finishing = defineAgent({ name: 'finishing' }, () => stopping.promise)
  const served = await serving({ agents: [...agents, finishing] })
  const short = await started(served, {}, '?agent=finishing')
  const long = await started(served, {}, '?agent=silent')
  const feed = raw(served, get('/threads/t/events'))
  const [first, second] = await Promise.all([short, long].map(run => fetch(`${served.url}/runs/${run}/events`)))
  await until('the feed is read', () => served.app.streams.open === 3)
  const stopped = served.stop(2_000)
  stopping.resolve()
  await stopped
  assert.match((await first?.text()) ?? '', /event: complete/)
  assert.match((await second?.text()) ?? '', /event: error\ndata: .*"code":"interrupted"/)
  const { body, clean } = await feed
  assert.match(body, /event: reconnect\ndata: \{"type":"reconnect","thread_id":"t","after":0\}\n\n$/)
  assert.ok(!clean)
  await assert.rejects(fetch(`${served.url}/health`))
})

test('PX48 when a server stops, each of many readers hears the end of its run', async () => {
  const served = await serving({ readersPerRunMax: 300 })
  const run = await started(served, {}, '?agent=silent')
  const readers = await Promise.all(Array.from({ length: 300 }, () => fetch(`${served.url}/runs/${run}/events`)))
  await served.stop(0)
  const bodies = await Promise.all(readers.map(reader => reader.text()))
  assert.equal(bodies.filter(body => body.includes('event: error\ndata: ')).length, 300)
  assert.ok(!bodies.some(body => body.includes('event: reconnect')))
})

test('H103 H129 in a storm of runs that end in every way no counter falls, no gauge is below 0, and all add up when it is over', async () => {
  await using served = await serving()
  const counters = new Map<string, number>()
  const moved = new Set<string>()
  const scrape = async () => {
    const lines = (await (await fetch(`${served.url}/metrics`)).text()).split('\n').filter(line => line !== '')
    const types = new Map<string, string>()
    for (const [, name = '', type = ''] of lines.map(line => /^# TYPE (\w+) (\w+)$/.exec(line) ?? [])) {
      assert.ok(name === '' || !types.has(name), `${name} is declared twice`)
      types.set(name, type)
    }
    const labels = new Map<string, string>()
    const sums = new Map<string, number>()
    for (const line of lines.filter(one => !one.startsWith('#'))) {
      const [, sample = '', name = '', told = '', value] =
        /^((\w+)(?:\{(.*)\})?) (\S+)$/.exec(line) ?? assert.fail(line)
      const names = [...told.matchAll(/(\w+)="/g)].map(([, label]) => label).join()
      assert.equal(labels.get(name) ?? names, names, `${name} has two sets of labels`)
      labels.set(name, names)
      assert.ok(Number(value) >= 0, line)
      if (types.get(name) === 'counter') {
        assert.ok(Number(value) >= (counters.get(sample) ?? 0), `${line} was ${counters.get(sample)}`)
        counters.set(sample, Number(value))
      }
      if (Number(value) > 0) moved.add(name)
      sums.set(name, (sums.get(name) ?? 0) + Number(value))
    }
    const [begun = 0, ended = 0, active = 0] = ['started_total', 'ended_total', 'active'].map(name =>
      sums.get(`runcast_runs_${name}`),
    )
    assert.equal(begun, ended + active)
    return { active, ended, streams: sums.get('runcast_streams_open'), names: [...labels.keys()] }
  }
  const watched = async (run: string) => {
    const leaving = new AbortController()
    const answer = await fetch(`${served.url}/runs/${run}/events`, { signal: leaving.signal })
    await answer.body?.getReader().read()
    await until('an open stream is counted', () => moved.has('runcast_streams_open'))
    leaving.abort()
  }
  const storm = async (n: number) => {
    if (n % 5 === 0) await (await post(served, '/invoke', { count: 1 })).text()
    if (n % 5 === 1) await (await post(served, '/invoke/stream', { count: 2 })).text()
    if (n % 5 === 2) await (await post(served, '/invoke?agent=fails', {})).text()
    if (n % 5 < 3) return
    const run = await started(served, {}, '?agent=silent')
    if (n % 5 === 3) await watched(run)
    await (await post(served, `/runs/${run}/cancel`, {})).text()
  }
  let over = false
  const scraping = (async () => {
    while (!over) await scrape()
  })()
  await Promise.all(Array.from({ length: 60 }, (_, n) => storm(n)))
  await until('all have ended', async () => {
    const { active, ended, streams } = await scrape()
    return ended === 60 && active === 0 && streams === 0
  })
  over = true
  await scraping
  assert.deepEqual((await scrape()).names.toSorted(), [...moved].toSorted(), 'each of them has moved')
})

test('PX48 a stopping server waits for direct runs, too, and ends the rest as interrupted, which nobody can come back to', async () => {
  const stopping = Promise.withResolvers<string>()
  const finishing = defineAgent({ name: 'finishing' }, () => stopping.promise)
  const served = await serving({ agents: [...agents, finishing] })
  const direct = (path: string, agent: string) => post(served, `${path}?agent=${agent}`, {})
  const streams = await Promise.all(['finishing', 'silent'].map(agent => direct('/invoke/stream', agent)))
  const invoked = direct('/invoke', 'finishing')
  const all = /^runcast_runs_active 3$/m
  await until('all run', async () => all.test(await (await fetch(`${served.url}/metrics`)).text()))
  const stopped = served.stop(1_000)
  stopping.resolve('done')
  const [first = '', second = ''] = await Promise.all(streams.map(answer => answer.text()))
  assert.match(first, /event: complete\ndata: .*"output":"done"/)
  assert.match(second, /event: error\ndata: .*"code":"interrupted"/)
  assert.doesNotMatch(first + second, /reconnect/)
  assert.equal(((await (await invoked).json()) as { output: unknown }).output, 'done')
  await stopped
})
