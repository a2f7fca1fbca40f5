// `runcast serve` as a user has it: a file and a topic in, the API of a server out, in which nothing can be written.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { connect } from '../src/client/index.ts'
import type { Log } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { type Folder, folder, type Running } from './cli-process.ts'
import { deps, names } from './kafka-topics.ts'
import { serviceOrSkip } from './services/require.ts'
import { until } from './until.ts'

const greeter = defineAgent({ name: 'greeter' }, async (_input: unknown, ctx) => {
  ctx.token('Hello ')
  ctx.token('there.')
}) as Agent

/** A run of the thread `t1`, in a log of its own. */
async function ran(log: Log): Promise<string> {
  const runs = createRuns({ log, agents: [greeter], deps })
  const { run_id } = await runs.start('greeter', { text: 'Greet me' }, { thread: 't1' })
  for await (const _ of runs.tail(run_id));
  await runs.stop(0)
  return run_id
}

async function serving(here: Folder, args: readonly string[], env?: Record<string, string>) {
  const server = here.start(['serve', '--port', '0', ...args], env)
  const [url] = await server.saw(/http:\/\/127\.0\.0\.1:\d+(?=\n)/)
  await server.saw(/Ctrl-C stops it/)
  return Object.assign(server, { url }) as Running & { readonly url: string }
}

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function ask(url: string, method = 'GET', body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) }
  const type = body === undefined ? headers : { 'content-type': 'application/json', ...headers }
  const response = await fetch(url, { method, headers: type, ...json })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

/** Everything that would write is refused by the same code, and says where it can be done. */
async function refuses(url: string, run: string): Promise<void> {
  for (const [method, path, body] of [
    ['POST', '/runs', {}],
    ['DELETE', `/runs/${run}`],
    ['POST', `/runs/${run}/cancel`],
    ['POST', `/runs/${run}/input`, { input_id: 'i', value: 1 }],
    ['POST', '/conversations', {}],
    ['PATCH', '/conversations/t1', { title: 'x' }],
    ['DELETE', '/conversations/t1'],
    ['POST', '/conversations/t1/messages', { content: 'x' }],
  ] as const) {
    const refused = await ask(url + path, method, body)
    assert.deepEqual([refused.status, refused.body['code']], [400, 'refused_by_policy'], `${method} ${path}`)
    assert.match(String(refused.body['error']), /is read-only: .* on the server that writes it/)
  }
  assert.equal((await ask(`${url}/invoke`, 'POST', {})).body['code'], 'not_found')
}

/** Those who end it by Ctrl-C wait for nothing. */
async function stopped(server: Running): Promise<void> {
  server.child.kill('SIGINT')
  const { code } = await server.ended
  assert.equal(code, 130)
}

test('ON17 runcast serve shows a topic: its runs, conversations, lag and coverage; all else is refused, and Ctrl-C ends it', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  using here = folder()
  await using log = memory()
  const run = await ran(log)
  for (const format of ['chat', 'dashstream'] as const) {
    const { topic, ...own } = names()
    const to = format === 'chat' ? { topicPrefix: topic } : { topic }
    await using sink = kafkaSink({ ...service, ...own, ...to, log, deps, tenants: ['default'], format })
    await until('all is sent', async () => (await sink.lag())?.events === 0)
    const topics = format === 'chat' ? `${topic}.*?format=chat` : topic
    await using server = await serving(here, [`kafka://${service.brokers.join(',')}/${topics}`])
    assert.match(server.stdout, /\/health +how far the reading is/)
    const health = await until('it has read all', async () => {
      const { body } = await ask(`${server.url}/health`)
      return (body['source'] as { state: string }).state === 'live' && body
    })
    assert.equal('agent' in health, false)
    const { lag, coverage } = health['source'] as { lag: unknown; coverage: { assigned: number; total: number } }
    assert.deepEqual([lag, coverage.assigned], [{ records: 0 }, coverage.total])
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.match(metrics, /^runcast_source_lag_records 0$/m)
    assert.match(metrics, new RegExp(`^runcast_source_partitions_assigned ${coverage.total}$`, 'm'))
    assert.equal((await ask(`${server.url}/ready`)).status, 200)
    assert.equal((await ask(`${server.url}/info`)).body['read_only'], true)

    await using there = connect(server.url)
    const read = await until('it is listed', async () => (await there.list({ status: 'completed' })).runs[0])
    assert.equal(read.thread_id, 't1')
    // Ours keep their ids; chat.v1 has a task in place of a run.
    if (format === 'dashstream') assert.equal(read.run_id, run)
    const { body } = await ask(`${server.url}/conversations/t1/messages`)
    assert.match(JSON.stringify(body), /Hello.*there\./)
    await refuses(server.url, read.run_id)
    await stopped(server)
  }
})

test('runcast serve shows a file that a server writes, live, with what its users said', async () => {
  using here = folder()
  const path = join(here.path, 'runs.db')
  await using log = sqlite({ path })
  const first = await ran(log)
  await using server = await serving(here, [path])
  await using there = connect(server.url)
  assert.equal((await there.get(first)).status, 'completed')
  assert.equal('source' in (await ask(`${server.url}/health`)).body, false, 'a file does not lag')
  assert.doesNotMatch(server.stdout, /how far the reading is/)
  const { body } = await ask(`${server.url}/conversations`)
  assert.deepEqual(
    (body['conversations'] as { id: string; title: string }[]).map(({ id, title }) => [id, title]),
    [['t1', 'Greet me']],
  )
  const second = await ran(log)
  await until('the second run is seen', async () => (await there.list()).runs.some(({ run_id }) => run_id === second))
  await refuses(server.url, first)
  await stopped(server)
})

test('runcast serve shows the runs of the tenant that is named, and asks for the API key when it is told to', async () => {
  using here = folder()
  const path = join(here.path, 'runs.db')
  await using log = sqlite({ path })
  const run = await ran(log)
  {
    await using server = await serving(here, [path, '--tenant', 'somebody'])
    assert.deepEqual((await ask(`${server.url}/runs`)).body['runs'], [])
    assert.equal((await ask(`${server.url}/runs/${run}`)).status, 404)
    assert.deepEqual((await ask(`${server.url}/conversations`)).body['conversations'], [])
  }
  const auth = ['--auth', 'api_key']
  const without = await here.run(['serve', path, ...auth])
  assert.equal(without.code, 1)
  assert.match(without.stderr, /DOCKRION_API_KEY is not set/)
  await using server = await serving(here, [path, ...auth], { DOCKRION_API_KEY: 'open sesame' })
  assert.equal((await ask(`${server.url}/runs`)).status, 401)
  assert.equal((await ask(`${server.url}/runs`, 'GET', undefined, { 'x-api-key': 'open sesame' })).status, 200)
  assert.equal((await ask(`${server.url}/health`)).status, 200)
  const doctor = await here.run(['doctor', '--url', server.url, '--token', 'open sesame'])
  assert.match(doctor.stdout, /^ok +ready +read only, no agent$/m)
})

test('runcast serve does not begin with what it cannot read, and says what to give', async () => {
  using here = folder()
  for (const [place, says] of [
    ['nope.db', /there is no file nope\.db/],
    ['ftp://host/x', /nothing here reads ftp:\/\//],
    ['http://127.0.0.1:8080', /has a page of its own; open it/],
    ['kafka://127.0.0.1:1/events', /kafka:\/\/127\.0\.0\.1:1\/events: Kafka: /],
    ['kafka://127.0.0.1/events', /is not the address of a topic/],
  ] as const) {
    const { code, stderr } = await here.run(['serve', place, '--port', '0'])
    assert.equal(code, 1, place)
    assert.match(stderr, says)
  }
  assert.equal((await here.run(['serve'])).code, 2)
})

test('runcast serve warns who listens beyond this machine without keys', async () => {
  using here = folder()
  const path = join(here.path, 'runs.db')
  await using log = sqlite({ path })
  await ran(log)
  await using server = here.start(['serve', path, '--port', '0', '--host', '0.0.0.0'])
  await server.saw(/WARNING: the server listens on 0\.0\.0\.0 without authentication: everyone who reaches it can read/)
})
