// What the server answers, for OpenAPI. Each schema is held to the type of what is written; a test holds real answers to
// the document. Shown only: nothing is ever checked, cut or refused by them, so a newer field is never lost.
import { z } from 'zod'
import { type JsonSchema, jsonSchemaOf } from '../../agent/schema.ts'
import type { Agent } from '../../agent/define.ts'
import type { Page } from '../../runs.ts'
import type { RunInfo } from '../../run-info.ts'
import { shownView } from './shown-view.ts'
import { type SinkHealth, type SourceHealth, sinkStates, sourceStates } from './vitals.ts'

/** An answer by its status: JSON by its schema, other bodies by their types, or none. */
export interface Shown {
  readonly description: string
  readonly schema?: z.ZodType | JsonSchema
  readonly types?: readonly string[]
}
export type Responses = Readonly<Record<number, Shown>>

/** Made when the document is first asked for: a start would be the later by all of these. */
let made: ReturnType<typeof make> | undefined
export const responses = () => (made ??= make())

function make() {
  const time = z.string().describe('ISO 8601, UTC.')
  const count = z.number().int().min(0)
  const record = z.record(z.string(), z.unknown())
  const status = z.enum(['accepted', 'running', 'completed', 'failed', 'cancelled'])

  const runInfo = z.object({
    run_id: z.string(),
    status,
    agent: z.string(),
    framework: z.string(),
    thread_id: z.string().exactOptional(),
    user_id: z.string().exactOptional(),
    labels: z.record(z.string(), z.string()).exactOptional(),
    created_at: time,
    started_at: time.exactOptional(),
    cancel_requested_at: time.exactOptional(),
    completed_at: time.exactOptional(),
    first_sequence: count.describe('The oldest that is kept.'),
    last_sequence: count,
    input: z.unknown().exactOptional().describe('What is kept of what the agent was given; not in lists.'),
    output: z.unknown().exactOptional().describe('Of a completed run; not in lists.'),
    error: z
      .object({ message: z.string(), code: z.string(), details: z.unknown().exactOptional() })
      .exactOptional()
      .describe('Of a failed run; not in lists.'),
    reason: z.string().exactOptional().describe('Of a cancelled run; not in lists.'),
    metadata: record,
  }) satisfies z.ZodType<RunInfo>

  /** Events in either wire; PROTOCOL.md says what is in them. */
  const stream: Shown = {
    description: 'The events, one a frame or a line, until the run ends.',
    types: ['text/event-stream', 'application/x-ndjson'],
  }

  const runs = {
    list: {
      200: {
        description: 'A page of runs; `next` is absent on the last.',
        schema: z.object({ runs: z.array(runInfo), next: z.string().exactOptional() }) satisfies z.ZodType<Page>,
      },
    },
    show: { 200: { description: 'The run.', schema: runInfo } },
    start: {
      200: { ...stream, description: 'The run was started; its events, where Accept wants a stream.' },
      202: {
        description: 'The run was started, or was there already for this key.',
        schema: z.object({ run_id: z.string(), status, events_url: z.string(), created_at: time }),
      },
    },
    events: { 200: stream, 204: { description: 'The run has ended, and nothing follows the cursor.' } },
    direct: { 200: stream },
    feed: {
      200: { ...stream, description: "The entries of the thread's feed, one a frame or a line; it has no end." },
    },
    snapshot: {
      200: { description: 'The view.', schema: z.object({ run_id: z.string(), at: count, view: shownView() }) },
    },
    input: { 202: { description: 'The run is told.', schema: z.object({ run_id: z.string(), input_id: z.string() }) } },
    stop: {
      200: {
        description: 'The run is sealed.',
        schema: z.object({ run_id: z.string(), status, reason: z.string().exactOptional() }),
      },
    },
    cancel: {
      202: { description: 'The run is told.', schema: z.object({ run_id: z.string(), cancel_requested_at: time }) },
    },
  } as const satisfies Record<string, Responses>

  const numbers = z.record(z.string(), count)

  const sink = z.object({
    state: z.enum(sinkStates),
    lag: z.object({ events: count, runs: count, oldest_seconds: z.number() }).nullable().describe('null: unknown.'),
    error: z
      .object({ code: z.string(), error: z.string().exactOptional(), timestamp: time })
      .exactOptional()
      .describe('Why it does not send; in words only where no keys are asked for.'),
    refused_tenants: count,
    buffered: z.object({ runs: count, events: count, bytes: count }),
    messages: z
      .record(z.string(), z.object({ created: count, sent: count, failed: count, pending: count }))
      .describe('By kind: created = sent + failed + pending.'),
    dropped: numbers.describe('Events that could not be exported, by reason.'),
    transactions: count,
  }) satisfies z.ZodType<SinkHealth>

  const source = z.object({
    state: z.enum(sourceStates),
    lag: z.object({ records: count }).nullable().describe('null: unknown.'),
    coverage: z
      .object({ assigned: count, total: count.nullable() })
      .describe('Partitions that are read here, and all; null: unknown.'),
    records: count,
    tombstones: count,
    dead_letters: count,
    discarded: count,
    problems: numbers.describe('What was wrong with records, by kind.'),
  }) satisfies z.ZodType<SourceHealth>

  const about = {
    health: {
      200: {
        description: 'The process lives.',
        schema: z.object({
          status: z.literal('ok'),
          service: z.string(),
          version: z.string(),
          timestamp: time,
          agent: z.string().exactOptional().describe('Absent where none runs.'),
          framework: z.string().exactOptional(),
          sink: sink.exactOptional().describe('How the export goes; of a server that exports.'),
          source: source.exactOptional().describe('How the reading goes; of a server that reads topics.'),
        }),
      },
    },
    ready: {
      200: {
        description: 'It takes work.',
        schema: z.object({ success: z.literal(true), status: z.literal('ready'), agent: z.string().exactOptional() }),
      },
    },
    metrics: { 200: { description: 'The metrics, in the text format of Prometheus.', types: ['text/plain'] } },
    schema: {
      200: {
        description: 'JSON Schemas, empty where an agent has none.',
        schema: z.object({ agents: z.array(z.object({ name: z.string(), input: record, output: record })) }),
      },
    },
    info: {
      200: {
        description: 'What there is.',
        schema: z.object({
          service: z.string(),
          version: z.string(),
          agents: z.array(
            z.object({ name: z.string(), framework: z.string(), description: z.string().exactOptional() }),
          ),
          rest: z.boolean(),
          streaming: z.enum(['sse', 'none']),
          async_runs: z.boolean(),
          read_only: z.boolean(),
          event_types: z.array(z.string()),
        }),
      },
    },
  } as const satisfies Record<string, Responses>
  return { runs, about }
}

/** What the agents say of their outputs, in the body of `/invoke`. */
export function invokeResponses(agents: readonly Agent[]): Responses {
  const outputs = agents.map(({ name, output }) => ({ title: name, ...jsonSchemaOf(output, 'output') }))
  const output = outputs.length === 1 ? outputs[0] : { anyOf: outputs }
  const properties = { success: { type: 'boolean', const: true }, output, metadata: { type: 'object' } }
  const description = 'What the agent returned.'
  return { 200: { description, schema: { type: 'object', required: Object.keys(properties), properties } } }
}

/** As OpenAPI has them, with the one body of failures for all other statuses. */
export function shownResponses(answers: Responses): Record<string, unknown> {
  const shown = Object.entries(answers).map(([code, { description, schema, types }]) => {
    const json = schema && { 'application/json': { schema: schema instanceof z.ZodType ? jsonOf(schema) : schema } }
    const texts = types && Object.fromEntries(types.map(type => [type, { schema: { type: 'string' } }]))
    return [code, { description, ...((json ?? texts) ? { content: json ?? texts } : { type: 'null' }) }]
  })
  return {
    ...Object.fromEntries(shown),
    default: { description: failure.description, content: { 'application/json': { schema: failure } } },
  }
}

/** Open to fields of newer servers, as what is read should be. */
export function jsonOf(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
}

const failure = {
  description: 'What went wrong, by its code.',
  type: 'object',
  required: ['success', 'error', 'code', 'details'],
  properties: {
    success: { type: 'boolean', const: false },
    error: { type: 'string' },
    code: { type: 'string' },
    details: { type: 'object' },
  },
}
