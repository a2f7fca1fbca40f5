// What every format promises, as plain functions: one call per row of test/formats.test.ts.
// A row owns its exceptions: `skip` names tests and says why.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuncastError } from '../../src/error.ts'
import { type Body, customNamePattern, type Event, eventOf } from '../../src/event.ts'
import { eventJson } from '../../src/formats/json.ts'
import { type Format, type Identity, type Message, runsOf } from '../../src/formats/format.ts'
import { emptyView, fold } from '../../src/state/fold.ts'
import { arbitraryRun as anyRun, eventsOf } from '../arbitrary-events.ts'

export interface FormatRow {
  readonly format: Format
  readonly skip?: readonly { readonly test: string; readonly reason: string }[]
}

/** How many arbitrary runs each property sees: a second for the slowest format. */
const numRuns = 100

export function formatSuite({ format, skip }: FormatRow): void {
  const promise = (title: string, body: () => void) => {
    const skipped = skip?.find(entry => entry.test === title)
    test(`${format.name}: ${title}`, { skip: skipped?.reason ?? false }, body)
  }
  const encode = (events: readonly Event[], more: Partial<Identity> = {}): Message[] =>
    format.encoder(identityOf(events, more))(events)

  promise('a whole run is encoded, in order, under the key of its thread, each message with an id of its own', () => {
    fc.assert(
      fc.property(arbitraryRun(), events => {
        const messages = encode(events)
        assert.equal(new Set(messages.map(message => message.id)).size, messages.length)
        for (const [i, { key, sequence, payload, kind, topic }] of messages.entries()) {
          assert.equal(key, 't1')
          assert.ok(sequence >= (messages[i - 1]?.sequence ?? 1) && sequence <= events.length)
          assert.ok(payload.length > 0 && kind !== '' && topic !== '')
        }
      }),
      { numRuns },
    )
  })

  promise('a run without thread, or with a blank one, is its own thread', () => {
    for (const thread of [undefined, '', ' \t']) {
      for (const { key } of encode(everything, { thread })) assert.equal(key, 'r1')
    }
  })

  promise('starting in the middle with the view gives the very rest of the whole', () => {
    fc.assert(
      fc.property(arbitraryRun(), fc.nat(), (events, at) => {
        const cut = at % (events.length + 1)
        const view = fold(emptyView('r1'), events.slice(0, cut))
        const before = JSON.stringify(view)
        const rest = format.encoder(identityOf(events), view)(events.slice(cut))
        const whole = encode(events).filter(message => message.sequence > cut)
        assert.deepEqual(plain(rest), plain(whole))
        assert.equal(JSON.stringify(view), before, 'the given view stays as it was')
      }),
      { numRuns },
    )
  })

  promise('the same messages come whether events arrive one by one or all at once', () => {
    fc.assert(
      fc.property(arbitraryRun(), events => {
        const encoder = format.encoder(identityOf(events))
        assert.deepEqual(plain(events.flatMap(event => encoder([event]))), plain(encode(events)))
      }),
      { numRuns },
    )
  })

  promise('events that were encoded already, and events behind the end, give nothing', () => {
    const encoder = format.encoder(identityOf(everything))
    encoder(everything)
    assert.deepEqual(encoder(everything), [])
    assert.deepEqual(encoder([{ ...(everything[0] as Event), sequence: everything.length + 1 }]), [])
  })

  promise('decode(encode(run)) is the very same events', () => {
    fc.assert(
      fc.property(arbitraryRun(), events => {
        assert.deepEqual(decoded(format, encode(events)), events)
      }),
      { numRuns: numRuns * 3 },
    )
    assert.deepEqual(decoded(format, encode(everything)), everything)
  })

  promise('encode(decode(bytes)) is the very same bytes', () => {
    fc.assert(
      fc.property(arbitraryRun(), events => {
        const first = encode(events, { task: 'task-1' })
        const again = decoded(format, first)
        const run = again[0]?.run_id ?? 'r1'
        const second = format.encoder({ run, thread: 't1', task: 'task-1' })(again)
        assert.deepEqual(
          second.map(message => Buffer.from(message.payload).toString('base64')),
          first.map(message => Buffer.from(message.payload).toString('base64')),
        )
      }),
      { numRuns: numRuns * 3 },
    )
  })

  promise('H126 zeros, empty texts, false and null survive', () => {
    const zeros = asLogged(eventsOf(zeroBodies))
    assert.deepEqual(decoded(format, encode(zeros)), zeros)
  })

  promise('H14 an event of a newer server and values that no schema knows are encoded, never refused', () => {
    const strange = eventsOf(strangeBodies)
    assert.doesNotThrow(() => encode(strange))
    if (format.decoder !== undefined) assert.doesNotThrow(() => decoded(format, encode(strange.map(nameable))))
  })

  promise('a payload that is not of this format is refused with a reason, and changes nothing', () => {
    const decoder = format.decoder?.()
    for (const bytes of [new Uint8Array(), Uint8Array.of(0xff, 0xfe), Buffer.from('{bad'), Buffer.from('[]')]) {
      assert.throws(() => decoder?.push(bytes), isRefusal)
    }
    assert.deepEqual(decoder?.flush(), { batches: [], problems: [] })
  })
}

/** As a log gives them back: an empty `other`, for one, is nothing there. Copied, so that every object is a plain one. */
const asLogged = (events: readonly Event[]) =>
  events.map(event => JSON.parse(JSON.stringify(eventOf(JSON.parse(eventJson(event))))) as Event)
const arbitraryRun = () => anyRun().map(asLogged)

const isRefusal = (thrown: unknown) => thrown instanceof RuncastError && typeof thrown.details['reason'] === 'string'

function identityOf(events: readonly Event[], more: Partial<Identity> = {}): Identity {
  return { run: events[0]?.run_id ?? 'r1', tenant: 'acme', thread: 't1', threadBase: 100, ...more }
}

/** No log could take a name like this, and no decoder gives it out. */
function nameable(event: Event): Event {
  return event.type !== 'custom' || customNamePattern.test(event.name) ? event : { ...event, name: 'half' }
}

function decoded(format: Format, messages: readonly Message[]): Event[] {
  assert.ok(format.decoder)
  const { runs, problems } = runsOf(
    format.decoder(),
    messages.map(message => message.payload),
  )
  assert.deepEqual(problems, [])
  assert.ok(runs.length <= 1)
  assert.deepEqual(runs[0]?.gaps ?? [], [])
  return runs[0]?.events ?? []
}

function plain(messages: readonly Message[]) {
  return messages.map(message => ({ ...message, payload: Buffer.from(message.payload).toString('base64') }))
}

const zeroBodies: Body[] = [
  { type: 'started', agent_name: '', framework: '', thread_id: '', user_id: '' },
  { type: 'token', content: '', index: 0, llm_request_id: '', model: '', finish_reason: '' },
  { type: 'token', content: '', channel: 'reasoning', index: 0, llm_request_id: '', model: '' },
  { type: 'token', content: 'x', channel: 'text' },
  { type: 'step', node_name: '', phase: 'end', duration_ms: 0, input_keys: [], output_keys: [] },
  { type: 'progress', step: '', progress: 0, message: '', metadata: {} },
  { type: 'checkpoint', name: '', data: null },
  { type: 'checkpoint', name: 'zero', data: 0 },
  { type: 'state', version: 1, base_version: 0, snapshot: null },
  { type: 'state', version: 2, base_version: 1, ops: [{ op: 'replace', path: '', value: 0 }] },
  { type: 'state', version: 3, base_version: 2, ops: [] },
  {
    type: 'tool',
    call_id: '',
    tool_name: '',
    stage: 'completed',
    arguments: null,
    result: 0,
    error: '',
    duration_ms: 0,
    retry_count: 0,
  },
  { type: 'tool', call_id: '', tool_name: '', stage: 'arguments', delta: '', retry_count: 0 },
  {
    type: 'metrics',
    scope: '',
    scope_id: '',
    metrics: { cost_usd: { value: 0, unit: '' }, hit: { value: false, kind: 'gauge' }, name: { value: '' } },
    tags: {},
  },
  { type: 'text', content: '', language: '' },
  { type: 'chart', chart_id: '', chart_type: '', option: {}, title: '', data_points: 0, data_source: '' },
  { type: 'item', data: null },
  { type: 'item', data: 0 },
  { type: 'item', data: '' },
  { type: 'item', bytes: '', media_type: '' },
  { type: 'warning', code: '', message: '', step: '', recoverable: false, retry_count: 0, details: {} },
  { type: 'input', input_id: '', kind: 'question', prompt: '' },
  { type: 'input', input_id: '', kind: 'answer', value: null, by: '' },
  { type: 'custom', name: 'zero', data: 0 },
  { type: 'custom', name: 'none', data: null, other: {} },
  { type: 'complete', output: 0, latency_seconds: 0, metadata: {}, usage: { total_tokens: 0 } },
]

const strangeBodies = [
  { type: 'custom', name: 'from_a_newer_server', data: { deep: [[[[]]]] }, other: { status: 'x', substep_name: 1 } },
  { type: 'custom', name: 'charts', data: { not: 'ours' } },
  { type: 'custom', name: '__proto__', data: JSON.parse('{"__proto__":{"a":1}}') },
  { type: 'custom', name: 'half \ud800', data: 'half \udc00', other: { data_json: '{' } },
  { type: 'token', content: 'half \ud83d', finish_reason: 'a reason of tomorrow', new_field: { a: [1, 2] } },
  { type: 'token', content: '', index: -1, llm_request_id: 'half \ud83d', stats: { prompt_tokens: -1 } },
  { type: 'warning', code: 'c', message: 'm', severity: 'apocalyptic', retry_count: 1e20, details: { a: { b: [] } } },
  { type: 'metrics', scope: 'llm', metrics: { x: { value: 1e300, kind: 'tomorrow', more: 1 } }, tags: { a: 5 } },
  { type: 'tool', call_id: 'c', tool_name: 't', stage: 'a stage of tomorrow', duration_ms: 0.0001 },
  { type: 'progress', step: 's', progress: 0.07, metadata: { a: { b: 1 } } },
  { type: 'chart', chart_id: 'k', chart_type: 'bar', option: { '2': 0, a: [0.1, -1e-7, 2 ** 53] }, data_points: 0.5 },
  { type: 'error', error: 'half \ud800', code: 'x', severity: 'apocalyptic', details: { suggestions: 'no list' } },
] as unknown as Body[]

/** One event of each kind with every field, so that a failure of the property has a readable sibling. */
export const everything: Event[] = eventsOf([
  {
    type: 'started',
    agent_name: 'sales',
    framework: 'function',
    thread_id: 't1',
    scenario: 's',
    user_id: 'u',
    company_id: 'c',
  },
  { type: 'step', node_name: 'plan', phase: 'start', input_keys: ['q'] },
  { type: 'progress', step: 'load', progress: 0.25, message: 'Loading', metadata: { rows: 3 } },
  { type: 'token', content: 'Let me ', channel: 'reasoning', llm_request_id: 'q1', model: 'm' },
  { type: 'token', content: 'Hello', llm_request_id: 'q1', index: 1, model: 'm' },
  { type: 'token', content: ' you', llm_request_id: 'q1', index: 2, model: 'm', finish_reason: 'stop' },
  {
    type: 'metrics',
    scope: 'llm',
    scope_id: 'q1',
    metrics: { tokens_total: { value: 12, unit: 'tokens', kind: 'counter' }, cost_usd: { value: 0.25 } },
    tags: { model: 'm' },
  },
  { type: 'tool', call_id: 'c1', tool_name: 'sql', stage: 'requested' },
  { type: 'tool', call_id: 'c1', tool_name: 'sql', stage: 'arguments', delta: '{"q":1}' },
  {
    type: 'tool',
    call_id: 'c1',
    tool_name: 'sql',
    stage: 'completed',
    arguments: { q: 1 },
    result: [1, 2],
    duration_ms: 1.5,
    retry_count: 2,
  },
  { type: 'state', version: 1, base_version: 0, snapshot: { rows: [] } },
  {
    type: 'state',
    version: 2,
    base_version: 1,
    ops: [
      { op: 'add', path: '/rows/-', value: { a: null } },
      { op: 'copy', from: '/rows/0', path: '/first' },
      { op: 'remove', path: '/rows/0' },
      { op: 'move', from: '/first', path: '/last' },
      { op: 'test', path: '/last/a', value: null },
      { op: 'replace', path: '/last', value: 'é' },
    ],
  },
  {
    type: 'checkpoint',
    name: 'after_query',
    data: { rows: Array.from({ length: 200 }, (_, i) => ({ i, name: `row ${i}` })) },
  },
  { type: 'text', content: 'Here it is', language: 'en', position: 'before' },
  {
    type: 'chart',
    chart_id: 'k1',
    chart_type: 'bar',
    option: { series: [{ type: 'bar', data: [1, 2.5] }] },
    title: 'Sales',
    data_points: 2,
    data_source: 'db',
  },
  { type: 'item', data: { any: ['thing'] } },
  { type: 'item', bytes: 'AAEC', media_type: 'image/png' },
  {
    type: 'warning',
    code: 'slow',
    message: 'Slow',
    severity: 'warning',
    step: 'load',
    recoverable: true,
    retry_count: 1,
    details: { ms: 5 },
  },
  { type: 'input', input_id: 'q', kind: 'approval', prompt: 'Sure?', details: { a: 1 } },
  { type: 'input', input_id: 'q', kind: 'answer', value: true, by: 'u' },
  { type: 'custom', name: 'fraud', data: { score: 0.5 }, other: { seen: true } },
  { type: 'step', node_name: 'plan', phase: 'end', duration_ms: 12, output_keys: ['a'] },
  {
    type: 'complete',
    output: { done: true },
    latency_seconds: 1.25,
    metadata: { summary: 'Done', result_ids: ['a'] },
    usage: { total_tokens: 12 },
  },
])
