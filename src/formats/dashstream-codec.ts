// DashStream messages to Kafka payloads and back. The one encoder and the one decoder: worker, server, CLI, sinks and
// sources all come here, so that no second one can drift. What it encodes, it decodes; what it decodes is checked.
// It must never pass a message without header, id, thread and known version, nor turn a 64-bit number into a double.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  type AttributeValue,
  type DashStreamMessage,
  DashStreamMessageSchema,
  type Header,
} from '../gen/dashstream/v1/dashstream_pb.ts'
import { bodyBytesMax, type Framing, frame, rawByte, type UnframeOptions, unframe } from './dashstream-frame.ts'
import { decodeHot } from './dashstream-hot-decode.ts'
import { type DashStreamInput, encodeHot, type Loose } from './dashstream-hot-encode.ts'
import { checkWire, messageDepthMax, undecodable } from './protobuf-check.ts'

export type { DashStreamInput } from './dashstream-hot-encode.ts'

/** The schema version that we write, and read. */
export const schemaVersion = 1

/** Which other versions a reader takes: none, newer ones (forward), or older ones (backward). */
export type VersionPolicy = 'exact' | 'forward' | 'backward'

export interface DecodeOptions extends UnframeOptions {
  /** Default `exact`. */
  versions?: VersionPolicy
}

/** A message as the value of a Kafka record. Sets `Header.compression` to what the frame does. */
export function encodeDashStream(message: DashStreamInput): Buffer {
  checkInput(message)
  const plain = uncompressed(message)
  return frame(encodeHot(plain) ?? encodeCold(plain))
}

/** The message in the value of a Kafka record, checked. Throws with `details.reason`, a {@link DecodeReason}. */
export function decodeDashStream(payload: Uint8Array, options: DecodeOptions = {}): DashStreamMessage {
  return decodeDashStreamFramed(payload, options).message
}

/** The same, with how it was framed (readers count the payloads without frame) and the size of its protobuf. */
export function decodeDashStreamFramed(
  payload: Uint8Array,
  options: DecodeOptions = {},
): { message: DashStreamMessage; framing: Framing; bodyBytes: number } {
  const versions = options.versions ?? 'exact'
  // Most payloads are small and raw: nothing to unpack.
  const fits = payload.length - 1 <= (options.bodyBytesMax ?? bodyBytesMax)
  const hot = payload[0] === rawByte && fits ? decodeHot(payload, 1) : undefined
  if (hot !== undefined) {
    checkMessage(hot, versions)
    return { message: hot, framing: 'raw', bodyBytes: payload.length - 1 }
  }
  const { body, framing } = unframe(payload, options)
  const message = decodeHot(body) ?? decodeCold(body)
  checkMessage(message, versions)
  return { message, framing, bodyBytes: body.length }
}

/** Whether a reader of version `current` with this policy takes `version`. 0 was written before there were versions. */
export function acceptsVersion(policy: VersionPolicy, version: number, current: number = schemaVersion): boolean {
  const actual = version === 0 ? 1 : version
  if (policy === 'exact') return actual === current
  return policy === 'forward' ? actual >= current : actual <= current
}

/** The kind of a message's header: what stands in `Header.type` for each case. */
export const messageTypes = {
  event: 1,
  stateDiff: 2,
  tokenChunk: 3,
  toolExecution: 4,
  checkpoint: 5,
  metrics: 6,
  error: 7,
  eventBatch: 8,
  executionTrace: 9,
} as const satisfies Record<NonNullable<DashStreamMessage['message']['case']>, number>

/** 0x00 and the protobuf by the library: every kind, unknown fields, 64-bit numbers of any size. */
function encodeCold(message: DashStreamInput): Buffer {
  checkDepths(message)
  try {
    // The library's own 64-bit writers take numbers too; only its types want bigint.
    const body = toBinary(DashStreamMessageSchema, create(DashStreamMessageSchema, message as DashStreamMessage))
    return Buffer.concat([rawPrefix, body], body.length + 1)
  } catch (cause) {
    throw undecodable('schema_error', (cause as Error).message, { cause })
  }
}

const rawPrefix = Buffer.of(rawByte)

function decodeCold(body: Uint8Array): DashStreamMessage {
  checkWire(DashStreamMessageSchema, body)
  try {
    // A plain view: the byte fields of a Buffer would be Buffers, and their JSON and equality differ.
    return fromBinary(DashStreamMessageSchema, new Uint8Array(body.buffer, body.byteOffset, body.byteLength))
  } catch (cause) {
    throw undecodable('decode_error', `not a DashStreamMessage: ${(cause as Error).message}`, { cause })
  }
}

function checkMessage(message: DashStreamMessage, versions: VersionPolicy): void {
  const { message: kind } = message
  if (kind.case === undefined) throw undecodable('schema_error', 'the message is of no kind that we know')
  checkHeader(kind.value.header, kind.case, versions)
  if (kind.case !== 'eventBatch') return
  // Each before any is applied: a reader must not stop in the middle of a batch.
  for (const [i, event] of kind.value.events.entries()) checkHeader(event.header, `events[${i}]`, versions)
}

function checkHeader(header: Loose<Header> | undefined, of: string, versions: VersionPolicy): void {
  if (header === undefined) throw undecodable('schema_error', `${of} has no header`)
  const id = header.messageId?.length ?? 0
  if (id !== 16) throw undecodable('schema_error', `${of}: header.message_id has ${id} bytes, it must have 16`)
  const thread = header.threadId ?? ''
  if (thread.trim() === '') throw undecodable('schema_error', `${of}: header.thread_id is blank`)
  const version = header.schemaVersion ?? 0
  if (!acceptsVersion(versions, version))
    throw undecodable(
      'schema_error',
      `${of}: header.schema_version is ${version}, this reader takes ${schemaVersion} (${versions})`,
      {
        details: { version },
      },
    )
}

/** Refuses at the writer what every reader would refuse. */
function checkInput(message: DashStreamInput): void {
  const kind = message.message
  if (kind?.case === undefined || kind.value === undefined)
    throw undecodable('schema_error', 'the message is of no kind')
  checkHeader(kind.value.header, kind.case, 'forward')
  if (kind.case !== 'eventBatch') return
  for (const [i, event] of (kind.value as BatchLike).events?.entries() ?? [])
    checkHeader(event.header, `events[${i}]`, 'forward')
}

/** The hand-written path leaves to the library what is nested too deep, so that only the library's needs to ask. */
function checkDepths(message: DashStreamInput): void {
  const kind = message.message
  if (kind?.case === 'event') checkDepth(kind.value as EventLike, 2, 'attributes')
  if (kind?.case !== 'eventBatch') return
  for (const [i, event] of (kind.value as BatchLike).events?.entries() ?? [])
    checkDepth(event, 3, `events[${i}].attributes`)
}

type BatchLike = { readonly events?: readonly EventLike[] }
type EventLike = Extract<NonNullable<DashStreamInput['message']>, { case?: 'event' | undefined }>['value'] & object

function checkDepth(event: EventLike, depth: number, path: string): void {
  for (const key in event.attributes) walkAttribute(event.attributes[key], depth + 2, path, key)
}

/** `depth` counts messages as a reader does: an entry of a map is one, its value another. */
function walkAttribute(attribute: Loose<AttributeValue> | undefined, depth: number, path: string, key: string): void {
  const set = attribute?.value
  if (set?.case !== 'arrayValue' && set?.case !== 'mapValue') return
  const here = `${path}.${key}`
  if (depth + 1 > messageDepthMax)
    throw undecodable('schema_error', `${here} is nested deeper than readers go (${messageDepthMax})`)
  const values = (set.value as { values?: Record<string, Loose<AttributeValue>> } | undefined)?.values ?? {}
  const step = set.case === 'arrayValue' ? 2 : 3
  for (const inner of Object.keys(values)) {
    if (depth + step > messageDepthMax)
      throw undecodable('schema_error', `${here}.${inner} is nested deeper than readers go (${messageDepthMax})`)
    walkAttribute(values[inner], depth + step, here, inner)
  }
}

/** The frame decides about the flag: a message that was read from a compressed record begins without it. */
function uncompressed(message: DashStreamInput): DashStreamInput {
  const kind = message.message
  if (!kind?.value?.header?.compression) return message
  const value = { ...kind.value, header: { ...kind.value.header, compression: 0 } }
  return { ...message, message: { case: kind.case, value } as DashStreamInput['message'] }
}

export { bodyBytesMax }
