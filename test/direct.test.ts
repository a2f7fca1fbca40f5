// Streams that belong to one reader: over a connection's wire shape, in this process, and read to the end alone.
// Real agents, the real clock; what is asserted are orders, counts and outcomes.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import { type Agent, type AgentFunction, defineAgent } from '../src/agent/define.ts'
import { getCurrentContext } from '../src/agent/context.ts'
import type { SlabBatch } from '../src/batch.ts'
import { realDeps as deps } from '../src/deps.ts'
import { direct, type DirectOptions, eventsOf, invoke, output, stream, type StreamOptions } from '../src/direct.ts'
import { RuncastError } from '../src/error.ts'
import type { Event } from '../src/event.ts'
import type { Bounds } from '../src/layers/bounded.ts'
import { serve } from '../src/server.ts'

const timeout = 120_000
const agentOf = <I, O>(run: AgentFunction<I, O>, options: Partial<Agent<I, O>> = {}) =>
  defineAgent({ name: 'tested', ...options }, run) as Agent
const open = (run: AgentFunction, options: Partial<DirectOptions> = {}) =>
  direct({ agent: agentOf(run), input: {}, deps, ...options })
const typeOf = (event: Event) => (event.type === 'custom' ? event.name : event.type)
const itemOf = (event: Event) => (event.type === 'item' && 'data' in event ? [event.data] : [])

async function collect(events: AsyncIterable<Event>): Promise<Event[]> {
  const all: Event[] = []
  for await (const event of events) all.push(event)
  return all
}

/** Of a stream that is to fail: its events and what the loop throws. */
async function failing(events: AsyncIterable<Event>): Promise<{ seen: Event[]; thrown: unknown }> {
  const seen: Event[] = []
  try {
    for await (const event of events) seen.push(event)
  } catch (thrown) {
    return { seen, thrown }
  }
  assert.fail('it did not throw')
}

async function raise(thrown: unknown): Promise<never> {
  throw thrown
}

/** A promise and its opener: tests wait for what happens, not for time. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { reached: promise, reach: resolve }
}

const tight = (over: Partial<Bounds>): Bounds => ({
  size: 4,
  overflow: 'block',
  threshold: 2,
  strategy: 'buffer',
  ...over,
})

test('OL7 each item arrives before the agent makes the next one', { timeout }, async () => {
  const seen = new Set<number>()
  const arrived = Array.from({ length: 5 }, gate)
  const events = stream(async function* () {
    for (let n = 0; n < 5; n++) {
      yield { n }
      await arrived[n]?.reached // hangs unless the item arrives first
    }
  }, {})
  for await (const event of events) {
    for (const data of itemOf(event)) {
      const { n } = data as { n: number }
      seen.add(n)
      arrived[n]?.reach()
    }
  }
  assert.equal(seen.size, 5)
})

test('OL8 PX2 PX18 10,000 items come in order, numbered 1 to N, with unique ids and times in UTC', {
  timeout,
}, async () => {
  const events = await collect(
    stream(async function* () {
      for (let n = 1; n <= 10_000; n++) yield n
    }, {}),
  )
  assert.deepEqual(
    events.flatMap(itemOf),
    Array.from({ length: 10_000 }, (_, index) => index + 1),
  )
  assert.deepEqual(
    events.map(event => event.sequence),
    Array.from({ length: 10_002 }, (_, index) => index + 1),
  )
  assert.equal(new Set(events.map(event => event.id)).size, events.length)
  assert.ok(events.every(event => event.timestamp === new Date(event.timestamp).toISOString()))
  assert.equal(events.at(-1)?.type, 'complete')
})

test('OL12 an agent that yields nothing begins and ends', async () => {
  const events = await collect(stream(async function* () {}, {}))
  assert.deepEqual(events.map(typeOf), ['started', 'complete'])
})

test('OL2 OL3 OL4 OL6 a generator, a function that returns one, and a plain function all stream', async () => {
  const items = async function* () {
    yield { a: 1 }
    return 'done'
  }
  for (const agent of [items, async () => items(), async () => 'done'] as AgentFunction[]) {
    const events = await collect(stream(agent, {}))
    assert.equal(events.at(0)?.type, 'started')
    const end = events.at(-1)
    assert.ok(end?.type === 'complete' && end.output === 'done')
  }
})

test('a generator without async streams too, and ends at once when its run is cancelled', { timeout }, async () => {
  const counts = function* () {
    for (let n = 1; n <= 3; n++) yield n
    return 'done'
  }
  const events = await collect(stream(counts, {}))
  assert.deepEqual(events.flatMap(itemOf), [1, 2, 3])
  const end = events.at(-1)
  assert.ok(end?.type === 'complete' && end.output === 'done')

  let closed = false
  const endless = function* () {
    try {
      for (let n = 0; ; n++) yield n
    } finally {
      closed = true
    }
  }
  for await (const event of stream(endless, {})) if (event.type === 'item') break
  assert.ok(closed)
})

test('OL13 OL17 PX3 null, 0, empty strings, things that look like errors, text and bytes all reach the reader', async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  const values = [null, 0, false, [], { error: 'no', code: 1, _error: true }, { type: 'nothing of ours' }]
  const events = await collect(
    stream(async function* () {
      yield* values
      yield ''
      yield 'text'
      yield bytes
    }, {}),
  )
  assert.deepEqual(events.flatMap(itemOf), values)
  assert.deepEqual(
    events.flatMap(event => (event.type === 'token' ? [event.content] : [])),
    ['', 'text'],
  )
  const sent = events.flatMap(event => (event.type === 'item' && 'bytes' in event ? [event.bytes] : []))
  assert.deepEqual(new Uint8Array(Buffer.from(sent[0] ?? '', 'base64')), bytes)
  assert.deepEqual(events.at(-1)?.type, 'complete')
})

test('OL14 OL16 PX3 an agent that fails: what it said arrives, then one error event, then the loop throws its code', async () => {
  const { seen, thrown } = await failing(
    stream(async function* () {
      yield 1
      yield 2
      throw Object.assign(new Error('out of luck'), { code: 'bad_luck' })
    }, {}),
  )
  assert.deepEqual(seen.flatMap(itemOf), [1, 2])
  assert.deepEqual(seen.map(typeOf), ['started', 'item', 'item', 'error'])
  assert.ok(thrown instanceof RuncastError)
  assert.equal(thrown.message, 'out of luck')
  assert.equal(thrown.code, 'bad_luck')
})

test('OL15 an agent that fails at once throws without an item, with our code where it is ours', async () => {
  const { seen, thrown } = await failing(
    stream(async () => {
      throw new RuncastError('not_found', 'no such thing', { details: { thing: 7 } })
    }, {}),
  )
  assert.deepEqual(seen.map(typeOf), ['started', 'error'])
  assert.ok(thrown instanceof RuncastError && thrown.code === 'not_found')
  assert.deepEqual(thrown.details, { thing: 7 })
})

const failures: Record<string, { agent: Agent; code: string; http: number }> = {
  'any error': { agent: agentOf(() => raise(new Error('no luck'))), code: 'agent_error', http: 500 },
  'no error': { agent: agentOf(() => raise('no luck')), code: 'agent_error', http: 500 },
  'its own code': {
    agent: agentOf(() => raise(Object.assign(new Error('no luck'), { code: 'bad_luck' }))),
    code: 'bad_luck',
    http: 500,
  },
  'a code that every object has': {
    agent: agentOf(() => raise(Object.assign(new Error('no luck'), { code: 'constructor' }))),
    code: 'constructor',
    http: 500,
  },
  'one of our codes, with details': {
    agent: agentOf(() => raise(new RuncastError('not_found', 'no such thing', { details: { thing: 7 } }))),
    code: 'not_found',
    http: 404,
  },
  'a critical warning': {
    agent: agentOf(async (_, { warning, signal }) => {
      await warning('too_hot', 'it burns', { severity: 'critical', details: { degrees: 90 } })
      await new Promise((_stop, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    }),
    code: 'too_hot',
    http: 500,
  },
  'an output that does not fit': {
    agent: agentOf(async () => 1, { output: { type: 'string' } }),
    code: 'invalid_output',
    http: 500,
  },
  'an input that does not fit': {
    agent: agentOf(async () => 1, { input: { type: 'string' } }),
    code: 'invalid_input',
    http: 422,
  },
}
for (const [name, { agent, code, http }] of Object.entries(failures)) {
  test(`DK5 OL14 who loops over stream() and who posts to /invoke learn the same of a failure: ${name}`, async () => {
    await using served = await serve({ agents: [agent], port: 0 })
    const answer = await fetch(`${served.url}/invoke`, { method: 'POST' })
    const told = (await answer.json()) as Record<string, unknown>
    assert.deepEqual([answer.status, told['code']], [http, code])
    const { thrown } = await failing(stream(agent, null))
    assert.ok(thrown instanceof RuncastError)
    assert.equal(thrown.http, http)
    assert.deepEqual(JSON.parse(JSON.stringify(thrown)), told)
  })
}

test('OL15 input that does not fit its schema throws invalid_input, and the agent never runs', async () => {
  let ran = false
  const agent = agentOf(async () => (ran = true), {
    input: { type: 'object', required: ['text'], properties: { text: { type: 'string' } } },
  })
  const wrong = { agent, input: { text: 1 }, deps }
  await assert.rejects(collect(stream(agent, { text: 1 })), { code: 'invalid_input' })
  await assert.rejects(direct(wrong), { code: 'invalid_input' })
  await assert.rejects(invoke(wrong), { code: 'invalid_input' })
  assert.equal(ran, false)
})

test('OL18 PX29 an agent that yields is never more than a handful ahead of a slow loop', { timeout }, async () => {
  let made = 0
  let aheadMax = 0
  const events = stream(async function* () {
    while (made < 200) yield ++made
  }, {})
  for await (const event of events) {
    for (const item of itemOf(event)) aheadMax = Math.max(aheadMax, made - (item as number))
    if (event.sequence % 10 === 0) await turn()
  }
  assert.equal(made, 200)
  assert.ok(aheadMax <= 32, `it was ${aheadMax} ahead`)
})

test('OL18 an agent that awaits its emits is held back too', { timeout }, async () => {
  let made = 0
  let aheadMax = 0
  const events = stream(async (_input, ctx) => {
    while (made < 200) await ctx.item(++made)
  }, {})
  for await (const event of events) {
    for (const item of itemOf(event)) aheadMax = Math.max(aheadMax, made - (item as number))
    await turn()
  }
  assert.equal(made, 200)
  assert.ok(aheadMax <= 32, `it was ${aheadMax} ahead`)
})

test('OL18 an agent that awaits nothing still loses nothing', { timeout }, async () => {
  const events = await collect(
    stream(async (_input, ctx) => {
      for (let n = 0; n < 2_000; n++) void ctx.item(n)
    }, {}),
  )
  assert.equal(events.flatMap(itemOf).length, 2_000)
})

test('OL19 DK12 leaving the loop runs the finally block of the agent before the line behind the loop', {
  timeout,
}, async () => {
  for (const pause of [async () => {}, () => new Promise(resolve => setImmediate(resolve))]) {
    let cleaned = false
    let signal: AbortSignal | undefined
    const events = stream(async function* (_input: unknown, ctx) {
      signal = ctx.signal
      try {
        for (let n = 0; ; n++) {
          yield n
          await pause()
        }
      } finally {
        cleaned = true
      }
    }, {})
    for await (const event of events) if (event.sequence === 5) break
    assert.ok(cleaned)
    assert.ok(signal?.aborted)
  }
})

test('OL19 leaving before the first event, by return or by throw, leaves no agent behind', { timeout }, async () => {
  let ran = false
  const never = stream(async () => (ran = true), {})
  await never.return(undefined as never)
  assert.equal(ran, false, 'nothing runs before it is read')

  let stopped = false
  const thrower = stream(async function* () {
    try {
      for (;;) yield 1
    } finally {
      stopped = true
    }
  }, {})
  await thrower.next()
  await assert.rejects(thrower.throw(new Error('mine')), { message: 'mine' })
  assert.ok(stopped)
})

test('an aborted signal cancels the agent; the loop still gets what came before, and ends with cancelled', {
  timeout,
}, async () => {
  const leaving = new AbortController()
  const events: Event[] = []
  const options: StreamOptions = { signal: leaving.signal }
  const endless = async function* () {
    for (let n = 1; ; n++) {
      yield n
      await turn()
    }
  }
  for await (const event of stream(endless, {}, options)) {
    events.push(event)
    if (event.sequence === 4) leaving.abort(new Error('enough'))
  }
  const end = events.at(-1)
  assert.ok(end?.type === 'cancelled' && end.reason === 'enough')
  const items = events.flatMap(itemOf)
  assert.deepEqual(
    items,
    Array.from({ length: items.length }, (_, index) => index + 1),
  )
})

test('an agent that ignores its signal is left behind after the grace', { timeout }, async () => {
  const events = stream(
    async function* () {
      yield 'once'
      await new Promise(() => {})
    },
    {},
    { cancelGraceMs: 20 },
  )
  for await (const event of events) if (event.type === 'token') break
})

test('a script whose agent ignores its signal goes on behind the loop, and ends', { timeout }, () => {
  const script = `
    import { stream } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
    const hang = async function* () { yield 'a'; await new Promise(() => {}) }
    for await (const event of stream(hang, {}, { cancelGraceMs: 20 })) if (event.type === 'token') break
    console.log('behind the loop')`
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script]
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  assert.equal(stdout, 'behind the loop\n')
  assert.equal(status, 0)
})

test('OL5 the output is what the agent returned, else the list of its items', async () => {
  const both = async function* (input: { returns: unknown }) {
    yield { n: 1 }
    yield null
    return input.returns
  }
  assert.deepEqual(await output(stream(both, { returns: { total: 2 } })), { total: 2 })
  assert.deepEqual(await output(stream(both, { returns: undefined })), [{ n: 1 }, null])
  assert.equal(await output(stream(async () => 0, {})), 0)
  assert.equal(await output(stream(async () => {}, {})), null)
  const failed = output(
    stream(async () => {
      throw Object.assign(new Error('no'), { code: 'nope' })
    }, {}),
  )
  await assert.rejects(failed, { message: 'no', code: 'nope', details: {} })
  await assert.rejects(output(stream(async () => sleep(60_000), {}, { signal: AbortSignal.abort('stop') })), {
    code: 'cancelled',
    message: 'stop',
  })
})

test('the generator returns the output', async () => {
  const events = stream(async () => ({ answer: 42 }), {})
  for (;;) {
    const { value, done } = await events.next()
    if (!done) continue
    assert.deepEqual(value, { answer: 42 })
    return
  }
})

test('DK7 DK9 DK10 a direct stream begins before its agent says anything, and names its request and no run', async () => {
  const go = gate()
  const opened = await open(
    async function* () {
      await go.reached
      yield 'a'
      return { fine: true }
    },
    { requestId: 'req-1' },
  )
  const events: Event[] = []
  for await (const event of eventsOf(opened.tail())) {
    if (event.type === 'started') go.reach()
    events.push(event)
  }
  assert.deepEqual(events.map(typeOf), ['started', 'token', 'complete'])
  for (const event of events as unknown as Record<string, unknown>[]) {
    assert.equal(event['request_id'], 'req-1')
    for (const absent of ['id', 'run_id', 'sequence']) assert.ok(!(absent in event), absent)
  }
  const end = events.at(-1)
  assert.ok(end?.type === 'complete' && end.latency_seconds >= 0)
  assert.deepEqual(end.output, { fine: true })
})

test('an id that cannot stand in a frame as it is is refused with invalid_run_id, and nothing runs', async () => {
  for (const id of ['a"b', 'a\nb', 'a\\b', '', ' ', 'é', 'a'.repeat(129)]) {
    const refused = { code: 'invalid_run_id' }
    const never = async () => assert.fail('it ran')
    await assert.rejects(collect(stream(never, {}, { run: id })), refused, id)
    await assert.rejects(open(never, { requestId: id }), refused, id)
  }
})

test('OL29 DK11 a second reader is refused with conflict, also after the end', async () => {
  const opened = await open(async () => 1)
  const first = opened.follow({}, () => {})
  await assert.rejects(
    opened.follow({}, () => {}),
    { code: 'conflict' },
  )
  await first
  await assert.rejects(collect(eventsOf(opened.tail())), { code: 'conflict' })
  assert.equal((await opened.sealed).status, 'completed')
})

test('DK12 a reader that leaves cancels the run, whichever way it leaves', { timeout }, async () => {
  const leaving = new AbortController()
  const waiting = async (_input: unknown, ctx: { signal: AbortSignal }) => {
    await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
  }
  const connection = await open(waiting, { signal: leaving.signal })
  const following = connection.follow({}, () => leaving.abort())
  await following
  const throwing = await open(waiting)
  await assert.rejects(
    throwing.follow({}, () => {
      throw new Error('the socket broke')
    }),
    { message: 'the socket broke' },
  )
  const looping = await open(waiting)
  for await (const _batch of looping.tail()) break
  const unread = new AbortController()
  const never = await open(waiting, { signal: unread.signal })
  unread.abort()
  for (const left of [connection, throwing, looping, never]) {
    assert.equal((await left.sealed).status, 'cancelled')
  }
})

test('a direct stream that is cancelled tells its reader, with the reason', { timeout }, async () => {
  const opened = await open(async function* () {
    for (;;) {
      yield 1
      await turn()
    }
  })
  const events: Event[] = []
  for await (const event of eventsOf(opened.tail())) {
    events.push(event)
    if (events.length === 3) opened.cancel('shutting down')
  }
  const end = events.at(-1)
  assert.ok(end?.type === 'cancelled' && end.reason === 'shutting down')
})

test('DK13 50 direct streams at once each carry only their own events', { timeout }, async () => {
  const agent = agentOf(async function* ({ mark }: { mark: number }) {
    for (let n = 0; n < 20; n++) {
      yield { mark, n }
      await turn()
      getCurrentContext()?.emit('mark', { mark })
    }
    return mark
  })
  const all = await Promise.all(
    Array.from({ length: 50 }, async (_, mark) => {
      const opened = await direct({ agent, input: { mark }, deps })
      return { mark, id: opened.request_id, events: await collect(eventsOf(opened.tail())) }
    }),
  )
  for (const { mark, id, events } of all) {
    assert.equal(events.length, 42)
    for (const event of events) {
      assert.equal((event as unknown as { request_id: string }).request_id, id)
      const data =
        event.type === 'item' && 'data' in event ? event.data : event.type === 'custom' ? event.data : { mark }
      assert.equal((data as { mark: number }).mark, mark)
    }
    const end = events.at(-1)
    assert.ok(end?.type === 'complete' && end.output === mark)
  }
})

test('PX24 PX29 a slow reader of a direct stream sees or is told of everything, under every bound', {
  timeout,
}, async () => {
  const count = 300
  const yields = async function* () {
    for (let n = 0; n < count; n++) yield n
  }
  const emits: AgentFunction = async (_input, ctx) => {
    for (let n = 0; n < count; n++) {
      void ctx.item(n)
      if (n % 10 === 0) await turn()
    }
  }
  const awaits: AgentFunction = async (_input, ctx) => {
    for (let n = 0; n < count; n++) await ctx.item(n)
  }
  for (const run of [yields, emits, awaits] as AgentFunction[]) {
    for (const overflow of ['drop_oldest', 'drop_newest', 'block'] as const) {
      for (const strategy of ['pause', 'drop', 'buffer'] as const) {
        const opened = await open(run, { bounds: tight({ overflow, strategy }) })
        const events: Event[] = []
        let lost = 0
        await opened.follow({}, async batch => {
          if (batch.gap) lost += batch.gap.oldest - batch.gap.requested + (batch.gap.dropped ?? 0)
          events.push(...batch.events)
          await turn()
          await turn()
        })
        const name = `${overflow} ${strategy}`
        assert.equal(events.length + lost, count + 2, name) // and started and complete
        assert.equal(opened.dropped, lost, name)
        assert.equal(events.at(-1)?.type, 'complete', name)
        if (overflow === 'block' && strategy !== 'drop') assert.equal(lost, 0, name)
        if (run !== emits && strategy === 'pause')
          assert.equal(lost, 0, `${name}: who yields or awaits can always be paused`)
        if (run !== awaits && overflow !== 'block' && strategy === 'buffer') assert.ok(lost > 0, name)
      }
    }
  }
})

test('PX26 PX29 a reader that stalls for good holds nobody once it is gone', { timeout }, async () => {
  let signal: AbortSignal | undefined
  const leaving = new AbortController()
  const opened = await open(
    async (_input, ctx) => {
      signal = ctx.signal
      for (let n = 0; !ctx.signal.aborted; n++) await ctx.item(n)
    },
    { bounds: tight({ strategy: 'pause' }), signal: leaving.signal },
  )
  void opened.follow({}, () => new Promise(() => {}))
  for (let turns = 0; turns < 50; turns++) await turn()
  leaving.abort()
  assert.equal((await opened.sealed).status, 'cancelled')
  assert.ok(signal?.aborted)
})

test('invoke gives the end alone, whatever it is, and makes nothing else', async () => {
  const agent = agentOf(async function* ({ how }: { how: string }, ctx) {
    for (let n = 0; n < 5_000; n++) yield 'token '
    if (how === 'fail') throw Object.assign(new Error('no'), { code: 'nope' })
    if (how === 'wait') await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
    return { how }
  })
  const completed = await invoke({ agent, input: { how: 'well' }, deps })
  assert.ok(completed.type === 'complete')
  assert.deepEqual(completed.output, { how: 'well' })
  assert.ok(completed.latency_seconds >= 0)
  const failed = await invoke({ agent, input: { how: 'fail' }, deps })
  assert.ok(failed.type === 'error' && failed.code === 'nope' && failed.error === 'no')
  const late = await invoke({ agent, input: { how: 'wait' }, deps, maxRunDurationMs: 20 })
  assert.ok(late.type === 'error' && late.code === 'timeout')
  await assert.rejects(invoke({ agent, input: { how: 'wait' }, deps, signal: AbortSignal.timeout(20) }), {
    code: 'unavailable',
  })
})

test('a direct stream keeps the rules of the house: filter, redaction, output limit, and no questions', async () => {
  const opened = await open(
    async function* (_input, ctx) {
      ctx.emit('hidden', {})
      yield 'my key is sk-123456 '
      yield { type: 'step', node_name: 'hidden' }
      await ctx.ask('who?').catch(refusal => ctx.warning('refused', (refusal as RuncastError).code))
      return 'also sk-123456 and more'
    },
    { allowed: new Set(['token', 'warning']), redactPatterns: [/sk-\d+/g], outputCharsMax: 40 },
  )
  const events = await collect(eventsOf(opened.tail()))
  assert.deepEqual(events.map(typeOf), ['started', 'token', 'warning', 'complete'])
  assert.ok(!JSON.stringify(events).includes('sk-123456'))
  assert.ok(JSON.stringify(events).includes('invalid_request'))
})

test('PX32 no text that an agent emits can break the frame of a direct stream', async () => {
  const nasty = fc.string({ unit: 'binary', maxLength: 40 }).map(text => `${text}\r\n\ndata: x\u2028\0</script>`)
  await fc.assert(
    fc.asyncProperty(fc.array(nasty, { maxLength: 5 }), async texts => {
      const opened = await open(async function* () {
        yield* texts
      })
      const parsed: string[] = []
      const parser = createParser({
        onEvent: ({ event, data, id }) => {
          assert.equal(id, undefined)
          if (event === 'token') parsed.push((JSON.parse(data) as { content: string }).content)
        },
      })
      await opened.follow({}, batch => parser.feed((batch as SlabBatch).bytes.toString()))
      assert.deepEqual(parsed, texts)
    }),
    { numRuns: 50 },
  )
})
