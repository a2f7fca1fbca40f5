// A DashStream message of somebody else, without run_id, as the body of an event: as far as it says so.
// Fields of the wrong type must not reach readers that trust ours: what is not plainly one of our fields stays
// together under `attributes`. It must never drop a message because its kind or enum number is new: it becomes `custom`.
import { toJson } from '@bufbuild/protobuf'
import {
  type Error as DashError,
  type Event as DashEvent,
  EventType,
  ExecutionTraceSchema,
  type Header,
  type ToolExecution,
} from '../gen/dashstream/v1/dashstream_pb.ts'
import { type LooseBody, named } from './body.ts'
import { attribute, eventTypeName, hex, parseJson, severities, toolStages } from './dashstream-names.ts'
import {
  phases,
  readChange,
  readCheckpoint,
  readMetrics,
  readToken,
  type Single,
  toolNumbers,
  unlessZero,
  valueOf,
} from './dashstream-read.ts'

type Fields = Record<string, unknown>

/** State is numbered by whoever knows what came before: it has no version here. */
export function readForeign(message: Single, header: Header): LooseBody {
  switch (message.case) {
    case 'tokenChunk':
      return readToken(message.value)
    case 'event':
      return foreignEvent(message.value, header)
    case 'toolExecution':
      return foreignTool(message.value)
    case 'stateDiff': {
      const change = readChange(message.value)
      const base = named('base_checkpoint_id', hex(message.value.baseCheckpointId))
      return { type: 'state', ...('snapshot' in change ? {} : { ops: [] }), ...change, ...base }
    }
    case 'checkpoint': {
      const { metadata, checkpointId, storageUri } = message.value
      const { data = storageUri === '' ? null : { storage_uri: storageUri } } = readCheckpoint(message.value)
      return { type: 'checkpoint', name: metadata['name'] ?? hex(checkpointId), data }
    }
    case 'metrics':
      return readMetrics(message.value)
    case 'error':
      return foreignError(message.value)
    case 'executionTrace': {
      const { header: _, ...trace } = message.value
      // JSON of protobuf: 64-bit numbers are decimal text.
      return { type: 'custom', name: 'execution_trace', data: toJson(ExecutionTraceSchema, trace) }
    }
  }
}

function foreignEvent(event: DashEvent, header: Header): LooseBody {
  const told = attributesOf(event)
  const node = event.nodeId
  const durationUs = atLeastZero(event.durationUs)
  const duration = unlessZero('duration_ms', durationUs, 1_000)
  switch (event.eventType as number) {
    case EventType.GRAPH_START: {
      const known = told.texts('framework', 'scenario', 'user_id', 'company_id')
      const agent_name = told.text('agent_name') ?? (node || 'unknown')
      return {
        type: 'started',
        agent_name,
        framework: 'dashflow',
        ...known,
        thread_id: header.threadId,
        ...told.rest(),
      }
    }
    case EventType.GRAPH_END:
      if (told.text(attribute.status) === 'cancelled')
        return { type: 'cancelled', ...told.texts('reason', 'by'), ...told.rest() }
      return {
        type: 'complete',
        output: told.value('output') ?? null,
        latency_seconds: Number(durationUs) / 1_000_000,
        ...told.rest('metadata'),
      }
    case EventType.GRAPH_ERROR: {
      const error = told.text('error') ?? told.text('message') ?? 'the graph failed'
      const code = told.text('code') ?? told.text('error_code') ?? 'agent_error'
      return { type: 'error', error, code, ...told.rest('details') }
    }
    case EventType.NODE_START:
    case EventType.NODE_END:
    case EventType.NODE_ERROR:
      return { type: 'step', node_name: node, phase: phases.get(event.eventType) ?? 'end', ...duration, ...told.rest() }
    case EventType.NODE_PROGRESS: {
      const percent = Number(told.value(attribute.percent) ?? 0)
      const progress = Number.isFinite(percent) ? Math.min(Math.max(percent / 100, 0), 1) : 0
      return { type: 'progress', step: node, progress, ...told.texts('message'), ...told.rest('metadata') }
    }
    case EventType.NODE_THINKING: {
      const content = told.text(attribute.thought) ?? ''
      const request = named('llm_request_id', event.llmRequestId)
      return { type: 'token', content, channel: 'reasoning', ...request, ...told.rest() }
    }
    case EventType.NODE_WARNING: {
      const message = told.text('message') ?? told.text('warning') ?? ''
      const code = told.text('code') ?? 'node_warning'
      return { type: 'warning', code, message, recoverable: true, ...named('step', node), ...told.rest('details') }
    }
    case EventType.TOOL_START:
    case EventType.TOOL_END:
    case EventType.TOOL_ERROR: {
      const call_id = told.text('call_id') ?? told.text('tool_call_id')
      // Without a call id one could not tell the calls of one tool apart.
      if (call_id === undefined) return strange(event)
      const stage = eventStages.get(event.eventType) ?? 'started'
      const tool_name = told.text('tool_name') ?? node
      return { type: 'tool', call_id, tool_name, stage, ...duration, ...told.texts('error'), ...told.rest() }
    }
    default:
      return strange(event)
  }
}

/** Less than nothing is what a clock that went back makes of a duration; 0 is unknown. */
function atLeastZero(us: bigint): bigint {
  return us < 0n ? 0n : us
}

const eventStages = new Map<number, string>([
  [EventType.TOOL_START, 'started'],
  [EventType.TOOL_END, 'completed'],
  [EventType.TOOL_ERROR, 'failed'],
])

/** An event that has no type here: all of it, under the name of its number. */
function strange(event: DashEvent): LooseBody {
  const data = {
    event_type: event.eventType,
    ...named('node_id', event.nodeId),
    ...unlessZero('duration_ms', atLeastZero(event.durationUs), 1_000),
    ...named('llm_request_id', event.llmRequestId),
    ...attributesOf(event).rest(),
  }
  return { type: 'custom', name: eventTypeName(event.eventType), data }
}

function foreignTool(tool: ToolExecution): LooseBody {
  const stage = toolStages.text(tool.stage)
  const fields = {
    call_id: tool.callId,
    tool_name: tool.toolName,
    ...(tool.arguments.length > 0 && { arguments: jsonOrText(tool.arguments) }),
    ...(tool.result.length > 0 && { result: jsonOrText(tool.result) }),
    ...toolNumbers({ ...tool, durationUs: atLeastZero(tool.durationUs) }),
    ...(tool.errorDetails !== undefined && { error_details: errorFields(tool.errorDetails) }),
  }
  // Unspecified, or of a newer schema: a fold would not know what the call is doing.
  if (tool.stage < 1 || tool.stage > 5)
    return { type: 'custom', name: 'tool_execution', data: { stage: tool.stage, ...fields } }
  return { type: 'tool', stage, ...fields }
}

/** Results of strangers need not be JSON; text stays text, and anything else is base64, said so. */
function jsonOrText(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes, 'result')
  } catch {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch {
      return { base64: Buffer.from(bytes).toString('base64') }
    }
  }
}

/** Whether it ended the run is said by GRAPH_ERROR alone. */
function foreignError(error: DashError): LooseBody {
  const { code, message, severity, ...details } = errorFields(error)
  const more = Object.keys(details).length > 0 ? { details } : {}
  return { type: 'warning', code, message, ...(severity !== undefined && { severity }), ...more }
}

function errorFields(error: DashError): Fields & { code: string; message: string; severity?: string } {
  const severity = severities.text(error.severity)
  return {
    code: error.errorCode === '' ? 'error' : error.errorCode,
    message: error.message,
    ...(severity !== undefined && { severity }),
    ...error.context,
    ...named('stack_trace', error.stackTrace),
    ...named('exception_type', error.exceptionType),
    ...(error.suggestions.length > 0 && { suggestions: error.suggestions }),
  }
}

/** Attributes that are taken by name, and those that are left. */
function attributesOf(event: DashEvent) {
  const left = new Map(Object.entries(event.attributes))
  const value = (name: string) => {
    const found = left.get(name)
    if (found === undefined) return undefined
    left.delete(name)
    return valueOf(found)
  }
  const text = (name: string) => {
    const found = left.get(name)?.value
    return found?.case === 'stringValue' ? (value(name) as string) : undefined
  }
  return {
    value,
    text,
    texts: (...names: string[]) => {
      const found = names.map(name => [name, text(name)] as const)
      return Object.fromEntries(found.filter(([, told]) => told !== undefined))
    },
    rest: (under = 'attributes'): Fields =>
      left.size === 0 ? {} : { [under]: Object.fromEntries([...left].map(([name, told]) => [name, valueOf(told)])) },
  }
}
