// What an agent may emit: the fields that each type must have, and what it may never claim to be.
// It runs once per event on the hot path, so it is tables and no schema library. It must never change what an event says,
// but for `progress`, which is clamped, and an envelope, which is not the agent's to give.
import { RuncastError } from '../error.ts'
import {
  badField,
  type Body,
  customNamePattern,
  type EventType,
  eventTypes,
  isEnvelopeField,
  reservedNames,
  type Severity,
  type TextPosition,
  type ToolStage,
} from '../event.ts'

const channels = ['text', 'reasoning']
const phases = ['start', 'end', 'error']
const stages: ToolStage[] = ['requested', 'arguments', 'started', 'completed', 'failed', 'retrying']
const positions: TextPosition[] = ['before', 'after', 'standalone']
const severities: Severity[] = ['debug', 'info', 'warning', 'error', 'critical']

/** The one field of a type that readers, or the runtime, act on by its word: `CRITICAL` would stop nothing, silently. */
const choices = new Map<string, readonly [field: string, words: readonly string[]]>([
  ['token', ['channel', channels]],
  ['step', ['phase', phases]],
  ['tool', ['stage', stages]],
  ['text', ['position', positions]],
  ['warning', ['severity', severities]],
  ['input', ['kind', ['question', 'approval']]], // answers come from the inbox
])

/** The runtime alone says that a run began, ended, or was answered. */
const notForAgents = new Set<EventType>(['started', 'complete', 'error', 'cancelled'])
const typeNames: ReadonlySet<string> = new Set(eventTypes)

/** Whether a yielded value is meant as an event: an object whose `type` is one of ours. */
export function looksLikeEvent(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && typeNames.has((value as { type?: string }).type ?? '')
}

/** The body if an agent may emit it; throws `invalid_request` that names the type, the field and the value. */
export function checkBody(given: Body): Body {
  const body = withoutEnvelope(given)
  const { type } = body
  if (notForAgents.has(type))
    throw refused(`an agent cannot emit "${type}": the runtime does, when the run ${ends(type)}`)
  const bad = badField(body)
  if (bad) throw refused(`${type}.${bad.field} must be a ${bad.kind}, not ${shown(bad.value)}`)
  const choice = choices.get(type)
  if (choice) checkChoice(body, choice)
  if (type === 'progress') return { ...body, progress: clamp(body.progress) }
  if (type === 'step' && body.phase === undefined) return { ...(body as Body & { type: 'step' }), phase: 'end' }
  if (type === 'custom') checkName(body.name)
  if (type === 'chart') checkOption(body.option, 'chart.option', 0)
  if (type === 'item' && 'bytes' in body) return checkBytes(body)
  if (type === 'item' || type === 'checkpoint' || type === 'custom') return withData(body)
  return body
}

/** An event of another run may be told as one's own; its id, run, number and time are those of the run that tells it. */
function withoutEnvelope(body: Body): Body {
  const other = body.type === 'custom' ? body.other : undefined
  if (other && Object.keys(other).some(isEnvelopeField)) {
    return withoutEnvelope({ ...body, other: ofAgent(other) } as Body)
  }
  const { type } = body
  const isBare = !(
    'sequence' in body ||
    'id' in body ||
    'run_id' in body ||
    'timestamp' in body ||
    'request_id' in body
  )
  return isBare ? body : ({ type, ...ofAgent(body) } as Body)
}

function ofAgent(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !isEnvelopeField(name)))
}

function checkChoice(body: Body, [field, words]: readonly [field: string, words: readonly string[]]): void {
  const value = (body as unknown as Record<string, unknown>)[field]
  if (value === undefined || words.includes(value as string)) return
  throw refused(`${body.type}.${field} must be one of ${words.join(', ')}, not ${shown(value)}`)
}

type WithData = Extract<Body, { data: unknown }>

/** JSON has no word for nothing but null, and none for code. */
function withData(body: WithData): Body {
  const { data } = body
  if (data === undefined) return { ...body, data: null }
  if (isNoJson(data)) throw refused(`${body.type}.data is a ${typeof data}; events are JSON`)
  return body
}

/** What `JSON.stringify` leaves out without a word. */
export function isNoJson(value: unknown): boolean {
  return typeof value === 'function' || typeof value === 'symbol'
}

function checkBytes(body: { readonly type: 'item'; readonly bytes: string; readonly media_type?: string }): Body {
  const { bytes, media_type = 'application/octet-stream' } = body
  if (typeof bytes === 'string' && typeof media_type === 'string') return { ...body, media_type }
  throw refused(
    `item.bytes and item.media_type must be text, the bytes as base64; context.bytes(bytes) makes it of bytes`,
  )
}

function checkName(name: string): void {
  if (!customNamePattern.test(name)) {
    throw refused(`the event name ${shown(name)} must be letters, digits and _, and not begin with a digit`)
  }
  if (reservedNames.has(name)) throw refused(`the event name "${name}" is reserved; choose another`)
}

/** Nesting of a chart's option: ECharts needs about ten levels. */
const optionDepthMax = 64

/** Options come from agents and end in a browser: data only, nothing that could run. */
function checkOption(value: unknown, path: string, depth: number): void {
  if (depth > optionDepthMax) throw refused(`${path} is nested deeper than ${optionDepthMax}`)
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') {
    throw refused(
      `${path} is a ${typeof value}; a chart's option is plain JSON (use formatter templates such as "{c}")`,
    )
  }
  if (typeof value === 'string' && /^\s*(javascript:|function\b.*\{|\(.*\)\s*=>)/.test(value)) {
    throw refused(`${path} holds code; a chart's option is plain JSON`)
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) checkOption(inner, `${path}.${key}`, depth + 1)
}

function clamp(progress: number): number {
  if (Number.isNaN(progress)) throw refused('progress.progress must be a number from 0 to 1, not NaN')
  return Math.min(1, Math.max(0, progress))
}

function ends(type: EventType): string {
  return type === 'started' ? 'begins' : 'ends'
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

function refused(message: string): RuncastError {
  return new RuncastError('invalid_request', message)
}
