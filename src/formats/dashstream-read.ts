// One DashStream message of ours as the event it was made from: the reading half of dashstream-write.ts. Also the parts
// that messages of strangers share with ours: states, patches, checkpoints, metrics, attributes.
// It must never guess: what does not parse, has another encoding or another checksum is refused, typed.
import { createHash } from 'node:crypto'
import type { PatchOperation } from '../event.ts'
import { badField, customNamePattern, eventId, type Event, type Metric, reservedNames } from '../event.ts'
import {
  type AttributeValue,
  type Checkpoint,
  CompressionType,
  type DashStreamMessage,
  type DiffOperation,
  type Event as DashEvent,
  EventType,
  type Header,
  type MetricValue,
  type Metrics,
  type StateDiff,
  type TokenChunk,
  type ToolExecution,
  ValueEncoding,
} from '../gen/dashstream/v1/dashstream_pb.ts'
import { type LooseBody, named } from './body.ts'
import { foreignBodyBytesMax, unframe, zstdByte } from './dashstream-frame.ts'
import {
  attribute,
  finishReasons,
  hex,
  isoOf,
  jsonSuffix,
  metricKinds,
  parseJson,
  patchOps,
  toolStages,
} from './dashstream-names.ts'
import { noReason } from './dashstream-write.ts'
import { embeddingData } from './embedding.ts'
import { checkRunId } from './format.ts'
import { undecodable } from './protobuf-check.ts'

/** A message that is one of its own: batches are taken apart before. */
export type Single = Exclude<DashStreamMessage['message'], { case: undefined } | { case: 'eventBatch' }>

type Fields = Record<string, unknown>

/** The event of a message that carries run_id and run_sequence. */
export function readOwn(message: Single, header: Header): Event {
  const run_id = checkRunId(header.runId)
  const sequence = Number(header.runSequence)
  if (!Number.isSafeInteger(sequence))
    throw undecodable('schema_error', `header.run_sequence is ${header.runSequence}, beyond 2^53`)
  const rest = readRest(header)
  const { type, ...fields } = bodyOf(message, rest)
  const timestamp = typeof rest['timestamp'] === 'string' ? rest['timestamp'] : isoOf(header.timestampUs)
  // The envelope is what the header says: a field of the rest must not put the event into another run.
  const { id: _id, type: told, run_id: _run, sequence: _sequence, timestamp: _time, ...more } = rest
  const event = { id: eventId(run_id, sequence), type: told === 'custom' ? told : type, run_id, sequence, timestamp }
  return checkEvent({ ...event, ...fields, ...more } as unknown as Event)
}

/** Whoever says that a message is ours is believed only what a log and its readers can bear. */
function checkEvent(event: Event): Event {
  const bad = badField(event)
  if (bad !== undefined) throw undecodable('schema_error', `${event.type}.${bad.field} is no ${bad.kind}`)
  if (Number.isNaN(Date.parse(event.timestamp))) throw undecodable('schema_error', 'the timestamp is no time')
  if (event.type === 'custom' && (!customNamePattern.test(event.name) || reservedNames.has(event.name)))
    throw undecodable('schema_error', `${JSON.stringify(event.name.slice(0, 40))} cannot name a custom event`)
  return event
}

function readRest(header: Header): Fields {
  if (header.runcastFields.length === 0) return {}
  const rest = parseJson(header.runcastFields, 'header.runcast_fields')
  if (typeof rest === 'object' && rest !== null && !Array.isArray(rest)) return rest as Fields
  throw undecodable('schema_error', 'header.runcast_fields is no JSON object')
}

function bodyOf(message: Single, rest: Fields): LooseBody {
  switch (message.case) {
    case 'tokenChunk':
      return readToken(message.value)
    case 'event':
      return readEvent(message.value)
    case 'toolExecution':
      return readTool(message.value)
    case 'stateDiff':
      return readState(message.value, rest)
    case 'checkpoint':
      return { type: 'checkpoint', name: message.value.metadata['name'] ?? '', ...readCheckpoint(message.value) }
    case 'metrics':
      return readMetrics(message.value)
    case 'error':
    case 'executionTrace':
      throw undecodable('schema_error', `a message of kind ${message.case} is never an event of its own`)
  }
}

export function readToken(token: TokenChunk): { type: 'token'; content: string } & Fields {
  const body = { type: 'token' as const, content: token.text }
  addToken(body, token)
  return body
}

function addToken(body: Fields, token: TokenChunk): void {
  if (token.requestId !== '') body['llm_request_id'] = token.requestId
  if (token.model !== '') body['model'] = token.model
  if (token.chunkIndex !== 0) body['index'] = token.chunkIndex
  const reason = finishReasons.text(token.finishReason)
  if (reason !== undefined || token.isFinal) body['finish_reason'] = reason ?? noReason
  if (token.tokenIds.length > 0) body['token_ids'] = token.tokenIds
  if (token.logprobs.length > 0) body['logprobs'] = token.logprobs
  const { stats } = token
  if (stats !== undefined) {
    const { promptTokens, completionTokens, totalTokens } = stats
    body['stats'] = { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: totalTokens }
  }
}

function readEvent(event: DashEvent): LooseBody {
  const { [attribute.substep]: substep, [attribute.status]: status, ...own } = event.attributes
  switch (event.eventType as number) {
    case EventType.GRAPH_START:
      return { type: 'started', agent_name: event.nodeId, ...fieldsOf(event.attributes) }
    case EventType.GRAPH_END:
      return status?.value.value === 'cancelled'
        ? { type: 'cancelled', ...fieldsOf(own) }
        : { type: 'complete', ...unlessZero('latency_seconds', event.durationUs, 1_000_000), ...fieldsOf(own) }
    case EventType.GRAPH_ERROR:
      return { type: 'error', ...fieldsOf(event.attributes) }
    case EventType.NODE_START:
    case EventType.NODE_END:
    case EventType.NODE_ERROR:
      return {
        type: 'step',
        node_name: event.nodeId,
        phase: phases.get(event.eventType) ?? 'end',
        ...unlessZero('duration_ms', event.durationUs, 1_000),
        ...fieldsOf(event.attributes),
      }
    case EventType.NODE_PROGRESS: {
      const { [attribute.percent]: percent, ...others } = event.attributes
      const fraction = percent === undefined ? {} : { progress: Number(valueOf(percent)) / 100 }
      return { type: 'progress', step: event.nodeId, ...fraction, ...fieldsOf(others) }
    }
    case EventType.NODE_THINKING: {
      const { [attribute.thought]: thought, ...others } = event.attributes
      const content = thought === undefined ? {} : { content: valueOf(thought) }
      const request = event.llmRequestId === '' ? {} : { llm_request_id: event.llmRequestId }
      return { type: 'token', channel: 'reasoning', ...content, ...request, ...fieldsOf(others) }
    }
    case EventType.NODE_WARNING:
      return { type: 'warning', ...named('step', event.nodeId), ...fieldsOf(event.attributes) }
    case EventType.TOOL_START:
      return { type: 'tool', ...named('tool_name', event.nodeId), ...fieldsOf(event.attributes) }
    case EventType.HUMAN_INTERRUPT:
    case EventType.HUMAN_RESUME:
      return { type: 'input', ...fieldsOf(event.attributes) }
    case EventType.NODE_SUBSTEP:
      return readSubstep(substep?.value.case === 'stringValue' ? substep.value.value : '', event.attributes)
    default:
      throw undecodable('schema_error', `event_type ${event.eventType} is none that Runcast writes`)
  }
}

export const phases = new Map<number, string>([
  [EventType.NODE_START, 'start'],
  [EventType.NODE_END, 'end'],
  [EventType.NODE_ERROR, 'error'],
])

function readSubstep(name: string, attributes: DashEvent['attributes']): LooseBody {
  const { [attribute.substep]: _, ...own } = attributes
  if (name === 'text' || name === 'chart' || name === 'item') return { type: name, ...fieldsOf(own) }
  const vector = own[attribute.embedding]?.value
  if (name === attribute.embedding && vector?.case === 'bytesValue')
    return { type: 'custom', name, data: embeddingData(vector.value) }
  return { type: 'custom', name, ...fieldsOf(own) }
}

function readTool(tool: ToolExecution): LooseBody {
  const stage = toolStages.text(tool.stage)
  return {
    type: 'tool',
    call_id: tool.callId,
    tool_name: tool.toolName,
    ...(stage !== undefined && { stage }),
    ...(tool.arguments.length > 0 && { arguments: parseJson(tool.arguments, 'arguments') }),
    ...(tool.result.length > 0 && { result: parseJson(tool.result, 'result') }),
    ...toolNumbers(tool),
  }
}

export function toolNumbers(tool: ToolExecution): Fields {
  return {
    ...named('error', tool.error),
    ...unlessZero('duration_ms', tool.durationUs, 1_000),
    ...(tool.retryCount !== 0 && { retry_count: tool.retryCount }),
  }
}

function readState(diff: StateDiff, rest: Fields): LooseBody {
  const base = rest['base_version']
  const version = typeof base === 'number' ? { version: base + 1 } : {}
  const body = { type: 'state' as const, ...version, ...readChange(diff) }
  if (rest['hash'] !== null) return body
  // The hash was put in for other readers; the event had none.
  delete rest['hash']
  const { hash: _, ...without } = body
  return without
}

export function readChange(diff: StateDiff): { ops?: PatchOperation[]; snapshot?: unknown; hash?: string } {
  const change: { ops?: PatchOperation[]; snapshot?: unknown; hash?: string } = {}
  if (diff.fullState.length > 0) change.snapshot = parseJson(diff.fullState, 'full_state')
  else if (diff.operations.length > 0) change.ops = diff.operations.map(readOperation)
  if (diff.stateHash.length > 0) change.hash = hex(diff.stateHash)
  return change
}

function readOperation(operation: DiffOperation, index: number): PatchOperation {
  const at = `operations[${index}]`
  const op = patchOps[operation.op as number]
  const { path, from } = operation
  if (op === undefined) throw undecodable('schema_error', `${at}.op is ${operation.op}, no operation of RFC 6902`)
  if (op === 'remove') return { op, path }
  if (op === 'move' || op === 'copy') return { op, path, from }
  return { op, path, value: readValue(operation, `${at}.value`) }
}

/** JSON: JSON text, so never empty. RAW: UTF-8 text, empty is the empty text. The other two are refused (H19). */
function readValue({ encoding, value }: DiffOperation, of: string): unknown {
  if (encoding === ValueEncoding.JSON) return parseJson(value, of)
  if (encoding !== ValueEncoding.RAW)
    throw undecodable('schema_error', `${of} has the encoding ${encoding}; this reader takes JSON (0) and RAW (3)`)
  try {
    return utf8.decode(value)
  } catch (cause) {
    throw undecodable('decode_error', `${of} is RAW and no UTF-8 text`, { cause })
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The state in a checkpoint: decompressed, then compared with its checksum, and only then parsed (H81). */
export function readCheckpoint(checkpoint: Checkpoint): { data?: unknown } {
  const state = uncompressed(checkpoint)
  const { checksum } = checkpoint
  if (checksum.length > 0) {
    const actual = createHash('sha256').update(state).digest()
    if (!actual.equals(checksum))
      throw undecodable(
        'decode_error',
        `the checkpoint's checksum is ${hex(checksum)}, its state has ${actual.toString('hex')}`,
      )
  }
  return state.length === 0 ? {} : { data: parseJson(state, 'checkpoint.state') }
}

function uncompressed({ state, compressionInfo }: Checkpoint): Uint8Array {
  const type = compressionInfo?.type ?? CompressionType.COMPRESSION_NONE
  if (type === CompressionType.COMPRESSION_NONE) return state
  if (type !== CompressionType.COMPRESSION_ZSTD)
    throw undecodable(
      'decompression_error',
      `the checkpoint's compression is ${type}; this reader takes none (0) and zstd (1)`,
    )
  // Through the one guarded way in: windows, bombs and trailing bytes are looked at there.
  const { body } = unframe(Buffer.concat([Buffer.of(zstdByte), state]), { bodyBytesMax: foreignBodyBytesMax })
  const size = compressionInfo?.uncompressedSize ?? 0n
  if (size !== 0n && size !== BigInt(body.length))
    throw undecodable('decompression_error', `the checkpoint declares ${size} bytes and holds ${body.length}`)
  return body
}

export function readMetrics(metrics: Metrics): LooseBody {
  const told = Object.entries(metrics.metrics).map(([name, value]) => [name, readMetric(value)])
  const tags = Object.keys(metrics.tags).length > 0 ? { tags: { ...metrics.tags } } : {}
  return {
    type: 'metrics',
    scope: metrics.scope,
    ...named('scope_id', metrics.scopeId),
    metrics: Object.fromEntries(told) as Record<string, Metric>,
    ...tags,
  }
}

function readMetric(metric: MetricValue): Fields {
  const kind = metricKinds.text(metric.type)
  const set = metric.value.case === undefined ? {} : { value: plain(metric.value) }
  return { ...set, ...named('unit', metric.unit), ...(kind !== undefined && { kind }) }
}

/** Attributes as fields: those that end in `_json` are the JSON they hold, under the name before it. */
export function fieldsOf(attributes: DashEvent['attributes']): Fields {
  const fields = Object.entries(attributes).map(([name, attributeValue]) => {
    const { value } = attributeValue
    const isJson = value.case === 'stringValue' && name.endsWith(jsonSuffix)
    return isJson ? [name.slice(0, -jsonSuffix.length), parseText(value.value, name)] : [name, valueOf(attributeValue)]
  })
  return Object.fromEntries(fields) as Fields
}

function parseText(text: string, name: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw undecodable('decode_error', `attribute ${name} is not JSON`, { cause })
  }
}

/** An attribute as JSON: whole numbers beyond 2^53 are decimal text, bytes are base64, nothing is null. */
export function valueOf({ value }: AttributeValue): unknown {
  if (value.case === 'arrayValue') return value.value.values.map(valueOf)
  if (value.case === 'mapValue') {
    return Object.fromEntries(Object.entries(value.value.values).map(([key, inner]) => [key, valueOf(inner)]))
  }
  return value.case === undefined ? null : plain(value)
}

function plain({ value }: { value: string | bigint | number | boolean | Uint8Array }): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  // JSON has no NaN and no infinity; their text says more than null.
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

export function unlessZero(name: string, us: bigint, usPerUnit: number): Fields {
  return us === 0n ? {} : { [name]: Number(us) / usPerUnit }
}
