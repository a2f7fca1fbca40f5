// Parts of the AI SDK's UI message stream (wire.md §6) from a run: one message, whose id is the stored message's.
// A reader that comes back gets the same `start` and the view's parts whole, then the rest; its client builds the message
// anew from them. It must never send a delta before its start, nor a part of a type that the SDK does not know.
import type { Event } from '../event.ts'
import { foldInto, openParts, type View } from '../state/fold.ts'
import type { InputPart, Part, TextPart, ToolPart } from '../state/view.ts'

/** A part of the stream; `type` is one of the SDK's. */
export interface UiPart {
  readonly type: string
  readonly [field: string]: unknown
}

export interface AisdkOptions {
  /** `replay`: the client builds its message anew. `rest`: it has the view's parts, and answered a question behind them. */
  readonly from: 'replay' | 'rest'
  /** Questions whose answer is on its way; the stream does not stop for them. */
  readonly answered?: ReadonlySet<string>
}

export interface AisdkEncoder {
  readonly opening: readonly UiPart[]
  take(events: readonly Event[]): UiPart[]
  /** The last part was said; `[DONE]` is the face's. */
  readonly ended: boolean
}

/** The id of a run's message; also that of the conversation store. */
function aisdkMessageId(run: string): string {
  return `${run}${messageSuffix}`
}

/** The run of a message's id. */
export function aisdkRunOf(messageId: string): string | undefined {
  return messageId.endsWith(messageSuffix) ? messageId.slice(0, -messageSuffix.length) : undefined
}

const messageSuffix = '-assistant'

/** Encodes a run from a view on, which becomes the encoder's own. An empty view: from the start. */
export function aisdkEncoder(view: View, options: AisdkOptions): AisdkEncoder {
  const texts = new Map<string, TextPart['kind']>()
  /** Calls that the client may be told all of: those of its current step. */
  const calls = new Set<string>()
  /** Calls whose input the client is reading as it is written. */
  const streaming = new Set<string>()
  const asked = new Set(options.answered)
  let ended = false

  const opening: UiPart[] = [{ type: 'start', messageId: aisdkMessageId(view.run_id) }]
  if (options.from === 'replay') for (const part of view.parts) open(opening, part)
  else {
    nextStep(opening)
    for (const part of openParts(view).parts) if (part.kind !== 'tool') open(opening, { ...part, content: '' })
  }
  if (view.terminal === undefined) current(opening)
  finish(opening)
  if (!ended && view.questions.some(({ input_id }) => !asked.has(input_id))) pause(opening)

  function take(events: readonly Event[]): UiPart[] {
    const out: UiPart[] = []
    events.forEach((event, index) => {
      if (ended) return
      one(out, event)
      if (event.type !== 'input' || event.kind === 'answer' || asked.has(event.input_id)) return
      const isAnswer = (later: Event) =>
        later.type === 'input' && later.kind === 'answer' && later.input_id === event.input_id
      if (!events.slice(index).some(isAnswer)) pause(out)
    })
    return out
  }

  function one(out: UiPart[], event: Event): void {
    const { part, began, closed } = foldInto(view, event)
    for (const other of closed) {
      if (other.part_id === part?.part_id) continue
      if (other.kind === 'tool') tell(out, other)
      else closeText(out, other.part_id)
    }
    if (part && began) open(out, part)
    else if (part) update(out, part, event)
    switch (event.type) {
      case 'step':
      case 'state':
      case 'progress':
      case 'warning':
        out.push(transient(event.type, fieldsOf(event)))
        break
      default: // metrics and checkpoints are no matter of a chat
    }
    finish(out)
  }

  /** Says a part whole, as it is now. */
  function open(out: UiPart[], part: Part): void {
    const id = part.part_id
    switch (part.kind) {
      case 'text':
      case 'reasoning':
        texts.set(id, part.kind)
        out.push({ type: `${part.kind}-start`, id })
        if (part.content !== '') out.push({ type: `${part.kind}-delta`, id, delta: part.content })
        if (!part.open) closeText(out, id)
        return
      case 'text_block':
        out.push({ type: 'text-start', id }, { type: 'text-delta', id, delta: part.content }, { type: 'text-end', id })
        return
      case 'tool':
        calls.add(part.call_id)
        tell(out, part)
        return
      case 'chart':
        out.push({ type: 'data-chart', id: part.chart_id, data: contentOf(part) })
        return
      case 'item': {
        const { bytes, media_type: mediaType = 'application/octet-stream' } = part
        if (bytes === undefined) out.push({ type: 'data-item', id, data: part.data ?? null })
        else out.push({ type: 'file', mediaType, url: `data:${mediaType};base64,${bytes}` })
        return
      }
      case 'input':
        out.push(...questionParts(part))
        if (part.answered) answer(out, part)
        return
      case 'custom':
        out.push({ type: `data-${part.name}`, id, data: part.data })
        return
      default:
        part satisfies never
    }
  }

  function update(out: UiPart[], part: Part, event: Event): void {
    switch (part.kind) {
      case 'text':
      case 'reasoning': {
        const delta = event.type === 'token' ? event.content : ''
        if (delta !== '') out.push({ type: `${part.kind}-delta`, id: part.part_id, delta })
        if (!part.open) closeText(out, part.part_id)
        return
      }
      case 'tool': {
        const isMore = event.type === 'tool' && event.stage === 'arguments' && isStreaming(part)
        if (isMore && streaming.has(part.call_id))
          out.push({ type: 'tool-input-delta', toolCallId: part.call_id, inputTextDelta: event.delta ?? '' })
        else tell(out, part)
        return
      }
      case 'input':
        answer(out, part)
        return
      default:
        open(out, part) // the same id takes the old one's place
    }
  }

  function closeText(out: UiPart[], id: string): void {
    const kind = texts.get(id)
    if (kind !== undefined) out.push({ type: `${kind}-end`, id })
    texts.delete(id)
  }

  /** All of a call, as it is now: each of these takes the place of what the client had. */
  function tell(out: UiPart[], part: ToolPart): void {
    const { call_id: toolCallId, tool_name: toolName } = part
    const call = { toolCallId, dynamic: true, providerExecuted: true }
    streaming.delete(toolCallId)
    if (isStreaming(part)) {
      if (!calls.has(toolCallId)) return
      streaming.add(toolCallId)
      out.push({ type: 'tool-input-start', ...call, toolName })
      if (part.arguments_text) out.push({ type: 'tool-input-delta', toolCallId, inputTextDelta: part.arguments_text })
      return
    }
    // A call of an earlier step can be given its end, but no other input: the client would show it twice.
    const input = part.arguments ?? part.arguments_text ?? null
    if (calls.has(toolCallId)) out.push({ type: 'tool-input-available', ...call, toolName, input })
    if (part.open) return
    if (part.stage === 'completed') out.push({ type: 'tool-output-available', ...call, output: part.result ?? null })
    if (part.stage === 'failed') {
      out.push({ type: 'tool-output-error', ...call, errorText: part.error ?? 'the call failed' })
    }
  }

  function answer(out: UiPart[], part: InputPart): void {
    asked.add(part.input_id)
    const toolCallId = askId(part)
    if (part.input_kind === 'approval' && part.value === false) out.push({ type: 'tool-output-denied', toolCallId })
    else out.push({ type: 'tool-output-available', toolCallId, output: part.value ?? null, dynamic: true })
    if (!options.answered?.has(part.input_id)) nextStep(out)
  }

  /** Behind an answer: a client that sends answers by itself would else send this one again and again. */
  function nextStep(out: UiPart[]): void {
    calls.clear()
    streaming.clear()
    out.push({ type: 'start-step' })
  }

  /** What is no part of the message, but true now. */
  function current(out: UiPart[]): void {
    for (const { sequence: _s, timestamp: _t, ...progress } of view.progress) out.push(transient('progress', progress))
    for (const { node_name, phase, open: isOpen } of view.steps) {
      if (isOpen) out.push(transient('step', { node_name, phase }))
    }
    const { value, version } = view.state
    if (version > 0) out.push(transient('state', { version, base_version: version, snapshot: value }))
  }

  function finish(out: UiPart[]): void {
    const end = view.terminal
    if (end === undefined) return
    ended = true
    if (end.type === 'error') out.push({ type: 'error', errorText: end.error })
    else if (end.type === 'cancelled') out.push({ type: 'abort', reason: end.reason ?? 'cancelled' })
    else out.push({ type: 'finish', finishReason: 'stop' })
  }

  /** A person is asked: the SDK's way is to finish the stream, and to send the message again with the answer in it. */
  function pause(out: UiPart[]): void {
    ended = true
    out.push({ type: 'finish', finishReason: 'tool-calls' })
  }

  return {
    opening,
    take,
    get ended() {
      return ended
    },
  }
}

/** Its input is still being written, and nobody knows it whole. */
function isStreaming(part: ToolPart): boolean {
  return part.open && part.arguments === undefined && (part.stage === 'requested' || part.stage === 'arguments')
}

/** A question as a tool call that the person executes; an approval as the SDK's own request for one. */
function questionParts(part: InputPart): UiPart[] {
  const { input_kind: toolName, prompt, details } = part
  const toolCallId = askId(part)
  const input = { ...(prompt !== undefined && { prompt }), ...(details && { details }) }
  const call: UiPart = { type: 'tool-input-available', toolCallId, toolName, input, dynamic: true }
  if (toolName !== 'approval') return [call]
  return [
    { ...call, providerExecuted: true },
    { type: 'tool-approval-request', approvalId: toolCallId, toolCallId },
  ]
}

/** Says where the question stands in the run: what follows the answer is what follows that event. */
function askId({ part_id, input_id }: InputPart): string {
  return `${part_id}:${input_id}`
}

/** The question that a tool call's id names, and the sequence of its event. */
export function askOf(toolCallId: string): { sequence: number; input_id: string } | undefined {
  const [, sequence, input_id] = /^p(\d+):(.*)$/s.exec(toolCallId) ?? []
  return input_id === undefined ? undefined : { sequence: Number(sequence), input_id }
}

/** Shown, and not kept in the message. */
function transient(type: string, data: Record<string, unknown>): UiPart {
  return { type: `data-${type}`, data, transient: true }
}

function contentOf(part: Part): Record<string, unknown> {
  const { kind: _kind, part_id: _id, started_at: _at, ...content } = part
  return content
}

function fieldsOf(event: Event): Record<string, unknown> {
  const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, type: _type, ...fields } = event
  return fields
}
