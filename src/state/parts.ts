// The content of a view: which events are one part, when a part ends, and what is forgotten when there are too many.
// Apart from fold.ts because identity is decided here, once, for live readers, late readers and replays alike.
// It must never join text over a block or a hole, nor give a part an id that depends on how the events arrived.
import type { Event, EventOf } from '../event.ts'
import { type Part, partsMax, type TextPart, type ToolPart, trimCount, type View, writersMax } from './view.ts'

/** What one event did to the parts: all that a format needs to open, continue and close its own constructs. */
export interface Folded {
  /** The part that the event began or changed, as it is now. */
  readonly part?: Part
  /** Whether the event began it. */
  readonly began: boolean
  /** Parts that the event closed, as they are now; `part` is among them when this very event closed it. */
  readonly closed: readonly Part[]
}

export const none: Folded = { began: false, closed: [] }

type When = Pick<Event, 'sequence' | 'timestamp'>
type Content<P> = P extends Part ? Omit<P, 'part_id' | 'started_at'> : never

/**
 * A token continues the open part of its request if the channel is the same too; a request has at most one open part,
 * so another channel ends it and text around reasoning stays in order. Tokens of other requests in between do not.
 * An empty token begins nothing: it can only bring an end.
 */
export function token(view: View, event: EventOf<'token'>): Folded {
  const kind = event.channel === 'reasoning' ? 'reasoning' : 'text'
  const index = view.open_parts.findLast(at => {
    const candidate = view.parts[at]
    return isTokens(candidate) && candidate.llm_request_id === event.llm_request_id
  })
  const part = index === undefined ? undefined : (view.parts[index] as TextPart)
  if (index !== undefined && part !== undefined && (part.kind === kind || event.content === '')) {
    const next = withToken(part, event)
    put(view, index, next)
    return { part: next, began: false, closed: next.open ? [] : [next] }
  }
  if (event.content === '') return none
  const closed = index === undefined ? [] : [close(view, index, event.timestamp)]
  const first: Content<TextPart> = { kind, content: '', open: true, ...pick(event, ['llm_request_id']) }
  const next = withToken({ ...base(event), ...first }, event)
  add(view, next)
  if (!next.open) return { part: next, began: true, closed: [...closed, next] }
  return { part: next, began: true, closed: [...closed, ...closeSilent(view, event.timestamp)] }
}

function withToken(part: TextPart, event: EventOf<'token'>): TextPart {
  // Most tokens bring content alone, and this runs for each of them.
  const next: { -readonly [K in keyof TextPart]: TextPart[K] } = { ...part, content: part.content + event.content }
  if (event.model !== undefined) next.model = event.model
  if (event.index !== undefined) next.index = event.index
  if (event.finish_reason !== undefined) {
    next.finish_reason = event.finish_reason
    next.open = false
    next.ended_at = event.timestamp
  }
  return next
}

export function textBlock(view: View, event: EventOf<'text'>): Folded {
  return beginBlock(view, event, { kind: 'text_block', ...pick(event, ['content', 'language', 'position']) })
}

export function item(view: View, event: EventOf<'item'>): Folded {
  const fields = 'bytes' in event ? pick(event, ['bytes', 'media_type']) : { data: event.data }
  return beginBlock(view, event, { kind: 'item', ...fields })
}

/** A chart of a known chart_id takes the old one's place and id; it begins nothing, so text goes on around it. */
export function chart(view: View, event: EventOf<'chart'>): Folded {
  const content = {
    kind: 'chart',
    ...pick(event, ['chart_id', 'chart_type', 'option', 'title', 'data_points', 'data_source']),
  } as const
  const index = find(view, part => part.kind === 'chart' && part.chart_id === event.chart_id)
  if (index === -1) return beginBlock(view, event, content)
  const { part_id, started_at } = view.parts[index] as Part
  const next = { part_id, started_at, ...content }
  put(view, index, next)
  return { part: next, began: false, closed: [] }
}

/** All events of a call are one part, whatever stage comes first or again; a call that failed opens again when retried. */
export function tool(view: View, event: EventOf<'tool'>): Folded {
  const index = find(view, part => part.kind === 'tool' && part.call_id === event.call_id)
  if (index === -1) {
    const { call_id, tool_name, stage } = event
    const content: Content<ToolPart> = { kind: 'tool', call_id, tool_name, stage, open: true }
    const part = withTool({ ...base(event), ...content }, event)
    const closed = closeTokens(view, event.timestamp)
    add(view, part)
    return { part, began: true, closed: part.open ? closed : [...closed, part] }
  }
  const before = view.parts[index] as ToolPart
  const next = withTool(before, event)
  put(view, index, next)
  return { part: next, began: false, closed: before.open && !next.open ? [next] : [] }
}

function withTool(part: ToolPart, event: EventOf<'tool'>): ToolPart {
  const { tool_name, stage } = event
  const next: { -readonly [K in keyof ToolPart]: ToolPart[K] } = {
    ...part,
    tool_name,
    stage,
    open: stage !== 'completed' && stage !== 'failed',
    ...pick(event, ['arguments', 'result', 'error', 'duration_ms', 'retry_count']),
  }
  if (event.delta !== undefined) {
    // A retry may be asked with other arguments; they do not continue the old ones.
    const again = part.stage === 'retrying'
    if (again && event.arguments === undefined) delete next.arguments
    next.arguments_text = (again ? '' : (part.arguments_text ?? '')) + event.delta
  }
  // Once, when no more of them come: parsing at each delta would make long arguments quadratic.
  if (stage !== 'arguments') parseArguments(next)
  if (stage === 'completed') delete next.error
  if (stage === 'failed') delete next.result
  if (next.open) delete next.ended_at
  else next.ended_at = event.timestamp
  return next
}

function parseArguments(part: { arguments_text?: string; arguments?: unknown }): void {
  if (part.arguments !== undefined || part.arguments_text === undefined) return
  try {
    part.arguments = JSON.parse(part.arguments_text)
  } catch {
    // A model may write what is not JSON, or be cut off; the text stays for whoever wants to look.
  }
}

/** A question is a part of its own beside the text; its first answer completes it. */
export function input(view: View, event: EventOf<'input'>): Folded {
  const { input_id, kind } = event
  if (kind !== 'answer') {
    const asked = pick(event, ['prompt', 'details'])
    return begin(view, event, { kind: 'input', input_id, input_kind: kind, answered: false, ...asked })
  }
  const answer = { answered: true, ...pick(event, ['value', 'by']) }
  const index = find(view, part => part.kind === 'input' && part.input_id === input_id)
  const before = view.parts[index]
  if (before?.kind !== 'input') {
    return begin(view, event, {
      kind: 'input',
      input_id,
      input_kind: kind,
      ...pick(event, ['prompt', 'details']),
      ...answer,
    })
  }
  if (before.answered) return none
  const next = { ...before, ...answer }
  put(view, index, next)
  return { part: next, began: false, closed: [] }
}

export function custom(view: View, event: EventOf<'custom'>): Folded {
  return begin(view, event, { kind: 'custom', name: event.name, data: event.data ?? null, ...pick(event, ['other']) })
}

/** An event whose type no decoder turned into `custom`: kept as if one had. */
export function stranger(view: View, event: When & { type: string; data?: unknown }): Folded {
  const { id: _id, run_id: _run, sequence, timestamp, type, data, ...other } = event as EventOf<'custom'>
  const rest = Object.keys(other).length > 0 ? { other } : {}
  return begin(view, { sequence, timestamp }, { kind: 'custom', name: type, data: data ?? null, ...rest })
}

/** The output stands in the terminal event; it becomes a block only for a run that showed nothing else as its answer. */
export function output(view: View, event: EventOf<'complete'>): Folded {
  const value = event.output
  if (value === undefined || value === null || value === '') return none
  if (view.parts.some(part => answers.has(part.kind))) return none
  if (typeof value !== 'string') return begin(view, event, { kind: 'item', data: value })
  return begin(view, event, { kind: 'text', content: value, open: false, ended_at: event.timestamp })
}

/** Thoughts, tool calls, questions and events of the agent's own lead to an answer, but are none. */
const answers: ReadonlySet<Part['kind']> = new Set<Part['kind']>(['text', 'text_block', 'chart', 'item'])

/** Begins a block that text must not be joined over: tokens behind it are a new part, so `parts` is in order. */
function beginBlock(view: View, when: When, content: Content<Part>): Folded {
  const closed = closeTokens(view, when.timestamp)
  return { ...begin(view, when, content), closed }
}

/** Begins a part beside the text, which goes on: an agent's own event amid a word must not split it. */
function begin(view: View, when: When, content: Content<Part>): Folded {
  const part = { ...base(when), ...content }
  add(view, part)
  return { part, began: true, closed: [] }
}

function base(when: When) {
  return { part_id: `p${when.sequence}`, started_at: when.timestamp }
}

function add(view: View, part: Part): void {
  view.parts.push(part)
  if (isOpen(part)) view.open_parts.push(view.parts.length - 1)
  if (isText(part)) view.text_parts++
  else if (view.parts.length - view.text_parts >= partsMax + trimCount) trim(view)
}

function put(view: View, index: number, part: Part): void {
  const before = view.parts[index] as Part
  view.parts[index] = part
  if (isOpen(part) === isOpen(before)) return
  if (isOpen(part)) view.open_parts = [...view.open_parts, index].sort((a, b) => a - b)
  else view.open_parts.splice(view.open_parts.indexOf(index), 1)
}

/** Forgets the oldest parts that are no text: finished ones, or else open ones, so that calls nobody ends are bounded too. */
function trim(view: View): void {
  const before = view.parts.length
  view.parts = withoutOldest(view.parts, trimCount, part => !isText(part) && !isOpen(part))
  view.parts = withoutOldest(view.parts, trimCount - (before - view.parts.length), part => !isText(part))
  view.dropped = { ...view.dropped, parts: view.dropped.parts + before - view.parts.length }
  view.open_parts = [...view.parts.keys()].filter(index => isOpen(view.parts[index]))
}

/** The list without its oldest `count` entries that may go. */
export function withoutOldest<T>(list: readonly T[], count: number, mayGo: (entry: T) => boolean): T[] {
  let left = count
  return list.filter(entry => left === 0 || !mayGo(entry) || left-- === 0)
}

/** Closes every part of tokens; returns them. */
export function closeTokens(view: View, timestamp: string | undefined): Part[] {
  return closeAll(view, timestamp, isTokens)
}

/** Closes whatever is open; returns it. */
export function closeParts(view: View, timestamp: string): Part[] {
  return closeAll(view, timestamp, isOpen)
}

function closeAll(view: View, timestamp: string | undefined, which: (part: Part | undefined) => boolean): Part[] {
  if (view.open_parts.length === 0) return []
  return view.open_parts.filter(index => which(view.parts[index])).map(index => close(view, index, timestamp))
}

/** Of more open parts of tokens than requests write at once, the one that began first is over: nobody said its finish. */
function closeSilent(view: View, timestamp: string): Part[] {
  const writers = view.open_parts.filter(index => isTokens(view.parts[index]))
  return writers.length > writersMax ? [close(view, writers[0] as number, timestamp)] : []
}

function close(view: View, index: number, timestamp: string | undefined): Part {
  const part = view.parts[index] as TextPart | ToolPart
  const next = { ...part, open: false, ...(timestamp !== undefined && { ended_at: timestamp }) }
  if (next.kind === 'tool') parseArguments(next)
  put(view, index, next)
  return next
}

function isOpen(part: Part | undefined): part is TextPart | ToolPart {
  return part !== undefined && 'open' in part && part.open
}

/** What textOf reads, and nothing may forget. */
function isText(part: Part): boolean {
  return part.kind === 'text' || part.kind === 'text_block'
}

function isTokens(part: Part | undefined): part is TextPart {
  return part?.kind === 'text' || part?.kind === 'reasoning'
}

/** Looks back no further than what is kept of parts other than text, so that a run of nothing but text costs no more at its end. */
function find(view: View, wanted: (part: Part) => boolean): number {
  const oldest = Math.max(0, view.parts.length - partsMax - trimCount)
  for (let index = view.parts.length - 1; index >= oldest; index--) {
    if (wanted(view.parts[index] as Part)) return index
  }
  return -1
}

/** These fields of an event, where they are set: a field of a newer server must not overwrite one of the part's own. */
export function pick<E extends object, K extends keyof E>(event: E, names: readonly K[]): Pick<E, K> {
  const picked: Partial<E> = {}
  for (const name of names) if (event[name] !== undefined) picked[name] = event[name]
  return picked as Pick<E, K>
}
