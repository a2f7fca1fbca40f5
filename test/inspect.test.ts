// What the inspector works out from events: spans and their totals, costs, CSV, diffs, the pace of a replay. Numbers that
// were not told stay unknown, and zeros stay zeros.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Body, Event } from '../src/event.ts'
import { inMs } from '../src/cli/table.ts'
import { chatEncoder } from '../src/formats/chat.ts'
import { decodeChatEvent } from '../src/formats/chat-codec.ts'
import { dashstreamDecoder, dashstreamEncoder } from '../src/formats/dashstream.ts'
import { decodeDashStream, encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { type Decoded, emptyDecoded } from '../src/formats/format.ts'
import { checkPrices, createCosts } from '../src/inspect/costs.ts'
import { csvColumns, csvHeader, csvRow } from '../src/inspect/csv.ts'
import { flameSvg } from '../src/inspect/flame-svg.ts'
import { type Frame, flameOf, folded, framesDeepMax, widthOf } from '../src/inspect/flame.ts'
import prices from '../src/inspect/prices.json' with { type: 'json' }
import { createProfile, percentile, sum } from '../src/inspect/profile.ts'
import { createSpans, type Span } from '../src/inspect/spans.ts'
import { createSummary } from '../src/inspect/summary.ts'
import { dueMs, inWindow, speedOf } from '../src/inspect/timeline.ts'
import { viewDiff } from '../src/inspect/view-diff.ts'
import { emptyView, fold, textOf } from '../src/state/fold.ts'
import { applyPatch } from '../src/state/patch.ts'
import { duration } from '../web/src/parts/duration.ts'
import { arbitraryRun, eventsOf } from './arbitrary-events.ts'
import { header } from './dashstream-samples.ts'

/** Events 10 ms apart. */
const of = (...bodies: Body[]) => eventsOf(bodies)
const step = (node_name: string, phase: 'start' | 'end' | 'error', more: object = {}): Body => {
  return { type: 'step', node_name, phase, ...more }
}
const call = (call_id: string, stage: 'requested' | 'started' | 'completed' | 'failed', more: object = {}): Body => {
  return { type: 'tool', call_id, tool_name: 'search', stage, ...more }
}
const token = (llm_request_id: string): Body => ({ type: 'token', content: 'x', llm_request_id, model: 'gpt-4o' })
const llm = (metrics: Record<string, number>, model?: string): Body => {
  const values = Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, { value }]))
  return { type: 'metrics', scope: 'llm', metrics: values, ...(model !== undefined && { tags: { model } }) }
}
const complete = (more: object = {}): Body => ({ type: 'complete', output: null, latency_seconds: 0, ...more })

function spansOf(events: readonly Event[]): Span[] {
  const spans = createSpans()
  for (const event of events) spans.take(event)
  return spans.all()
}

function flameFrom(events: readonly Event[]): Frame {
  return flameOf(spansOf(events)) as Frame
}

function framesOf(frame: Frame): Frame[] {
  return [frame, ...[...frame.children.values()].flatMap(framesOf)]
}

/** A reader of RFC 4180 that shares nothing with the writer. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]]
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/gy
  for (;;) {
    const [, inQuotes, bare = '', border] = cell.exec(text) ?? assert.fail(`no cell at ${cell.lastIndex}`)
    rows.at(-1)?.push(inQuotes?.replaceAll('""', '"') ?? bare)
    if (cell.lastIndex >= text.length) return rows.filter(row => row.length > 1)
    if (border === '\r\n') rows.push([])
  }
}

test('DF30 H133 CSV reads back to the very events, and no cell begins as a formula', () => {
  const property = fc.property(arbitraryRun(), events => {
    const [heads, ...rows] = parseCsv(csvHeader() + events.map(csvRow).join(''))
    assert.deepEqual(heads, csvColumns)
    const read = rows.map(row => {
      const fields = row.slice(0, -1).map((text, index) => [csvColumns[index], text.replace(/^'/, '')] as const)
      return { ...Object.fromEntries(fields), ...(JSON.parse(row.at(-1) || '{}') as object) }
    })
    const written = events.map(event => {
      const plain = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value)
      const told = csvColumns.slice(0, -1).map(name => {
        const value = (event as unknown as Record<string, unknown>)[name]
        return [name, plain(value) ? String(value) : ''] as const
      })
      const others = Object.entries(event).filter(([name, value]) => !csvColumns.includes(name) || !plain(value))
      return { ...Object.fromEntries(told), ...(JSON.parse(JSON.stringify(Object.fromEntries(others))) as object) }
    })
    assert.deepEqual(read, written)
    for (const cell of rows.flat()) assert.doesNotMatch(cell, /^[=+\-@\t\r\n]/)
  })
  fc.assert(property)
})

test('H133 every beginning that a spreadsheet runs is defused, in names and in text', () => {
  for (const evil of ['=cmd|x', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', '＝1', "'=1"]) {
    const [row] = parseCsv(csvRow(of(step(evil, 'start'))[0] as Event))
    assert.equal(row?.[csvColumns.indexOf('node_name')], `'${evil}`)
  }
})

test('DF31 DF33 the totals of the flame graph are those of the profile, and its stacks hold all of its time', () => {
  const property = fc.property(arbitraryRun(), events => {
    if (events.length === 0) return
    const spans = spansOf(events)
    const frames = framesOf(flameOf(spans) as Frame)
    const profile = createProfile()
    profile.take(spans)
    for (const kind of ['step', 'tool'] as const) {
      const total = sum(frames.filter(frame => frame.kind === kind).map(frame => frame.total_ms))
      const told = profile.rows().filter(row => row.kind === (kind === 'step' ? 'node' : 'tool'))
      assert.equal(total, sum(told.map(row => row.total_ms ?? 0)))
    }
    assert.equal(sum(frames.map(frame => frame.calls)), spans.length)
    const stacks = folded(frames[0] as Frame).map(line => Number(/ (\d+)$/.exec(line)?.[1]))
    assert.equal(sum(stacks), Math.round(sum(frames.map(frame => frame.self_ms)) * 1000))
  })
  fc.assert(property)
})

test('DF31 steps that run one in the other add up: a frame is as wide as it took long', () => {
  interface Node {
    readonly name: string
    readonly children: readonly Node[]
  }
  const tree: (depth?: number) => fc.Arbitrary<Node> = fc.memo(depth => {
    const children = depth > 1 ? fc.array(tree(depth - 1), { maxLength: 3 }) : fc.constant([])
    return fc.record({ name: fc.constantFrom('a', 'b'), children })
  })
  const told = ({ name, children }: Node): Body[] => [step(name, 'start'), ...children.flatMap(told), step(name, 'end')]
  const property = fc.property(fc.array(tree(4), { maxLength: 4 }), nodes => {
    const root = flameFrom(of(...nodes.flatMap(told), complete()))
    for (const frame of framesOf(root)) {
      assert.equal(widthOf(frame), frame.total_ms)
      const within = sum([...frame.children.values()].map(child => child.total_ms))
      assert.equal(frame.self_ms, frame.total_ms - within)
    }
  })
  fc.assert(property)
})

test('DF31 tools and requests lie in the step that they ran in, parallel steps side by side, a late-told step over what it held', () => {
  const longer = of(step('plan', 'start'), call('c1', 'completed', { duration_ms: 25 }), step('plan', 'end'))
  assert.deepEqual([...(flameFrom(longer).children.get('step plan')?.children.keys() ?? [])], ['tool search'])
  const nested = of(
    step('plan', 'start'),
    token('q1'),
    token('q1'),
    call('c1', 'requested'),
    call('c1', 'started'),
    call('c1', 'failed'),
    step('plan', 'end'),
  )
  assert.deepEqual(folded(flameFrom(nested)), ['run;plan 40000', 'run;plan;gpt-4o 10000', 'run;plan;search 10000'])
  const parallel = of(step('a', 'start'), step('b', 'start'), step('a', 'end'), step('b', 'end'))
  assert.deepEqual(folded(flameFrom(parallel)), ['run;a 20000', 'run;b 20000'])
  assert.equal(widthOf(flameFrom(parallel)), 40)
  const late = of(call('c1', 'started'), call('c1', 'completed'), step('a;b', 'end', { duration_ms: 20 }))
  assert.deepEqual(folded(flameFrom(late)), ['run;a,b 10000', 'run;a,b;search 10000'])
})

test('DF31 an agent that only tells starts makes no tower, and the drawing stays small', () => {
  const starts = Array.from({ length: 5_000 }, (_, n) => step(`n${n}`, 'start'))
  const root = flameFrom(of(...starts))
  const depth = (frame: Frame): number => 1 + Math.max(0, ...[...frame.children.values()].map(depth))
  assert.equal(depth(root), framesDeepMax)
  assert.ok(flameSvg(root, 'deep').length < 1_000_000)
})

test('DF31 the drawing says what each frame is, in text of others that is never markup', () => {
  const svg = flameSvg(flameFrom(of(step('<b>&"\u0007\ud800', 'start'), step('<b>&"\u0007\ud800', 'end'))), 'run <1>')
  assert.match(svg, /<title id="title">run &lt;1&gt;<\/title>/)
  assert.ok(
    svg.includes('<title>step &lt;b&gt;&amp;&quot;·�: 10 ms in total, 10 ms of its own, 1 call, 100.0 %</title>'),
  )
  assert.doesNotMatch(svg, /<script|<b>|href/)
  assert.ok(!svg.includes('\u0007'))
  assert.match(svg, /prefers-color-scheme: dark/)
  const open: string[] = []
  for (const [, end, name = '', self] of svg.matchAll(/<(\/?)(\w+)[^>]*?(\/?)>/g)) {
    if (end) assert.equal(open.pop(), name)
    else if (!self) open.push(name)
  }
  assert.deepEqual(open, [])
})

test('DF33 a profile has nearest-rank percentiles, and a duration that nobody told is unknown, not 0', () => {
  const hundred = Array.from({ length: 100 }, (_, n) => n + 1)
  assert.deepEqual(
    [percentile(hundred, 0.5), percentile(hundred, 0.95), percentile([7], 0.95), percentile([1, 2], 0.5)],
    [50, 95, 7, 1],
  )
  const profile = createProfile()
  const durations = [5, 0, 10].map(duration_ms => step('load', 'end', { duration_ms }))
  profile.take(spansOf(of(...durations, step('save', 'error'))))
  assert.deepEqual(profile.rows(), [
    {
      kind: 'node',
      name: 'load',
      calls: 3,
      timed: 3,
      failed: 0,
      total_ms: 15,
      mean_ms: 5,
      p50_ms: 5,
      p95_ms: 10,
    },
    { kind: 'node', name: 'save', calls: 1, timed: 0, failed: 1 },
  ])
})

function costsOf(...bodies: Body[]) {
  const costs = createCosts(checkPrices(prices, 'prices.json').models)
  const run = costs.run('r1')
  const spans = createSpans()
  for (const event of of(...bodies)) {
    spans.take(event)
    run.take(event, spans.node)
  }
  run.end()
  return costs
}

test('DF32 costs are counted by model, node and tenant from the usage that was told', () => {
  const costs = costsOf(
    { type: 'started', agent_name: 'a', framework: 'f', company_id: 'acme' },
    step('plan', 'start'),
    llm({ tokens_prompt: 1_000_000, tokens_completion: 100_000 }, 'gpt-4o'),
    step('plan', 'end'),
    llm({ tokens_prompt: 10, tokens_completion: 0, cost_usd: 0.25 }, 'house-model'),
    complete(),
  )
  const shown = (by: 'model' | 'node' | 'tenant') => costs.by(by).map(({ name, cost_usd }) => [name, cost_usd])
  assert.deepEqual(shown('model'), [
    ['gpt-4o', 3.5],
    ['house-model', 0.25],
  ])
  assert.deepEqual(shown('node'), [
    ['plan', 3.5],
    [null, 0.25],
  ])
  assert.deepEqual(shown('tenant'), [['acme', 3.75]])
  assert.equal(costs.total().total_tokens, 1_100_010)
})

test('DF32 H135 what was not told is unknown, in its row and in every sum that it is part of', () => {
  for (const model of ['nobody-knows', '__proto__', 'constructor', undefined]) {
    const { cost_usd, known_cost_usd } = costsOf(llm({ tokens_prompt: 1, tokens_completion: 1 }, model)).total()
    assert.deepEqual([cost_usd, known_cost_usd], [null, null], String(model))
  }
  const half = costsOf(llm({ tokens_total: 9 }, 'gpt-4o'), llm({ cost_usd: 1 }))
  assert.deepEqual([half.total().cost_usd, half.total().known_cost_usd, half.total().input_tokens], [null, 1, null])
  const silent = costsOf(complete())
  const { name: _, ...total } = silent.total()
  const unknown = { input_tokens: null, output_tokens: null, total_tokens: null, cost_usd: null, known_cost_usd: null }
  assert.deepEqual(total, { told: 0, ...unknown })
  assert.equal(silent.silent, 1)
})

test('DF32 H126 zeros that were told are zeros', () => {
  const zero = costsOf(llm({ tokens_prompt: 0, tokens_completion: 0 }, 'gpt-4o'), llm({ cost_usd: 0 })).total()
  assert.deepEqual([zero.input_tokens, zero.total_tokens, zero.cost_usd], [0, 0, 0])
  assert.deepEqual(costsOf(complete({ usage: { input_tokens: 0 } })).total().input_tokens, 0)
})

test('DF32 usage that only the end tells is counted, once, and its model is unknown', () => {
  const usage = { input_tokens: 30, output_tokens: 4, total_tokens: 34 }
  const costs = costsOf(llm({ tokens_prompt: 10, tokens_completion: 4 }, 'gpt-4o'), complete({ usage }))
  assert.equal(costs.total().total_tokens, 34)
  assert.deepEqual(
    costs.by('model').map(({ name, input_tokens }) => [name, input_tokens]),
    [
      ['gpt-4o', 10],
      [null, 20],
    ],
  )
})

test('DF32 a prices file is refused by model and field; the one that is shipped is not, and says what day it is of', () => {
  const { as_of, models } = checkPrices(prices, 'prices.json')
  const { note, ...rest } = prices
  assert.match(note, /example.* not checked .*--prices/)
  assert.deepEqual({ as_of, ...models }, rest)
  assert.match(String(as_of), /^\d{4}-\d\d-\d\d$/)
  const price = { input_per_million: 1, output_per_million: 2 }
  assert.deepEqual(checkPrices({ m: price }, 'p.json'), { models: { m: price } })
  for (const [value, says] of [
    [{ as_of: 'May', m: price }, /p\.json: as_of is "May" and no day such as "2026-01-31"; write/],
    [{ as_of: '2026-02-30' }, /as_of is "2026-02-30"/],
    [[], /p\.json: it is no object of models; write \{"as_of": "2026-01-31", "MODEL"/],
    [{ m: null }, /"m" has no input_per_million/],
    [{ m: { input_per_million: 0, output_per_million: -1 } }, /"m" has no output_per_million/],
    [{ m: { input_per_million: '1', output_per_million: 1 } }, /"m" has no input_per_million/],
  ] as const) {
    assert.throws(() => checkPrices(value, 'p.json'), says)
  }
})

test('DF29 the operations of a diff lead from the one state to the other, and its text too', () => {
  const property = fc.property(arbitraryRun(), fc.nat(40), fc.nat(40), (events, a, b) => {
    const [before, after] = [a, b].map(at => fold(emptyView(), events.slice(0, at))) as [
      ReturnType<typeof emptyView>,
      ReturnType<typeof emptyView>,
    ]
    const { state, text, status } = viewDiff(before, after)
    const ops = (state?.ops ?? []).map(({ before: _, ...op }) => op)
    assert.deepEqual(applyPatch(before.state.value, ops as never), after.state.value)
    if (text) assert.equal(textOf(before).slice(0, text.kept) + text.added, textOf(after))
    else assert.equal(textOf(before), textOf(after))
    assert.equal(status?.after ?? before.status, after.status)
    assert.deepEqual(viewDiff(after, after), {})
  })
  fc.assert(property)
})

test('DF29 a diff says what stood there before, also where earlier operations moved it', () => {
  const state = (version: number, snapshot: unknown): Body => {
    return { type: 'state', version, base_version: version - 1, snapshot }
  }
  const events = of(
    state(1, { list: ['a', 'b', 'c', 'd'], n: 0 }),
    state(2, { list: ['b', 'c', 'x'], n: 1 }),
    llm({ tokens_prompt: 0 }),
  )
  const { usage, state: changes } = viewDiff(fold(emptyView(), events.slice(0, 1)), fold(emptyView(), events))
  const told = changes?.ops.map(({ op, before }) => [op, before])
  assert.deepEqual(told, [
    ['remove', 'a'],
    ['replace', 'd'],
    ['replace', 0],
  ])
  assert.deepEqual(usage, { input_tokens: { before: null, after: 0 }, total_tokens: { before: null, after: 0 } })
})

test('DF27 a summary counts every event under its type', () => {
  const head = { run_id: 'r1', status: 'running', agent: 'a', framework: 'f' }
  const property = fc.property(arbitraryRun(), events => {
    const summing = createSummary(head)
    for (const event of events) summing.take(event)
    const { by_type, events: count, last_sequence } = summing.summary()
    assert.equal(sum(Object.values(by_type)), count)
    assert.deepEqual([count, last_sequence], [events.length, events.at(-1)?.sequence ?? null])
  })
  fc.assert(property)
})

const dayMs = 86_400_000
const identity = { run: 'r1', tenant: 'acme', thread: 't1' }

/** The events of messages that somebody else wrote. */
function ofStranger(messages: object[]): Event[] {
  const decoder = dashstreamDecoder()
  const into: Decoded = emptyDecoded()
  for (const [n, { value, ...message }] of (messages as { case: string; value: object }[]).entries()) {
    const own = { runId: '', runSequence: 0n, runcastFields: new Uint8Array(), sequence: BigInt(n + 1) }
    const told = header(1, { ...own, messageId: Uint8Array.of(...Array.from({ length: 15 }, () => 7), n) })
    decoder.push(encodeDashStream({ message: { ...message, value: { header: told, ...value } } } as never), into)
  }
  return [...into.batches, ...decoder.flush().batches].flatMap(({ events }) => events)
}

for (const [name, ms, shown, long] of [
  ['a microsecond', 0.001, '0.001 ms', '< 1 ms'],
  ['a day', dayMs, '86400000 ms', '1440 min 0 s'],
] as const) {
  test(`H20 ${name} is ${name} on both wires, in the profile, the flame graph, the table and on the page`, () => {
    const us = BigInt(Math.round(ms * 1_000))
    const own = of(
      step('n', 'end', { duration_ms: ms }),
      call('c', 'completed', { duration_ms: ms }),
      complete({ latency_seconds: ms / 1_000 }),
    )
    const written = dashstreamEncoder(identity)(own).map(({ payload }) => decodeDashStream(payload).message)
    const sent = written.flatMap(({ value }) => (value && 'durationUs' in value ? [value.durationUs] : []))
    assert.deepEqual(sent, [us, us, us])
    const [end] = chatEncoder(identity)(own).flatMap(({ payload }) => decodeChatEvent(payload).event)
    assert.equal(end?.case === 'completion' && end.value.executionTimeMs, BigInt(Math.floor(ms)))
    const foreign = ofStranger([
      { case: 'event', value: { eventType: 11, nodeId: 'n', durationUs: us } },
      { case: 'toolExecution', value: { callId: 'c', toolName: 'search', stage: 3, durationUs: us } },
      { case: 'event', value: { eventType: 2, durationUs: us } },
    ])
    for (const events of [own, foreign]) {
      const last = events.at(-1)
      assert.equal(last?.type === 'complete' && last.latency_seconds, ms / 1_000)
      const profile = createProfile()
      profile.take(spansOf(events))
      const rows = profile.rows().map(({ kind, total_ms }) => [kind, inMs(total_ms)])
      assert.deepEqual(rows, [
        ['node', ms],
        ['tool', ms],
      ])
      const flame = flameFrom(events.filter(({ type }) => type === 'step'))
      assert.ok(folded(flame).some(line => line.endsWith(`;n ${us}`)))
      assert.ok(flameSvg(flame, 'f').includes(`step n: ${shown} in total`))
      assert.ok(csvRow(events.find(({ type }) => type === 'step') as Event).includes(`,${ms},`))
    }
    assert.equal(duration(ms), long)
  })
}

test('H20 a length is rounded before its unit is chosen', () => {
  const shown = [0, 0.4, 1, 999.4, 999.6, 59_949, 59_960, 119_700, 3_600_000].map(duration)
  const expected = ['0 ms', '< 1 ms', '1 ms', '999 ms', '1.0 s', '59.9 s', '1 min 0 s', '2 min 0 s', '60 min 0 s']
  assert.deepEqual(shown, expected)
})

test('H131 a clock that goes back five minutes makes no length less than nothing: what it measured is unknown', () => {
  const backMs = 300_000
  const events = of(
    step('n', 'start'),
    call('c', 'started'),
    call('c', 'completed', { duration_ms: -backMs }),
    step('n', 'end', { duration_ms: -backMs }),
    { type: 'cancelled' },
  ).map((event, n) => {
    const time = Date.parse(event.timestamp) - (n < 2 ? 0 : backMs)
    return { ...event, timestamp: new Date(time).toISOString() }
  })
  const summing = createSummary({ run_id: 'r1', status: 'running', agent: 'a', framework: 'f' })
  for (const event of events) summing.take(event)
  assert.equal(summing.summary().duration_ms, null)
  for (const { duration_ms = 0, start_ms, end_ms } of spansOf(events)) assert.ok(duration_ms >= 0 && end_ms >= start_ms)
  for (const { total_ms, self_ms } of framesOf(flameFrom(events))) assert.ok(total_ms >= 0 && self_ms >= 0)
  const [end] = chatEncoder(identity)(events).flatMap(({ payload }) => decodeChatEvent(payload).event)
  assert.equal(end?.case === 'completion' && end.value.executionTimeMs, 0n)
  assert.equal(duration(-backMs), '0 ms')
  const durationUs = BigInt(-backMs) * 1_000n
  const foreign = ofStranger([
    { case: 'event', value: { eventType: 11, nodeId: 'n', durationUs } },
    { case: 'toolExecution', value: { callId: 'c', toolName: 'search', stage: 3, durationUs } },
    { case: 'event', value: { eventType: 2, durationUs } },
  ])
  const [, , last] = foreign
  assert.equal(last?.type === 'complete' && last.latency_seconds, 0)
  assert.ok(foreign.every(event => !('duration_ms' in event)))
})

test('DF28 a replay keeps the pace: due times scale with the speed, and a clock that went back holds nothing up', () => {
  const [first, second, third] = of(token('q'), token('q'), token('q')) as [Event, Event, Event]
  assert.deepEqual([dueMs(first, third, 1), dueMs(first, third, 4), dueMs(first, second, 0.5)], [20, 5, 20])
  assert.deepEqual([dueMs(first, third, Infinity), dueMs(third, first, 1)], [0, 0])
  assert.deepEqual([speedOf('max'), speedOf('2.5')], [Infinity, 2.5])
  for (const wrong of ['0', '-1', 'fast', '', 'NaN']) assert.throws(() => speedOf(wrong), /neither max nor a number/)
})

test('DF27 a window is inclusive on both ends, and a filter knows custom events by their name', () => {
  const events = of(token('q'), { type: 'custom', name: 'fraud', data: 0 }, complete())
  const seen = (window: object) => events.filter(event => inWindow(window, event)).map(event => event.sequence)
  assert.deepEqual(seen({ from: 2, to: 2 }), [2])
  assert.deepEqual(seen({ types: new Set(['custom:fraud', 'token']) }), [1, 2])
  assert.deepEqual(seen({ types: new Set(['custom:other']) }), [])
})
