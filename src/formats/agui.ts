// AG-UI 1.0 events of a run (wire.md §5): what its fold opens, continues and closes, in the words of that protocol.
// A reader that comes back gets the view as snapshots, then the START of everything still open, then the rest. It must
// never close what the client did not see opened, nor reuse an id of another run: AG-UI ids live as long as the thread.
import type { Event, EventOf } from '../event.ts'
import { foldInto, openParts, usageOf, type View } from '../state/fold.ts'
import type { Part, TextPart, ToolPart } from '../state/view.ts'

/** An event of AG-UI; `type` is one of its names. */
export interface AguiEvent {
  readonly type: string
  readonly [field: string]: unknown
}

/** A message of the conversation before this run, as the client has it; kept as it came. */
export interface AguiMessage {
  readonly id: string
  readonly role: string
  readonly [field: string]: unknown
}

export interface AguiOptions {
  /** As the client called them; the run's own id may differ. */
  readonly threadId: string
  readonly runId: string
  /** The conversation up to and with what the user said to start this run. */
  readonly messages: readonly AguiMessage[]
  /** The client may have seen some of this run: it is given snapshots of the view first. */
  readonly resumed: boolean
  /** Questions whose answer is on its way; the stream does not stop for them. */
  readonly answered?: ReadonlySet<string>
}

export interface AguiEncoder {
  /** What stands before the first batch. */
  readonly opening: readonly AguiEvent[]
  take(events: readonly Event[]): AguiEvent[]
  /** RUN_FINISHED or RUN_ERROR was sent: nothing may follow. */
  readonly ended: boolean
}

/** Encodes what follows a view, which becomes the encoder's own. */
export function aguiEncoder(view: View, options: AguiOptions): AguiEncoder {
  const { threadId, runId } = options
  const texts = new Map<string, TextPart['kind']>()
  const calls = new Map<string, Call>()
  const steps = new Set<string>()
  let stateSent = false
  let ended = false

  const ids = idsOf(view.run_id)
  const opening: AguiEvent[] = [{ type: 'RUN_STARTED', threadId, runId }]
  if (options.resumed) resume(opening)

  /** The view as snapshots; what is open is opened again, and continued by the next event. */
  function resume(out: AguiEvent[]): void {
    out.push(snapshot())
    if (view.state.version > 0) sendState(out)
    for (const part of view.parts) {
      if (part.kind === 'custom') out.push(customOf(part.name, part.data, { part_id: part.part_id, replayed: true }))
      if (part.kind === 'tool') calls.set(part.call_id, { ...shownCall(part), open: false })
    }
    if (view.terminal === undefined) {
      for (const { sequence: _s, timestamp: _t, ...fields } of view.progress) out.push(customOf('progress', fields))
    }
    const open = openParts(view)
    for (const step of open.steps) syncStep(out, step.node_name)
    for (const part of open.parts) {
      if (part.kind !== 'tool') openText(out, { ...part, content: '' })
      else if (!argumentsDone(part)) {
        out.push(callStart(part))
        calls.set(part.call_id, { ...shownCall(part), open: true })
      }
    }
    if (view.terminal !== undefined) finish(out)
    else pause(out)
  }

  function take(events: readonly Event[]): AguiEvent[] {
    const out: AguiEvent[] = []
    for (const event of events) if (!ended) one(out, event)
    if (!ended) pause(out)
    return out
  }

  function one(out: AguiEvent[], event: Event): void {
    const { part, began, closed } = foldInto(view, event)
    for (const other of closed) if (other.part_id !== part?.part_id) close(out, other)
    if (part) update(out, part, event, began)
    switch (event.type) {
      case 'step':
        syncStep(out, event.node_name, event.phase !== 'start')
        break
      case 'state':
        changeState(out, event)
        break
      case 'progress':
      case 'warning':
      case 'checkpoint':
      case 'metrics':
        out.push(customOf(event.type, fieldsOf(event), { event_id: event.id }))
        break
      case 'complete':
      case 'error':
      case 'cancelled':
        finish(out)
        break
      default: // what is a part was told above
    }
  }

  function update(out: AguiEvent[], part: Part, event: Event, began: boolean): void {
    switch (part.kind) {
      case 'text':
      case 'reasoning':
        if (began) openText(out, part)
        else if (event.type === 'token') say(out, part, event.content)
        if (!part.open) closeText(out, part.part_id)
        return
      case 'text_block':
        openText(out, { ...part, kind: 'text', open: false })
        closeText(out, part.part_id)
        return
      case 'tool':
        updateCall(out, part, event.type === 'tool' ? event.delta : undefined)
        return
      case 'chart':
      case 'item':
      case 'input':
        out.push({ type: 'ACTIVITY_SNAPSHOT', ...activityOf(part, ids), replace: true })
        return
      case 'custom':
        out.push(customOf(part.name, part.data, { part_id: part.part_id, ...(part.other && { other: part.other }) }))
        return
      default:
        part satisfies never
    }
  }

  /** A part that an event beside it closed. */
  function close(out: AguiEvent[], part: Part): void {
    if (part.kind === 'tool') updateCall(out, part)
    else closeText(out, part.part_id)
  }

  function say(out: AguiEvent[], part: TextPart, delta: string): void {
    const type = part.kind === 'text' ? 'TEXT_MESSAGE_CONTENT' : 'REASONING_MESSAGE_CONTENT'
    if (delta !== '') out.push({ type, messageId: ids.message(part), delta })
  }

  function openText(out: AguiEvent[], part: TextPart): void {
    const messageId = ids.message(part)
    texts.set(part.part_id, part.kind)
    if (part.kind === 'text') out.push({ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' })
    else {
      out.push(
        { type: 'REASONING_START', messageId },
        { type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' },
      )
    }
    say(out, part, part.content)
  }

  function closeText(out: AguiEvent[], part_id: string): void {
    const kind = texts.get(part_id)
    if (kind === undefined) return
    texts.delete(part_id)
    const messageId = ids.message({ part_id })
    if (kind === 'text') out.push({ type: 'TEXT_MESSAGE_END', messageId })
    else out.push({ type: 'REASONING_MESSAGE_END', messageId }, { type: 'REASONING_END', messageId })
  }

  /** Says what is new of a call; what the protocol has no event for (another try, other arguments) is said by a snapshot. */
  function updateCall(out: AguiEvent[], part: ToolPart, delta?: string): void {
    const wanted = shownCall(part)
    const toolCallId = ids.call(part)
    const done = argumentsDone(part)
    let call = calls.get(part.call_id)
    if (call === undefined || (!call.open && !done)) {
      out.push(callStart(part))
      call = { arguments: '', name: part.tool_name, ...call, open: true }
      calls.set(part.call_id, call)
    }
    const more = call.open ? moreOf(wanted.arguments, call.arguments, delta) : undefined
    if (more !== undefined) {
      out.push({ type: 'TOOL_CALL_ARGS', toolCallId, delta: more })
      call.arguments = wanted.arguments
    }
    if (call.open && done) {
      out.push({ type: 'TOOL_CALL_END', toolCallId })
      call.open = false
    }
    const isOther = call.arguments !== wanted.arguments || call.name !== wanted.name
    const isOtherResult = call.result !== undefined && call.result !== wanted.result
    // Before any snapshot: that would put the result at the end of the client's messages.
    if (call.result === undefined && wanted.result !== undefined) {
      out.push({ type: 'TOOL_CALL_RESULT', ...resultOf(part, wanted.result) })
    }
    calls.set(part.call_id, { ...wanted, open: call.open })
    if (isOther || isOtherResult) out.push(snapshot())
  }

  function callStart(part: ToolPart): AguiEvent {
    const { tool_name: toolCallName } = part
    return { type: 'TOOL_CALL_START', toolCallId: ids.call(part), toolCallName, parentMessageId: ids.message(part) }
  }

  function resultOf(part: ToolPart, content: string) {
    return { messageId: `${ids.message(part)}-result`, toolCallId: ids.call(part), content, role: 'tool' }
  }

  /** A step is open for AG-UI while any of its name is: names are all it knows of them. */
  function syncStep(out: AguiEvent[], stepName: string, justEnded = false): void {
    const open = view.steps.some(step => step.open && step.node_name === stepName)
    if (!steps.has(stepName) && (open || justEnded)) {
      steps.add(stepName)
      out.push({ type: 'STEP_STARTED', stepName })
    }
    if (open || !steps.delete(stepName)) return
    out.push({ type: 'STEP_FINISHED', stepName })
  }

  function sendState(out: AguiEvent[]): void {
    stateSent = true
    out.push({ type: 'STATE_SNAPSHOT', snapshot: view.state.value })
  }

  /** A change that did not fit leaves the state as it was; the next whole one mends it. */
  function changeState(out: AguiEvent[], event: EventOf<'state'>): void {
    if (!view.state.certain) return
    if (event.ops === undefined || !stateSent) sendState(out)
    else out.push({ type: 'STATE_DELTA', delta: event.ops })
  }

  function closeAll(out: AguiEvent[]): void {
    for (const part_id of texts.keys()) closeText(out, part_id)
    for (const [call_id, call] of calls) {
      if (call.open) out.push({ type: 'TOOL_CALL_END', toolCallId: ids.call({ call_id }) })
      call.open = false
    }
    for (const stepName of steps) out.push({ type: 'STEP_FINISHED', stepName })
    steps.clear()
    ended = true
  }

  function finish(out: AguiEvent[]): void {
    const end = view.terminal
    if (end === undefined) return
    closeAll(out)
    const usage = usageEntries(view)
    if (end.type === 'error') out.push({ type: 'RUN_ERROR', message: end.error, code: end.code, ...usage })
    else if (end.type === 'cancelled') {
      out.push({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'cancelled' }, ...usage })
    } else {
      const result = end.output === null || end.output === undefined ? {} : { result: end.output }
      out.push({ type: 'RUN_FINISHED', threadId, runId, ...result, outcome: { type: 'success' }, ...usage })
    }
  }

  /**
   * A person is asked: AG-UI's way is to end the stream with the questions as interrupts, and to come back with the
   * answers. The run itself goes on, and waits.
   */
  function pause(out: AguiEvent[]): void {
    const asked = view.questions.filter(question => !options.answered?.has(question.input_id))
    if (asked.length === 0) return
    closeAll(out)
    const interrupts = asked.map(({ input_id, kind, prompt, details }) => ({
      id: interruptId(view.run_id, input_id),
      reason: kind,
      ...(prompt !== undefined && { message: prompt }),
      ...(details && { metadata: { details } }),
    }))
    out.push({ type: 'RUN_FINISHED', threadId, runId, outcome: { type: 'interrupt', interrupts } })
  }

  function snapshot(): AguiEvent {
    const messages = [...options.messages, ...aguiMessages(view)]
    // The charts of earlier runs are the client's own; this snapshot does not speak for them.
    const metadata = { '@ag-ui/client': { authoritativeActivityTypes: [] } }
    return { type: 'MESSAGES_SNAPSHOT', messages, metadata }
  }

  return {
    opening,
    take,
    get ended() {
      return ended
    },
  }
}

/** The messages of a run, as a client has them that read its stream to the view's cursor. */
export function aguiMessages(view: View): AguiMessage[] {
  const ids = idsOf(view.run_id)
  return view.parts.flatMap((part): AguiMessage[] => {
    const id = ids.message(part)
    switch (part.kind) {
      case 'text':
      case 'text_block':
        return [{ id, role: 'assistant', content: part.content }]
      case 'reasoning':
        return [{ id, role: 'reasoning', content: part.content }]
      case 'tool': {
        const { name, arguments: text, result } = shownCall(part)
        const toolCallId = ids.call(part)
        const toolCalls = [{ id: toolCallId, type: 'function', function: { name, arguments: text } }]
        const asked = { id, role: 'assistant', toolCalls }
        if (result === undefined) return [asked]
        return [asked, { id: `${id}-result`, toolCallId, role: 'tool', content: result }]
      }
      case 'chart':
      case 'item':
      case 'input': {
        const { messageId, ...activity } = activityOf(part, ids)
        return [{ id: messageId, role: 'activity', ...activity }]
      }
      case 'custom':
        return []
      default:
        return part satisfies never
    }
  })
}

/** What a client was told of a call. */
interface Call {
  /** Between TOOL_CALL_START and TOOL_CALL_END. */
  open: boolean
  name: string
  arguments: string
  result?: string
}

function shownCall(part: ToolPart): Omit<Call, 'open'> {
  const { arguments: whole, arguments_text: text } = part
  const told = text ?? (whole === undefined ? '' : JSON.stringify(whole))
  const ended = !part.open && (part.stage === 'completed' || part.stage === 'failed')
  return { name: part.tool_name, arguments: told, ...(ended && { result: resultText(part) }) }
}

/** What must be added to the arguments that were sent. The delta, when it is that: comparing long arguments at each would be quadratic. */
function moreOf(wanted: string, sent: string, delta: string | undefined): string | undefined {
  if (delta !== undefined && wanted.length === sent.length + delta.length) return delta === '' ? undefined : delta
  return wanted.length > sent.length && wanted.startsWith(sent) ? wanted.slice(sent.length) : undefined
}

function resultText(part: ToolPart): string {
  if (part.stage === 'failed') return part.error ?? 'the call failed'
  return typeof part.result === 'string' ? part.result : JSON.stringify(part.result ?? null)
}

/** No more of them can come, or matter. */
function argumentsDone(part: ToolPart): boolean {
  return !part.open || (part.stage !== 'requested' && part.stage !== 'arguments')
}

type ActivityPart = Extract<Part, { kind: 'chart' | 'item' | 'input' }>

function activityOf(part: ActivityPart, ids: Ids): { messageId: string; activityType: string; content: object } {
  const { kind, part_id: _id, started_at: _at, ...content } = part
  const activityType = kind === 'chart' ? 'chart.echarts' : `runcast.${kind}`
  return { messageId: ids.message(part), activityType, content }
}

type Ids = ReturnType<typeof idsOf>

/** Agents number their calls anew in each run; the ids of AG-UI must differ in the whole thread. */
function idsOf(run: string) {
  return {
    message: ({ part_id }: { part_id: string }) => `${run}-${part_id}`,
    call: ({ call_id }: { call_id: string }) => `${run}-${call_id}`,
  }
}

/** Names a question among all runs; {@link interruptOf} reads it. */
function interruptId(run: string, input_id: string): string {
  return `${run}:${input_id}`
}

/** The run and the question that an interrupt's id names. */
export function interruptOf(id: string): { run: string; input_id: string } | undefined {
  const colon = id.indexOf(':')
  return colon < 1 ? undefined : { run: id.slice(0, colon), input_id: id.slice(colon + 1) }
}

/** `metadata` is the one field that clients let pass in silence. */
function customOf(name: string, value: unknown, metadata?: Record<string, unknown>): AguiEvent {
  return { type: 'CUSTOM', name, value: value ?? null, ...(metadata && { metadata }) }
}

function fieldsOf(event: Event): Record<string, unknown> {
  const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, type: _type, ...fields } = event
  return fields
}

function usageEntries(view: View): { usage?: Record<string, number>[] } {
  const { input_tokens, output_tokens, total_tokens } = usageOf(view)
  const counts = { inputTokens: input_tokens, outputTokens: output_tokens, totalTokens: total_tokens }
  const known = Object.entries(counts).filter((pair): pair is [string, number] => isCount(pair[1]))
  return known.length === 0 ? {} : { usage: [Object.fromEntries(known)] }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
