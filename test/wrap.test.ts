// Agents around agents: what is yielded and what is emitted pass through alike, in order, and a failed wrap ends the run
// with one error. Every promise is judged for agents that yield and for agents that emit.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { getCurrentContext } from '../src/agent/context.ts'
import { type Agent, type AgentFunction, defineAgent } from '../src/agent/define.ts'
import { assemble, mapTokens, validateChunks } from '../src/agent/wrap.ts'
import { stream } from '../src/direct.ts'
import type { Body, Event } from '../src/event.ts'
import { emptyView, fold, textOf } from '../src/state/fold.ts'

const timeout = 120_000

/** The same words, said in every way an agent can. */
function speakers(words: readonly string[], output?: unknown): Record<string, Agent> {
  const run: Record<string, AgentFunction> = {
    async *yields() {
      for (const word of words) yield word
      return output
    },
    async *'yields events'() {
      for (const content of words) yield { type: 'token', content }
      return output
    },
    async emits(_input, ctx) {
      for (const word of words) void ctx.token(word)
      return output
    },
    async awaits(_input, ctx) {
      for (const word of words) await ctx.token(word)
      return output
    },
    async 'emits from deep below'() {
      const deep = async (word: string) => {
        await turn()
        await getCurrentContext()?.token(word)
      }
      for (const word of words) await deep(word)
      return output
    },
  }
  return Object.fromEntries(Object.entries(run).map(([name, one]) => [name, defineAgent({ name: 'speaker' }, one)]))
}

/** Its events; a failed run throws behind its error event, which is enough here. */
async function eventsOf(agent: Agent, input: unknown = {}): Promise<Event[]> {
  const events: Event[] = []
  try {
    for await (const event of stream(agent, input)) events.push(event)
  } catch (thrown) {
    if (events.at(-1)?.type !== 'error') throw thrown
  }
  return events
}

const textsOf = (events: readonly Event[]) => events.flatMap(event => (event.type === 'token' ? [event.content] : []))
const endOf = (events: readonly Event[]) => {
  const end = events.at(-1)
  assert.ok(end?.type === 'complete', `it ended with ${end?.type}`)
  return end.output
}
const numbered = (events: readonly Event[]) =>
  assert.deepEqual(
    events.map(event => event.sequence),
    events.map((_, index) => index + 1),
  )
const upper = (text: string) => text.toUpperCase()
const slowly = async (text: string) => {
  for (let turns = text.length % 3; turns >= 0; turns--) await turn()
  return text.toUpperCase()
}
const words = ['one ', 'three ', 'seven ', 'a ', 'eleven ']

test('PX18 PX19 a token processor shows in each token, at once or later, in order and without holes', {
  timeout,
}, async () => {
  for (const transform of [upper, slowly]) {
    for (const [name, agent] of Object.entries(speakers(words, 7))) {
      const events = await eventsOf(mapTokens(agent, transform))
      assert.deepEqual(textsOf(events), words.map(upper), name)
      assert.equal(endOf(events), 7, name)
      numbered(events)
    }
  }
})

test('PX19 what else an agent says keeps its place among slow tokens', { timeout }, async () => {
  const agent = defineAgent(async function* (_input: unknown, ctx) {
    yield 'long word'
    ctx.step('s')
    void ctx.token('b', { finish_reason: 'stop', model: 'm' })
    ctx.state.update(draft => {
      draft['n'] = 1
    })
    yield { item: 1 }
    ctx.emit('mine', {})
    yield 'c'
  }) as Agent
  for (const transform of [upper, slowly]) {
    const events = await eventsOf(mapTokens(agent, transform))
    const types = events.map(event => (event.type === 'custom' ? event.name : event.type))
    assert.deepEqual(types, ['started', 'token', 'step', 'token', 'state', 'item', 'mine', 'token', 'complete'])
    const kept = events.find(event => event.type === 'token' && event.content === 'B')
    assert.ok(kept?.type === 'token' && kept.finish_reason === 'stop' && kept.model === 'm')
  }
})

test('PX19 a token processor that fails, or gives no text, ends the run with one error', { timeout }, async () => {
  const broken = () => {
    throw Object.assign(new Error('no dictionary'), { code: 'no_dictionary' })
  }
  for (const [transform, code] of [
    [broken, 'no_dictionary'],
    [async () => broken(), 'no_dictionary'],
    [() => 5 as unknown as string, 'invalid_request'],
  ] as const) {
    for (const [name, agent] of Object.entries(speakers(words))) {
      const events = await eventsOf(mapTokens(agent, transform))
      assert.deepEqual(
        events.map(event => event.type),
        ['started', 'error'],
        name,
      )
      const end = events.at(-1)
      assert.ok(end?.type === 'error' && end.code === code, name)
    }
  }
})

test('PX20 a bad chunk ends the run with one error, and nothing of it or behind it is sent', { timeout }, async () => {
  const said = (chunk: Body) => (chunk.type === 'token' && chunk.content.includes('seven') ? 'no sevens' : undefined)
  const validators = {
    'says so': said,
    'says so later': async (chunk: Body) => {
      await turn()
      return said(chunk)
    },
    throws(chunk: Body) {
      const fault = said(chunk)
      if (fault !== undefined) throw new Error(fault)
      return undefined
    },
  }
  for (const [how, validate] of Object.entries(validators)) {
    for (const [who, agent] of Object.entries(speakers(words, 'output'))) {
      const name = `${who}, ${how}`
      const events = await eventsOf(validateChunks(agent, validate))
      assert.deepEqual(textsOf(events), ['one ', 'three '], name)
      assert.deepEqual(
        events.map(event => event.type),
        ['started', 'token', 'token', 'error'],
        name,
      )
      const end = events.at(-1)
      assert.ok(end?.type === 'error' && end.code === 'invalid_chunk' && end.error === 'no sevens', name)
      numbered(events)
    }
  }
})

test('PX20 good chunks pass untouched, and a validator may name its own code', { timeout }, async () => {
  for (const agent of Object.values(speakers(words, 'output'))) {
    const events = await eventsOf(validateChunks(agent, () => undefined))
    assert.deepEqual(textsOf(events), words)
    assert.equal(endOf(events), 'output')
    const refused = validateChunks(agent, () => {
      throw Object.assign(new Error('not today'), { code: 'policy' })
    })
    const end = (await eventsOf(refused)).at(-1)
    assert.ok(end?.type === 'error' && end.code === 'policy')
  }
})

test('PX20 an agent can neither catch a bad chunk nor talk on, and is told to stop', { timeout }, async () => {
  let cleaned = false
  let stopped: Promise<void> | undefined
  const yielding = defineAgent(async function* () {
    try {
      for (;;) {
        try {
          yield 'bad'
        } catch {
          yield 'caught'
        }
      }
    } finally {
      cleaned = true
    }
  }) as Agent
  const emitting = defineAgent(async (_input: unknown, ctx) => {
    stopped = new Promise(resolve => ctx.signal.addEventListener('abort', () => resolve()))
    for (let n = 0; n < 3; n++) await Promise.resolve(ctx.token('bad')).catch(() => {})
    await turn()
    void ctx.token('late')
    return 'never mind'
  }) as Agent
  const bad = (chunk: Body) => (chunk.type === 'token' && chunk.content === 'bad' ? 'bad' : undefined)
  for (const agent of [yielding, emitting]) {
    const events = await eventsOf(validateChunks(agent, bad))
    assert.deepEqual(
      events.map(event => event.type),
      ['started', 'error'],
    )
  }
  assert.ok(cleaned)
  await stopped
})

test('PX21 an agent that fails ends wrapped as it would bare: all it said, then its one error', {
  timeout,
}, async () => {
  const luck = () => Object.assign(new Error('out of luck'), { code: 'bad_luck' })
  const failing: AgentFunction[] = [
    async function* () {
      yield 'one '
      yield 'three '
      throw luck()
    },
    async (_input, ctx) => {
      void ctx.token('one ')
      void ctx.token('three ')
      throw luck()
    },
  ]
  for (const run of failing) {
    for (const wrapped of [
      mapTokens(defineAgent(run), slowly),
      mapTokens(defineAgent(run), upper),
      mapTokens(
        validateChunks(defineAgent(run), async () => undefined),
        upper,
      ),
      assemble(mapTokens(defineAgent(run), slowly)),
    ] as Agent[]) {
      const events = await eventsOf(wrapped)
      assert.deepEqual(textsOf(events), ['ONE ', 'THREE '])
      const end = events.at(-1)
      assert.ok(end?.type === 'error' && end.code === 'bad_luck' && end.error === 'out of luck')
      assert.equal(events.length, 4)
    }
  }
})

test('PX22 PX27 the assembled output is the text of the tokens, which the events hold once', { timeout }, async () => {
  for (const [name, agent] of Object.entries(speakers(words))) {
    const events = await eventsOf(assemble(agent))
    assert.equal(endOf(events), words.join(''), name)
    assert.deepEqual(textsOf(events), words, name)
    assert.equal(textOf(fold(emptyView(), events)), words.join(''), name)
  }
})

test('PX22 reasoning, items and steps are no part of the assembled text, and what an agent returns stays', {
  timeout,
}, async () => {
  const mixed = defineAgent(async function* (input: { returns?: unknown }, ctx) {
    void ctx.token('hm, ', { channel: 'reasoning' })
    yield 'a'
    yield { item: 'x' }
    ctx.step('s')
    yield 'b'
    return input.returns
  }) as Agent
  assert.equal(endOf(await eventsOf(assemble(mixed))), 'ab')
  assert.equal(endOf(await eventsOf(assemble(mixed), { returns: 0 })), 0)
  assert.equal(endOf(await eventsOf(assemble(mixed), { returns: null })), null)
  const finalized = assemble(mixed, async text => ({ text: await slowly(text) }))
  assert.deepEqual(endOf(await eventsOf(finalized)), { text: 'AB' })
})

test('PX19 PX20 PX22 wraps compose, and each run of a wrapped agent is its own', { timeout }, async () => {
  for (const [name, agent] of Object.entries(speakers(words))) {
    const seen: string[] = []
    const whole = assemble(
      validateChunks(mapTokens(agent, slowly), chunk => {
        if (chunk.type === 'token') seen.push(chunk.content)
        return undefined
      }),
    ) as Agent
    const [first, second] = await Promise.all([eventsOf(whole), eventsOf(whole)])
    assert.equal(endOf(first), upper(words.join('')), name)
    assert.equal(endOf(second), upper(words.join('')), name)
    assert.equal(seen.length, 2 * words.length, name)
    const started = first[0]
    assert.ok(started?.type === 'started' && started.agent_name === 'speaker')
  }
})

test('PX19 any words through any chain of fast and slow processors come out once, in order', { timeout }, async () => {
  const chain = fc.array(fc.boolean(), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string(), { maxLength: 8 }), chain, fc.nat(4), async (said, slow, which) => {
      let agent = Object.values(speakers(said))[which] as Agent
      for (const late of slow)
        agent = mapTokens(agent, late ? async text => (await turn(), `<${text}>`) : t => `<${t}>`)
      const expected = said.map(text => '<'.repeat(slow.length) + text + '>'.repeat(slow.length))
      const events = await eventsOf(assemble(agent) as Agent)
      assert.deepEqual(textsOf(events), expected)
      assert.equal(endOf(events), expected.join(''))
    }),
    { numRuns: 60 },
  )
})

test('OL18 OL19 a wrapped agent is held back by a slow loop, and stopped when it is left', { timeout }, async () => {
  for (const transform of [(text: string) => text, async (text: string) => text]) {
    let made = 0
    let cleaned = false
    const agent = defineAgent(async function* () {
      try {
        while (made < 500) yield String(++made)
      } finally {
        cleaned = true
      }
    }) as Agent
    let ahead = 0
    for await (const event of stream(mapTokens(agent, transform), {})) {
      if (event.type === 'token') ahead = Math.max(ahead, made - Number(event.content))
      await turn()
      if (event.sequence === 200) break
    }
    assert.ok(ahead <= 32, `it was ${ahead} ahead`)
    assert.ok(cleaned)
    assert.ok(made < 500)
  }
})

test('a wrapped agent that yields items keeps them, strings too', { timeout }, async () => {
  const tool = defineAgent({ yieldsItems: true }, async function* () {
    yield 'a string'
    yield 'another'
  }) as Agent
  const events = await eventsOf(mapTokens(tool, upper))
  assert.deepEqual(
    events.flatMap(event => (event.type === 'item' && 'data' in event ? [event.data] : [])),
    ['a string', 'another'],
  )
})

test('a slow wrap below an agent that awaits nothing fails the run as overloaded, and not the process', {
  timeout,
}, async () => {
  const flood = defineAgent(async (_input: unknown, ctx) => {
    for (let n = 0; n < 10_050; n++) void ctx.token('x')
  }) as Agent
  const end = (await eventsOf(mapTokens(flood, () => new Promise<string>(() => {})))).at(-1)
  assert.ok(end?.type === 'error' && end.code === 'overloaded')
})
