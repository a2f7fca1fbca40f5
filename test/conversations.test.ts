// The conversation store over SQLite and a real Postgres, its formats and its HTTP routes.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { sizeDelimitedDecodeStream } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import pg from 'pg'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { type Conversations, createConversations } from '../src/conversations/conversations.ts'
import { chatMessageOf } from '../src/conversations/export-protobuf.ts'
import { assistantMessage, type Message, userText } from '../src/conversations/message.ts'
import { RuncastError } from '../src/error.ts'
import type { Body, Severity } from '../src/event.ts'
import { MessageSchema } from '../src/gen/chat/v1/chat_pb.ts'
import type { Head, Log } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import { serve } from '../src/server.ts'
import { serveSource } from '../src/serve-source.ts'
import { readOnly } from '../src/sources/read-only.ts'
import { emptyView, fold } from '../src/state/fold.ts'
import { arbitraryRun, eventsOf } from './arbitrary-events.ts'
import { temporaryDir } from './services/child.ts'
import { serviceOrSkip } from './services/require.ts'
import { allMessages, conversationsSuite, deps, everything, writeRun } from './suites/conversations.suite.ts'
import { until } from './until.ts'

const tenant = 'default'

function directory(t: TestContext): string {
  const dir = temporaryDir('conversations')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

conversationsSuite({
  name: 'sqlite file',
  place: async t => ({ sqlite: join(directory(t), 'deep', 'conversations.db') }),
  skip: [
    {
      test: 'two stores on one database fold each run once',
      reason: 'a file has one server; two connections of one process wait for each other',
    },
  ],
})

conversationsSuite({
  name: 'postgres',
  async place(t) {
    const postgres = await serviceOrSkip(t, 'postgres')
    return postgres && { postgres: await postgres.database() }
  },
})

async function inMemory(log: Log): Promise<Conversations> {
  return createConversations({ log, db: { sqlite: ':memory:' }, deps })
}

test('the words of an input are found in the fields that clients use', () => {
  const cases: readonly (readonly [unknown, string | undefined])[] = [
    ['plain', 'plain'],
    [{ text: 'a' }, 'a'],
    [{ question: 'a', message: 'b' }, 'a'],
    [{ prompt: '' }, ''],
    [{ messages: ['one', 'two'] }, 'two'],
    [{ messages: [{ role: 'user', content: 'said' }] }, 'said'],
    [
      {
        messages: [
          { role: 'user', parts: [{ type: 'text', text: 'a' }, { type: 'image' }, { type: 'text', text: 'b' }] },
        ],
      },
      'a\nb',
    ],
    [{ messages: [] }, undefined],
    [{ text: 7 }, undefined],
    [['text'], undefined],
    [null, undefined],
  ]
  for (const [input, text] of cases) assert.equal(userText(input), text, JSON.stringify(input))
})

const head: Head = {
  run_id: 'r1',
  status: 'completed',
  agent: 'echo',
  framework: 'custom',
  tenant,
  input: 'hi',
  owner: 'o',
  created_at: 0,
  first: 1,
  last: 1,
  bytes: 1,
}
const messageOf = (...bodies: Body[]) => assistantMessage(fold(emptyView('r1'), eventsOf(bodies)), head, 't')
const complete = (metadata?: Record<string, unknown>): Body => ({
  type: 'complete',
  output: null,
  latency_seconds: 1.5,
  ...(metadata && { metadata }),
})
const warning = (severity?: Severity): Body => ({
  type: 'warning',
  code: 'slow',
  message: 'slow today',
  step: 'query',
  retry_count: 2,
  ...(severity && { severity }),
})

test('ON7 a warning and an error let the task go on; a critical one ends it as failed', () => {
  const cases: readonly (readonly [Severity | undefined, string, string | undefined, boolean | undefined])[] = [
    [undefined, 'completed', 'warning', true],
    ['warning', 'completed', 'warning', true],
    ['error', 'completed', 'error', true],
    ['critical', 'failed', 'critical', false],
    ['info', 'completed', undefined, undefined],
    ['debug', 'completed', undefined, undefined],
  ]
  for (const [severity, state, listed, recoverable] of cases) {
    const { metadata } = messageOf(warning(severity), complete())
    assert.equal(metadata.tasks?.[0]?.state, state)
    assert.equal(metadata.completion?.type, state === 'failed' ? 'TASK_FAILED' : 'TASK_COMPLETED')
    const error = { severity: listed, error_code: 'slow', message: 'slow today', step_name: 'query', recoverable }
    assert.deepEqual(metadata.errors, listed === undefined ? undefined : [{ ...error, retry_count: 2 }])
  }
  const { metadata } = messageOf(warning(), { type: 'error', error: 'gone', code: 'agent_error', details: { n: 1 } })
  assert.deepEqual(metadata.errors?.[1], {
    severity: 'error',
    error_code: 'agent_error',
    message: 'gone',
    recoverable: false,
    details: { n: 1 },
  })
})

test('ON8 every end of a run is a completion of its task', () => {
  const completed = messageOf(complete({ summary: 'two charts', result_ids: ['c1', 'c2'] })).metadata
  assert.deepEqual(completed.completion, {
    type: 'TASK_COMPLETED',
    summary: 'two charts',
    result_ids: ['c1', 'c2'],
  })
  assert.equal(completed.execution_time_ms, 1500)
  assert.equal(completed.conversation_completed, undefined)
  const last = messageOf(complete({ conversation_completed: true })).metadata
  assert.deepEqual([last.completion?.type, last.conversation_completed], ['CONVERSATION_COMPLETED', true])
  const failed = messageOf({ type: 'error', error: 'x', code: 'timeout' }).metadata
  assert.deepEqual([failed.completion?.type, failed.tasks?.[0]?.state], ['TASK_FAILED', 'failed'])
  const cancelled = messageOf({ type: 'cancelled' }).metadata
  assert.deepEqual([cancelled.completion?.type, cancelled.tasks?.[0]?.state], ['TASK_FAILED', 'cancelled'])
})

test('ON12 tokens_used is the sum of the usage that was told, and absent when none was', () => {
  const usage = (value: number): Body => ({ type: 'metrics', scope: 'llm', metrics: { tokens_total: { value } } })
  assert.equal(messageOf(usage(3), usage(4), complete()).metadata.tokens_used, 7)
  assert.equal('tokens_used' in messageOf(complete()).metadata, false)
})

test('ON14 any message is chat.v1: it is encoded, and read back as it was', () => {
  fc.assert(
    fc.property(arbitraryRun(), events => {
      const message = assistantMessage(fold(emptyView('r1'), events), head, 'a \ud800 thread')
      const decoded = fromBinary(MessageSchema, toBinary(MessageSchema, create(MessageSchema, chatMessageOf(message))))
      assert.equal(decoded.content.length, message.content.length)
      for (const [index, block] of message.content.entries()) {
        const seen = decoded.content[index]
        assert.deepEqual([seen?.id, seen?.block.case], [block.id, block.type])
        if (block.type === 'text' && seen?.block.case === 'text') {
          assert.equal(seen.block.value.text, block.text.toWellFormed())
        }
        if (block.type === 'chart' && seen?.block.case === 'chart') {
          assert.deepEqual(JSON.parse(seen.block.value.configJson), JSON.parse(JSON.stringify(block.option)))
        }
      }
      assert.equal(Number(decoded.timestamp?.seconds) * 1000, Math.floor(Date.parse(message.timestamp) / 1000) * 1000)
      assert.equal(decoded.metadata?.tokensUsed, BigInt(message.metadata.tokens_used ?? 0))
      assert.equal(decoded.metadata?.errors.length, message.metadata.errors?.length ?? 0)
    }),
    { numRuns: 100 },
  )
})

test('ON10 a conversation is exported as JSON, Markdown and chat.v1, all of it and in order', async () => {
  await using log = memory()
  await using store = await inMemory(log)
  for (let n = 0; n < 3; n++) {
    const chart: Body = {
      type: 'chart',
      chart_id: 'c',
      chart_type: 'bar',
      option: { title: '```' },
      title: `Chart ${n}`,
    }
    await writeRun(log, {
      thread: 't',
      input: `question ${n}`,
      bodies: [{ type: 'text', content: `answer ${n}` }, chart, complete()],
    })
  }
  const messages = await allMessages(store, tenant, 't')
  const bytes = async (format: 'json' | 'markdown') => {
    const { chunks } = await store.export({ tenant, thread: 't', format })
    return Buffer.concat(await Array.fromAsync(chunks)).toString()
  }
  const json = JSON.parse(await bytes('json')) as { conversation: { title: string }; messages: Message[] }
  assert.equal(json.conversation.title, 'question 0')
  assert.deepEqual(json.messages, messages)

  const markdown = await bytes('markdown')
  assert.match(markdown, /^# question 0\n/)
  const marks = ['## User', '\nquestion 0', '## Assistant', 'answer 0', '**Chart: Chart 0**', 'question 2', 'answer 2']
  const places = marks.map(mark => markdown.indexOf(mark))
  assert.ok(!places.includes(-1))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  assert.match(markdown, /\n````json\n/) // a fence that the ``` inside cannot close

  const { chunks } = await store.export({ tenant, thread: 't', format: 'chat.v1' })
  const decoded = await Array.fromAsync(sizeDelimitedDecodeStream(MessageSchema, chunks))
  assert.deepEqual(
    decoded.map(({ id, role, conversationId, content }) => [id, role, conversationId, content.length]),
    messages.map(({ id, role, conversation_id, content }) => [id, role, conversation_id, content.length]),
  )
})

test('an empty conversation is exported too', async () => {
  await using log = memory()
  await using store = await inMemory(log)
  await store.create({ tenant, thread: 't' })
  const { chunks } = await store.export({ tenant, thread: 't', format: 'json' })
  const json = JSON.parse(Buffer.concat(await Array.fromAsync(chunks)).toString()) as { messages: unknown[] }
  assert.deepEqual(json.messages, [])
})

test('a thread that a crash left without its started entry still has both messages, once', async () => {
  await using log = memory()
  await using whole = memory()
  const { run_id } = await writeRun(whole, { thread: 't' })
  for (const key of ['feed/thread/default/t', 'feed/tenant/default', `run/${run_id}`] as const) {
    const batch = await whole.read(key, 0, 10)
    const known = await whole.head(run_id)
    if (key.startsWith('run/') && known) {
      const { first: _first, last: _last, bytes: _bytes, ...fresh } = known
      await log.append(key, 0, [], fresh)
    }
    let after = 0
    for (const event of batch.events) {
      const { type, sequence: _sequence, timestamp, id: _id, run_id: run, ...fields } = event
      if ((type as string) === 'started' && key.startsWith('feed/')) continue
      const rest = key.startsWith('run/') ? fields : { run_id: run, ...fields }
      const body = JSON.stringify(rest)
      after = await log.append(key, after, [
        { type, code: type === 'complete' ? 14 : 2, time: Date.parse(timestamp), body },
      ])
    }
  }
  await using store = await inMemory(log)
  const roles = (await allMessages(store, tenant, 't')).map(message => message.role)
  assert.deepEqual(roles, ['user', 'assistant'])
})

test('DK72 ON9 what ended survives kill -9, what was running is a failed task, and nothing is doubled', async t => {
  const dir = directory(t)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'test/conversations-child.ts', dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await ended

  await using log = sqlite({ path: join(dir, 'log.db') })
  await using runs = createRuns({ log, agents: [], deps })
  assert.equal(await runs.recover(), 1)
  await using store = await createConversations({ log, db: { sqlite: join(dir, 'conversations.db') }, deps })
  const messages = await allMessages(store, tenant, 't')
  assert.deepEqual(
    messages.map(({ role, content, metadata }) => [
      role,
      content.map(block => block.type === 'text' && block.text).join(''),
      metadata.tasks?.[0]?.state,
      metadata.errors?.[0]?.error_code,
    ]),
    [
      ['user', 'first', undefined, undefined],
      ['assistant', 'whole', 'completed', undefined],
      ['user', 'second', undefined, undefined],
      ['assistant', 'half', 'failed', 'interrupted'],
    ],
  )
  const before = await everything(store, tenant)
  await store.rebuild(tenant)
  assert.deepEqual(await everything(store, tenant), before)
})

test('a database that cuts every connection amid the work neither loses nor doubles a message', async t => {
  const postgres = await serviceOrSkip(t, 'postgres')
  if (!postgres) return
  const url = await postgres.database()
  const admin = new pg.Client({ connectionString: postgres.url })
  await admin.connect()
  t.after(() => admin.end())
  const name = new URL(url).pathname.slice(1)
  let cuts = 0
  const cut = async () => {
    const sql = 'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1'
    cuts += (await admin.query(sql, [name])).rowCount ?? 0
  }
  await using log = memory()
  const quick = { ...deps, sleep: (_ms: number, signal?: AbortSignal) => deps.sleep(5, signal) }
  await using store = await createConversations({
    log,
    db: { postgres: url },
    deps: quick,
    tenants: [tenant],
  })
  for (let n = 0; n < 30; n++) {
    await writeRun(log, { thread: 't', input: `${n}` })
    if (n % 3 === 0) await cut()
  }
  const messages = await until('the fold', async () => {
    const seen = await allMessages(store, tenant, 't').catch((error: unknown) => void RuncastError.from(error))
    return seen?.length === 60 && seen
  })
  const questions = messages.flatMap(({ role, content }) =>
    role === 'user' && content[0]?.type === 'text' ? [content[0].text] : [],
  )
  assert.deepEqual(
    questions,
    Array.from({ length: 30 }, (_, n) => `${n}`),
  )
  assert.ok(cuts > 0)
})

test('a server that was paused between reading and writing brings no deleted message back', async t => {
  const postgres = await serviceOrSkip(t, 'postgres')
  if (!postgres) return
  const url = await postgres.database()
  await using log = memory()
  await writeRun(log, { thread: 't' })
  // The paused one waits behind each of its reads of the thread, until it is let on.
  const reads: { reached: PromiseWithResolvers<void>; go: PromiseWithResolvers<void> }[] = []
  const readAt = (index: number) => (reads[index] ??= { reached: Promise.withResolvers(), go: Promise.withResolvers() })
  let count = 0
  const slow: Log = {
    ...log,
    async read(key, after, limit) {
      const batch = await log.read(key, after, limit)
      if (!key.startsWith('feed/thread/')) return batch
      const { reached, go } = readAt(count++)
      reached.resolve()
      await go.promise
      return batch
    },
  }
  await using paused = await createConversations({ log: slow, db: { postgres: url }, deps })
  await using other = await createConversations({ log, db: { postgres: url }, deps })
  const reading = paused.messages({ tenant, thread: 't' }).catch((error: unknown) => RuncastError.from(error).code)
  await readAt(0).reached.promise
  assert.equal((await other.messages({ tenant, thread: 't' })).messages.length, 2)
  await other.delete({ tenant, thread: 't' })
  readAt(0).go.resolve()
  await readAt(1).reached.promise
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.after(() => client.end())
  const { rowCount } = await client.query('select id from runcast_messages')
  for (let index = 0; index < 100; index++) readAt(index).go.resolve()
  assert.equal(rowCount, 0)
  assert.equal(await reading, 'not_found')
})

test('what is folded of a source lies in a file without a name, not in memory, and is read from there', async t => {
  if (!existsSync('/proc/self/fd')) return t.skip('there is no /proc here')
  const text = 'x'.repeat(100_000)
  const talks = defineAgent({ name: 'talks' }, async () => text)
  const log = memory()
  await using runs = createRuns({ log, agents: [talks], deps })
  // Some times what SQLite keeps in memory.
  for (let n = 0; n < 100; n++) {
    const { run_id } = await runs.start('talks', 'go', { thread: `t${n}` })
    await runs.follow(run_id, { after: Number.MAX_SAFE_INTEGER }, () => {})
  }
  await using served = await serveSource({ source: readOnly(log, 'a log', deps), port: 0 })
  const listed = async () =>
    ((await (await fetch(`${served.url}/conversations?limit=500`)).json()) as ListOf).conversations
  await until('all are folded', async () => (await listed()).length === 100)
  const files = readdirSync('/proc/self/fd').map(name => {
    try {
      return readlinkSync(join('/proc/self/fd', name))
    } catch {
      return '' // the folder itself, which is closed by now
    }
  })
  assert.ok(
    files.some(file => /etilqs_\w+ \(deleted\)$/.test(file)),
    files.join('\n'),
  )
  const { messages } = (await (await fetch(`${served.url}/conversations/t7/messages`)).json()) as {
    messages: Message[]
  }
  assert.deepEqual(
    messages.map(({ role, content }) => [role, (content[0] as { text: string }).text]),
    [
      ['user', 'go'],
      ['assistant', text],
    ],
  )
})

interface ListOf {
  readonly conversations: readonly unknown[]
}

test('a database that cannot be opened is unavailable, and named without its password', async () => {
  await using log = memory()
  const db = { postgres: 'postgres://me:secret@127.0.0.1:1/chat' }
  await assert.rejects(createConversations({ log, db, deps }), (error: unknown) => {
    assert.ok(error instanceof RuncastError && error.code === 'unavailable')
    assert.match(error.message, /127\.0\.0\.1:1\/chat/)
    assert.doesNotMatch(error.message, /secret/)
    return true
  })
})

test('ON10 ON16 H72 H116 the conversations over HTTP, each tenant its own', async () => {
  await using log = memory()
  await using store = await inMemory(log)
  const authenticate = ({ 'x-tenant': own }: Readonly<Record<string, unknown>>) => ({
    tenant: typeof own === 'string' ? own : tenant,
    user: 'ada',
  })
  const agents = [defineAgent({ name: 'quiet' }, async () => null)]
  await using server = await serve({ agents, log, conversations: store, authenticate, port: 0 })
  const call = async (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object, own = tenant) => {
    const headers = { 'x-tenant': own }
    const body = payload && JSON.stringify(payload)
    const type = payload && { 'content-type': 'application/json' }
    const response = await fetch(server.url + url, { method, headers: { ...headers, ...type }, ...(body && { body }) })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) }
  }

  const created = await call('POST', '/conversations', { title: 'Sales' })
  assert.equal(created.status, 201)
  const { id, user_id } = created.json() as { id: string; user_id: string }
  assert.equal(user_id, 'ada')
  assert.equal(created.headers.get('location'), `/conversations/${id}`)
  const appended = await call('POST', `/conversations/${id}/messages`, { content: 'hello' })
  assert.equal(appended.status, 201)
  const page = (await call('GET', `/conversations/${id}/messages?limit=10`)).json() as { messages: Message[] }
  assert.deepEqual(page.messages, [appended.json()])
  assert.equal((await call('PATCH', `/conversations/${id}`, { title: 'May' })).json().title, 'May')
  assert.equal((await call('GET', `/conversations/${id}`)).json().title, 'May')
  assert.deepEqual((await call('GET', '/conversations')).json().conversations.length, 1)
  assert.deepEqual((await call('GET', '/conversations?user_id=bob')).json().conversations, [])
  for (const [format, type, text] of [
    ['json', 'application/json; charset=utf-8', '"hello"'],
    ['markdown', 'text/markdown; charset=utf-8', '# May'],
    ['chat.v1', 'application/x-protobuf', 'hello'],
  ] as const) {
    const file = await call('GET', `/conversations/${id}/export?format=${format}`)
    assert.deepEqual([file.status, file.headers.get('content-type')], [200, type])
    assert.ok(file.text.includes(text))
  }

  const foreign = await call('GET', `/conversations/${id}`, undefined, 'other')
  assert.deepEqual([foreign.status, foreign.json().code], [404, 'not_found'])
  assert.deepEqual((await call('GET', '/conversations', undefined, 'other')).json().conversations, [])

  const refused: readonly (readonly [number, RegExp, () => ReturnType<typeof call>])[] = [
    [400, /limit/, () => call('GET', `/conversations/${id}/messages?limit=0`)],
    ...['after', 'before', 'limit'].flatMap(name =>
      ['', '0x10', '1e1', '%201', 'true', '1.5'].map(
        value => [400, new RegExp(name), () => call('GET', `/conversations/${id}/messages?${name}=${value}`)] as const,
      ),
    ),
    [400, /limit.*""/, () => call('GET', '/conversations?limit=')],
    ...['abc', '.t', '1e3.t', '0x10.t', ' .t', '-1.t'].map(
      cursor => [400, /cursor.*is not one of ours/, () => call('GET', `/conversations?cursor=${cursor}`)] as const,
    ),
    [400, /after.*"1","2"/, () => call('GET', `/conversations/${id}/messages?after=1&after=2`)],
    [400, /form_sequence/, () => call('GET', `/conversations/${id}/messages?form_sequence=1`)],
    [400, /format/, () => call('GET', `/conversations/${id}/export?format=pdf`)],
    [400, /role/, () => call('POST', `/conversations/${id}/messages`, { role: 'system', content: 'x' })],
    [400, /content/, () => call('POST', `/conversations/${id}/messages`, {})],
    [400, /title/, () => call('PATCH', `/conversations/${id}`, {})],
    [409, /exists/, () => call('POST', '/conversations', { id })],
    [404, /nobody/, () => call('GET', '/conversations/nobody/messages')],
  ]
  for (const [status, message, ask] of refused) {
    const { status: seen, json } = await ask()
    const body = json() as { success: boolean; error: string; code: string; details: object }
    assert.equal(seen, status, `${String(message)}: ${body.error}`)
    assert.match(body.error, message)
    assert.equal(body.success, false)
    assert.ok(body.code && body.details)
  }
  const broken = await fetch(`${server.url}/conversations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{',
  })
  assert.deepEqual([broken.status, (await broken.json()).code], [400, 'invalid_request'])
  assert.equal((await call('DELETE', `/conversations/${id}`)).status, 204)
  assert.equal((await call('GET', `/conversations/${id}`)).status, 404)
})
