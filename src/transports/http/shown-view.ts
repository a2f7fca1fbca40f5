// The view as OpenAPI shows it, held to the type of what the fold makes. Shown only, as all answers are: it must never
// decide what is sent.
import { z } from 'zod'
import type { Bounded, View } from '../../state/view.ts'

const bounded = [
  'parts',
  'steps',
  'progress',
  'checkpoints',
  'warnings',
  'questions',
  'gaps',
] as const satisfies readonly Bounded[]

export function shownView() {
  const text = z.string().exactOptional()
  const number = z.number().exactOptional()
  const count = z.number().int().min(0)
  const time = z.string().describe('ISO 8601, UTC.')
  const record = z.record(z.string(), z.unknown())
  const value = z.unknown().exactOptional()
  const severity = z.enum(['debug', 'info', 'warning', 'error', 'critical']).exactOptional()
  const tokens = { input_tokens: number, output_tokens: number, total_tokens: number }
  const sums = { ...tokens, cost_usd: number }

  const base = { part_id: z.string().describe('`p` and the sequence of the event that began it.'), started_at: time }
  const ended_at = time.exactOptional()
  const item = z.literal('item')
  const part = z.union([
    z.object({
      ...base,
      kind: z.enum(['text', 'reasoning']),
      content: z.string(),
      open: z.boolean().describe('Further tokens may follow.'),
      llm_request_id: text,
      model: text,
      index: number,
      finish_reason: text,
      ended_at,
    }),
    z.object({
      ...base,
      kind: z.literal('text_block'),
      content: z.string(),
      language: text,
      position: z.enum(['before', 'after', 'standalone']).exactOptional(),
    }),
    z.object({
      ...base,
      kind: z.literal('chart'),
      chart_id: z.string(),
      chart_type: z.string(),
      option: record,
      title: text,
      data_points: number,
      data_source: text,
    }),
    z.object({
      ...base,
      kind: z.literal('tool'),
      call_id: z.string(),
      tool_name: z.string(),
      stage: z.enum(['requested', 'arguments', 'started', 'completed', 'failed', 'retrying']),
      open: z.boolean(),
      arguments_text: text.describe('The joined deltas.'),
      arguments: value.describe('Absent while incomplete or not JSON.'),
      result: value,
      error: text,
      duration_ms: number,
      retry_count: number,
      ended_at,
    }),
    z.object({ ...base, kind: item, data: z.unknown() }),
    z.object({ ...base, kind: item, bytes: z.string().describe('base64'), media_type: z.string() }),
    z.object({
      ...base,
      kind: z.literal('custom'),
      name: z.string(),
      data: z.unknown(),
      other: record.exactOptional(),
    }),
    z.object({
      ...base,
      kind: z.literal('input'),
      input_id: z.string(),
      input_kind: z.enum(['question', 'approval', 'answer']),
      prompt: text,
      details: record.exactOptional(),
      answered: z.boolean(),
      value,
      by: text,
    }),
  ])

  const step = z.object({
    step_id: z.string().describe('`s` and the sequence of the event that began it.'),
    node_name: z.string(),
    phase: z.enum(['start', 'end', 'error']),
    open: z.boolean(),
    sequence: count,
    last_sequence: count,
    started_at: time.exactOptional(),
    ended_at,
    duration_ms: number,
    input_keys: z.array(z.string()).exactOptional(),
    output_keys: z.array(z.string()).exactOptional(),
  })

  const told = { sequence: count, timestamp: time }
  const details = record.exactOptional()
  const terminal = z.discriminatedUnion('type', [
    z.object({
      type: z.literal('complete'),
      output: z.unknown(),
      latency_seconds: z.number(),
      metadata: record.exactOptional(),
      usage: z.object(tokens).exactOptional(),
    }),
    z.object({ type: z.literal('error'), error: z.string(), code: z.string(), severity, details }),
    z.object({ type: z.literal('cancelled'), reason: text, by: text }),
  ])

  return z.object({
    view_version: z.literal(1),
    run_id: z.string(),
    at: count.describe('The cursor to go on from.'),
    status: z.enum(['accepted', 'running', 'completed', 'failed', 'cancelled']),
    agent_name: text,
    framework: text,
    thread_id: text,
    scenario: text,
    user_id: text,
    company_id: text,
    started_at: time.exactOptional(),
    updated_at: time.exactOptional(),
    ended_at,
    parts: z.array(part),
    open_parts: z.array(count),
    text_parts: count,
    steps: z.array(step),
    progress: z.array(
      z.object({ ...told, step: z.string(), progress: z.number(), message: text, metadata: record.exactOptional() }),
    ),
    state: z.object({ value: z.unknown(), version: count, certain: z.boolean() }),
    checkpoints: z.array(z.object({ ...told, name: z.string(), data: z.unknown() })),
    usage: z
      .object({ ...sums, by_model: z.array(z.object({ model: z.string(), ...sums })).exactOptional() })
      .exactOptional()
      .describe('Absent where nobody told, which is not zero.'),
    warnings: z.array(
      z.object({
        ...told,
        code: z.string(),
        message: z.string(),
        severity,
        step: text,
        recoverable: z.boolean().exactOptional(),
        retry_count: number,
        details,
      }),
    ),
    questions: z.array(
      z.object({
        input_id: z.string(),
        kind: z.enum(['question', 'approval']),
        part_id: z.string(),
        prompt: text,
        details,
      }),
    ),
    terminal: terminal.exactOptional(),
    gaps: z.array(z.object({ from: count, to: count })),
    dropped: z.record(z.enum(bounded), count).describe('How many entries of each list were forgotten.'),
  }) satisfies z.ZodType<View>
}
