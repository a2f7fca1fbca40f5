// Runs in this process, over every backend that needs nothing installed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { entryOf } from '../src/batch.ts'
import { awaitedMsMax, realDeps } from '../src/deps.ts'
import type { Event } from '../src/event.ts'
import { RuncastError } from '../src/error.ts'
import { createExit } from '../src/exit.ts'
import { type Log, runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import { foldBatch, type View } from '../src/state/fold.ts'
import { viewAt } from '../src/view-at.ts'
import { runsSuite } from './suites/runs.suite.ts'
import { until } from './until.ts'

runsSuite({
  name: 'core',
  async open(agents, options) {
    const runs = createRuns({ log: memory(), agents, deps: realDeps, ...options })
    return { runs, [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
  },
})

test('a run is cancelled when it was unwatched for as long as was said, and not as long after its first reader left', async () => {
  const unwatchedMs = 60_000
  const waits: { over(): void }[] = []
  const deps = {
    ...realDeps,
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms !== unwatchedMs) return realDeps.sleep(ms, signal)
      return new Promise<void>((resolve, reject) => {
        waits.push({ over: resolve })
        signal?.addEventListener('abort', () => reject(signal.reason as Error))
      })
    },
  }
  const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => ctx.ask('for ever?'))
  await using runs = createRuns({ log: memory(), agents: [asks], deps, cancelWhenUnwatchedMs: unwatchedMs })
  const { run_id } = await runs.start('asks', null)
  const readAndLeave = async () => {
    for await (const batch of runs.tail(run_id)) if (batch.last >= 2) break
  }
  await readAndLeave()
  await until('the first has left', () => waits.length === 1)
  await readAndLeave()
  await until('the second has left', () => waits.length === 2)
  waits[0]?.over()
  await realDeps.sleep(0)
  assert.equal((await runs.get(run_id)).cancel_requested_at, undefined)
  assert.equal((await runs.get(run_id)).status, 'running')
  waits[1]?.over()
  await until('it is cancelled', async () => (await runs.get(run_id)).status === 'cancelled')
  assert.match(String((await runs.get(run_id)).reason), /nobody watched for 60000 ms/)
})

/** A run whose events are read in many batches. */
async function longRun() {
  const log = memory()
  const batches = 10
  for (let batch = 0; batch < batches; batch++) {
    const entries = Array.from({ length: 1_000 }, (_, n) => entryOf({ type: 'text', content: `${n}` }, 0))
    await log.append(runKey('long'), batch * 1_000, entries)
  }
  return { log, events: batches * 1_000, batches }
}

test('who asks for the view of a long run holds up nobody: others have their turn between its batches', async () => {
  const { log, events, batches } = await longRun()
  let turns = 0
  const count = () => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  assert.equal((await viewAt(log, 'long', events)).at, events)
  clearImmediate(counting)
  assert.ok(turns >= batches - 1, `${turns} turns`)
})

test('a run that is forgotten while its view is made has none, and not half of one', async () => {
  const { log, events } = await longRun()
  const made = viewAt(log, 'long', events)
  setImmediate(() => void log.drop(runKey('long')))
  await assert.rejects(made, { code: 'not_found' })
})

/** What JSON refuses, leaves out, changes, or has its own way to write. */
const strange: Record<string, () => unknown> = {
  bigint: () => ({ deep: [1n] }),
  cycle: () => {
    const value: { self?: unknown } = {}
    value.self = value
    return value
  },
  deeper: () => {
    let value: unknown = 1
    for (let n = 0; n < 100_000; n++) value = { value }
    return value
  },
  'one that throws': () => ({ toJSON: () => assert.fail('not me') }),
  function: () => () => {},
  symbol: () => Symbol('s'),
  'a function within': () => ({ f: () => {}, at: 1 }),
  NaN: () => [NaN, Infinity, -0],
  undefined: () => ({ a: undefined, b: [undefined] }),
  'half a surrogate pair': () => ({ '\ud800': '\udc00 and \u2028' }),
  date: () => new Date(0),
  map: () => new Map([[1, 2]]),
}

const refused = new Set(['bigint', 'cycle', 'deeper', 'one that throws', 'function', 'symbol'])

test('H139 memory refuses, and changes, what SQLite does: of an input, a label, an answer and the events', async () => {
  const says = defineAgent({ name: 'says' }, async (of: string, ctx) => {
    const value = strange[of]?.() as { [name: string]: string }
    const answer = await ctx.ask('what?')
    const refused: unknown[] = []
    const tell = async (act: () => unknown) => {
      try {
        await act()
      } catch (error) {
        refused.push((error as { code?: string }).code)
      }
    }
    await tell(() => ctx.item(value))
    await tell(() => ctx.emit('custom_one', value))
    await tell(() => ctx.checkpoint('c', value))
    await tell(() => ctx.tool({ call_id: '1', tool_name: 't', stage: 'completed', result: value }))
    await tell(() => ctx.state.update(draft => void (draft['value'] = value)))
    ctx.item({ answer, refused })
    return value
  })
  /** All that anybody can read of it. */
  const toldOf = async (open: () => Log, of: string): Promise<unknown[]> => {
    const log = open()
    await using runs = createRuns({ log, agents: [says], deps: realDeps })
    const told: unknown[] = []
    const value = () => strange[of]?.() as string
    for (const [at, options] of [
      [value(), {}],
      [of, { labels: { label: value() } }],
    ] as const) {
      try {
        const { run_id } = await runs.start('says', at, options)
        told.push({ input: (await log.head(run_id))?.input })
      } catch (error) {
        told.push((error as { code?: string }).code)
      }
    }
    const { run_id } = await runs.start('says', of)
    const answer = { type: 'input', input_id: 'ask-1' } as const
    await runs.tell(run_id, { ...answer, value: value() }).catch((error: { code?: string }) => told.push(error.code))
    await runs.tell(run_id, { ...answer, value: 'plain' })
    const events: Event[] = []
    for await (const batch of runs.tail(run_id)) events.push(...batch.events)
    told.push(...events.map(({ id: _id, run_id: _run, timestamp: _time, ...event }) => event))
    await runs.stop(0)
    return told.map(one => (typeof one === 'object' ? { ...one, latency_seconds: 0 } : one))
  }
  for (const of of Object.keys(strange)) {
    const told = await toldOf(memory, of)
    assert.deepEqual(told, await toldOf(() => sqlite({ path: ':memory:' }), of), of)
    assert.deepEqual(told, JSON.parse(JSON.stringify(told)), `${of} is kept as something else than JSON`)
    const [input, label] = told
    assert.equal(label, 'invalid_request', of)
    if (refused.has(of)) assert.equal(input, 'invalid_input', of)
    else assert.equal(typeof input, 'object', of)
  }
})

test('H95 what is kept of an input and of labels is what it was at the start, whatever becomes of the objects', async () => {
  const changes = defineAgent({ name: 'changes' }, async (input: { list: number[] }) => {
    input.list.push(2)
    return input.list
  })
  await using runs = createRuns({ log: memory(), agents: [changes], deps: realDeps })
  const [input, labels] = [{ list: [1] }, { who: 'me' }]
  const { run_id } = await runs.start('changes', input, { labels })
  await until('it ends', async () => (await runs.get(run_id)).status === 'completed')
  labels.who = 'you'
  assert.deepEqual(input, { list: [1, 2] })
  const kept = await runs.get(run_id)
  assert.deepEqual([kept.input, kept.labels, kept.output], [{ list: [1] }, { who: 'me' }, [1, 2]])
})

test('agents that nobody could call are refused at once: a second one of a name, and a schema that checks nothing', () => {
  const named = (name: string, more: object = {}) => defineAgent({ name, ...more }, async () => 1)
  for (const [agents, message] of [
    [[named('a'), named('b'), named('a')], /^two agents are called a; rename one$/],
    [
      [named('a', { input: { type: 'strng' } })],
      /^agent a: its input schema is not a JSON Schema; mend it: \/type must be/,
    ],
    [[named('a', { output: { $ref: '#/x' } })], /^agent a: its output schema is not .*: can't resolve reference #\/x/],
  ] as const) {
    assert.throws(() => createRuns({ log: memory(), agents, deps: realDeps }), { code: 'invalid_request', message })
  }
})

test('a server that stops keeps its process alive for as long as its runs may go on', async () => {
  const slept: number[] = []
  let stopping = false
  const deps = {
    ...realDeps,
    sleep: async (ms: number, signal?: AbortSignal) => {
      if (stopping) slept.push(ms)
      // The time that the run has, and no more.
      return realDeps.sleep(stopping && slept.length <= 3 ? 0 : ms, signal)
    },
  }
  const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => ctx.ask('for ever?'))
  const runs = createRuns({ log: memory(), agents: [asks], deps })
  const { run_id } = await runs.start('asks', null)
  await until('it asks', async () => (await runs.get(run_id)).last_sequence === 2)
  stopping = true
  await runs.stop(25_000)
  assert.deepEqual(slept.slice(0, 3), [awaitedMsMax, awaitedMsMax, 25_000 - 2 * awaitedMsMax])
  assert.equal((await runs.get(run_id)).status, 'failed')
})

test("an end that says nothing is not taken for arrived where another owner's end stands", async () => {
  const kept = memory()
  const log: Log = {
    ...kept,
    async append(key, after) {
      await kept.append(key, after, [entryOf({ type: 'error', error: 'gone', code: 'interrupted' }, 0)])
      throw new RuncastError('unavailable', 'no answer came')
    },
  }
  const lost: string[] = []
  const exit = createExit({
    log,
    key: runKey('r'),
    last: 0,
    now: () => 0,
    sleep: async () => {},
    onLost: ({ code }) => lost.push(code),
    onOverload: () => {},
  })
  await assert.rejects(exit.end({ type: 'cancelled' }, {}), { code: 'unavailable' })
  assert.deepEqual(lost, ['unavailable'])
})

test('H101 who lets go of the runs as somebody sees them ends nobody else’s, nor those that run', async () => {
  const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => ctx.ask('what?'))
  await using runs = createRuns({ log: memory(), agents: [asks], deps: realDeps })
  const who = { tenant: 'a' }
  const kept = runs.as(who)
  let run_id = ''
  {
    await using left = runs.as(who)
    ;({ run_id } = await left.start('asks', null))
  }
  await kept.tell(run_id, { type: 'input', input_id: 'ask-1', value: 'that' })
  const types: string[] = []
  for await (const batch of kept.tail(run_id)) types.push(...batch.events.map(({ type }) => type))
  assert.deepEqual([types.at(-1), (await kept.get(run_id)).output], ['complete', 'that'])
  assert.equal((await kept.start('asks', null)).status, 'accepted')
  await runs.stop(0)
})

test('H85 a reader that lost changes of the state gets it with the gap, and whenever it asks', async () => {
  const changes = defineAgent({ name: 'changes' }, async (_input: unknown, ctx) => {
    for (let n = 1; n <= 30; n++) await ctx.state.update(draft => void (draft[`n${n % 7}`] = n))
  })
  const log = memory()
  await using runs = createRuns({ log, agents: [changes], deps: realDeps })
  const { run_id } = await runs.start('changes', null)
  await until('it ends', async () => (await runs.get(run_id)).status === 'completed')
  const { state } = await runs.snapshot(run_id)
  let view = await runs.snapshot(run_id, 5)
  await log.drop(runKey(run_id), 20, Buffer.from(JSON.stringify(await viewAt(log, run_id, 20))))
  for await (const batch of runs.tail(run_id, { after: 5 })) {
    if (batch.gap?.snapshot) view = JSON.parse(Buffer.from(batch.gap.snapshot).toString()) as View
    view = foldBatch(view, batch)
  }
  assert.deepEqual([view.state.certain, view.state], [true, state])
  assert.deepEqual((await runs.snapshot(run_id)).state, state)
})
