// What can happen in a run: one discriminated union, flat snake_case fields that are also the JSON wire.
// A leaf: it imports nothing. An event without its envelope is a Body; the log adds id, run, sequence and time.

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** One RFC 6902 operation. */
export type PatchOperation =
  | { op: 'add' | 'replace' | 'test'; path: string; value: unknown }
  | { op: 'remove'; path: string }
  | { op: 'move' | 'copy'; path: string; from: string }

/** What every event of a managed run carries. `id` is a function of run and sequence. */
export interface Envelope {
  readonly id: string
  readonly run_id: string
  /** 1, 2, 3 … dense per run. */
  readonly sequence: number
  /** ISO 8601, UTC. */
  readonly timestamp: string
}

export type Severity = 'debug' | 'info' | 'warning' | 'error' | 'critical'
export type FinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls' | 'error' | (string & {})
export type ToolStage = 'requested' | 'arguments' | 'started' | 'completed' | 'failed' | 'retrying'
export type TextPosition = 'before' | 'after' | 'standalone'

export interface Metric {
  value: number | string | boolean
  unit?: string
  kind?: 'counter' | 'gauge' | 'histogram' | 'summary'
}

/** Token usage of a run, the sum of its `metrics` events of scope `llm`. */
export interface Usage {
  input_tokens?: number
  output_tokens?: number
  total_tokens?: number
}

/** The fields of each event type, without the envelope. */
export interface Bodies {
  started: {
    agent_name: string
    framework: string
    thread_id?: string
    scenario?: string
    user_id?: string
    company_id?: string
  }
  token: {
    content: string
    finish_reason?: FinishReason
    llm_request_id?: string
    index?: number
    model?: string
    channel?: 'text' | 'reasoning'
  }
  step: {
    node_name: string
    phase: 'start' | 'end' | 'error'
    duration_ms?: number
    input_keys?: string[]
    output_keys?: string[]
  }
  progress: { step: string; progress: number; message?: string; metadata?: Record<string, unknown> }
  checkpoint: { name: string; data: unknown }
  state: { version: number; base_version: number; ops?: PatchOperation[]; snapshot?: unknown; hash?: string }
  tool: {
    call_id: string
    tool_name: string
    stage: ToolStage
    arguments?: unknown
    delta?: string
    result?: unknown
    error?: string
    duration_ms?: number
    retry_count?: number
  }
  metrics: { scope: string; scope_id?: string; metrics: Record<string, Metric>; tags?: Record<string, string> }
  text: { content: string; language?: string; position?: TextPosition }
  chart: {
    chart_id: string
    chart_type: string
    option: Record<string, unknown>
    title?: string
    data_points?: number
    data_source?: string
  }
  item: { data: unknown } | { bytes: string; media_type: string }
  warning: {
    code: string
    message: string
    severity?: Severity
    step?: string
    recoverable?: boolean
    retry_count?: number
    details?: Record<string, unknown>
  }
  input: {
    input_id: string
    kind: 'question' | 'approval' | 'answer'
    prompt?: string
    value?: unknown
    by?: string
    details?: Record<string, unknown>
  }
  /** In memory `{type:'custom', name, data}`; on the JSON wire `type` is the name. `other` keeps fields of a newer server. */
  custom: { name: string; data: unknown; other?: Record<string, unknown> }
  complete: { output: unknown; latency_seconds: number; metadata?: Record<string, unknown>; usage?: Usage }
  error: { error: string; code: string; severity?: Severity; details?: Record<string, unknown> }
  cancelled: { reason?: string; by?: string }
}

export type EventType = keyof Bodies

/** The fields of one event, without its envelope. */
export type Body = { [T in EventType]: { readonly type: T } & Bodies[T] }[EventType]
/** One numbered entry of a run's log. */
export type Event = Envelope & Body
/** One event of a given type. */
export type EventOf<T extends EventType> = Envelope & { readonly type: T } & Bodies[T]

/** Every type; a type's position is its code in a batch. */
export const eventTypes = [
  'custom',
  'started',
  'token',
  'step',
  'progress',
  'checkpoint',
  'state',
  'tool',
  'metrics',
  'text',
  'chart',
  'item',
  'warning',
  'input',
  'complete',
  'error',
  'cancelled',
] as const satisfies readonly EventType[]

/** The three ends. Exactly one of them seals a log. */
export type TerminalType = 'complete' | 'error' | 'cancelled'

export function isTerminal(type: string): type is TerminalType {
  return type === 'complete' || type === 'error' || type === 'cancelled'
}

/**
 * Names that a custom event may not have: they are event types, notices, or names that EventSource itself fires
 * (a listener for `open` or `message` could not tell the connection from an event).
 */
export const reservedNames: ReadonlySet<string> = new Set([
  ...eventTypes,
  'heartbeat',
  'gap',
  'cancel_requested',
  'reconnect',
  'open',
  'message',
  'close',
])

/** A legal custom event name; also what `custom:NAME` of a filter accepts. */
export const customNamePattern = /^[A-Za-z_][A-Za-z0-9_]*$/

/** A legal run id: safe in a path, a frame and a file name. */
export const runIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/

/** The id of an event: a function of run and sequence, so that a re-export can be recognised. */
export function eventId(run: string, sequence: number): string {
  return eventIdPrefix(run) + sequence
}

/** What stands before the sequence in the ids of a run's events. */
export function eventIdPrefix(run: string): string {
  return `${run}:`
}

const typeNames: ReadonlySet<string> = new Set(eventTypes)

/** Whether a filter of events may name this: a type, or `custom:NAME`. */
export function isTypeName(name: string): boolean {
  const [, custom] = /^custom:(.*)$/s.exec(name) ?? []
  return custom === undefined ? typeNames.has(name) : customNamePattern.test(custom)
}

const envelopeFields = new Set(['id', 'type', 'run_id', 'request_id', 'sequence', 'timestamp'])

/** Whether a field is the log's to give, and no agent's. */
export function isEnvelopeField(name: string): boolean {
  return envelopeFields.has(name)
}

/** An event of the JSON wire as it is in memory: names that are no type of ours become `custom`, and keep all their fields. */
export function eventOf(wire: Record<string, unknown>): Event {
  if (wire['id'] === undefined && wire['request_id'] === undefined) return wire as unknown as Event // an entry of a feed or an inbox
  const name = String(wire['type'])
  if (typeNames.has(name) && name !== 'custom') return wire as unknown as Event
  const fields = Object.entries(wire)
  const envelope = Object.fromEntries(fields.filter(([key]) => envelopeFields.has(key)))
  // fromEntries and no assignment: a field named __proto__ is a field like any other.
  const other = fields.filter(([key]) => !envelopeFields.has(key) && key !== 'data')
  const rest = other.length > 0 ? { other: Object.fromEntries(other) } : {}
  return { ...envelope, type: 'custom', name, data: wire['data'], ...rest } as unknown as Event
}

type Kind = 'string' | 'number' | 'object' | 'boolean'

/** The fields that readers rely on. */
const kinds: { readonly [T in EventType]?: Readonly<Record<string, Kind>> } = {
  token: { content: 'string' },
  step: { node_name: 'string' },
  progress: { step: 'string', progress: 'number' },
  checkpoint: { name: 'string' },
  state: { version: 'number', base_version: 'number' },
  tool: { call_id: 'string', tool_name: 'string', stage: 'string' },
  metrics: { scope: 'string', metrics: 'object' },
  text: { content: 'string' },
  chart: { chart_id: 'string', chart_type: 'string', option: 'object' },
  warning: { code: 'string', message: 'string' },
  input: { input_id: 'string', kind: 'string' },
  custom: { name: 'string' },
}

/** The same, as the hot path walks it: without making a list for each event. */
const required = new Map(Object.entries(kinds).map(([type, fields]) => [type, Object.entries(fields)]))
/** The field of a type that may be left out, and is read as text where it is there. */
const texts = new Map<string, string>([
  ['state', 'hash'],
  ['tool', 'delta'],
])

/** A field that is not what readers rely on; undefined when all are. */
export function badField(body: Body): { field: string; kind: Kind; value: unknown } | undefined {
  const fields = body as unknown as Record<string, unknown>
  for (const [field, kind] of required.get(body.type) ?? []) {
    const value = fields[field]
    if (typeof value !== kind || value === null) return { field, kind, value }
  }
  const field = texts.get(body.type)
  const value = field === undefined ? undefined : fields[field]
  if (field === undefined || value === undefined || typeof value === 'string') return undefined
  return { field, kind: 'string', value }
}
