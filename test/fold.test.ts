// The view of a run: what each event means for a reader (tables), and that it never depends on how the events arrived
// (properties over arbitrary runs). Values cross JSON on their way, as they do between a store, a server and a page.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Body, Event } from '../src/event.ts'
import { emptyView, fold, foldBatch, foldInto, openParts, textOf, usageOf, type View } from '../src/state/fold.ts'
import {
  checkpointsMax,
  gapsMax,
  modelsMax,
  type Part,
  partsMax,
  progressMax,
  questionsMax,
  stepsMax,
  trimCount,
  warningsMax,
  writersMax,
} from '../src/state/view.ts'
import { arbitraryEndedRun, arbitraryRun, eventsOf } from './arbitrary-events.ts'

const viewOf = (...bodies: Body[]) => fold(emptyView(), eventsOf(bodies))
const token = (content: string, more: object = {}): Body => ({ type: 'token', content, ...more })
const tool = (stage: string, more: object = {}, call_id = 'c'): Body =>
  ({ type: 'tool', call_id, tool_name: 'search', stage, ...more }) as Body
const chart = (chart_id: string, title: string): Body => ({
  type: 'chart',
  chart_id,
  chart_type: 'bar',
  option: {},
  title,
})
const input = (kind: 'question' | 'approval' | 'answer', more: object = {}): Body => ({
  type: 'input',
  input_id: 'q',
  kind,
  ...more,
})
const complete = (output: unknown = null): Body => ({ type: 'complete', output, latency_seconds: 1 })
const custom: Body = { type: 'custom', name: 'note', data: 1 }
const item = (data: unknown): Body => ({ type: 'item', data })
const overWire = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

/** A part in one line: `p1 text "ab"`, with `…` while it is open. */
function line(part: Part): string {
  const open = 'open' in part && part.open ? '…' : ''
  switch (part.kind) {
    case 'text':
    case 'reasoning':
    case 'text_block':
      return `${part.part_id} ${part.kind} ${JSON.stringify(part.content)}${open}`
    case 'tool':
      return `${part.part_id} tool ${part.call_id} ${part.stage}${open}`
    case 'chart':
      return `${part.part_id} chart ${part.chart_id} ${part.title}`
    case 'item':
      return `${part.part_id} item ${JSON.stringify(part.data ?? part.bytes)}`
    case 'custom':
      return `${part.part_id} custom ${part.name}`
    case 'input':
      return `${part.part_id} input ${part.input_id}${part.answered ? ` = ${JSON.stringify(part.value)}` : ''}`
  }
}

const inA = { llm_request_id: 'a' }
const inB = { llm_request_id: 'b' }
const thought = { channel: 'reasoning' }

const scenarios: readonly (readonly [promise: string, bodies: Body[], parts: string[]])[] = [
  ['consecutive tokens are one part', [token('a'), token('b')], ['p1 text "ab"…']],
  ['a finish reason closes its part', [token('a'), token('b', { finish_reason: 'stop' })], ['p1 text "ab"']],
  ['a lone token with a finish reason is a closed part', [token('a', { finish_reason: 'stop' })], ['p1 text "a"']],
  [
    'tokens behind a finish are a new part',
    [token('a', { finish_reason: 'stop' }), token('b')],
    ['p1 text "a"', 'p2 text "b"…'],
  ],
  ['an empty token begins nothing', [token('', { model: 'm' }), token('a')], ['p2 text "a"…']],
  [
    'an empty last token closes, on whichever channel it comes',
    [token('a', thought), token('', { finish_reason: 'stop' })],
    ['p1 reasoning "a"'],
  ],
  [
    'requests that write at once each continue their own part, in order of their beginning',
    [token('a', inA), token('x', inB), token('b', inA), token('y', inB)],
    ['p1 text "ab"…', 'p2 text "xy"…'],
  ],
  [
    'tokens with and without a request are different parts',
    [token('a'), token('x', inA), token('b')],
    ['p1 text "ab"…', 'p2 text "x"…'],
  ],
  [
    'another channel of one request begins a part, so text around a thought stays in order',
    [token('a', inA), token('t', { ...inA, ...thought }), token('b', inA)],
    ['p1 text "a"', 'p2 reasoning "t"', 'p3 text "b"…'],
  ],
  [
    'text is not joined over a tool call',
    [token('a'), tool('requested'), token('b')],
    ['p1 text "a"', 'p2 tool c requested…', 'p3 text "b"…'],
  ],
  [
    'text is not joined over a chart',
    [token('a'), chart('k', 'one'), token('b')],
    ['p1 text "a"', 'p2 chart k one', 'p3 text "b"…'],
  ],
  ['text is not joined over an item', [token('a'), item(0), token('b')], ['p1 text "a"', 'p2 item 0', 'p3 text "b"…']],
  [
    'text is not joined over a whole text',
    [token('a'), { type: 'text', content: 'T' }, token('b')],
    ['p1 text "a"', 'p2 text_block "T"', 'p3 text "b"…'],
  ],
  [
    'a block ends the text of every request',
    [token('a', inA), token('x', inB), item(1), token('b', inA), token('y', inB)],
    ['p1 text "a"', 'p2 text "x"', 'p3 item 1', 'p4 text "b"…', 'p5 text "y"…'],
  ],
  [
    'custom events, questions, steps and progress do not split text',
    [
      token('a'),
      custom,
      input('question'),
      { type: 'step', node_name: 'n', phase: 'end' },
      { type: 'progress', step: 's', progress: 0 },
      token('b'),
    ],
    ['p1 text "ab"…', 'p2 custom note', 'p3 input q'],
  ],
  [
    'a tool that goes on does not split the text behind its beginning',
    [tool('requested'), token('a'), tool('completed', { result: 0 }), token('b')],
    ['p1 tool c completed', 'p2 text "ab"…'],
  ],
  [
    'a chart of the same id takes the old place, and text goes on',
    [chart('k', 'old'), token('a'), chart('k', 'new'), token('b')],
    ['p1 chart k new', 'p2 text "ab"…'],
  ],
  ['a failed call that is retried is open again', [tool('failed'), tool('retrying')], ['p1 tool c retrying…']],
  [
    'an answer completes its question',
    [input('question'), token('a'), input('answer', { value: 0 })],
    ['p1 input q = 0', 'p2 text "a"…'],
  ],
  [
    'the first answer counts',
    [input('question'), input('answer', { value: 1 }), input('answer', { value: 2 })],
    ['p1 input q = 1'],
  ],
  ['an answer whose question was not seen is kept', [input('answer', { value: false })], ['p1 input q = false']],
  ['the end closes what is open', [token('a'), tool('started'), complete()], ['p1 text "a"', 'p2 tool c started']],
  ['an output that was streamed is not shown twice', [token('a'), complete('a')], ['p1 text "a"']],
  ['an output is not added to a chart', [chart('k', 'one'), complete('done')], ['p1 chart k one']],
  ['a text output of a silent run is its text', [complete('done')], ['p1 text "done"']],
  [
    'an output behind thoughts, tools and custom events alone is shown',
    [token('t', thought), tool('completed'), custom, complete(0)],
    ['p1 reasoning "t"', 'p2 tool c completed', 'p3 custom note', 'p4 item 0'],
  ],
  ['no output shows nothing', [complete(null)], []],
]

for (const [promise, bodies, parts] of scenarios) {
  test(`PX22 ON11 ${promise}`, () => {
    assert.deepEqual(viewOf(...bodies).parts.map(line), parts)
  })
}

test('PX27 textOf joins text exactly, leaves out everything else, and sets whole texts apart', () => {
  const view = viewOf(
    token('a '),
    tool('requested'),
    token('b'),
    token('t', thought),
    chart('k', 'one'),
    item({ x: 'y' }),
    complete('a b'),
  )
  assert.equal(textOf(view), 'a b')
  assert.equal(
    textOf(viewOf(token('a'), { type: 'text', content: 'T' }, { type: 'text', content: 'U' }, token('b'))),
    'a\n\nT\n\nU\n\nb',
  )
})

test('PX22 the text of each request is its tokens joined, whatever lies between them', () => {
  fc.assert(
    fc.property(arbitraryRun(), events => {
      const view = fold(emptyView(), events)
      for (const request of ['a', 'b']) {
        const told = events.map(e =>
          e.type === 'token' && e.channel !== 'reasoning' && e.llm_request_id === request ? e.content : '',
        )
        const kept = view.parts.map(p => (p.kind === 'text' && p.llm_request_id === request ? p.content : ''))
        assert.equal(kept.join(''), told.join(''))
      }
    }),
  )
})

test('H126 a part knows its newest model, index 0 and its finish', () => {
  const view = viewOf(token('a', { model: 'm', index: 3 }), token('b', { index: 0, finish_reason: 'length' }))
  assert.deepEqual(view.parts, [
    {
      part_id: 'p1',
      started_at: '2026-01-01T00:00:00.000Z',
      kind: 'text',
      content: 'ab',
      open: false,
      model: 'm',
      index: 0,
      finish_reason: 'length',
      ended_at: '2026-01-01T00:00:00.010Z',
    },
  ])
})

test('the arguments of a call are joined as they come and parsed once they are whole', () => {
  const asked = [tool('arguments', { delta: '{"q":' }), tool('arguments', { delta: '0}' })]
  const open = viewOf(...asked).parts[0]
  assert.ok(open?.kind === 'tool')
  assert.equal(open.arguments_text, '{"q":0}')
  assert.equal('arguments' in open, false)

  const done = viewOf(...asked, tool('started'), tool('completed', { result: null, duration_ms: 0, retry_count: 0 }))
    .parts[0]
  assert.ok(done?.kind === 'tool')
  assert.deepEqual(
    [done.arguments, done.result, done.duration_ms, done.retry_count, done.open],
    [{ q: 0 }, null, 0, 0, false],
  )

  const never = viewOf(...asked, complete()).parts[0]
  assert.ok(never?.kind === 'tool')
  assert.deepEqual(never.arguments, { q: 0 })

  const cut = viewOf(...asked.slice(0, 1), complete()).parts[0]
  assert.ok(cut?.kind === 'tool')
  assert.deepEqual([cut.arguments_text, 'arguments' in cut, cut.open], ['{"q":', false, false])
})

test('a retry may ask with other arguments, and a call shows the outcome of its last try alone', () => {
  const failed = [tool('arguments', { delta: '1' }), tool('completed', { result: 0 }), tool('failed', { error: 'no' })]
  const asked = [...failed, tool('retrying'), tool('arguments', { delta: '2' })]
  const call = {
    part_id: 'p1',
    started_at: '2026-01-01T00:00:00.000Z',
    kind: 'tool',
    call_id: 'c',
    tool_name: 'search',
  }
  const first = { ...call, stage: 'failed', open: false, arguments: 1, arguments_text: '1', error: 'no' }
  assert.deepEqual(viewOf(...failed).parts, [{ ...first, ended_at: '2026-01-01T00:00:00.020Z' }])
  const again = { ...call, stage: 'arguments', open: true, arguments_text: '2', error: 'no' }
  assert.deepEqual(viewOf(...asked).parts, [again])
  const last = { ...call, stage: 'completed', open: false, arguments: 2, arguments_text: '2', result: 'ok' }
  assert.deepEqual(viewOf(...asked, tool('completed', { result: 'ok' })).parts, [
    { ...last, ended_at: '2026-01-01T00:00:00.050Z' },
  ])
})

test('DF31 the end of a step closes the innermost of its name, and nesting can be read off the sequences', () => {
  const step = (node_name: string, phase: 'start' | 'end' | 'error', more: object = {}): Body => ({
    type: 'step',
    node_name,
    phase,
    ...more,
  })
  const view = viewOf(
    step('n', 'start'),
    step('m', 'start'),
    step('n', 'start'),
    step('n', 'end'),
    step('m', 'error', { duration_ms: 0 }),
    step('x', 'end'),
  )
  assert.deepEqual(
    view.steps.map(s => [s.step_id, s.node_name, s.phase, s.open, s.sequence, s.last_sequence, s.duration_ms]),
    [
      ['s1', 'n', 'start', true, 1, 1, undefined],
      ['s2', 'm', 'error', false, 2, 5, 0],
      ['s3', 'n', 'end', false, 3, 4, 10],
      ['s6', 'x', 'end', false, 6, 6, undefined],
    ],
  )
  const ended = fold(view, eventsOf([...Array<Body>(6).fill(custom), complete()]))
  assert.deepEqual(ended.steps[0], {
    ...view.steps[0],
    open: false,
    last_sequence: 7,
    ended_at: ended.ended_at,
    duration_ms: 60,
  })
})

test('ON12 H135 usage is the sum of the llm metrics, by model; what was not told is unknown and not zero', () => {
  const used = (metrics: Record<string, number | string>, model?: string, scope = 'llm'): Body => ({
    type: 'metrics',
    scope,
    metrics: Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, { value }])),
    ...(model !== undefined && { tags: { model } }),
  })
  assert.deepEqual(usageOf(viewOf(used({ duration_us: 5, tokens_prompt: 'many' }))), {})
  assert.deepEqual(usageOf(viewOf(used({ tokens_prompt: 5 }, 'm', 'graph'))), {})
  const view = viewOf(
    used({ tokens_prompt: 3, tokens_completion: 4 }, 'large'),
    used({ tokens_prompt: 1, tokens_total: 10, cost_usd: 0 }, '__proto__'),
    used({ tokens_completion: 2 }, 'large'),
    used({ tokens_total: 1 }),
  )
  assert.deepEqual(view.usage, {
    input_tokens: 4,
    output_tokens: 6,
    total_tokens: 20,
    cost_usd: 0,
    by_model: [
      { model: 'large', input_tokens: 3, output_tokens: 6, total_tokens: 9 },
      { model: '__proto__', input_tokens: 1, total_tokens: 10, cost_usd: 0 },
    ],
  })
  const ended = viewOf(used({ tokens_total: 1, cost_usd: 2 }), {
    type: 'complete',
    output: null,
    latency_seconds: 0,
    usage: { total_tokens: 7 },
  })
  assert.deepEqual(usageOf(ended), { total_tokens: 7, cost_usd: 2 })
})

test('the envelope of a run: who, since when, how far, how it ended', () => {
  const who = { agent_name: 'echo', framework: 'custom', thread_id: 't', scenario: 's', user_id: 'u', company_id: 'c' }
  assert.equal(emptyView('r1').status, 'accepted')
  const running = viewOf({ type: 'started', ...who }, token('a'))
  assert.deepEqual({ ...running, ...who }, running)
  assert.deepEqual(
    [running.run_id, running.at, running.status, running.started_at, running.updated_at, running.ended_at],
    ['r1', 2, 'running', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.010Z', undefined],
  )
  const ends: [Body, string][] = [
    [{ type: 'complete', output: 0, latency_seconds: 0 }, 'completed'],
    [{ type: 'error', error: 'broken', code: 'agent_error' }, 'failed'],
    [{ type: 'cancelled', reason: 'stop', by: 'u' }, 'cancelled'],
  ]
  for (const [end, status] of ends) {
    const view = viewOf(end)
    assert.deepEqual([view.status, view.ended_at, view.terminal], [status, '2026-01-01T00:00:00.000Z', end])
  }
})

test('open questions are listed until they are answered or the run ends', () => {
  const asked = [input('approval', { prompt: 'Pay?', details: { amount: 0 } })]
  assert.deepEqual(viewOf(...asked).questions, [
    { input_id: 'q', kind: 'approval', part_id: 'p1', prompt: 'Pay?', details: { amount: 0 } },
  ])
  assert.deepEqual(viewOf(...asked, input('answer', { value: true })).questions, [])
  assert.deepEqual(viewOf(...asked, { type: 'cancelled' }).questions, [])
})

test('progress keeps the latest of each step in order of appearance, checkpoints the latest of each name', () => {
  const at = (step: string, progress: number): Body => ({ type: 'progress', step, progress })
  const save = (name: string, data: unknown): Body => ({ type: 'checkpoint', name, data })
  const view = viewOf(at('a', 1), at('b', 0), at('a', 0), save('x', 1), save('y', 2), save('x', null))
  assert.deepEqual(
    view.progress.map(p => [p.step, p.progress, p.sequence]),
    [
      ['a', 0, 3],
      ['b', 0, 2],
    ],
  )
  assert.deepEqual(
    view.checkpoints.map(c => [c.name, c.data, c.sequence]),
    [
      ['y', 2, 5],
      ['x', null, 6],
    ],
  )
})

const whole = (version: number, snapshot: unknown): Body => ({
  type: 'state',
  version,
  base_version: version - 1,
  snapshot,
})
const change = (version: number, path: string, value: unknown): Body => ({
  type: 'state',
  version,
  base_version: version - 1,
  ops: [{ op: 'replace', path, value }],
})

test('DF28 the state stands at every event as it stood then', () => {
  const events = eventsOf([whole(1, { n: 0 }), custom, change(2, '/n', 5), token('a'), whole(3, null)])
  const at = (n: number) => fold(emptyView(), events.slice(0, n)).state
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map(n => at(n).value),
    [null, { n: 0 }, { n: 0 }, { n: 5 }, { n: 5 }, null],
  )
  assert.deepEqual(at(4), { value: { n: 5 }, version: 2, certain: true })
})

test('H75 H84 behind a hole no patch is applied, even one that would fit, until a whole state comes', () => {
  const events = eventsOf([
    whole(1, { n: 1 }),
    token('lost'),
    change(2, '/n', 2),
    whole(3, { n: 3 }),
    change(4, '/n', 4),
  ])
  const seen = events.filter(event => event.sequence !== 2)
  const at = (n: number) => fold(emptyView(), seen.slice(0, n)).state
  assert.deepEqual(at(2), { value: { n: 1 }, version: 1, certain: false })
  assert.deepEqual(at(3), { value: { n: 3 }, version: 3, certain: true })
  assert.deepEqual(at(4), { value: { n: 4 }, version: 4, certain: true })
})

test('H78 H93 a patch for another version, or one that fails, leaves the state as it was and uncertain', () => {
  for (const bad of [change(3, '/n', 9), change(2, '/absent/n', 9)]) {
    assert.deepEqual(viewOf(whole(1, { n: 1 }), bad).state, { value: { n: 1 }, version: 1, certain: false })
  }
  assert.equal(viewOf(change(1, '/n', 1)).state.certain, false)
})

test('a hole is noted with its bounds, and text is not joined over it', () => {
  const events = eventsOf([token('a'), token('b'), token('c'), token('d')])
  const view = fold(emptyView(), [events[0], events[3]] as Event[])
  assert.deepEqual(view.gaps, [{ from: 2, to: 3 }])
  assert.deepEqual(view.parts.map(line), ['p1 text "a"', 'p4 text "d"…'])
  assert.deepEqual(fold(emptyView(), events.slice(2, 3)).gaps, [{ from: 1, to: 2 }])
})

test("what a reader's filter leaves out is no hole, but a batch that does not follow the cursor is one", () => {
  const events = eventsOf([token('a'), custom, token('b'), custom, custom, token('c')])
  const tokens = events.filter(event => event.type === 'token')
  const some = foldBatch(emptyView(), { after: 0, last: 5, events: tokens.slice(0, 2) })
  assert.deepEqual([some.at, some.gaps, some.state.certain, textOf(some)], [5, [], true, 'ab'])
  const all = foldBatch(some, { after: 5, last: 6, events: tokens.slice(2) })
  assert.deepEqual(all.parts.map(line), ['p1 text "abc"…'])
  assert.deepEqual(foldBatch(emptyView(), { after: 5, last: 6, events: tokens.slice(2) }).gaps, [{ from: 1, to: 5 }])
  assert.deepEqual(foldBatch(all, { after: 0, last: 5, events: tokens.slice(0, 2) }), all)
})

test('an event of another run is refused with both names', () => {
  const [event] = eventsOf([token('a')], 'r2') as [Event]
  assert.throws(() => fold(emptyView('r1'), [event]), { code: 'invalid_request', message: /run r1 .* run r2/ })
})

test('a type that this version does not know is kept as a custom part', () => {
  const [event] = eventsOf([{ type: 'hologram', data: 0, depth: 3 } as unknown as Body]) as [Event]
  const base = { part_id: 'p1', started_at: event.timestamp }
  assert.deepEqual(fold(emptyView(), [event]).parts, [
    { ...base, kind: 'custom', name: 'hologram', data: 0, other: { depth: 3 } },
  ])
})

// ——— Whatever way the events arrive (what comparable systems get wrong: doubled parts, stale state, lost openings)

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(frozen)
  }
  return value
}

/** A run of which a reader missed some events. */
const arbitraryHoledRun = fc
  .tuple(arbitraryRun(), fc.infiniteStream(fc.nat({ max: 4 })))
  .map(([events, dice]) => events.filter(() => dice.next().value !== 0))

test('ON11 a stored view and the rest of the events give the view of the whole, wherever it was cut', () => {
  fc.assert(
    fc.property(fc.oneof(arbitraryRun(), arbitraryHoledRun), fc.nat({ max: 45 }), (events, cut) => {
      const all = fold(emptyView(), frozen(events))
      const before = frozen(fold(emptyView(), events.slice(0, cut)))
      assert.deepEqual(fold(before, events.slice(cut)), all)
      assert.deepEqual(fold(overWire(before), events.slice(cut)), all)
      assert.deepEqual(overWire(all), all)
    }),
  )
})

test('event by event is the same as all at once, in a view of its own or not', () => {
  fc.assert(
    fc.property(arbitraryHoledRun, events => {
      const all = fold(emptyView(), events)
      assert.deepEqual(
        events.reduce((view, event) => frozen(fold(view, [event])), frozen(emptyView())),
        all,
      )
      const own = emptyView()
      for (const event of events) foldInto(own, event)
      assert.deepEqual(own, all)
    }),
  )
})

test('a replay over what was seen changes nothing, from any cursor', () => {
  fc.assert(
    fc.property(arbitraryRun(), fc.nat({ max: 45 }), fc.nat({ max: 45 }), (events, cut, from) => {
      const seen = fold(emptyView(), events.slice(0, cut))
      assert.deepEqual(fold(seen, events.slice(0, cut)), seen)
      assert.deepEqual(fold(seen, events.slice(Math.min(from, cut))), fold(emptyView(), events))
    }),
  )
})

test('parts are in the order in which they began, and a part keeps its id and kind while it grows', () => {
  fc.assert(
    fc.property(arbitraryRun(), events => {
      let kinds = new Map<string, string>()
      let view = emptyView()
      for (const event of events) {
        view = fold(view, [event])
        const now = new Map(view.parts.map(part => [part.part_id, part.kind]))
        for (const [id, kind] of kinds) assert.equal(now.get(id), kind)
        kinds = now
        const began = view.parts.map(part => Number(part.part_id.slice(1)))
        assert.deepEqual(
          began,
          [...new Set(began)].sort((a, b) => a - b),
        )
      }
    }),
  )
})

test('openParts names exactly what is open, and what began and was closed adds up to it after every event', () => {
  fc.assert(
    fc.property(fc.oneof(arbitraryRun(), arbitraryHoledRun), events => {
      const view = emptyView()
      const open = new Set<string>()
      for (const event of events) {
        const { part, began, closed } = foldInto(view, event)
        if (part !== undefined) assert.ok(view.parts.includes(part))
        for (const one of closed) assert.ok(view.parts.includes(one))
        // A call that failed and is retried opens again without a beginning.
        if (part !== undefined && (began || part.kind === 'tool') && 'open' in part && part.open) open.add(part.part_id)
        for (const one of closed) if (one !== part || !began) assert.ok(open.delete(one.part_id), one.part_id)
        const named = openParts(view)
        assert.deepEqual(new Set(named.parts.map(one => one.part_id)), open)
        assert.deepEqual(
          named.parts,
          view.parts.filter(one => 'open' in one && one.open),
        )
        assert.deepEqual(
          named.steps,
          view.steps.filter(step => step.open),
        )
      }
    }),
  )
})

test('after the end nothing is open, nothing is asked, and nothing more is taken in', () => {
  fc.assert(
    fc.property(arbitraryEndedRun(), events => {
      const view = fold(emptyView(), events)
      assert.deepEqual([openParts(view), view.questions], [{ parts: [], steps: [] }, []])
      const late = { ...eventsOf([token('late')])[0], sequence: view.at + 1 } as Event
      assert.deepEqual(fold(view, [late]), view)
    }),
  )
})

// ——— Bounds

/** A view of `count` events, each made from its number. */
function viewOfMany(count: number, bodyOf: (n: number) => Body, first: Body[] = []): View {
  return viewOf(...first, ...Array.from({ length: count }, (_, n) => bodyOf(n)))
}

test('H98 every list of a view has a bound, keeps the newest, and counts what it forgot', () => {
  const step =
    (phase: 'start' | 'end') =>
    (n: number): Body => ({ type: 'step', node_name: `n${n}`, phase })
  const lists: [keyof View['dropped'], number, (n: number) => Body, slack?: number][] = [
    ['progress', progressMax, n => ({ type: 'progress', step: `s${n}`, progress: 0 })],
    ['checkpoints', checkpointsMax, n => ({ type: 'checkpoint', name: `c${n}`, data: n })],
    ['warnings', warningsMax, n => ({ type: 'warning', code: 'slow', message: `w${n}` })],
    ['questions', questionsMax, n => ({ type: 'input', input_id: `q${n}`, kind: 'question' })],
    ['steps', stepsMax, step('end'), trimCount],
    ['steps', stepsMax, step('start'), trimCount],
    ['parts', partsMax, item, trimCount],
    ['parts', partsMax, n => tool('requested', {}, `c${n}`), trimCount],
  ]
  for (const [list, max, bodyOf, slack = 1] of lists) {
    const full = viewOfMany(max + slack - 1, bodyOf)
    assert.deepEqual([full[list].length, full.dropped[list]], [max + slack - 1, 0], list)
    const over = viewOfMany(max + slack, bodyOf)
    assert.deepEqual([over[list].length, over.dropped[list]], [max, slack], list)
    assert.deepEqual(over[list], viewOfMany(max + slack, bodyOf)[list])
    assert.equal(JSON.stringify(over[list].at(-2)), JSON.stringify(full[list].at(-1)))
  }
})

test('H98 holes and models are bounded too, while the sum still counts', () => {
  const odd = eventsOf(Array.from({ length: 2 * gapsMax + 3 }, () => custom)).filter(event => event.sequence % 2 === 1)
  const holed = fold(emptyView(), odd)
  assert.deepEqual([holed.gaps.length, holed.dropped.gaps, holed.gaps[0]], [gapsMax, 1, { from: 4, to: 4 }])
  const used = (n: number): Body => ({
    type: 'metrics',
    scope: 'llm',
    metrics: { tokens_total: { value: 1 } },
    tags: { model: `m${n}` },
  })
  const { usage } = viewOfMany(modelsMax + 1, used)
  assert.deepEqual([usage?.by_model?.length, usage?.total_tokens], [modelsMax, modelsMax + 1])
})

test('PX22 text is never forgotten, what is open only when nothing else can be, and what is left still finds its own', () => {
  const first = [item(0), token('kept ', { finish_reason: 'stop' }), custom, tool('started', {}, 'open')]
  const between = (n: number): Body => (n === 5 ? token('and ', { finish_reason: 'stop' }) : n % 2 ? custom : item(n))
  const view = viewOfMany(partsMax + trimCount, between, [...first, token('this', inA)])
  assert.equal(view.dropped.parts, trimCount)
  assert.deepEqual(
    openParts(view).parts.map(part => part.part_id),
    ['p4'],
  )
  const more: Body[] = [tool('completed', {}, 'open'), token(' too', inA), chart('k', 'one')]
  const after = fold(view, eventsOf([...Array<Body>(view.at).fill(custom), ...more]))
  assert.equal(textOf(after), 'kept thisand  too')
  assert.deepEqual(after.parts.slice(0, 3).map(line), ['p2 text "kept "', 'p4 tool open completed', 'p5 text "this"'])

  const texts = viewOfMany(partsMax + trimCount, () => token('x', { finish_reason: 'stop' }), [item(0)])
  assert.deepEqual([texts.dropped.parts, texts.parts.length], [0, partsMax + trimCount + 1])

  const tools = viewOfMany(partsMax + trimCount, n => tool('started', {}, `c${n}`), [
    tool('completed'),
    tool('started', {}, 'old'),
  ])
  assert.deepEqual([tools.dropped.parts, line(tools.parts[0] as Part)], [trimCount, 'p257 tool c254 started…'])
})

test('of more requests than write at once, the one that began first counts as finished', () => {
  const view = viewOfMany(writersMax + 1, n => token(`t${n}`, { llm_request_id: `r${n}` }))
  assert.equal(openParts(view).parts.length, writersMax)
  assert.equal(view.parts[0]?.kind === 'text' && view.parts[0].open, false)
})

test('H94 a token copies neither the list of parts nor another part, and fold shares what did not change', () => {
  const events = eventsOf([chart('k', 'one'), ...Array.from({ length: 1_000 }, () => token('x'))])
  const own = fold(emptyView(), events.slice(0, 2))
  const { parts } = own
  const [first, text] = parts
  for (const event of events.slice(2)) foldInto(own, event)
  assert.equal(own.parts, parts)
  assert.equal(own.parts[0], first)
  assert.deepEqual([text?.kind === 'text' && text.content, textOf(own).length], ['x', 1_000])
  const next = fold(own, [])
  assert.equal(next, own)
  assert.equal(fold(own, eventsOf([...Array<Body>(1_001).fill(custom), token('y')])).parts[0], first)
})
