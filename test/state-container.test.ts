// The state container and its readers: what is sent, what is refused, and that both ends hold the same JSON.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuncastError } from '../src/error.ts'
import { stateHash } from '../src/state/hash.ts'
import { depthMax } from '../src/state/patch.ts'
import { applyState, createState, type StateBody, type StateOptions, type StateView } from '../src/state/state.ts'

interface Chat {
  messages: { role: string; content: string }[]
  counter: number
  note?: string
}

const padding = 'a text that makes the state longer than small patches of it '.repeat(3)

/** A container whose events land in a list, as in a log that takes everything. */
function recorded<T>(initial: T, options?: StateOptions) {
  const events: StateBody[] = []
  const state = createState(
    initial,
    body => {
      events.push(body)
      return Promise.resolve()
    },
    options,
  )
  return { state, events }
}

/** A reader that gets every event as text, as over a wire. */
function readAll(events: readonly StateBody[], from?: StateView): StateView | undefined {
  let view = from
  for (const event of events) {
    const next = applyState(
      view,
      JSON.parse(JSON.stringify(event)) as StateBody,
      (value, hash) => stateHash(value) === hash,
    )
    if (next !== 'uncertain') view = next
  }
  return view
}

test('DF12 the first change sends the whole state as version 1 on base 0, later ones patches on the version before', async () => {
  const { state, events } = recorded<Chat>({ messages: [], counter: 0, note: padding })
  assert.equal(state.version, 0)
  await state.update(draft => {
    draft.messages.push({ role: 'user', content: 'hi' })
  })
  await state.update(draft => {
    draft.counter++
    draft.messages[0]!.content += '!'
  })
  assert.deepEqual(events, [
    {
      type: 'state',
      version: 1,
      base_version: 0,
      snapshot: { messages: [{ role: 'user', content: 'hi' }], counter: 0, note: padding },
    },
    {
      type: 'state',
      version: 2,
      base_version: 1,
      ops: [
        { op: 'replace', path: '/messages/0/content', value: 'hi!' },
        { op: 'replace', path: '/counter', value: 1 },
      ],
    },
  ])
  assert.equal(state.version, 2)
  assert.deepEqual(readAll(events), { value: state.value, version: 2 })
})

test('DF12 a change that changes nothing sends nothing, except that the first set makes the state known', async () => {
  const { state, events } = recorded<Chat>({ messages: [], counter: 0 })
  await state.update(() => {})
  assert.equal(events.length, 0)
  await state.set({ messages: [], counter: 0 })
  assert.equal(events.length, 1)
  const before = state.value
  await state.set({ counter: -0, messages: [] })
  await state.update(draft => {
    draft.counter = 1
    draft.counter = 0
    draft.messages.push({ role: 'user', content: '' })
    draft.messages.pop()
  })
  assert.equal(events.length, 1)
  assert.equal(state.version, 1)
  assert.equal(state.value, before)
})

test('DF12 H79 H80 a reader of any run of edits, sets and refused events holds the final state', () => {
  const value = fc.jsonValue({ maxDepth: 3 })
  const action = fc.oneof(
    fc.record({ do: fc.constant('set' as const), value }),
    fc.record({ do: fc.constant('member' as const), key: fc.constantFrom('a', 'b', '~/'), value }),
    fc.record({ do: fc.constant('delete' as const), key: fc.constantFrom('a', 'b', 'list') }),
    fc.record({ do: fc.constant('splice' as const), at: fc.nat(5), del: fc.nat(3), value }),
    fc.record({ do: fc.constant('reverse' as const) }),
  )
  const step = fc.record({ action, refused: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 15 }), steps => {
      const events: StateBody[] = []
      let refused = false
      const state = createState<Record<string, unknown> & { list?: unknown[] }>(
        { list: [1, 2, 3] },
        body => {
          if (refused) throw new RuncastError('overloaded', 'full')
          events.push(body)
          return Promise.resolve()
        },
        { hashEvery: 1, hash: stateHash },
      )
      const act = (todo: (typeof steps)[number]['action']) => {
        if (todo.do === 'set') return void state.set({ list: [todo.value], kept: padding })
        void state.update(draft => {
          if (todo.do === 'member') draft[todo.key] = todo.value
          else if (todo.do === 'delete') delete draft[todo.key]
          else if (todo.do === 'splice') draft.list?.splice(todo.at, todo.del, todo.value)
          else draft.list?.reverse()
        })
      }
      for (const todo of steps) {
        refused = todo.refused
        try {
          act(todo.action)
        } catch (thrown) {
          assert.ok(refused, String(thrown))
        }
      }
      const reader = readAll(events)
      assert.deepEqual(reader?.version ?? 0, state.version)
      if (reader !== undefined) assert.deepEqual(reader.value, state.value)
    }),
    { numRuns: 500 },
  )
})

test('H78 a patch is never applied on a wrong base: it is uncertain until the next snapshot, which heals', () => {
  const { state, events } = recorded<Chat>({ messages: [], counter: 0, note: padding })
  for (let i = 0; i < 4; i++) {
    void state.update(draft => {
      draft.counter++
    })
  }
  const [first, , third, fourth] = events as [StateBody, StateBody, StateBody, StateBody]
  const view = applyState(undefined, first) as StateView
  assert.equal(applyState(undefined, third), 'uncertain')
  assert.equal(applyState(view, third), 'uncertain')
  assert.equal(applyState(view, fourth), 'uncertain')
  assert.equal(applyState(view, first.ops === undefined ? { ...third, base_version: 0 } : third), 'uncertain')
  const healed = applyState(view, { version: 9, base_version: 8, snapshot: { messages: [], counter: 9 } })
  assert.deepEqual(healed, { value: { messages: [], counter: 9 }, version: 9 })
})

test('H78 a patch that fails, an empty event and a snapshot past the limits are uncertain, and change nothing', () => {
  const view = { value: Object.freeze({ a: 1 }), version: 1 }
  assert.equal(applyState(view, { version: 2, base_version: 1, ops: [{ op: 'remove', path: '/b' }] }), 'uncertain')
  assert.equal(applyState(view, { version: 2, base_version: 1 }), 'uncertain')
  assert.equal(applyState(view, { version: 2, base_version: 1, snapshot: nest(10_000) }), 'uncertain')
  assert.deepEqual(view.value, { a: 1 })
})

test('H87 a hash is compared with the result of its own patch, after it was applied and only then', () => {
  const { state, events } = recorded<Chat>(
    { messages: [], counter: 0, note: padding },
    { hashEvery: 2, hash: stateHash },
  )
  for (let i = 0; i < 4; i++) {
    void state.update(draft => {
      draft.counter++
    })
  }
  assert.deepEqual(
    events.map(event => event.hash !== undefined),
    [false, true, false, true],
  )
  assert.equal(events[3]?.hash, stateHash(state.value))
  const judged: unknown[] = []
  const judge = (value: unknown) => {
    judged.push((value as Chat).counter)
    return false
  }
  const view = applyState(undefined, events[0] as StateBody, judge) as StateView
  assert.equal(applyState(view, events[3] as StateBody, judge), 'uncertain')
  assert.deepEqual(judged, [])
  assert.equal(applyState(view, events[1] as StateBody, judge), 'uncertain')
  assert.deepEqual(judged, [2])
})

test('H79 an emit that throws leaves value and version as they were, and the next change is told from there', () => {
  const events: StateBody[] = []
  let full = false
  const state = createState<Chat>({ messages: [], counter: 0, note: padding }, body => {
    if (full) throw new RuncastError('overloaded', 'full')
    events.push(body)
    return Promise.resolve()
  })
  const increment = (draft: Chat) => {
    draft.counter++
  }
  void state.update(increment)
  const before = state.value
  full = true
  assert.throws(() => void state.update(increment), { code: 'overloaded' })
  assert.throws(() => void state.set({ messages: [], counter: 7 }), { code: 'overloaded' })
  assert.equal(state.value, before)
  assert.equal(state.version, 1)
  full = false
  void state.update(increment)
  assert.equal(events[1]?.base_version, 1)
  assert.deepEqual(readAll(events), { value: state.value, version: 2 })
})

test('H79 after an awaited emit was lost, the next message is the whole state', async () => {
  const events: StateBody[] = []
  let lose = false
  const state = createState<Chat>({ messages: [], counter: 0, note: padding }, body => {
    if (lose) return Promise.reject(new RuncastError('unavailable', 'lost'))
    events.push(body)
    return Promise.resolve()
  })
  const increment = (draft: Chat) => {
    draft.counter++
  }
  await state.update(increment)
  lose = true
  await assert.rejects(async () => state.update(increment), { code: 'unavailable' })
  lose = false
  await state.update(increment)
  assert.ok(events[1]?.snapshot !== undefined)
  assert.deepEqual(readAll(events), { value: state.value, version: 3 })
})

test('H79 the result of emit is awaited only by who awaits the update', async () => {
  let awaited = 0
  const state = createState<Chat>({ messages: [], counter: 0 }, () => ({
    // oxlint-disable-next-line unicorn/no-thenable -- it stands for the emit of a run, which counts who awaits it
    then: (...how) => {
      awaited++
      return Promise.resolve().then(...how)
    },
  }))
  const sent = state.update(draft => {
    draft.counter++
  })
  await Promise.resolve()
  assert.equal(awaited, 0)
  await sent
  assert.equal(awaited, 1)
})

test('H95 no caller can change a state, old or new, on either side, and own objects stay free', () => {
  const { state, events } = recorded<Chat>({ messages: [], counter: 0 })
  const message = { role: 'user', content: 'one' }
  void state.update(draft => {
    draft.messages.push(message)
  })
  message.content = 'changed later'
  const old = state.value
  void state.set({ messages: [message], counter: 0 })
  assert.equal(old.messages[0]?.content, 'one')
  assert.equal(state.value.messages[0]?.content, 'changed later')
  message.content = 'free'
  const reader = readAll(events)?.value as Chat
  for (const value of [old, state.value, reader]) {
    assert.throws(() => value.messages.push(message), TypeError)
    assert.throws(() => {
      value.messages[0]!.content = 'x'
    }, TypeError)
  }
})

test('H94 parts that a change did not touch are shared between versions, also when set gets a fresh copy', () => {
  const { state } = recorded<Chat>({ messages: [{ role: 'user', content: 'hi' }], counter: 0 })
  const first = state.value
  void state.update(draft => {
    draft.counter++
  })
  assert.equal(state.value.messages, first.messages)
  void state.set({ ...(JSON.parse(JSON.stringify(state.value)) as Chat), counter: 5 })
  assert.equal(state.value.messages, first.messages)
})

test('DF12 a recipe that throws or is async, and a change within a change, are refused and change nothing', () => {
  const { state, events } = recorded<Chat>({ messages: [], counter: 0 })
  assert.throws(
    () =>
      void state.update(draft => {
        draft.counter = 9
        throw new Error('mine')
      }),
    { message: 'mine' },
  )
  const later = async (draft: Chat) => {
    draft.counter = 9
    await Promise.resolve()
    draft.counter = 10
  }
  assert.throws(() => void state.update(draft => later(draft) as unknown as undefined), { code: 'invalid_request' })
  assert.throws(() => void state.update(() => void state.set({ messages: [], counter: 9 })), {
    code: 'invalid_request',
  })
  assert.deepEqual([state.value.counter, state.version, events.length], [0, 0, 0])
  void state.update(draft => draft.messages.push({ role: 'a', content: 'b' }) as unknown as undefined)
  assert.equal(state.value.messages.length, 1)
})

test('DF12 what JSON would silently change is refused with its place; what it defines is taken as JSON does', () => {
  const { state } = recorded<unknown>(undefined)
  assert.deepEqual(state.value, {})
  for (const bad of [Number.NaN, 1n, new Map(), new Uint8Array(2), () => 1, Symbol('s'), Promise.resolve()]) {
    assert.throws(
      () => void state.set({ list: [{ bad }] }),
      thrown => thrown instanceof RuncastError && thrown.details['path'] === '/list/0/bad',
    )
  }
  assert.throws(() => void state.set(undefined), RuncastError)
  const date = new Date(0)
  void state.set({ date, none: undefined, holes: [undefined, 1], half: 'a\ud83d', zero: -0 })
  assert.deepEqual(state.value, { date: date.toISOString(), holes: [null, 1], half: 'a\ufffd', zero: 0 })
  void state.set(7)
  assert.throws(() => void state.update(() => {}), /use set/)
})

test('H91 legal keys that name prototypes are kept as members through set, update and the wire', () => {
  const { state, events } = recorded<unknown>({})
  void state.set(JSON.parse('{"__proto__":{"polluted":1},"constructor":1,"n":1}'))
  void state.update(draft => {
    ;(draft as { n: number }).n = 2
  })
  const text = '{"__proto__":{"polluted":1},"constructor":1,"n":2}'
  assert.equal(JSON.stringify(state.value), text)
  assert.equal(JSON.stringify(readAll(events)?.value), text)
  assert.equal('polluted' in {}, false)
})

test('H97 a state deeper than the limit is refused, also when it is built from its own old versions', () => {
  const { state } = recorded<unknown>({})
  void state.set(nest(depthMax))
  assert.throws(() => void state.set([state.value]), RuncastError)
  assert.throws(() => void state.set(nest(depthMax + 1)), RuncastError)
  const round: { self?: unknown } = {}
  round.self = round
  assert.throws(() => void state.set(round), RuncastError)
  assert.equal(state.version, 1)
})

test('H142 ten thousand random doubles survive change, wire and hash', () => {
  const { state, events } = recorded<{ n: number; padding: string }>(
    { n: 0, padding },
    { hashEvery: 1, hash: stateHash },
  )
  let view: StateView | undefined
  let count = 0
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), n => {
      void state.set({ n, padding })
      view = readAll(events.splice(0), view)
      if (view !== undefined) assert.deepEqual(view, { value: state.value, version: state.version })
      count++
    }),
    { numRuns: 10_000 },
  )
  assert.equal(count, 10_000)
  assert.ok(state.version > 5_000)
})

function nest(levels: number): unknown {
  let value: unknown = []
  for (let i = 1; i < levels; i++) value = [value]
  return value
}
