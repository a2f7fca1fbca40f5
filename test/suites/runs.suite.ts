// What `Runs` promises, whoever offers it: the core in this process, or a client over a wire. Plain functions, called
// once per row; a row owns its exceptions.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { getCurrentContext } from '../../src/agent/context.ts'
import { RuncastError } from '../../src/error.ts'
import type { Event } from '../../src/event.ts'
import type { FollowRunOptions, Runs, RunsOptions, Target } from '../../src/runs.ts'
import { stateHash } from '../../src/state/hash.ts'

export interface RunsRow {
  readonly name: string
  open(agents: readonly Agent[], options?: Partial<RunsOptions>): Promise<{ runs: Runs } & AsyncDisposable>
  readonly skip?: readonly { readonly test: string; readonly reason: string }[]
}

/** Emits `count` tokens, `ms` apart. */
const counter = defineAgent(
  { name: 'counter' },
  async function* ({ count = 3, ms = 0 }: { count?: number; ms?: number }) {
    for (let n = 1; n <= count; n++) {
      if (ms > 0) await sleep(ms)
      yield `t${n} `
    }
    return { count }
  },
)

/** Waits until it is told to stop; says whether its finally block ran. */
const stopped: string[] = []
const stoppedBy: unknown[] = []
const waits = defineAgent({ name: 'waits' }, async (_input, context) => {
  await context.ask('for ever?').catch((error: unknown) => stoppedBy.push(error))
})
const patient = defineAgent({ name: 'patient' }, async function* (input: { id: string }) {
  try {
    yield 'waiting'
    for (;;) {
      await sleep(10)
      yield { waiting: true }
    }
  } finally {
    stopped.push(input.id)
  }
})

/** Ignores every signal for a while, and talks on. */
const stubborn = defineAgent({ name: 'stubborn' }, async (_input: unknown, ctx) => {
  for (let n = 0; n < 40; n++) {
    ctx.token(`still here ${n}`)
    await sleep(10)
  }
  return 'late'
})

const fails = defineAgent({ name: 'fails' }, async function* () {
  yield 'before'
  throw Object.assign(new Error('out of luck'), { code: 'bad_luck' })
})

/** Tells the hash of each state but the third's; the second's is of another. */
const misled = defineAgent({ name: 'misled' }, async function* () {
  const replace = (value: string) => [{ op: 'replace' as const, path: '/s', value }]
  yield { type: 'state', version: 1, base_version: 0, snapshot: { s: 'a' }, hash: stateHash({ s: 'a' }) }
  yield { type: 'state', version: 2, base_version: 1, ops: replace('b'), hash: stateHash({ s: 'x' }) }
  yield { type: 'state', version: 3, base_version: 2, ops: replace('c') }
  yield { type: 'state', version: 4, base_version: 3, snapshot: { s: 'd' }, hash: stateHash({ s: 'd' }) }
})

/** Says how bad it is, and goes on as if nothing were. */
const troubled = defineAgent({ name: 'troubled' }, async function* (severity: 'warning' | 'error' | 'critical', ctx) {
  ctx.warning('disk_full', 'nothing can be saved', { severity, recoverable: false, details: { disk: 'a' } })
  await sleep(20)
  yield 'so what'
  return 'fine'
})

const strict = defineAgent(
  { name: 'strict', input: z.object({ text: z.string(), times: z.number().int().optional() }) },
  async ({ text }) => text,
)

/** What no run can end with, as it is. */
const odd = defineAgent({ name: 'odd' }, async (what: string) => {
  if (what === 'function') return () => 1
  if (what === 'bigint') return 1n
  if (what === 'large') return 'x'.repeat(2_000)
  if (what === 'details') throw new RuncastError('conflict', 'two of them', { details: { count: 2n } })
  throw { object: { message: 'said by an object' }, name: new TypeError(''), bare: Object.create(null) }[what] as Error
})

const everything = defineAgent({ name: 'everything' }, async function* (_input: unknown, ctx) {
  ctx.progress('read', 1.7, 'half')
  ctx.progress('read', -1)
  ctx.checkpoint('c', { deep: [1, { a: null }] })
  ctx.token('Grüße 😀', { finish_reason: 'stop' })
  ctx.step('node', { duration_ms: 3, input_keys: ['a'], output_keys: ['b'] })
  ctx.emit('fraud_check', { run_id: 'spoofed', passed: true })
  ctx.text('block', { position: 'before' })
  ctx.chart('c1', { series: [{ type: 'bar', data: [1] }] }, { chart_type: 'bar' })
  ctx.tool({ call_id: '1', tool_name: 'sql', stage: 'completed', result: [1] })
  ctx.metrics('llm', { tokens_total: { value: 3, kind: 'counter' } })
  ctx.warning('slow', 'slow today')
  ctx.state.update(draft => {
    draft['count'] = 1
  })
  ctx.bytes(new Uint8Array([0, 255, 10]))
  yield null
  yield 0
  yield ''
  yield { error: 'looks like an error', code: 1 }
  yield { type: 'token', content: 'as an object' }
  return { done: true }
})

const nested = defineAgent({ name: 'nested' }, async (input: { mark: string }) => {
  const deep = async () => {
    await sleep(5)
    getCurrentContext()?.emit('mark', { mark: input.mark, run: getCurrentContext()?.run_id })
  }
  await Promise.all([deep(), deep()])
  return input.mark
})

const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => {
  const name = await ctx.ask('Who are you?')
  const sure = await ctx.ask('Sure?', { kind: 'approval', input_id: 'sure' })
  return { name, sure }
})

/** Says more than some servers let through. */
const talks = defineAgent({ name: 'talks' }, async function* () {
  yield '1234'
  yield '5678😀90'
  yield 'more'
  return { first: 'abcdef', list: ['ghi', 'jkl', 7], last: 'mno' }
})

/** Emits more than an event may have, is told, and goes on. */
const lavish = defineAgent({ name: 'lavish' }, async (_input: unknown, ctx) => {
  const refused: string[] = []
  ctx.token('before')
  try {
    await ctx.item('x'.repeat(2_000))
  } catch (error) {
    refused.push((error as RuncastError).code)
  }
  ctx.token('behind')
  return refused
})

/** Claims to be the runtime, in every way there is. */
const spoofs = defineAgent({ name: 'spoofs' }, async (_input: unknown, ctx) => {
  const refused: string[] = []
  for (const name of ['complete', 'error', 'started', 'cancelled', 'heartbeat', 'gap', 'message', 'a-b', '']) {
    try {
      ctx.emit(name, { output: 'spoofed' })
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  return refused
})

/** Tells events as another run had them, envelope and all. */
const forges = defineAgent({ name: 'forges' }, async function* (_input: unknown, ctx) {
  const envelope = { id: 'other:99', run_id: 'other', request_id: 'other', sequence: 99, timestamp: 'never' }
  yield { type: 'token', content: 'yielded', ...envelope }
  yield { type: 'custom', name: 'newer', data: 1, other: { kept: true, type: 'complete', ...envelope } }
  ctx.token('said', envelope as object)
})

const wrongEvents = [
  { type: 'progress' },
  { type: 'token' },
  { type: 'complete' },
  { type: 'token', content: '', channel: 'thought' },
  { type: 'step', node_name: 'n', phase: 'begin' },
  { type: 'tool', call_id: 'c', tool_name: 't', stage: 'done' },
  { type: 'text', content: '', position: 'middle' },
  { type: 'warning', code: 'c', message: 'm', severity: 'CRITICAL' },
  { type: 'input', input_id: 'i', kind: 'answer', value: 'made up' },
  { type: 'item', bytes: new Uint8Array(1) },
  { type: 'item', data: () => 1 },
  Symbol('s'),
]

const yieldsWrongly = defineAgent({ name: 'yields-wrongly' }, async function* () {
  const refused: string[] = []
  for (const wrong of wrongEvents) {
    try {
      yield wrong
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  yield 'and on'
  return refused
})

const yieldsEnd = defineAgent({ name: 'yields-end' }, async function* () {
  yield { type: 'complete', output: 'spoofed', latency_seconds: 0 }
})

/** Awaits some of its emits and not others. */
const mixed = defineAgent({ name: 'mixed' }, async (_input: unknown, ctx) => {
  for (let n = 0; n < 60; n += 3) {
    ctx.token(`${n} `)
    await ctx.token(`${n + 1} `)
    void ctx.token(`${n + 2} `)
    if (n % 9 === 0) await sleep(1)
  }
})

const agents: readonly Agent[] = [
  talks,
  lavish,
  spoofs,
  forges,
  yieldsEnd,
  mixed,
  counter,
  patient,
  waits,
  yieldsWrongly,
  stubborn,
  fails,
  troubled,
  misled,
  strict,
  odd,
  everything,
  nested,
  asks,
]

const hasCode = (code: string) => (error: unknown) =>
  (error instanceof RuncastError && error.code === code) || assert.fail(`expected ${code}, got ${String(error)}`)

export async function eventsOf(runs: Runs, target: Target, options: FollowRunOptions = {}): Promise<Event[]> {
  const events: Event[] = []
  for await (const batch of runs.tail(target, options)) events.push(...batch.events)
  return events
}

/** Waits until a run has so many events. */
async function reached(runs: Runs, run: string, sequence: number): Promise<void> {
  for await (const batch of runs.tail(run)) if (batch.last >= sequence) return
}

const sequences = (events: readonly Event[]) => events.map(event => event.sequence)
const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, index) => from + index)
const types = (events: readonly Event[]) => events.map(event => (event.type === 'custom' ? event.name : event.type))

export function runsSuite(row: RunsRow): void {
  const promise = (title: string, body: (runs: Runs) => Promise<void>, options: Partial<RunsOptions> = {}) => {
    const skipped = row.skip?.find(entry => entry.test === title)
    test(`${row.name}: ${title}`, { skip: skipped?.reason ?? false, timeout: 120_000 }, async () => {
      await using opened = await row.open(agents, options)
      await body(opened.runs)
    })
  }

  promise('DK14 DK15 DK19 DK37 DK44 a run is accepted, streams in order, and ends with its output', async runs => {
    const info = await runs.start('counter', { count: 5 })
    assert.equal(info.status, 'accepted')
    const events = await eventsOf(runs, info.run_id)
    assert.deepEqual(types(events), ['started', 'token', 'token', 'token', 'token', 'token', 'complete'])
    assert.deepEqual(sequences(events), upTo(7))
    const ended = await runs.get(info.run_id)
    assert.equal(ended.status, 'completed')
    assert.deepEqual(ended.output, { count: 5 })
    assert.ok(ended.completed_at)
    const end = events.at(-1)
    assert.ok(end?.type === 'complete' && end.latency_seconds >= 0)
  })

  promise('DK39 the first event says which agent began', async runs => {
    const { run_id } = await runs.start('counter', {}, { thread: 't1', labels: { scenario: 's', company_id: 'c' } })
    const [first] = await eventsOf(runs, run_id)
    assert.ok(first?.type === 'started')
    const { agent_name, framework, thread_id, scenario, company_id } = first
    assert.deepEqual([agent_name, framework, thread_id, scenario, company_id], ['counter', 'runcast', 't1', 's', 'c'])
  })

  promise('DK20 DK21 DK22 DK23 any cursor, live or late, gives the rest exactly once', async runs => {
    const { run_id } = await runs.start('counter', { count: 20, ms: 2 })
    const readers = [0, 1, 5, 21, 22].map(after => eventsOf(runs, run_id, { after }))
    const whole = upTo(22)
    for (const [index, after] of [0, 1, 5, 21, 22].entries()) {
      assert.deepEqual(sequences((await readers[index]) ?? []), whole.slice(after))
    }
    assert.deepEqual(sequences(await eventsOf(runs, run_id, { after: 17 })), upTo(22, 18))
    assert.deepEqual(await eventsOf(runs, run_id, { after: 22 }), [])
    assert.deepEqual(await eventsOf(runs, run_id, { after: 500 }), [])
  })

  promise('DK23 H50 a cursor beyond the last event waits for what follows it; a strict one is refused', async runs => {
    const refused = async (run: string, last: number) => {
      await assert.rejects(eventsOf(runs, run, { after: last + 7, strict: true }), (error: unknown) => {
        assert.ok(error instanceof RuncastError && error.code === 'cursor_gone')
        assert.deepEqual(error.details, { requested: last + 8, oldest: 1, last })
        assert.match(error.message, /another run that had its id; read it from the start/)
        return true
      })
    }
    const { run_id } = await runs.start('asks', null)
    for await (const { events } of runs.tail(run_id)) if (events.some(({ type }) => type === 'input')) break
    const { last_sequence: last } = await runs.get(run_id)
    await refused(run_id, last)
    const beyond = eventsOf(runs, run_id, { after: last + 1 })
    const strict = eventsOf(runs, run_id, { after: last, strict: true })
    for (const input_id of ['ask-1', 'sure']) await runs.tell(run_id, { type: 'input', input_id, value: 'yes' })
    const rest = await strict
    assert.deepEqual(await beyond, rest.slice(1))
    assert.equal(rest.at(-1)?.type, 'complete')
    await refused(run_id, last + rest.length)
  })

  promise('DK26 many readers get the same events', async runs => {
    const { run_id } = await runs.start('counter', { count: 30, ms: 1 })
    const seen = await Promise.all(Array.from({ length: 20 }, () => eventsOf(runs, run_id)))
    for (const events of seen) assert.deepEqual(events, seen[0])
  })

  promise('DK16 an unknown run is not_found for get, tail, cancel, tell and snapshot', async runs => {
    await assert.rejects(runs.get('nobody'), hasCode('not_found'))
    await assert.rejects(eventsOf(runs, 'nobody'), hasCode('not_found'))
    await assert.rejects(runs.cancel('nobody'), hasCode('not_found'))
    await assert.rejects(runs.tell('nobody', { type: 'cancel' }), hasCode('not_found'))
    await assert.rejects(runs.snapshot('nobody'), hasCode('not_found'))
    await assert.rejects(runs.start('nobody', {}), hasCode('not_found'))
  })

  promise('DK17 a client names its run; a repeated or malformed name is refused', async runs => {
    assert.equal((await runs.start('counter', {}, { run: 'abc' })).run_id, 'abc')
    await assert.rejects(runs.start('counter', {}, { run: 'abc' }), hasCode('conflict'))
    for (const run of ['_x', 'a'.repeat(129), 'a b', '', '../x']) {
      await assert.rejects(runs.start('counter', {}, { run }), hasCode('invalid_run_id'))
    }
  })

  promise(
    'DK18 where client ids are not allowed they are forbidden',
    async runs => {
      await assert.rejects(runs.start('counter', {}, { run: 'abc' }), hasCode('forbidden'))
    },
    { allowClientIds: false },
  )

  promise('the same idempotency key and input give the same run, another input a conflict', async runs => {
    const first = await runs.start('counter', { count: 2 }, { idempotencyKey: 'key' })
    const again = await runs.start('counter', { count: 2 }, { idempotencyKey: 'key' })
    assert.equal(again.run_id, first.run_id)
    await assert.rejects(runs.start('counter', { count: 3 }, { idempotencyKey: 'key' }), hasCode('conflict'))
    const both = await Promise.all([1, 2, 3].map(() => runs.start('counter', {}, { idempotencyKey: 'other' })))
    assert.equal(new Set(both.map(info => info.run_id)).size, 1)
  })

  promise('DK6 an input that does not fit is refused with the field named, and no run is left', async runs => {
    await assert.rejects(runs.start('strict', { times: 1 }), (error: unknown) => {
      assert.ok(error instanceof RuncastError)
      assert.equal(error.code, 'invalid_input')
      assert.match(error.message, /text/)
      return true
    })
    assert.deepEqual((await runs.list()).runs, [])
  })

  promise('DK29 DK46 OL20 cancel ends the run with its reason, and the generator returns', async runs => {
    const { run_id } = await runs.start('patient', { id: `${row.name} cancel` })
    const reading = eventsOf(runs, run_id)
    await reached(runs, run_id, 2)
    const info = await runs.cancel(run_id, 'enough')
    assert.equal(info.status, 'cancelled')
    assert.equal(info.reason, 'enough')
    const events = await reading
    const end = events.at(-1)
    assert.ok(end?.type === 'cancelled' && end.reason === 'enough')
    assert.ok(stopped.includes(`${row.name} cancel`))
    assert.deepEqual(sequences(events), upTo(events.length))
  })

  promise(
    'DK30 nothing follows the end, whatever an agent does that ignores its cancel',
    async runs => {
      const { run_id } = await runs.start('stubborn', {})
      await reached(runs, run_id, 2)
      await runs.cancel(run_id)
      const before = await eventsOf(runs, run_id)
      await sleep(300)
      const after = await eventsOf(runs, run_id)
      assert.deepEqual(after, before)
      assert.equal(after.at(-1)?.type, 'cancelled')
    },
    { cancelGraceMs: 50 },
  )

  promise('each wrong yield is thrown back into its generator, which may go on', async runs => {
    const { run_id } = await runs.start('yields-wrongly', {})
    assert.deepEqual(types(await eventsOf(runs, run_id)), ['started', 'token', 'complete'])
    const refused = (await runs.get(run_id)).output as string[]
    assert.equal(refused.length, wrongEvents.length)
    assert.match(refused[1] ?? '', /token\.content must be a string, not undefined/)
    const severity = /warning\.severity must be one of debug, info, warning, error, critical, not "CRITICAL"/
    assert.ok(refused.some(message => severity.test(message)))
  })

  promise('DK29 a stopped agent finds an error in its signal, and in what it waits for', async runs => {
    const { run_id } = await runs.start('waits', {})
    await reached(runs, run_id, 2)
    await runs.cancel(run_id, 'enough')
    const { name, message } = stoppedBy.pop() as Error
    assert.deepEqual({ name, message }, { name: 'AbortError', message: 'the run is stopped: enough' })
  })

  promise('DK32 a finished run can be told nothing more', async runs => {
    const { run_id } = await runs.start('counter', {})
    await eventsOf(runs, run_id)
    await assert.rejects(runs.cancel(run_id), hasCode('run_ended'))
    await assert.rejects(runs.tell(run_id, { type: 'input', input_id: 'x', value: 1 }), hasCode('run_ended'))
    assert.equal((await runs.get(run_id)).status, 'completed')
  })

  promise(
    'DK33 a run over its time ends with error timeout, and its agent stops',
    async runs => {
      const { run_id } = await runs.start('patient', { id: `${row.name} deadline` })
      const events = await eventsOf(runs, run_id)
      const end = events.at(-1)
      assert.ok(end?.type === 'error' && end.code === 'timeout')
      assert.equal((await runs.get(run_id)).error?.code, 'timeout')
      assert.ok(stopped.includes(`${row.name} deadline`))
    },
    { maxRunDurationMs: 100, cancelGraceMs: 100 },
  )

  promise('DK45 OL14 an agent that throws ends its run with its message and code', async runs => {
    const { run_id } = await runs.start('fails', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'token', 'error'])
    const info = await runs.get(run_id)
    assert.equal(info.status, 'failed')
    assert.deepEqual(info.error, { message: 'out of luck', code: 'bad_luck' })
  })

  promise(
    'DK45 what is no output ends its run with invalid_output, and whatever is thrown says something',
    async runs => {
      const endOf = async (what: string) => {
        const end = (await eventsOf(runs, (await runs.start('odd', what)).run_id)).at(-1)
        return end?.type === 'error' && [end.code, end.error]
      }
      assert.deepEqual(await endOf('function'), ['invalid_output', 'the agent returned a function; an output is JSON'])
      assert.match(String(await endOf('bigint')), /^invalid_output,the complete event is no JSON: .*BigInt/)
      assert.match(
        String(await endOf('large')),
        /^invalid_output,the complete event has \d+ characters; the limit is 1000:/,
      )
      assert.match(String(await endOf('details')), /^agent_error,the error event is no JSON: .*BigInt/)
      assert.deepEqual(await endOf('object'), ['agent_error', 'said by an object'])
      assert.deepEqual(await endOf('name'), ['agent_error', 'TypeError'])
      assert.deepEqual(await endOf('bare'), ['agent_error', 'an object without a message was thrown'])
    },
    { eventBytesMax: 1_000 },
  )

  promise('H58 every kind of event is replayed as it came live, from every cursor', async runs => {
    const { run_id } = await runs.start('everything', {})
    const live = await eventsOf(runs, run_id)
    assert.ok(new Set(types(live)).size >= 13)
    for (let after = 0; after <= live.length; after++) {
      assert.deepEqual(await eventsOf(runs, run_id, { after }), live.slice(after))
    }
  })

  promise('DK40 DK41 DK42 DK43 DK47 DK49 OL13 OL17 every kind of event arrives as it was emitted', async runs => {
    const { run_id } = await runs.start('everything', {})
    const events = await eventsOf(runs, run_id)
    const fieldsOf = (type: string) =>
      events
        .filter(event => event.type === type)
        .map(({ id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, type: _type, ...fields }) => fields)
    assert.deepEqual(fieldsOf('progress'), [
      { step: 'read', progress: 1, message: 'half' },
      { step: 'read', progress: 0 },
    ])
    assert.deepEqual(fieldsOf('checkpoint'), [{ name: 'c', data: { deep: [1, { a: null }] } }])
    assert.deepEqual(fieldsOf('token'), [
      { content: 'Grüße 😀', finish_reason: 'stop' },
      { content: '' },
      { content: 'as an object' },
    ])
    assert.deepEqual(fieldsOf('step'), [
      { node_name: 'node', phase: 'end', duration_ms: 3, input_keys: ['a'], output_keys: ['b'] },
    ])
    assert.deepEqual(fieldsOf('custom'), [{ name: 'fraud_check', data: { run_id: 'spoofed', passed: true } }])
    assert.deepEqual(fieldsOf('state'), [{ version: 1, base_version: 0, snapshot: { count: 1 } }])
    assert.deepEqual(fieldsOf('item'), [
      { bytes: 'AP8K', media_type: 'application/octet-stream' },
      { data: null },
      { data: 0 },
      { data: { error: 'looks like an error', code: 1 } },
    ])
    assert.equal(
      fieldsOf('chart').length + fieldsOf('tool').length + fieldsOf('metrics').length + fieldsOf('warning').length,
      4,
    )
    assert.ok(events.every(event => event.run_id === run_id))
  })

  promise('DK59 DK60 a deep helper finds the context of its own run, and only that', async runs => {
    const started = await Promise.all(['a', 'b', 'c'].map(mark => runs.start('nested', { mark })))
    for (const [index, { run_id }] of started.entries()) {
      const marks = (await eventsOf(runs, run_id)).filter(event => event.type === 'custom')
      const expected = { mark: ['a', 'b', 'c'][index], run: run_id }
      assert.deepEqual(
        marks.map(event => event.data),
        [expected, expected],
      )
    }
    assert.equal(getCurrentContext(), undefined)
  })

  promise(
    'DK38 DK50 DK56 DK58 H25 H99 events that are not allowed are not in the log and use no number',
    async runs => {
      const { run_id } = await runs.start('everything', {})
      const events = await eventsOf(runs, run_id)
      assert.deepEqual(
        events.map(event => [event.type, event.sequence]),
        [
          ['started', 1],
          ['complete', 2],
        ],
      )
    },
    { allowed: new Set() },
  )

  promise(
    'DK53 DK54 a list lets through what it names',
    async runs => {
      const { run_id } = await runs.start('everything', {})
      assert.deepEqual(types(await eventsOf(runs, run_id)), ['started', 'step', 'fraud_check', 'complete'])
    },
    { allowed: new Set(['step', 'custom:fraud_check']) },
  )

  promise('DK48 an agent cannot claim to be the runtime, by emitting or by yielding', async runs => {
    const { run_id } = await runs.start('spoofs', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'complete'])
    assert.equal(((await runs.get(run_id)).output as string[]).length, 9)
    const yielded = await eventsOf(runs, (await runs.start('yields-end', {})).run_id)
    assert.deepEqual(types(yielded), ['started', 'error'])
    assert.match((yielded.at(-1) as { error: string }).error, /cannot emit "complete"/)
  })

  promise('DK37 DK49 what an agent says of the envelope of an event is not taken', async runs => {
    const { run_id } = await runs.start('forges', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'token', 'newer', 'token', 'complete'])
    assert.deepEqual(sequences(events), upTo(5))
    assert.ok(events.every(event => event.run_id === run_id && event.id === `${run_id}:${event.sequence}`))
    assert.ok(!JSON.stringify(events).includes('never') && !JSON.stringify(events).includes('request_id'))
    assert.deepEqual(events[2]?.type === 'custom' && events[2].other, { kept: true })
  })

  promise(
    'DK82 a long output is cut with a flag, a long text with a warning, and both stay valid',
    async runs => {
      const { run_id } = await runs.start('talks', {})
      const events = await eventsOf(runs, run_id)
      const said = events.flatMap(event => (event.type === 'token' ? [event.content] : [])).join('')
      assert.equal(said, '12345678') // a character of two units is not split
      const warnings = events.flatMap(event => (event.type === 'warning' ? [event.code] : []))
      assert.deepEqual(warnings, ['output_truncated'])
      const { status, output, metadata } = await runs.get(run_id)
      assert.equal(status, 'completed')
      assert.deepEqual(output, { first: 'abcdef', list: ['ghi', '', 7], last: '' })
      assert.equal(metadata['truncated'], true)
      assert.deepEqual((events.at(-1) as { output: unknown }).output, output)
    },
    { outputCharsMax: 9 },
  )

  promise(
    'DK82 what is as long as the limit is not cut, and carries no flag',
    async runs => {
      const { run_id } = await runs.start('strict', { text: '123456789' })
      await eventsOf(runs, run_id)
      const { output, metadata } = await runs.get(run_id)
      assert.equal(output, '123456789')
      assert.ok(!('truncated' in metadata))
    },
    { outputCharsMax: 9 },
  )

  promise('DK61 awaited and free emits keep the order of the program', async runs => {
    const { run_id } = await runs.start('mixed', {})
    const tokens = (await eventsOf(runs, run_id)).flatMap(event => (event.type === 'token' ? [event.content] : []))
    assert.equal(tokens.join(''), Array.from({ length: 60 }, (_, n) => `${n} `).join(''))
  })

  for (const [title, allowed] of [
    ['DK52 everything is let through by debug and all', 'all'],
    ['DK55 custom lets every custom event through', new Set(['custom'])],
  ] as const) {
    promise(
      title,
      async runs => {
        const seen = types(await eventsOf(runs, (await runs.start('everything', {})).run_id))
        assert.ok(seen.includes('fraud_check'))
        assert.equal(seen.includes('token') && seen.includes('item') && seen.includes('state'), allowed === 'all')
      },
      { allowed },
    )
  }

  promise("a reader's filter moves its cursor over what it skips", async runs => {
    const { run_id } = await runs.start('everything', {})
    await eventsOf(runs, run_id)
    let cursor = 0
    const seen: string[] = []
    for await (const batch of runs.tail(run_id, { types: new Set(['text', 'custom:fraud_check']) })) {
      assert.equal(batch.after, cursor)
      cursor = batch.last
      seen.push(...types(batch.events))
    }
    assert.deepEqual(seen, ['fraud_check', 'text', 'complete'])
    assert.equal(cursor, (await runs.get(run_id)).last_sequence)
  })

  promise(
    'ON7 a critical warning ends the run with its code; after a warning or an error the agent goes on',
    async runs => {
      for (const severity of ['warning', 'error'] as const) {
        const { run_id } = await runs.start('troubled', severity)
        await eventsOf(runs, run_id)
        assert.equal((await runs.get(run_id)).status, 'completed')
      }
      const { run_id } = await runs.start('troubled', 'critical')
      await eventsOf(runs, run_id)
      const view = await runs.snapshot(run_id)
      assert.deepEqual(
        view.warnings.map(({ code, severity }) => [code, severity]),
        [['disk_full', 'critical']],
      )
      const end = view.terminal
      assert.ok(end?.type === 'error')
      assert.deepEqual(
        [end.code, end.error, end.severity, end.details],
        ['disk_full', 'nothing can be saved', 'critical', { disk: 'a' }],
      )
    },
  )

  promise('what a run was given can be read of it, and is not in lists', async runs => {
    const { run_id } = await runs.start('strict', { text: 'hello' })
    assert.deepEqual((await runs.get(run_id)).input, { text: 'hello' })
    assert.ok((await runs.list({})).runs.every(run => !('input' in run)))
  })

  promise('an agent asks, waits, and gets its answers', async runs => {
    const { run_id } = await runs.start('asks', {})
    const events: Event[] = []
    for await (const batch of runs.tail(run_id)) {
      for (const event of batch.events) {
        events.push(event)
        if (event.type !== 'input' || event.kind === 'answer') continue
        await runs.tell(run_id, {
          type: 'input',
          input_id: event.input_id,
          value: event.kind === 'approval' ? true : 'Ada',
        })
      }
    }
    assert.deepEqual((await runs.get(run_id)).output, { name: 'Ada', sure: true })
    assert.deepEqual(
      events.flatMap(event => (event.type === 'input' ? [event.kind] : [])),
      ['question', 'answer', 'approval', 'answer'],
    )
  })

  promise(
    'an answer that is larger than an event may be is refused with too_large, and its run waits on',
    async runs => {
      const { run_id } = await runs.start('asks', {})
      const answer = (input_id: string, value: unknown) => runs.tell(run_id, { type: 'input', input_id, value })
      await assert.rejects(answer('ask-1', 'A'.repeat(1_000)), hasCode('too_large'))
      await assert.rejects(answer('ask-1', 'da'.repeat(200)), hasCode('too_large'), 'as it is when it is masked')
      await answer('ask-1', 'Ada')
      await answer('sure', true)
      assert.equal((await eventsOf(runs, run_id)).at(-1)?.type, 'complete')
      assert.deepEqual((await runs.get(run_id)).output, { name: 'Ada', sure: true })
    },
    { eventBytesMax: 1_000, redactPatterns: [/dada/gu] },
  )

  promise('H41 a blank thread is refused, and no run is left', async runs => {
    for (const thread of ['', ' ', '\t\n', '\u00a0']) {
      await assert.rejects(runs.start('counter', {}, { thread }), hasCode('invalid_request'), JSON.stringify(thread))
    }
    assert.deepEqual((await runs.list()).runs, [])
  })

  promise('one run at a time on a thread: reject says which runs are busy', async runs => {
    const first = await runs.start('patient', { id: 'busy' }, { thread: 't' })
    await assert.rejects(runs.start('counter', {}, { thread: 't' }), hasCode('thread_busy'))
    await runs.cancel(first.run_id)
    const second = await runs.start('counter', {}, { thread: 't', onBusy: 'queue' })
    assert.equal((await eventsOf(runs, second.run_id)).at(-1)?.type, 'complete')
  })

  promise('queued runs of a thread never overlap and keep their order', async runs => {
    const started = []
    for (let n = 0; n < 4; n++) {
      started.push(await runs.start('counter', { count: 3, ms: 3 }, { thread: 'q', onBusy: 'queue' }))
    }
    const logs = await Promise.all(started.map(({ run_id }) => eventsOf(runs, run_id)))
    for (const [index, events] of logs.entries()) {
      const before = logs[index - 1]?.at(-1)?.timestamp ?? ''
      assert.ok((events[0]?.timestamp ?? '') >= before)
    }
    const entries: string[] = []
    for await (const batch of runs.tail({ thread: 'q' })) {
      for (const entry of batch.events as unknown as { type: string; run_id: string; thread_base?: number }[]) {
        if (entry.type === 'started')
          entries.push(`${started.findIndex(info => info.run_id === entry.run_id)}:${entry.thread_base}`)
        if (entry.type === 'ended' && entry.run_id === started[3]?.run_id) entries.push('end')
      }
      if (entries.at(-1) === 'end') break
    }
    assert.deepEqual(entries, ['0:0', '1:5', '2:10', '3:15', 'end'])
  })

  promise('a newer run interrupts the one that holds the thread', async runs => {
    const first = await runs.start('patient', { id: 'interrupted' }, { thread: 'i' })
    const second = await runs.start('counter', {}, { thread: 'i', onBusy: 'interrupt' })
    assert.equal((await eventsOf(runs, second.run_id)).at(-1)?.type, 'complete')
    assert.equal((await runs.get(first.run_id)).status, 'cancelled')
  })

  promise('DK31 a run cancelled while it waits for its thread never runs', async runs => {
    const first = await runs.start('patient', { id: 'first' }, { thread: 'w' })
    const second = await runs.start('counter', {}, { thread: 'w', onBusy: 'queue' })
    assert.equal((await runs.cancel(second.run_id, 'never mind')).status, 'cancelled')
    assert.deepEqual(types(await eventsOf(runs, second.run_id)), ['cancelled'])
    const third = await runs.start('counter', {}, { thread: 'w', onBusy: 'queue' })
    await runs.cancel(first.run_id)
    assert.equal((await eventsOf(runs, third.run_id)).at(-1)?.type, 'complete')
  })

  promise(
    'DF13 a state that its hash contradicts is uncertain in every snapshot, until a whole one comes',
    async runs => {
      const { run_id } = await runs.start('misled', null)
      await runs.follow(run_id, {}, () => {})
      const states = await Promise.all([2, 3, 4, 5].map(async at => (await runs.snapshot(run_id, at)).state))
      assert.deepEqual(states, [
        { value: { s: 'a' }, version: 1, certain: true },
        { value: { s: 'a' }, version: 1, certain: false },
        { value: { s: 'a' }, version: 1, certain: false },
        { value: { s: 'd' }, version: 4, certain: true },
      ])
    },
  )

  promise('the snapshot at every cursor is the fold of the events up to it', async runs => {
    const { run_id } = await runs.start('everything', {})
    const events = await eventsOf(runs, run_id)
    const half = await runs.snapshot(run_id, 7)
    assert.equal(half.at, 7)
    assert.equal(half.status, 'running')
    const whole = await runs.snapshot(run_id)
    assert.equal(whole.at, events.length)
    assert.equal(whole.status, 'completed')
    assert.deepEqual(whole.terminal?.type, 'complete')
  })

  promise('runs are listed newest first, by status, agent and thread, page by page', async runs => {
    const started: string[] = []
    for (const [agent, thread] of [
      ['counter', 'a'],
      ['counter', 'b'],
      ['fails', 'a'],
    ] as const) {
      const { run_id } = await runs.start(agent, {}, { thread })
      await eventsOf(runs, run_id)
      started.push(run_id)
      await sleep(2)
    }
    const ids = (page: { runs: readonly { run_id: string }[] }) => page.runs.map(info => info.run_id)
    assert.deepEqual(ids(await runs.list()), started.toReversed())
    assert.deepEqual(ids(await runs.list({ agent: 'fails' })), [started[2]])
    assert.deepEqual(ids(await runs.list({ status: 'completed' })), [started[1], started[0]])
    await sleep(20)
    assert.deepEqual(ids(await runs.list({ thread: 'a' })), [started[2], started[0]])
    const page = await runs.list({ limit: 2 })
    assert.deepEqual(ids(page), [started[2], started[1]])
    assert.deepEqual(ids(await runs.list({ limit: 2, cursor: page.next })), [started[0]])
    await assert.rejects(runs.list({ cursor: 'junk' }), hasCode('invalid_request'))
  })

  promise('H68 a reader that begins again at 0 has all again, and changes nothing for another', async runs => {
    const { run_id } = await runs.start('counter', { count: 40, ms: 2 })
    const steady = eventsOf(runs, run_id)
    for (let times = 0; times < 5; times++) {
      for await (const batch of runs.tail(run_id)) {
        assert.equal(batch.events[0]?.sequence, 1)
        break
      }
    }
    assert.deepEqual(sequences(await steady), upTo(42))
    assert.deepEqual(sequences(await eventsOf(runs, run_id)), upTo(42))
  })

  promise(
    'H25 an event that is too large is refused where it is emitted, and takes no number with it',
    async runs => {
      const { run_id } = await runs.start('lavish', {})
      const events = await eventsOf(runs, run_id)
      assert.deepEqual(types(events), ['started', 'token', 'token', 'complete'])
      assert.deepEqual(sequences(events), upTo(4))
      const end = events.at(-1)
      assert.deepEqual(end?.type === 'complete' && end.output, ['too_large'])
    },
    { eventBytesMax: 1_000 },
  )

  promise('OL19 a reader that leaves early never disturbs the run', async runs => {
    const { run_id } = await runs.start('counter', { count: 20, ms: 2 })
    for await (const batch of runs.tail(run_id)) if (batch.last >= 3) break
    assert.equal((await eventsOf(runs, run_id)).at(-1)?.type, 'complete')
  })

  promise(
    'DK27 one reader too many is refused with too_many_readers',
    async runs => {
      const { run_id } = await runs.start('patient', { id: 'readers' })
      const leaving = new AbortController()
      const reading: Promise<void>[] = []
      const readers = [1, 2].map(() => {
        const there = Promise.withResolvers<void>()
        reading.push(there.promise)
        return runs.follow(run_id, { signal: leaving.signal }, () => there.resolve())
      })
      await Promise.all(reading)
      await assert.rejects(eventsOf(runs, run_id), hasCode('too_many_readers'))
      leaving.abort()
      await Promise.all(readers)
      await runs.cancel(run_id)
      await eventsOf(runs, run_id)
    },
    { readersPerRunMax: 2 },
  )
}
