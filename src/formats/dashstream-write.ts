// One event of a run as one DashStream message, by the mapping table (wire.md §1). Whatever a message has no place for,
// or cannot tell from an absent value (protobuf has no 0 apart from nothing), goes into `runcast_fields` as JSON, so
// that reading gives the same event. It must never lose a field, nor throw for one that it does not know.
import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { isoTime, msOfIso } from '../iso-time.ts'
import type { Event, EventOf } from '../event.ts'
import { CompressionType, EventType, OpType, ValueEncoding } from '../gen/dashstream/v1/dashstream_pb.ts'
import { type DashStreamInput, messageTypes } from './dashstream-codec.ts'
import {
  type Attribute,
  attributesOf,
  type Fields,
  fieldsOf,
  isEmpty,
  isKey,
  isText,
  isUint32,
  keep,
  scalar,
  takeDuration,
  takeEnum,
  takeJson,
  takeText,
  takeUint32,
  unsafeKey,
} from './dashstream-fields.ts'
import { attribute, finishReasons, jsonBytes, metricKinds, patchOps, toolStages, usOf } from './dashstream-names.ts'
import { embeddingBytes } from './embedding.ts'

export type Kind = keyof typeof messageTypes

/** A message without its header, and the fields that it could not take. */
export interface Written {
  readonly kind: Kind
  readonly value: Fields
  readonly rest: Fields
}

/** What the header says besides the event. */
export interface HeaderOf {
  readonly messageId: Uint8Array
  readonly tenant: string
  readonly thread: string
  /** 0 on messages made from an event that has its own message already. */
  readonly sequence: number
  readonly parentId?: Uint8Array
}

export function write(event: Event, messageId: Uint8Array): Written {
  switch (event.type) {
    case 'token':
      return event.channel === 'reasoning' ? thinking(event) : tokenChunk(event)
    case 'tool':
      return event.stage === 'arguments' ? toolArguments(event) : toolExecution(event)
    case 'state':
      return stateDiff(event)
    case 'checkpoint':
      return checkpoint(event, messageId)
    case 'metrics':
      return metrics(event)
    case 'step':
      return step(event)
    case 'progress':
      return progress(event)
    case 'started':
      return asEvent(EventType.GRAPH_START, event, { node: 'agent_name' })
    case 'complete':
      return complete(event)
    case 'cancelled':
      return asEvent(EventType.GRAPH_END, event, { own: { [attribute.status]: 'cancelled' } })
    case 'error':
      return asEvent(EventType.GRAPH_ERROR, event)
    case 'warning':
      return asEvent(EventType.NODE_WARNING, event, { node: 'step' })
    case 'input':
      return asEvent(event.kind === 'answer' ? EventType.HUMAN_RESUME : EventType.HUMAN_INTERRUPT, event)
    case 'text':
    case 'chart':
    case 'item':
      return asEvent(EventType.NODE_SUBSTEP, event, { own: { [attribute.substep]: event.type } })
    case 'custom':
      return custom(event)
    default:
      event satisfies never
      // An event that no decoder turned into `custom`.
      return asEvent(EventType.NODE_SUBSTEP, event, { own: { [attribute.substep]: (event as Event).type } })
  }
}

/** The message with its header. `event` undefined: made from another one, so it has no place in its run. */
export function withHeader(written: Written, of: HeaderOf, event: Event, main: boolean): DashStreamInput {
  const { kind, value, rest } = written
  const ms = msOfIso(event.timestamp)
  // Usual times come back as they were from their milliseconds; any other one is kept as it was written.
  const usual = !Number.isNaN(ms) && isoTime(ms) === event.timestamp
  if (main && !usual) rest['timestamp'] = event.timestamp
  const header = {
    messageId: of.messageId,
    timestampUs: usual ? ms * 1000 : usOf(event.timestamp),
    tenantId: of.tenant,
    threadId: of.thread,
    sequence: of.sequence,
    type: messageTypes[kind],
    parentId: of.parentId ?? nothing,
    schemaVersion: 1,
    runId: event.run_id,
    runSequence: main ? event.sequence : 0,
    runcastFields: isEmpty(rest) ? nothing : jsonBytes(rest),
  }
  return { message: { case: kind, value: { header, ...value } } } as DashStreamInput
}

const nothing = new Uint8Array(0)

/** The hot one: a loop over the fields that are there, and no copy. */
function tokenChunk(event: EventOf<'token'>): Written {
  const value: Fields = {}
  const rest: Fields = {}
  const token = event as unknown as Fields
  for (const name in token) {
    const field = token[name]
    switch (name) {
      case 'id':
      case 'type':
      case 'run_id':
      case 'sequence':
      case 'timestamp':
        break
      case 'content':
        value['text'] = field
        if (!isText(field)) rest['content'] = field
        break
      case 'llm_request_id':
        if (isText(field) && field !== '') value['requestId'] = field
        else keep(rest, name, field)
        break
      case 'model':
        if (isText(field) && field !== '') value['model'] = field
        else keep(rest, name, field)
        break
      case 'index':
        if (isUint32(field) && field > 0) value['chunkIndex'] = field
        else keep(rest, name, field)
        break
      case 'finish_reason':
        if (field === undefined) break
        value['isFinal'] = true
        value['finishReason'] = finishReasons.value(field) ?? 0
        if (value['finishReason'] === 0 && field !== noReason) rest[name] = field
        break
      case 'stats':
        if (isStats(field)) value['stats'] = statsOf(field)
        else keep(rest, name, field)
        break
      default:
        keep(rest, name, field)
    }
  }
  return { kind: 'tokenChunk', value, rest }
}

/** What the last token of a producer that gives no reason ends with. */
export const noReason = 'none'

function thinking(event: EventOf<'token'>): Written {
  const fields = fieldsOf(event)
  delete fields['channel']
  const requestId = takeText(fields, 'llm_request_id')
  const { content } = event
  const own = isText(content) ? { [attribute.thought]: content } : {}
  if (attribute.thought in own) delete fields['content']
  return eventWith(EventType.NODE_THINKING, { llmRequestId: requestId }, fields, own)
}

function toolExecution(event: EventOf<'tool'>): Written {
  const rest = fieldsOf(event)
  const value = {
    callId: takeText(rest, 'call_id', 'required'),
    toolName: takeText(rest, 'tool_name', 'required'),
    stage: takeEnum(rest, 'stage', toolStages),
    arguments: takeJson(rest, 'arguments'),
    result: takeJson(rest, 'result'),
    error: takeText(rest, 'error'),
    durationUs: takeDuration(rest, 'duration_ms', 1_000),
    retryCount: takeUint32(rest, 'retry_count'),
  }
  return { kind: 'toolExecution', value, rest }
}

/** A piece of a call's arguments is no execution: the tool is only being asked. */
function toolArguments(event: EventOf<'tool'>): Written {
  return asEvent(EventType.TOOL_START, event, { node: 'tool_name' })
}

function stateDiff(event: EventOf<'state'>): Written {
  const rest = fieldsOf(event)
  const value: Fields = {}
  // A reader counts on from the base by itself.
  if (event.version === event.base_version + 1) delete rest['version']
  if (event.ops !== undefined) {
    value['operations'] = event.ops.map(operationOf)
    if (event.ops.length > 0 && event.ops.every(isPlainOperation)) delete rest['ops']
  } else if (event.snapshot !== undefined) {
    value['fullState'] = jsonBytes(event.snapshot)
    delete rest['snapshot']
  }
  if (typeof event.hash === 'string' && /^(?:[0-9a-f]{2})+$/.test(event.hash)) {
    value['stateHash'] = Buffer.from(event.hash, 'hex')
    delete rest['hash']
  }
  return { kind: 'stateDiff', value, rest }
}

type Operation = NonNullable<EventOf<'state'>['ops']>[number]

function operationOf(operation: Operation): Fields {
  const op = patchOps.indexOf(operation.op)
  const more =
    'from' in operation
      ? { from: operation.from }
      : 'value' in operation
        ? { value: jsonBytes(operation.value), encoding: ValueEncoding.JSON }
        : {}
  return { op: op === -1 ? OpType.TEST : op, path: operation.path, ...more }
}

/** Whether DiffOperation says all of it. */
function isPlainOperation(operation: Operation): boolean {
  const members = 'from' in operation || 'value' in operation ? 3 : 2
  return (
    patchOps.includes(operation.op) &&
    isText(operation.path) &&
    (!('from' in operation) || isText(operation.from)) &&
    (!('value' in operation) || operation.value !== undefined) &&
    Object.keys(operation).length === members
  )
}

function checkpoint(event: EventOf<'checkpoint'>, messageId: Uint8Array): Written {
  const rest = fieldsOf(event)
  const state = takeJson(rest, 'data')
  const name = takeText(rest, 'name', 'required')
  return { kind: 'checkpoint', value: checkpointValue(state, messageId, { name }), rest }
}

/** Below this many bytes zstd wins nothing worth its 35 µs; the same threshold as for whole payloads. */
const compressAboveBytes = 512

/** A state with its checksum, compressed when that is smaller. */
export function checkpointValue(state: Uint8Array, checkpointId: Uint8Array, metadata: Record<string, string>): Fields {
  const checksum = new Uint8Array(createHash('sha256').update(state).digest())
  const plain = { checkpointId, state, stateType: 'json', checksum, metadata }
  if (state.length <= compressAboveBytes) return plain
  const params = { [constants.ZSTD_c_checksumFlag]: 1 }
  const packed = zstdCompressSync(state, { params, pledgedSrcSize: state.length })
  if (packed.length >= state.length) return plain
  const compressionInfo = {
    type: CompressionType.COMPRESSION_ZSTD,
    compressedSize: packed.length,
    uncompressedSize: state.length,
    compressionRatio: packed.length / state.length,
  }
  return { ...plain, state: packed, compressionInfo }
}

function metrics(event: EventOf<'metrics'>): Written {
  const rest = fieldsOf(event)
  const value: Fields = { scope: takeText(rest, 'scope', 'required'), scopeId: takeText(rest, 'scope_id') }
  const entries = Object.entries(event.metrics).map(([name, metric]) => [name, metricOf(name, { ...metric })] as const)
  value['metrics'] = Object.fromEntries(entries.filter(([name, metric]) => metric !== undefined && name !== unsafeKey))
  if (entries.every(([, metric]) => metric !== undefined)) delete rest['metrics']
  const { tags } = event
  if (tags !== undefined) {
    const texts = Object.entries(tags).filter(([name, tag]) => isKey(name) && isText(tag))
    value['tags'] = Object.fromEntries(texts)
    if (texts.length > 0 && texts.length === Object.keys(tags).length) delete rest['tags']
  }
  return { kind: 'metrics', value, rest }
}

/** Undefined when a MetricValue would not say all of it. */
function metricOf(name: string, metric: Readonly<Fields>): Fields | undefined {
  const { value, unit, kind, ...more } = metric
  const type = kind === undefined ? 0 : metricKinds.value(kind)
  if (!isKey(name) || type === undefined || !isEmpty(more)) return undefined
  if (unit !== undefined && (!isText(unit) || unit === '')) return undefined
  const set = value === undefined ? undefined : scalar(value)
  if (set === undefined && value !== undefined) return undefined
  return { value: set, unit: unit ?? '', type }
}

function step(event: EventOf<'step'>): Written {
  const type = stepTypes[event.phase]
  const fields = fieldsOf(event)
  if (type !== undefined) delete fields['phase']
  const own = {
    nodeId: takeText(fields, 'node_name', 'required'),
    durationUs: takeDuration(fields, 'duration_ms', 1_000),
  }
  return eventWith(type ?? EventType.NODE_END, own, fields)
}

const stepTypes = { start: EventType.NODE_START, end: EventType.NODE_END, error: EventType.NODE_ERROR }

function progress(event: EventOf<'progress'>): Written {
  const fields = fieldsOf(event)
  const percent = event.progress * 100
  const own = Number.isFinite(percent) ? { [attribute.percent]: percent } : {}
  // Some fractions come back as their neighbour; then both are sent.
  if (percent / 100 === event.progress) delete fields['progress']
  return eventWith(EventType.NODE_PROGRESS, { nodeId: takeText(fields, 'step', 'required') }, fields, own)
}

function complete(event: EventOf<'complete'>): Written {
  const fields = fieldsOf(event)
  const durationUs = takeDuration(fields, 'latency_seconds', 1_000_000)
  return eventWith(EventType.GRAPH_END, { durationUs }, fields, { [attribute.status]: 'completed' })
}

function custom(event: EventOf<'custom'>): Written {
  const { name, data, other, ...more } = fieldsOf(event)
  const rest: Fields = { ...more, ...(other !== undefined && { other }) }
  const written = eventWith(EventType.NODE_SUBSTEP, {}, { data: data ?? null }, { [attribute.substep]: name })
  // A name of ours would be read as that type.
  if (writtenTypes.has(name as string)) Object.assign(rest, { type: 'custom', name })
  if (!isText(name)) rest['name'] = name
  Object.assign(rest, written.rest)
  return name === attribute.embedding ? withEmbedding(written, data, rest) : { ...written, rest }
}

/** The types whose name is a substep's name. */
const writtenTypes = new Set(['text', 'chart', 'item'])

/** A vector travels as the bytes of an Embedding message; the JSON stays only where it says more than those. */
function withEmbedding(written: Written, data: unknown, rest: Fields): Written {
  const { bytes, exact } = embeddingBytes(data)
  if (bytes === undefined) return { ...written, rest }
  const { data_json: _, ...attributes } = written.value['attributes'] as Record<string, Attribute>
  const value = { ...written.value, attributes: { ...attributes, [attribute.embedding]: bytesAttribute(bytes) } }
  return { ...written, value, rest: exact ? rest : { ...rest, data } }
}

/** An Event whose attributes are the event's fields under their own names; `node` is the field that is its node. */
function asEvent(type: number, event: Event, { node, own }: { node?: string; own?: Fields } = {}): Written {
  const fields = fieldsOf(event)
  const value = node === undefined ? {} : { nodeId: takeText(fields, node) }
  return eventWith(type, value, fields, own)
}

function eventWith(eventType: number, value: Fields, fields: Fields, own: Fields = {}): Written {
  const { attributes, rest } = attributesOf(fields, own)
  return { kind: 'event', value: { eventType, ...value, attributes }, rest }
}

function bytesAttribute(value: Uint8Array): Attribute {
  return { value: { case: 'bytesValue', value } }
}

type Stats = Record<(typeof statNames)[number], number>
const statNames = ['prompt_tokens', 'completion_tokens', 'total_tokens'] as const

function isStats(value: unknown): value is Stats {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== statNames.length) return false
  return statNames.every(name => isUint32((value as Partial<Stats>)[name]))
}

function statsOf({ prompt_tokens, completion_tokens, total_tokens }: Stats): Fields {
  return { promptTokens: prompt_tokens, completionTokens: completion_tokens, totalTokens: total_tokens }
}
