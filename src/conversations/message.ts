// A message of a conversation: what a run leaves behind, as plain snake_case JSON with the names of chat.v1. The
// assistant's message is a function of the run's view, the user's of its head, so nothing here can drift from the log.
import type { EventOf, TextPosition, ToolStage } from '../event.ts'
import type { Head } from '../log.ts'
import { pick } from '../state/parts.ts'
import type { Part } from '../state/view.ts'
import { usageOf, type View } from '../state/fold.ts'

export type Role = 'user' | 'assistant'

interface BlockBase {
  /** Stable within the message. */
  readonly id: string
}

export type Block = BlockBase &
  (
    | {
        readonly type: 'text'
        readonly text: string
        readonly language?: string
        readonly position?: TextPosition
        /** What the model thought aloud; absent = said. */
        readonly channel?: 'reasoning'
      }
    | {
        readonly type: 'chart'
        readonly chart_id: string
        readonly chart_type: string
        readonly option: Record<string, unknown>
        readonly title?: string
        readonly data_points?: number
        readonly data_source?: string
      }
    | {
        readonly type: 'tool'
        readonly call_id: string
        readonly tool_name: string
        readonly stage: ToolStage
        readonly arguments?: unknown
        /** Arguments that are no JSON, as the model wrote them. */
        readonly arguments_text?: string
        readonly result?: unknown
        readonly error?: string
        readonly duration_ms?: number
        readonly retry_count?: number
      }
    | { readonly type: 'item'; readonly data: unknown }
    | { readonly type: 'item'; readonly bytes: string; readonly media_type?: string }
    /** Also a question to a person and its answer, under the name `input`, which no agent's event can have. */
    | {
        readonly type: 'custom'
        readonly name: string
        readonly data: unknown
        readonly other?: Record<string, unknown>
      }
  )

export type TaskState = 'running' | 'completed' | 'failed' | 'cancelled'

export interface Task {
  readonly task_id: string
  readonly scenario?: string
  readonly state: TaskState
}

export interface MessageError {
  readonly severity: 'warning' | 'error' | 'critical'
  readonly error_code: string
  readonly message: string
  readonly step_name?: string
  /** Whether the run could go on. */
  readonly recoverable: boolean
  readonly retry_count?: number
  readonly details?: Record<string, unknown>
}

export interface MessageMetadata {
  readonly tasks?: readonly Task[]
  readonly execution_time_ms?: number
  /** Absent = nobody told, which is not zero. */
  readonly tokens_used?: number
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly model?: string
  readonly errors?: readonly MessageError[]
  /** How the task ended; absent while it runs. */
  readonly completion?: {
    readonly type: 'TASK_COMPLETED' | 'CONVERSATION_COMPLETED' | 'TASK_FAILED'
    readonly summary?: string
    readonly result_ids?: readonly string[]
  }
  readonly conversation_completed?: true
}

export interface Message {
  readonly id: string
  readonly conversation_id: string
  readonly role: Role
  /** ISO 8601, UTC: when it was said, or when the run ended. */
  readonly timestamp: string
  readonly content: readonly Block[]
  readonly metadata: MessageMetadata
  readonly user_id?: string
  readonly company_id?: string
  readonly run_id?: string
  /** Its place in the conversation, for `before` and `after`; absent while partial. */
  readonly position?: number
  /** The run goes on: this is what it has said so far. */
  readonly partial?: true
}

/** The ids are functions of the run, so that folding it again writes the same rows. */
export const userMessageId = (run: string) => `${run}-user`
const assistantMessageId = (run: string) => `${run}-assistant`

/** What the user said: the text of the run's input, or the input itself as an item. Null says nothing. */
export function userMessage(head: Head, thread: string): Message {
  const { run_id, input, created_at, user_id, labels } = head
  const text = userText(input)
  const content: Block[] =
    text !== undefined
      ? [{ id: 'p1', type: 'text', text }]
      : input === null
        ? []
        : [{ id: 'p1', type: 'item', data: input }]
  return {
    id: userMessageId(run_id),
    conversation_id: thread,
    role: 'user',
    timestamp: new Date(created_at).toISOString(),
    content,
    metadata: {},
    ...(user_id !== undefined && { user_id }),
    ...(labels?.['company_id'] !== undefined && { company_id: labels['company_id'] }),
    run_id,
  }
}

/** The fields of an input that hold what a user said, in this order. */
const textFields = ['text', 'question', 'message', 'prompt', 'query', 'content'] as const

/**
 * The words in a run's input: the input itself when it is text, else the first of `text`, `question`, `message`,
 * `prompt`, `query`, `content` that is text, else the last of `messages`, whose content is text or a list of
 * `{type: 'text', text}`. Undefined: no words that we would know.
 */
export function userText(input: unknown): string | undefined {
  if (typeof input === 'string') return input
  if (!isRecord(input)) return undefined
  for (const field of textFields) if (typeof input[field] === 'string') return input[field]
  const last = Array.isArray(input['messages']) ? (input['messages'] as unknown[]).at(-1) : undefined
  if (typeof last === 'string') return last
  const content = isRecord(last) ? (last['content'] ?? last['parts']) : undefined
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const texts = content.flatMap(part => (isRecord(part) && typeof part['text'] === 'string' ? [part['text']] : []))
  return texts.length > 0 ? texts.join('\n') : undefined
}

/** The run so far, or whole: its parts as blocks, in their order. */
export function assistantMessage(view: View, head: Head, thread: string): Message {
  const user_id = view.user_id ?? head.user_id
  const company_id = view.company_id ?? head.labels?.['company_id']
  return {
    id: assistantMessageId(head.run_id),
    conversation_id: thread,
    role: 'assistant',
    timestamp: view.ended_at ?? view.updated_at ?? new Date(head.created_at).toISOString(),
    content: view.parts.map(blockOf),
    metadata: metadataOf(view, head),
    ...(user_id !== undefined && { user_id }),
    ...(company_id !== undefined && { company_id }),
    run_id: head.run_id,
    ...(view.terminal === undefined && { partial: true }),
  }
}

function blockOf(part: Part): Block {
  const id = part.part_id
  switch (part.kind) {
    case 'text':
      return { id, type: 'text', text: part.content }
    case 'reasoning':
      return { id, type: 'text', text: part.content, channel: 'reasoning' }
    case 'text_block':
      return { id, type: 'text', text: part.content, ...pick(part, ['language', 'position']) }
    case 'chart':
      return {
        id,
        type: 'chart',
        ...pick(part, ['chart_id', 'chart_type', 'option', 'title', 'data_points', 'data_source']),
      }
    case 'tool': {
      const text = part.arguments === undefined ? pick(part, ['arguments_text']) : {}
      const told = pick(part, ['arguments', 'result', 'error', 'duration_ms', 'retry_count'])
      return { id, type: 'tool', ...pick(part, ['call_id', 'tool_name', 'stage']), ...told, ...text }
    }
    case 'item':
      if (part.bytes !== undefined) return { id, type: 'item', bytes: part.bytes, ...pick(part, ['media_type']) }
      return { id, type: 'item', data: part.data ?? null }
    case 'custom':
      return { id, type: 'custom', name: part.name, data: part.data, ...pick(part, ['other']) }
    case 'input': {
      const { input_id, input_kind: kind, answered } = part
      const data = { input_id, kind, answered, ...pick(part, ['prompt', 'details', 'value', 'by']) }
      return { id, type: 'custom', name: 'input', data }
    }
    default:
      part satisfies never
      return part
  }
}

function metadataOf(view: View, head: Head): MessageMetadata {
  const { total_tokens, input_tokens, output_tokens } = usageOf(view)
  const errors = errorsOf(view)
  const state = stateOf(view, errors)
  const scenario = view.scenario ?? head.labels?.['scenario']
  const end = view.terminal
  const told = end?.type === 'complete' ? end.metadata : undefined
  const ended = told?.['conversation_completed'] === true && state === 'completed'
  const model = modelOf(view)
  return {
    tasks: [{ task_id: head.run_id, ...(scenario !== undefined && { scenario }), state }],
    execution_time_ms: executionMs(view),
    ...(total_tokens !== undefined && { tokens_used: total_tokens }),
    ...(input_tokens !== undefined && { input_tokens }),
    ...(output_tokens !== undefined && { output_tokens }),
    ...(model !== undefined && { model }),
    ...(errors.length > 0 && { errors }),
    ...(end && { completion: completionOf(state, ended, told) }),
    ...(ended && { conversation_completed: true }),
  }
}

/** A critical error ends the task as failed, whatever its agent still says. */
function stateOf(view: View, errors: readonly MessageError[]): TaskState {
  if (view.status === 'completed' && errors.some(error => error.severity === 'critical')) return 'failed'
  return view.status === 'accepted' ? 'running' : view.status
}

function completionOf(state: TaskState, conversationCompleted: boolean, told: Record<string, unknown> | undefined) {
  const { summary, result_ids } = told ?? {}
  const done = conversationCompleted ? ('CONVERSATION_COMPLETED' as const) : ('TASK_COMPLETED' as const)
  return {
    type: state === 'completed' ? done : ('TASK_FAILED' as const),
    ...(typeof summary === 'string' && { summary }),
    ...(Array.isArray(result_ids) && { result_ids: result_ids.map(String) }),
  }
}

/** What went wrong, in order: warnings of the agent and the error that ended the run. Debug and info are no errors. */
function errorsOf(view: View): MessageError[] {
  const errors = view.warnings.flatMap(warning => {
    const severity = warning.severity ?? 'warning'
    return severity === 'debug' || severity === 'info' ? [] : [errorOf(warning, severity)]
  })
  const end = view.terminal
  if (end?.type !== 'error') return errors
  const { error: message, code: error_code } = end
  const last = errors.at(-1)
  // A critical warning is what ended the run: it says more than the end that repeats it.
  if (last?.severity === 'critical' && last.error_code === error_code && last.message === message) return errors
  const severity = end.severity === 'critical' ? 'critical' : 'error'
  return [...errors, { severity, error_code, message, recoverable: false, ...pick(end, ['details']) }]
}

function errorOf(
  warning: Omit<EventOf<'warning'>, 'id' | 'run_id' | 'type'>,
  severity: MessageError['severity'],
): MessageError {
  const { code: error_code, message, step, recoverable = severity !== 'critical' } = warning
  const step_name = step === undefined ? {} : { step_name: step }
  return { severity, error_code, message, ...step_name, recoverable, ...pick(warning, ['retry_count', 'details']) }
}

function executionMs(view: View): number {
  if (view.terminal?.type === 'complete') return Math.round(view.terminal.latency_seconds * 1000)
  const end = view.ended_at ?? view.updated_at
  if (view.started_at === undefined || end === undefined) return 0
  return Math.max(0, Date.parse(end) - Date.parse(view.started_at))
}

/** The models that were told, in their order. */
function modelOf(view: View): string | undefined {
  const models = new Set(view.usage?.by_model?.map(one => one.model))
  for (const part of view.parts) if ('model' in part && part.model !== undefined) models.add(part.model)
  return models.size === 0 ? undefined : [...models].join(', ')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
