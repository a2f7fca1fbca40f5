// Agents that go on after a crash: a deterministic agent is run again, and its log shows no seam.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { type Log, runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import type { RunsOptions } from '../src/runs.ts'
import { eventsOf } from './suites/runs-agents.ts'
import { until } from './until.ts'

/** Stands for a process that dies after so many tokens: from then on its appends are lost, and it never seals. */
function dying(log: Log, run: string, afterEvents: number): Log {
  return {
    ...log,
    append(key, after, entries, head) {
      if (key === runKey(run) && after >= afterEvents) return new Promise<number>(() => {})
      return log.append(key, after, entries, head)
    },
    async [Symbol.asyncDispose]() {},
  }
}

const words = ['one ', 'two ', 'three ', 'four ', 'five ', 'six ']

const teller = (more: Partial<Agent> = {}, said = words) =>
  defineAgent({ name: 'teller', restart: 'replay', ...more }, async function* (_input: unknown, ctx) {
    ctx.step('tell', { phase: 'start' })
    for (const word of said) {
      yield word
      await sleep(5)
    }
    ctx.step('tell', { duration_ms: Math.random() })
    return said.length
  })

/** Starts a run in a process that dies, and goes on with it in another. */
async function crashed(
  first: Agent,
  second: Agent,
  afterEvents: number,
  options: Partial<RunsOptions> = {},
  thread?: string,
) {
  const log = memory()
  const dead = createRuns({ log: dying(log, 'r', afterEvents), agents: [first], deps: realDeps, ...options })
  await dead.start('teller', null, { run: 'r', thread })
  while (((await log.head('r'))?.last ?? 0) < afterEvents) await sleep(2)
  const runs = createRuns({ log, agents: [second], deps: realDeps, ...options })
  await runs.recover()
  return { log, runs }
}

const text = (events: Awaited<ReturnType<typeof eventsOf>>) =>
  events.map(event => (event.type === 'token' ? event.content : '')).join('')

for (const afterEvents of [1, 2, 4, 7]) {
  test(`DK72 a deterministic agent whose server died after ${afterEvents} events goes on, without a lost or doubled word`, async () => {
    const { runs } = await crashed(teller(), teller(), afterEvents)
    const events = await eventsOf(runs, 'r')
    assert.equal(text(events), words.join(''))
    assert.deepEqual(
      events.map(event => event.sequence),
      events.map((_, index) => index + 1),
    )
    assert.deepEqual(
      events.map(event => event.type),
      ['started', 'step', ...words.map(() => 'token'), 'step', 'complete'],
    )
    assert.equal((await runs.get('r')).status, 'completed')
    await runs.stop(0)
  })
}

test('DK72 an agent that says something else the second time ends as interrupted; what was read stays true', async () => {
  const { runs } = await crashed(teller(), teller({}, ['one ', 'other ']), 5)
  const events = await eventsOf(runs, 'r')
  assert.ok(words.join('').startsWith(text(events)))
  const end = events.at(-1)
  assert.ok(end?.type === 'error' && end.code === 'interrupted', JSON.stringify(end))
  assert.match(end.error, /another token than its log has at 4/)
  await runs.stop(0)
})

test('DK72 without restart a run ends as interrupted', async () => {
  const once = defineAgent({ name: 'teller' }, teller().run)
  const { runs } = await crashed(once, once, 3)
  const end = (await eventsOf(runs, 'r')).at(-1)
  assert.ok(end?.type === 'error' && end.code === 'interrupted')
  await runs.stop(0)
})

test('DK72 redaction comes out the same the second time', async () => {
  const options = { redactPatterns: [/three|four/gu] }
  const { runs } = await crashed(teller(), teller(), 5, options)
  assert.equal(text(await eventsOf(runs, 'r')), 'one two [REDACTED] [REDACTED] five six ')
  await runs.stop(0)
})

test('a resumed run holds its thread: the next one waits for it', async () => {
  const { runs } = await crashed(teller(), teller(), 4, {}, 't')
  const { run_id } = await runs.start('teller', null, { thread: 't', onBusy: 'queue' })
  const [first, second] = await Promise.all([eventsOf(runs, 'r'), eventsOf(runs, run_id)])
  assert.ok((first.at(-1)?.timestamp ?? '') <= (second[0]?.timestamp ?? ''))
  assert.equal(text(first), words.join(''))
  await runs.stop(0)
})

test('an answer that was given before the crash is not asked for again', async () => {
  const asks = defineAgent({ name: 'teller', restart: 'replay' }, async (_input: unknown, ctx) => {
    ctx.token('a')
    const answer = await ctx.ask('who?')
    ctx.token('b')
    await sleep(5)
    ctx.token('c')
    return answer
  })
  const log = memory()
  const dead = createRuns({ log: dying(log, 'r', 5), agents: [asks], deps: realDeps })
  await dead.start('teller', null, { run: 'r' })
  await dead.tell('r', { type: 'input', input_id: 'ask-1', value: 'Ada' })
  while (((await log.head('r'))?.last ?? 0) < 4) await sleep(2)
  await sleep(20)
  const runs = createRuns({ log, agents: [asks], deps: realDeps })
  await runs.recover()
  const events = await eventsOf(runs, 'r')
  assert.equal(text(events), 'abc')
  assert.equal(events.filter(event => event.type === 'input').length, 2)
  assert.equal((await runs.get('r')).output, 'Ada')
  await runs.stop(0)
})

test('a server that stops does not wait for the run that others of its thread wait for: all of them are ended', {
  timeout: 60_000,
}, async () => {
  const asks = defineAgent({ name: 'asks', restart: 'replay' }, async (_input: unknown, ctx) => ctx.ask('for ever?'))
  const log = memory()
  const dead = createRuns({ log: dying(log, 'first', 2), agents: [asks], deps: realDeps })
  await dead.start('asks', null, { run: 'first', thread: 't' })
  await dead.start('asks', null, { run: 'second', thread: 't', onBusy: 'queue' })
  await until('the question is asked', async () => (await log.head('first'))?.last === 2)
  const runs = createRuns({ log, agents: [asks], deps: realDeps })
  await runs.recover()
  await runs.stop(0)
  for (const run of ['first', 'second']) assert.equal((await log.head(run))?.status, 'failed', run)
})
