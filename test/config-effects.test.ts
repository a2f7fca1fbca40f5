// Every key of a Dockfile that this version can act on changes something that a caller sees. Each test sets one key in a
// real file, starts the server that the CLI would start, and looks from outside. Keys that must wait for their part are
// refused by `run` (last test). What the keys mean as values is in config.test.ts.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import { loadConfig } from '../src/config/load.ts'
import { unsupported } from '../src/config/unsupported.ts'
import { loadAgents } from '../src/load-agents.ts'
import { optionsOf, type Served, serve } from '../src/server.ts'
import { serviceOrSkip } from './services/require.ts'
import { until } from './until.ts'

const agentFile = `
export async function* run(input, ctx) {
  const { count = 2, ms = 0, silentMs = 0, lingerMs = 0, burst = 0, big = 0 } = input ?? {}
  if (silentMs) await new Promise(resolve => { const t = setTimeout(resolve, silentMs); ctx.signal.addEventListener('abort', () => { clearTimeout(t); resolve() }) })
  if (lingerMs) await new Promise(resolve => setTimeout(resolve, lingerMs))
  for (let n = 0; n < burst; n++) ctx.token('x'.repeat(100))
  if (big) ctx.item('x'.repeat(big))
  ctx.step('node')
  ctx.emit('fraud', { score: 1 })
  for (let n = 0; n < count; n++) { if (ms) await new Promise(resolve => setTimeout(resolve, ms)); yield 'secret-' + n + ' ' }
  return { text: 'secret-value that is long', region: process.env.REGION_OF_TEST ?? null }
}
export const other = async () => 'other'
export const build = () => run
`

/** A server from a Dockfile with some keys set: `{'expose.port': 1}`. */
async function serving(
  keys: Record<string, unknown>,
  env: Record<string, string> = {},
): Promise<Served & { dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-effects-'))
  const dockfile: Record<string, unknown> = { version: '1.0', agent: { name: 'first', handler: 'agent.mjs:run' } }
  for (const [path, value] of Object.entries(keys)) set(dockfile, path.split('.'), value)
  writeFileSync(join(dir, 'agent.mjs'), agentFile)
  writeFileSync(join(dir, 'Dockfile.yaml'), stringify(dockfile))
  const config = await loadConfig({ path: join(dir, 'Dockfile.yaml'), env })
  const options = await optionsOf(config, await loadAgents(config), { ...config.env, ...env })
  const server = await serve({
    warn: () => {},
    ...options,
    port: keys['expose.port'] === undefined ? 0 : (options.port ?? 0),
  })
  const dispose = server[Symbol.asyncDispose]
  return {
    ...server,
    dir,
    async [Symbol.asyncDispose]() {
      await dispose()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function set(target: Record<string, unknown>, [key = '', ...rest]: string[], value: unknown): void {
  if (rest.length === 0) target[key] = value
  else set((target[key] ??= {}) as Record<string, unknown>, rest, value)
}

const json = { 'content-type': 'application/json' }
const post = (served: Served, path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(served.url + path, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) })

async function start(served: Served, input: unknown, query = ''): Promise<string> {
  const answer = await post(served, `/runs${query}`, input)
  assert.equal(answer.status, 202, await answer.clone().text())
  return ((await answer.json()) as { run_id: string }).run_id
}
const events = async (served: Served, run: string, query = '') =>
  (await fetch(`${served.url}/runs/${run}/events${query}`)).text()
const runOf = async (served: Served, run: string) =>
  (await (await fetch(`${served.url}/runs/${run}`)).json()) as Record<string, unknown>
const isForgotten = async (served: Served, run: string | undefined) =>
  (await fetch(`${served.url}/runs/${run}`)).status === 404
const finished = async (served: Served, input: unknown) => {
  const run = await start(served, input)
  return { run, text: await events(served, run) }
}

/** One test per key. */
function effect(key: string, title: string, body: () => Promise<void>): void {
  test(`H49 ${key}: ${title}`, body)
}

effect('agent.name, agent.framework', 'say who answers', async () => {
  await using served = await serving({ 'agent.name': 'mine', 'agent.framework': 'langgraph' })
  assert.match((await finished(served, {})).text, /"agent_name":"mine","framework":"langgraph"/)
})

effect('agent.handler, agent.entrypoint', 'choose what runs, by path or dotted', async () => {
  await using other = await serving({ 'agent.handler': './agent:other' })
  assert.equal((await runOf(other, (await finished(other, {})).run))['output'], 'other')
  await using built = await serving({ agent: { name: 'built', entrypoint: 'agent.mjs:build' } })
  assert.match((await finished(built, {})).text, /event: step/)
})

effect('io_schema', 'refuses an input and fails an output that do not fit', async () => {
  await using served = await serving({
    io_schema: { input: { type: 'object', required: ['question'] }, output: { type: 'string' } },
  })
  assert.equal((await post(served, '/invoke', {})).status, 422)
  assert.match((await finished(served, { question: 'x' })).text, /"code":"invalid_output"/)
  const input = { $schema: 'http://json-schema.org/draft-07/schema#', items: [{ type: 'integer' }] }
  await using older = await serving({ io_schema: { input } })
  assert.equal((await post(older, '/invoke', ['x'])).status, 422)
  assert.equal((await post(older, '/invoke', [1])).status, 200)
})

effect('expose.rest, expose.streaming', 'take endpoints away', async () => {
  await using noRest = await serving({ 'expose.rest': false })
  assert.equal((await post(noRest, '/invoke', {})).status, 404)
  assert.equal((await post(noRest, '/invoke/stream', {})).status, 200)
  await using noStream = await serving({ 'expose.streaming': 'none' })
  assert.equal((await post(noStream, '/invoke/stream', {})).status, 404)
  assert.equal((await post(noStream, '/invoke', {})).status, 200)
})

effect('expose.port, expose.host', 'decide where it listens', async () => {
  const port = 20_000 + (process.pid % 20_000)
  await using served = await serving({ 'expose.port': port, 'expose.host': '127.0.0.2' })
  assert.equal(served.url, `http://127.0.0.2:${port}`)
  assert.equal((await fetch(`${served.url}/health`)).status, 200)
})

effect('expose.cors', 'lets pages of other origins in, streams too', async () => {
  await using served = await serving({ 'expose.cors': { origins: ['https://app.example'], methods: ['GET'] } })
  const { run } = await finished(served, {})
  assert.equal((await fetch(`${served.url}/runs`, { method: 'OPTIONS' })).status, 204, 'also when no browser asks')
  for (const path of ['/health', `/runs/${run}/events`, `/runs/${run}/events?after=99`]) {
    const answer = await fetch(served.url + path, { headers: { origin: 'https://app.example' } })
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example', path)
  }
  const other = await fetch(`${served.url}/health`, { headers: { origin: 'https://evil.example' } })
  assert.equal(other.headers.get('access-control-allow-origin'), null)
  const preflight = await fetch(`${served.url}/runs`, {
    method: 'OPTIONS',
    headers: { origin: 'https://app.example', 'access-control-request-method': 'GET' },
  })
  assert.equal(preflight.headers.get('access-control-allow-methods'), 'GET')
  const keys = { 'expose.cors.origins': ['https://app.example'], auth: { mode: 'api_key' } }
  await using keyed = await serving(keys, { DOCKRION_API_KEY: 'key' })
  const origin = { origin: 'https://app.example' }
  const asks = { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' }
  const asked = await fetch(`${keyed.url}/runs`, { method: 'OPTIONS', headers: asks })
  assert.deepEqual([asked.status, asked.headers.get('access-control-allow-headers')], [204, 'x-api-key'])
  const refused = await fetch(`${keyed.url}/runs`, { headers: origin })
  assert.deepEqual([refused.status, refused.headers.get('access-control-allow-origin')], [401, origin.origin])
  const taken = await post(keyed, '/runs', {}, { ...origin, 'x-api-key': 'key' })
  assert.match(taken.headers.get('access-control-expose-headers') ?? '', /location/)
  await using closed = await serving({})
  assert.equal(
    (await fetch(`${closed.url}/health`, { headers: { origin: 'https://app.example' } })).headers.get(
      'access-control-allow-origin',
    ),
    null,
  )
})

effect('streaming.async_runs', 'takes the runs API away (DK64)', async () => {
  await using served = await serving({ 'streaming.async_runs': false })
  assert.equal((await post(served, '/runs', {})).status, 404)
})

effect('streaming.backend, runcast.sqlite.path', 'keep runs over a restart (DK72)', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-effects-db-'))
  const keys = {
    'streaming.backend': 'sqlite',
    'runcast.sqlite.path': join(dir, 'runs.db'),
    'runcast.sqlite.durability': 'power',
  }
  let run = ''
  {
    await using served = await serving(keys)
    run = (await finished(served, {})).run
  }
  {
    await using served = await serving(keys)
    assert.equal((await runOf(served, run))['status'], 'completed')
    await assert.rejects(serving(keys), /in use|another|second/i)
  }
  rmSync(dir, { recursive: true, force: true })
})

effect('streaming.allow_client_ids', 'forbids run ids of clients (DK18)', async () => {
  await using served = await serving({ 'streaming.allow_client_ids': false })
  assert.equal((await post(served, '/runs?run_id=mine', {})).status, 403)
})

effect('streaming.events.allowed', 'leaves events out at the source, heartbeats too (DK50 DK54)', async () => {
  await using served = await serving({ 'streaming.events.allowed': ['custom:fraud'] })
  const { text } = await finished(served, {})
  assert.deepEqual(
    [...text.matchAll(/^event: (.*)$/gm)].map(match => match[1]),
    ['started', 'fraud', 'complete'],
  )
})

effect('streaming.events.heartbeat_interval', 'is told to clients and kept', async () => {
  await using served = await serving({ 'streaming.events.heartbeat_interval': 1 })
  const run = await start(served, { silentMs: 1_700 })
  const answer = await fetch(`${served.url}/runs/${run}/events`)
  assert.equal(answer.headers.get('x-runcast-heartbeat-ms'), '1000')
  assert.match(await answer.text(), /event: heartbeat/)
})

effect('streaming.events.max_run_duration', 'ends what takes longer (DK33)', async () => {
  await using served = await serving({ 'streaming.events.max_run_duration': 1 })
  assert.match((await finished(served, { silentMs: 20_000 })).text, /"code":"timeout"/)
})

effect('streaming.connection.default_timeout', 'ends idle responses (DK36)', async () => {
  await using served = await serving({ 'streaming.connection.default_timeout': 1 })
  assert.doesNotMatch(await events(served, await start(served, { silentMs: 20_000 })), /event: (complete|error)/)
})

effect('streaming.connection.max_subscribers_per_run', 'refuses one reader more (DK27)', async () => {
  await using served = await serving({ 'streaming.connection.max_subscribers_per_run': 1 })
  const run = await start(served, { silentMs: 20_000 })
  const leaving = new AbortController()
  await fetch(`${served.url}/runs/${run}/events`, { signal: leaving.signal })
  assert.equal((await fetch(`${served.url}/runs/${run}/events`)).status, 429)
  leaving.abort()
})

effect('auth', 'wants a key of the environment, in the header that it names', async () => {
  const keys = {
    auth: {
      mode: 'api_key',
      api_keys: { env_var: 'MY_KEY', prefix: 'MY_KEY_', header: 'X-Mine', allow_bearer: false },
    },
  }
  await using served = await serving(keys, { MY_KEY: 'one', MY_KEY_BOB: 'two' })
  const status = async (headers: Record<string, string>) => (await fetch(`${served.url}/runs`, { headers })).status
  assert.equal(await status({}), 401)
  assert.equal(await status({ 'x-mine': 'one' }), 200)
  assert.equal(await status({ 'x-mine': 'two' }), 200)
  assert.equal(await status({ 'x-api-key': 'one' }), 401)
  assert.equal(await status({ authorization: 'Bearer one' }), 401)
  const { run_id } = (await (await post(served, '/runs', {}, { 'x-mine': 'two' })).json()) as { run_id: string }
  const info = (await (await fetch(`${served.url}/runs/${run_id}`, { headers: { 'x-mine': 'one' } })).json()) as {
    user_id: string
  }
  assert.equal(info.user_id, 'BOB')
  await assert.rejects(serving(keys, {}), /MY_KEY/)
})

effect('policies.safety.redact_patterns', 'masks tokens and output (DK81)', async () => {
  await using served = await serving({ 'policies.safety.redact_patterns': ['secret-\\w+'] })
  const { text } = await finished(served, {})
  assert.doesNotMatch(text, /secret-/)
  assert.match(text, /REDACTED/)
})

effect('policies.safety.max_output_chars', 'cuts tokens and output, and says so (DK82)', async () => {
  await using served = await serving({ 'policies.safety.max_output_chars': 12 })
  const { run, text } = await finished(served, { count: 9 })
  assert.match(text, /"code":"output_truncated"/)
  const { output, metadata } = (await runOf(served, run)) as {
    output: { text: string }
    metadata: { truncated: boolean }
  }
  assert.equal(metadata.truncated, true)
  assert.ok(output.text.length <= 12)
})

effect('secrets', 'are demanded at the start; an optional one has its default', async () => {
  await assert.rejects(serving({ secrets: { required: [{ name: 'NEEDED_KEY' }] } }), /NEEDED_KEY/)
  await using served = await serving({ secrets: { optional: [{ name: 'REGION_OF_TEST', default: 'eu' }] } })
  assert.ok(served)
})

effect('runcast.agents', 'serves several agents', async () => {
  await using served = await serving({ runcast: { agents: { second: { handler: 'agent.mjs:other' } } } })
  assert.equal(((await (await post(served, '/invoke?agent=second', {})).json()) as { output: string }).output, 'other')
})

effect('runcast.retention.runs_max', 'forgets the oldest runs (DK73)', async () => {
  await using served = await serving({ 'runcast.retention': { runs_max: 2 } })
  const runs: string[] = []
  for (let n = 0; n < 4; n++) runs.push((await finished(served, {})).run)
  await until('the second is forgotten', () => isForgotten(served, runs[1]))
  const statuses = await Promise.all(runs.map(async run => (await fetch(`${served.url}/runs/${run}`)).status))
  assert.deepEqual(statuses, [404, 404, 200, 200])
})

effect('runcast.retention.age', 'forgets runs in time', async () => {
  await using served = await serving({ 'runcast.retention': { age: '1s' } })
  const { run } = await finished(served, {})
  await until('it is forgotten', () => isForgotten(served, run))
})

effect('runcast.retention.bytes_per_run', 'trims a long run, visibly (DK70)', async () => {
  await using served = await serving({ 'runcast.retention': { bytes_per_run: '64KiB' } })
  const { run } = await finished(served, { count: 900, ms: 1 })
  assert.match(await events(served, run), /event: gap/)
})

effect('runcast.retention.events_per_run', 'trims a long run, visibly (DK70)', async () => {
  await using served = await serving({ 'runcast.retention': { events_per_run: 100 } })
  const { run } = await finished(served, { count: 900, ms: 1 })
  assert.match(await events(served, run), /event: gap/)
})

effect('runcast.retention.bytes_total', 'forgets runs that are too much together', async () => {
  await using served = await serving({ 'runcast.retention': { bytes_total: '1MiB' } })
  const first = (await finished(served, { burst: 4_000 })).run
  await finished(served, { burst: 4_000 })
  await until('the first is forgotten', () => isForgotten(served, first))
})

effect('runcast.cancel_grace', 'is how long a cancelled agent may linger', async () => {
  await using served = await serving({ 'runcast.cancel_grace': '100ms' })
  const run = await start(served, { lingerMs: 10_000 })
  await until('it runs', async () => (await runOf(served, run))['status'] === 'running')
  const lingers = sleep(10_000, 'lingers', { ref: false })
  const answer = await Promise.race([fetch(`${served.url}/runs/${run}`, { method: 'DELETE' }), lingers])
  assert.ok(answer instanceof Response && answer.status === 200, 'it was sealed while its agent lingered')
})

effect('runcast.cancel_when_unwatched_seconds', 'cancels what nobody watches any more', async () => {
  await using served = await serving({ 'runcast.cancel_when_unwatched_seconds': 1 })
  const run = await start(served, { silentMs: 60_000 })
  const leaving = new AbortController()
  await fetch(`${served.url}/runs/${run}/events`, { signal: leaving.signal })
  leaving.abort()
  await until('it is cancelled', async () => (await runOf(served, run))['status'] === 'cancelled')
})

effect('runcast.shutdown_grace', 'lets runs finish when the server stops', async () => {
  const served = await serving({ 'runcast.shutdown_grace': '5s' })
  const reading = await fetch(`${served.url}/runs/${await start(served, { lingerMs: 300 })}/events`)
  await served.stop()
  assert.match(await reading.text(), /event: complete/)
})

effect('runcast.on_busy', 'is what a start on a busy thread does', async () => {
  await using served = await serving({ 'runcast.on_busy': 'queue' })
  await start(served, { lingerMs: 100 }, '?thread_id=t')
  assert.match(await events(served, await start(served, {}, '?thread_id=t')), /event: complete/)
})

effect('runcast.limits', 'bound bodies, connections, pending bytes and events', async () => {
  await using served = await serving({
    'runcast.limits': { body_bytes: 1024, max_connections: 1, emit_bytes: '64KiB', event_bytes: 1024 },
  })
  assert.equal((await post(served, '/invoke', { pad: 'x'.repeat(2_000) })).status, 413)
  assert.match((await finished(served, { burst: 2_000 })).text, /"code":"overloaded"/)
  assert.match((await finished(served, { big: 3_000 })).text, /event: error\n.*1024/)
  assert.match(await (await post(served, '/invoke/stream', { big: 3_000 })).text(), /event: error\n.*1024/)
  const run = await start(served, { silentMs: 20_000 })
  const leaving = new AbortController()
  await fetch(`${served.url}/runs/${run}/events`, { signal: leaving.signal })
  assert.equal((await fetch(`${served.url}/runs/${run}/events`)).status, 503)
  leaving.abort()
})

effect('runcast.direct', 'decides what a slow reader of a direct stream loses', async () => {
  await using served = await serving({
    'runcast.direct': { buffer_size: 10, overflow_strategy: 'drop_oldest', threshold: 5, strategy: 'buffer' },
  })
  const text = await slowly(served)
  assert.match(text, /event: gap\ndata: \{"type":"gap","request_id":"[^"]+","dropped":\d+\}/)
  assert.match(text, /event: complete/)
})

/** A direct stream of a burst, read only after a while. */
async function slowly(served: Served): Promise<string> {
  const body = JSON.stringify({ burst: 30_000 })
  const { hostname, port } = new URL(served.url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.pause()
  socket.write(
    `POST /invoke/stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await until('the agent has said all', async () =>
    /^runcast_runs_ended_total.* 1$/m.test(await (await fetch(`${served.url}/metrics`)).text()),
  )
  let text = ''
  socket.on('data', chunk => (text += chunk.toString('latin1')))
  socket.resume()
  await new Promise(resolve => socket.once('close', resolve))
  return text
}

effect('runcast.retry_interval', 'is the first line of every stream (PX8)', async () => {
  await using served = await serving({ 'runcast.retry_interval': '5s' })
  assert.match((await finished(served, {})).text, /^retry: 5000\n/)
})

test('H109 keys of parts that come later are refused by run, each with its reason and a fix', async () => {
  const later: Record<string, unknown>[] = [
    { 'streaming.backend': 'redis', 'streaming.redis': { url: 'redis://localhost:6379' } },
    { 'expose.streaming': 'websocket' },
    { auth: { mode: 'jwt', jwt: { jwks_url: 'https://issuer.example/jwks', issuer: 'https://issuer.example' } } },
    { 'policies.safety.block_prompt_injection': true },
  ]
  for (const keys of later) {
    const dir = mkdtempSync(join(tmpdir(), 'runcast-later-'))
    const dockfile: Record<string, unknown> = { version: '1.0', agent: { name: 'first', handler: 'agent.mjs:run' } }
    for (const [path, value] of Object.entries(keys)) set(dockfile, path.split('.'), value)
    writeFileSync(join(dir, 'Dockfile.yaml'), stringify(dockfile))
    const problems = unsupported(await loadConfig({ path: join(dir, 'Dockfile.yaml'), env: {} }))
    assert.ok(problems.length > 0, JSON.stringify(parse(stringify(dockfile))))
    for (const { message, fix } of problems) assert.match(`${message}; ${fix}`, /not in this version.*; \w+/)
    rmSync(dir, { recursive: true, force: true })
  }
})

test('H109 run refuses of the later parts only what the file says, by the line that says it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-later-'))
  const refused = async (text: string, env: Record<string, string> = {}) => {
    writeFileSync(join(dir, 'Dockfile.yaml'), `version: "1.0"\nagent: {name: a, handler: "a:b"}\n${text}`)
    const config = await loadConfig({ path: dir, env })
    return unsupported(config).map(({ line, path }) => `${line} ${path}`)
  }
  assert.deepEqual(await refused(''), [])
  assert.deepEqual(await refused('streaming: {}\nauth: {roles: [], rate_limits: {}}\nruncast: {}\n'), [])
  assert.deepEqual(await refused('policies: {safety: {block_prompt_injection: false}}\n'), [])
  assert.deepEqual(await refused('streaming:\n  backend: redis\n'), ['4 streaming.backend'])
  const section = 'streaming:\n  backend: ${B}\n  redis: {url: "redis://h:6379"}\n'
  assert.deepEqual(await refused(section, { B: 'redis' }), ['4 streaming.backend', '5 streaming.redis'])
  assert.deepEqual(await refused(section, { B: 'sqlite' }), ['5 streaming.redis'])
  rmSync(dir, { recursive: true, force: true })
})

effect('conversations', 'a thread has messages, kept beside the runs (ON9)', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-effects-chat-'))
  const keys = { 'streaming.backend': 'sqlite', 'runcast.sqlite.path': join(dir, 'runs.db') }
  const messagesOf = async (served: Served) =>
    (await (await fetch(`${served.url}/conversations/t/messages`)).json()) as { messages: { role: string }[] }
  for (const opened of ['first', 'again']) {
    await using served = await serving(keys)
    if (opened === 'first') await events(served, await start(served, { text: 'hello' }, '?thread_id=t'))
    await until('both messages', async () => (await messagesOf(served)).messages?.length === 2)
    assert.deepEqual(
      (await messagesOf(served)).messages.map(message => message.role),
      ['user', 'assistant'],
    )
  }
  rmSync(dir, { recursive: true, force: true })
})

test('H49 runcast.postgres: conversations are kept in Postgres', async t => {
  const postgres = await serviceOrSkip(t, 'postgres')
  if (!postgres) return
  const keys = { 'runcast.postgres.url': await postgres.database() }
  {
    await using served = await serving(keys)
    await events(served, await start(served, { text: 'hello' }, '?thread_id=t'))
    await until('both messages', async () => {
      const answer = (await (await fetch(`${served.url}/conversations/t/messages`)).json()) as { messages?: object[] }
      return answer.messages?.length === 2
    })
  }
  await using served = await serving(keys)
  const { messages } = (await (await fetch(`${served.url}/conversations/t/messages`)).json()) as { messages: object[] }
  assert.equal(messages.length, 2)
})
