// Arbitrary runs for property tests: every event type, ids from small pools so that events meet each other, state that
// chains. Here because formats, stores and the fold must be judged by the same runs. Never events that no log would hold:
// sequences are dense from 1, values are JSON as it comes off the wire, nothing follows the end.
import fc from 'fast-check'
import { type Body, type Event, eventId, isTerminal } from '../src/event.ts'

/** What a log holds is JSON text once, so -0 and undefined never come out of it. */
const asWire = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

const json = fc.jsonValue({ maxDepth: 2 }).map(asWire)
const text = fc.string({ unit: 'grapheme', maxLength: 8 })
const record = fc.dictionary(fc.constantFrom('a', 'b', '__proto__'), json, { maxKeys: 2 })
const optional = { requiredKeys: [] }
const whole = fc.nat({ max: 10_000 })

type Kind<T extends Body['type']> = fc.Arbitrary<Extract<Body, { type: T }>>

/** An event of one type with the given required and optional fields. */
function body<T extends Body['type']>(
  type: T,
  required: Record<string, fc.Arbitrary<unknown>>,
  more: Record<string, fc.Arbitrary<unknown>> = {},
): Kind<T> {
  return fc
    .tuple(fc.record(required), fc.record(more, optional))
    .map(([fields, others]) => asWire({ type, ...fields, ...others })) as unknown as Kind<T>
}

export const arbitraryToken = body(
  'token',
  { content: text },
  {
    finish_reason: fc.constantFrom('stop', 'length', 'tool_calls'),
    llm_request_id: fc.constantFrom('a', 'b'),
    index: whole,
    model: fc.constantFrom('small', 'large'),
    channel: fc.constantFrom('text', 'reasoning'),
  },
)

const metric = fc.record({ value: fc.oneof(whole, fc.constant('hit'), fc.boolean()), unit: fc.constant('1') }, optional)

const arbitraryBody: fc.Arbitrary<Body> = fc.oneof(
  { arbitrary: arbitraryToken, weight: 8 },
  {
    arbitrary: body(
      'step',
      { node_name: fc.constantFrom('n', 'm'), phase: fc.constantFrom('start', 'end', 'error') },
      { duration_ms: whole },
    ),
    weight: 2,
  },
  body(
    'progress',
    { step: fc.constantFrom('load', 'think'), progress: fc.constantFrom(0, 0.5, 1) },
    { message: text, metadata: record },
  ),
  body('checkpoint', { name: fc.constantFrom('one', 'two'), data: json }),
  {
    arbitrary: body(
      'tool',
      {
        call_id: fc.constantFrom('c1', 'c2'),
        tool_name: fc.constant('search'),
        stage: fc.constantFrom('requested', 'arguments', 'started', 'completed', 'failed', 'retrying'),
      },
      {
        arguments: json,
        delta: fc.constantFrom('{"q":', '1', '}'),
        result: json,
        error: text,
        duration_ms: whole,
        retry_count: whole,
      },
    ),
    weight: 3,
  },
  body(
    'metrics',
    {
      scope: fc.constantFrom('llm', 'graph'),
      metrics: fc.dictionary(
        fc.constantFrom('tokens_prompt', 'tokens_completion', 'tokens_total', 'cost_usd', '__proto__'),
        metric,
      ),
    },
    { tags: fc.record({ model: fc.constantFrom('small', '__proto__') }) },
  ),
  body(
    'text',
    { content: text },
    { language: fc.constant('en'), position: fc.constantFrom('before', 'after', 'standalone') },
  ),
  body(
    'chart',
    { chart_id: fc.constantFrom('k1', 'k2'), chart_type: fc.constantFrom('bar', 'pie'), option: record },
    { title: text, data_points: whole },
  ),
  body('item', { data: json }),
  body('item', { bytes: fc.base64String(), media_type: fc.constant('image/png') }),
  body(
    'warning',
    { code: fc.constant('slow'), message: text },
    { severity: fc.constant('warning'), step: text, details: record },
  ),
  body(
    'input',
    { input_id: fc.constantFrom('q1', 'q2'), kind: fc.constantFrom('question', 'approval', 'answer') },
    { prompt: text, value: json, by: text },
  ),
  body('custom', { name: fc.constantFrom('fraud', 'from_a_newer_server'), data: json }, { other: record }),
)

const arbitraryEnd: fc.Arbitrary<Body> = fc.oneof(
  body(
    'complete',
    { output: fc.oneof(json, text), latency_seconds: whole },
    { usage: fc.record({ total_tokens: whole }) },
  ),
  body('error', { error: text, code: fc.constantFrom('agent_error', 'timeout') }, { details: record }),
  body('cancelled', {}, { reason: text, by: text }),
)

const arbitraryStart = body(
  'started',
  { agent_name: fc.constant('echo'), framework: fc.constant('custom') },
  { thread_id: text, user_id: text },
)

/** A change of the state at this place of the run; `chained` makes the changes fit each other. */
type StateChange = { type: 'state'; key: string; value: unknown; whole: boolean }
const arbitraryState: fc.Arbitrary<StateChange> = fc.record({
  type: fc.constant('state' as const),
  key: fc.constantFrom('a', 'b'),
  value: json,
  whole: fc.boolean(),
})

/** Versions count up from 1, and the first change is a whole state, as a container sends it. */
function chained(bodies: readonly (Body | StateChange)[]): Body[] {
  let version = 0
  return bodies.map(one => {
    if (one.type !== 'state' || !('whole' in one)) return one as Body
    const numbers = { type: 'state', version: version + 1, base_version: version } as const
    const { key, value } = one
    return version++ === 0 || one.whole
      ? { ...numbers, snapshot: { [key]: value } }
      : { ...numbers, ops: [{ op: 'add', path: `/${key}`, value }] }
  })
}

/** Numbers and dates bodies as a log does. */
export function eventsOf(bodies: readonly Body[], run = 'r1'): Event[] {
  return bodies.map((one, i) => {
    const sequence = i + 1
    const timestamp = new Date(Date.UTC(2026, 0, 1) + i * 10).toISOString()
    const { type, ...fields } = one
    return { id: eventId(run, sequence), type, run_id: run, sequence, timestamp, ...fields } as Event
  })
}

/** A run from its beginning: ended or still going. */
export function arbitraryRun(): fc.Arbitrary<Event[]> {
  const middle = fc.array(fc.oneof({ arbitrary: arbitraryBody, weight: 12 }, arbitraryState), {
    maxLength: 40,
    // Else most runs would be too short for their events to meet.
    size: 'max',
  })
  return fc
    .tuple(fc.option(arbitraryStart, { nil: undefined }), middle, fc.option(arbitraryEnd, { nil: undefined }))
    .map(([start, bodies, end]) => eventsOf(chained([...(start ? [start] : []), ...bodies, ...(end ? [end] : [])])))
}

/** A run that ended. */
export function arbitraryEndedRun(): fc.Arbitrary<Event[]> {
  return arbitraryRun().filter(events => isTerminal(events.at(-1)?.type ?? ''))
}
