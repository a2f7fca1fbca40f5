// Secrets in what a run is given: the agent gets them, and nobody who looks at the run does, by whichever exit. The other
// direction, what an agent emits, is in redact.test.ts.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { createConversations } from '../src/conversations/conversations.ts'
import { realDeps } from '../src/deps.ts'
import { type Log, runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import type { RunsOptions } from '../src/runs.ts'
import { serve } from '../src/server.ts'
import { temporaryDir } from './services/child.ts'
import { eventsOf } from './suites/runs-agents.ts'

const secret = 'sk-canary-12345678'
const redactPatterns = [/sk-canary-\d{8}/u]
const words = (text: string) => `my key is ${text}, use it`

/** Keeps what it is given, and says it. */
const listener = (given: unknown[], more: Pick<Agent, 'restart'> = {}) =>
  defineAgent({ name: 'listener', ...more }, async (input: { text?: string }, ctx) => {
    given.push(input, ...Object.values(ctx.labels))
    ctx.token(input.text ?? '')
    return input
  })

test('DK81 DF35 a secret in the input reaches the agent, and no exit: HTTP, feeds, conversations, faces, command, file', async t => {
  const dir = temporaryDir('redact-input')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'runs.db')
  const log = sqlite({ path: file })
  const conversations = await createConversations({ log, db: { sqlite: `${file}-conversations` }, deps: realDeps })
  const given: unknown[] = []
  const server = await serve({ agents: [listener(given)], log, conversations, redactPatterns, port: 0 })
  const json = { 'content-type': 'application/json' }
  const input = { text: words(secret), deep: [{ [secret]: secret }] }
  const key = { 'idempotency-key': 'once' }
  const started = () =>
    fetch(`${server.url}/runs?run_id=r&thread_id=t&company_id=${secret}`, {
      method: 'POST',
      headers: { ...json, ...key },
      body: JSON.stringify(input),
    })
  const seen: string[] = [await (await started()).text()]
  const look = async (path: string, init: RequestInit = {}) => {
    const answer = await fetch(server.url + path, init)
    const text = await answer.text()
    assert.ok(answer.ok, `${path}: ${text}`)
    seen.push(text)
    return text
  }
  await look('/runs/r/events')
  assert.deepEqual(given, [input, secret], 'the agent has all of it')
  assert.equal((await started()).status, 202, 'the same request is the same run')

  const shown = JSON.parse(await look('/runs/r')) as { input: object; labels: object }
  assert.deepEqual(shown.input, { text: words('[REDACTED]'), deep: [{ '[REDACTED]': '[REDACTED]' }] })
  assert.deepEqual(shown.labels, { company_id: '[REDACTED]' })
  await look('/runs')
  await look('/runs/r/events', { headers: { accept: 'application/x-ndjson' } })
  await look('/runs/r/snapshot')
  await look('/threads/t/events?timeout=1')
  const said = JSON.parse(await look('/conversations/t/messages')) as { messages: unknown[] }
  assert.equal(said.messages.length, 2)
  assert.match(await look('/conversations'), /my key is \[REDACTED\], use it/)
  for (const format of ['json', 'markdown', 'chat.v1']) await look(`/conversations/t/export?format=${format}`)
  const attach = { threadId: 't', runId: 'r', messages: [], tools: [], context: [], state: {}, forwardedProps: {} }
  const snapshot = await look('/agui', { method: 'POST', headers: json, body: JSON.stringify(attach) })
  assert.match(snapshot, /MESSAGES_SNAPSHOT.*my key is \[REDACTED\]/)

  const command = join(import.meta.dirname, '..', 'bin', 'runcast.js')
  const run = (...told: string[]) => promisify(execFile)(process.execPath, [command, ...told])
  for (const told of [
    ['runs', 'show', 'r', '--json', '--url', server.url],
    ['inspect', 'r', '--json', '--source', file],
    ['export', 'r', '--source', file],
  ]) {
    const { stdout } = await run(...told)
    assert.match(stdout, /REDACTED/)
    seen.push(stdout)
  }
  await server.stop(0)
  for (const name of readdirSync(dir)) seen.push(readFileSync(join(dir, name), 'latin1'))
  for (const text of seen) assert.ok(!text.includes(secret), text.slice(0, 2_000))
})

test('DK81 a queued run gets its input whole, though what is kept of it is masked', async () => {
  const given: unknown[] = []
  const log = memory()
  const gate = Promise.withResolvers<void>()
  const first = defineAgent({ name: 'first' }, () => gate.promise)
  await using runs = createRuns({ log, agents: [first, listener(given)], deps: realDeps, redactPatterns })
  await runs.start('first', null, { thread: 't' })
  const { run_id } = await runs.start('listener', { text: secret }, { thread: 't', onBusy: 'queue' })
  assert.deepEqual((await runs.get(run_id)).input, { text: '[REDACTED]' })
  gate.resolve()
  await eventsOf(runs, run_id)
  assert.deepEqual(given, [{ text: secret }])
})

/** Stands for a process that dies when its run has begun: what it appends then is lost, and it never seals. */
function dying(log: Log, run: string): Log {
  return {
    ...log,
    append: (key, after, entries, head) =>
      key === runKey(run) && after >= 1
        ? new Promise<number>(() => {}) // no acknowledgement ever
        : log.append(key, after, entries, head),
    async [Symbol.asyncDispose]() {},
  }
}

/** A run that a process began before it died, and the process after it. */
async function crashed(input: unknown, given: unknown[], options: Partial<RunsOptions> = {}) {
  const log = memory()
  const agents = [listener(given, { restart: 'replay' })]
  const dead = createRuns({ log: dying(log, 'r'), agents, deps: realDeps, redactPatterns, ...options })
  await dead.start('listener', input, { run: 'r' })
  for await (const batch of dead.tail('r')) if (batch.last >= 1) break
  return { log, dead, after: createRuns({ log, agents, deps: realDeps, redactPatterns, ...options }) }
}

test('DK72 DK81 a run with a secret in its input is not run again with the mask in its place: it ends, and says why', async () => {
  const given: unknown[] = []
  const { after } = await crashed({ text: words(secret) }, given)
  await using runs = after
  await runs.recover()
  const end = (await eventsOf(runs, 'r')).at(-1)
  assert.ok(end?.type === 'error' && end.code === 'interrupted', JSON.stringify(end))
  assert.match(end.error, /input had secrets, which are not kept/)
  assert.deepEqual(given, [{ text: words(secret) }], 'asked once')
})

test('DK72 DK81 a run without a secret is run again, also where secrets are masked', async () => {
  const given: unknown[] = []
  const { after } = await crashed({ text: 'no key' }, given)
  await using runs = after
  await runs.recover()
  assert.equal((await eventsOf(runs, 'r')).at(-1)?.type, 'complete')
  assert.deepEqual(given, [{ text: 'no key' }, { text: 'no key' }])
})

test('DK81 a secret in the reason of a cancel is masked by whoever ends the run, its owner or a recovery', async () => {
  const { dead, after } = await crashed({ text: secret }, [])
  await using runs = after
  await dead.tell('r', { type: 'cancel', reason: words(secret) })
  await runs.recover()
  assert.equal((await runs.get('r')).reason, words('[REDACTED]'))
  const waits = defineAgent({ name: 'waits' }, async (_input: unknown, ctx) => void (await ctx.ask('?')))
  await using own = createRuns({ log: memory(), agents: [waits], deps: realDeps, redactPatterns })
  const { run_id } = await own.start('waits', null)
  assert.equal((await own.cancel(run_id, words(secret))).reason, words('[REDACTED]'))
})
