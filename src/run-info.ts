// A run as its callers see it: the head with times as text, and its end read from the log, where alone it stands.
import type { Event } from './event.ts'
import { isoTime } from './iso-time.ts'
import { type Head, isEnded, type Log, runKey, type Status } from './log.ts'

/** What `GET /runs/{id}` answers. */
export interface RunInfo {
  readonly run_id: string
  readonly status: Status
  readonly agent: string
  readonly framework: string
  readonly thread_id?: string
  readonly user_id?: string
  readonly labels?: Readonly<Record<string, string>>
  /** ISO 8601, UTC. */
  readonly created_at: string
  readonly started_at?: string
  readonly cancel_requested_at?: string
  readonly completed_at?: string
  /** The oldest kept and the newest sequence. */
  readonly first_sequence: number
  readonly last_sequence: number
  /** What the agent was given. Lists leave it out: it may be long. */
  readonly input?: unknown
  /** Of completed runs. */
  readonly output?: unknown
  /** Of failed runs. */
  readonly error?: { readonly message: string; readonly code: string; readonly details?: unknown }
  /** Of cancelled runs. */
  readonly reason?: string
  readonly metadata: Readonly<Record<string, unknown>>
}

/** Without its end; what lists show. */
export function infoOf(head: Head): RunInfo {
  const { run_id, status, agent, framework, thread_id, user_id, labels } = head
  return {
    run_id,
    status,
    agent,
    framework,
    ...(thread_id !== undefined && { thread_id }),
    ...(user_id !== undefined && { user_id }),
    ...(labels && { labels }),
    created_at: isoTime(head.created_at),
    ...(head.started_at !== undefined && { started_at: isoTime(head.started_at) }),
    ...(head.cancel_requested_at !== undefined && { cancel_requested_at: isoTime(head.cancel_requested_at) }),
    ...(head.completed_at !== undefined && { completed_at: isoTime(head.completed_at) }),
    first_sequence: head.first,
    last_sequence: head.last,
    metadata: {},
  }
}

/** With its input, and its end when it has one. */
export async function infoWithEnd(log: Log, head: Head): Promise<RunInfo> {
  const info = { ...infoOf(head), input: head.input }
  if (!isEnded(head.status)) return info
  const batch = await log.read(runKey(head.run_id), head.last - 1, 1)
  const end = batch.events[0]
  return end ? { ...info, ...endOf(end) } : info
}

function endOf(end: Event): Partial<RunInfo> {
  if (end.type === 'complete') {
    const { output, latency_seconds, metadata, usage } = end
    return { output, metadata: { ...metadata, latency_seconds, ...(usage && { usage }) } }
  }
  if (end.type === 'error') {
    const { error: message, code, details } = end
    return { error: { message, code, ...(details && { details }) } }
  }
  return end.type === 'cancelled' && end.reason !== undefined ? { reason: end.reason } : {}
}
