// The messages that travel by the thousand (TokenChunk, Event and its batch, StateDiff), written by hand: one growing buffer, an ASCII
// fast path, no bigint up to 2^53. Why: four times the library's speed (bench/codec.ts). Its bytes must never differ
// from the library's (a property test compares them); whatever it does not know it leaves to the library.
import type { DashStreamMessage } from '../gen/dashstream/v1/dashstream_pb.ts'
import { messageDepthMax } from './protobuf-check.ts'

/** A message to encode: any field may be absent, and 64-bit numbers may be plain numbers up to 2^53. */
export type Loose<T> = T extends bigint
  ? bigint | number
  : T extends Uint8Array | number
    ? T
    : T extends readonly (infer Item)[]
      ? readonly Loose<Item>[]
      : T extends object
        ? { readonly [Key in keyof T]?: Loose<T[Key]> | undefined }
        : T

export type DashStreamInput = Loose<DashStreamMessage>
type Kind = NonNullable<DashStreamInput['message']>
type TokenInput = NonNullable<Extract<Kind, { case?: 'tokenChunk' | undefined }>['value']>
type EventInput = NonNullable<Extract<Kind, { case?: 'event' | undefined }>['value']>
type DiffInput = NonNullable<Extract<Kind, { case?: 'stateDiff' | undefined }>['value']>
type HeaderInput = NonNullable<EventInput['header']>
type AttributeInput = NonNullable<NonNullable<EventInput['attributes']>[string]>

/** 0x00 and the protobuf of a token or event: a raw payload. `undefined`: encode it with the library. */
export function encodeHot(input: DashStreamInput): Buffer | undefined {
  const kind = input.message
  if (kind === undefined || kind.value === undefined || '$unknown' in input) return undefined
  if (slab.length - used < slabRoom) {
    slab = Buffer.allocUnsafeSlow(slabBytes)
    used = 0
  }
  start = used
  slab[used++] = 0x00
  let known = false
  if (kind.case === 'tokenChunk') {
    const at = open(0x1a, tokenReserve)
    known = writeToken(kind.value as TokenInput)
    tokenReserve = close(at, tokenReserve)
  } else if (kind.case === 'event') {
    const at = open(0x0a, eventReserve)
    known = writeEvent(kind.value as EventInput, 2)
    eventReserve = close(at, eventReserve)
  } else if (kind.case === 'stateDiff') {
    const at = open(0x12, diffReserve)
    known = writeDiff(kind.value as DiffInput)
    diffReserve = close(at, diffReserve)
  } else if (kind.case === 'eventBatch') {
    const at = open(0x42, batchReserve)
    known = writeBatch(kind.value as NonNullable<Extract<Kind, { case?: 'eventBatch' | undefined }>['value']>)
    batchReserve = close(at, batchReserve)
  }
  if (known) return slab.subarray(start, used)
  used = start
  return undefined
}

/** Payloads are cut from slabs of this size: one allocation for about a hundred tokens. */
const slabBytes = 16_384
/** What a slab must have left for a message to begin in it; a longer message moves to a slab of its own. */
const slabRoom = 512

let slab = Buffer.allocUnsafeSlow(slabBytes)
let used = 0
let start = 0

// The bytes kept free for the length of each kind: those that the last one needed, so that most need no shift.
let tokenReserve = 1
let eventReserve = 1
let batchReserve = 2
let diffReserve = 2
let headerReserve = 1

function writeToken(token: TokenInput): boolean {
  if (token.header === undefined || '$unknown' in token || !writeHeader(token.header)) return false
  writeText(0x12, token.requestId)
  writeText(0x1a, token.text)
  if (!writeUint32s(token.tokenIds) || !writeFloats(token.logprobs)) return false
  if (!writeUint32(0x30, token.chunkIndex)) return false
  if (token.isFinal === true) writeByte(0x38, 1)
  if (!writeUint31(0x40, token.finishReason)) return false
  writeText(0x4a, token.model)
  const { stats } = token
  if (stats === undefined) return true
  if ('$unknown' in stats) return false
  const at = open(0x52, 1)
  const known =
    writeUint32(0x08, stats.promptTokens) &&
    writeUint32(0x10, stats.completionTokens) &&
    writeUint32(0x18, stats.totalTokens)
  close(at, 1)
  return known
}

function writeEvent(event: EventInput, depth: number): boolean {
  if (event.header === undefined || '$unknown' in event || !writeHeader(event.header)) return false
  if (!writeUint31(0x10, event.eventType)) return false
  writeText(0x1a, event.nodeId)
  if (event.attributes !== undefined && !writeAttributes(0x22, event.attributes, depth)) return false
  if (!writeUint64(0x28, event.durationUs)) return false
  writeText(0x32, event.llmRequestId)
  return true
}

function writeBatch(batch: { readonly header?: unknown; readonly events?: unknown }): boolean {
  const header = batch.header as HeaderInput | undefined
  if (header === undefined || '$unknown' in batch || !writeHeader(header)) return false
  for (const event of (batch.events ?? []) as readonly EventInput[]) {
    const at = open(0x12, eventReserve)
    if (!writeEvent(event, 3)) return false
    eventReserve = close(at, eventReserve)
  }
  return true
}

function writeDiff(diff: DiffInput): boolean {
  if (diff.header === undefined || '$unknown' in diff || !writeHeader(diff.header)) return false
  writeBytes(0x12, diff.baseCheckpointId)
  for (const operation of diff.operations ?? []) {
    if ('$unknown' in operation) return false
    const at = open(0x1a, 1)
    if (!writeUint31(0x08, operation.op)) return false
    writeText(0x12, operation.path)
    writeBytes(0x1a, operation.value)
    writeText(0x22, operation.from)
    if (!writeUint31(0x28, operation.encoding)) return false
    close(at, 1)
  }
  writeBytes(0x22, diff.stateHash)
  writeBytes(0x2a, diff.fullState)
  return true
}

function writeHeader(header: HeaderInput): boolean {
  if ('$unknown' in header) return false
  const at = open(0x0a, headerReserve)
  writeBytes(0x0a, header.messageId)
  if (!writeUint64(0x10, header.timestampUs)) return false
  writeText(0x1a, header.tenantId)
  writeText(0x22, header.threadId)
  if (!writeUint64(0x28, header.sequence) || !writeUint31(0x30, header.type)) return false
  writeBytes(0x3a, header.parentId)
  if (!writeUint31(0x40, header.compression) || !writeUint32(0x48, header.schemaVersion)) return false
  if (header.runId) {
    writePage(0xa2)
    writeText(0x06, header.runId)
  }
  if (header.runSequence) {
    writePage(0xa8)
    if (!writeUint64(0x06, header.runSequence)) return false
  }
  if (header.runcastFields !== undefined && header.runcastFields.length > 0) {
    writePage(0xb2)
    writeBytes(0x06, header.runcastFields)
  }
  headerReserve = close(at, headerReserve)
  return true
}

function writeAttributes(tag: number, attributes: NonNullable<EventInput['attributes']>, depth: number): boolean {
  // Entry and value: two messages deeper.
  if (depth + 2 > messageDepthMax) return false
  for (const key of Object.keys(attributes)) {
    const entry = open(tag, 1)
    writeText(0x0a, key)
    if (key === '') writeByte(0x0a, 0)
    const value = open(0x12, 1)
    if (!writeAttribute(attributes[key], depth + 2)) return false
    close(value, 1)
    close(entry, 1)
  }
  return true
}

function writeAttribute(attribute: AttributeInput | undefined, depth: number): boolean {
  if (attribute === undefined || depth > messageDepthMax || '$unknown' in attribute) return false
  const set = attribute.value
  if (set === undefined) return true
  const { value } = set
  switch (set.case) {
    case undefined:
      return true
    case 'stringValue':
      if (value === '') writeByte(0x0a, 0)
      else writeText(0x0a, value as string)
      return value !== undefined
    case 'intValue':
      if (!value) writeByte(0x10, 0)
      return value !== undefined && writeUint64(0x10, value as number | bigint)
    case 'floatValue':
      return typeof value === 'number' && writeDouble(0x19, value)
    case 'boolValue':
      writeByte(0x20, value ? 1 : 0)
      return value !== undefined
    case 'bytesValue':
      if ((value as Uint8Array | undefined)?.length === 0) writeByte(0x2a, 0)
      else writeBytes(0x2a, value as Uint8Array)
      return value !== undefined
    case 'arrayValue':
      return writeArray(value as { readonly values?: readonly AttributeInput[] } | undefined, depth + 1)
    case 'mapValue':
      return writeMap(value as { readonly values?: NonNullable<EventInput['attributes']> } | undefined, depth + 1)
  }
}

function writeArray(array: { readonly values?: readonly AttributeInput[] } | undefined, depth: number): boolean {
  if (array === undefined || depth > messageDepthMax || '$unknown' in array) return false
  const at = open(0x32, 1)
  for (const item of array.values ?? []) {
    const inner = open(0x0a, 1)
    if (!writeAttribute(item, depth + 1)) return false
    close(inner, 1)
  }
  close(at, 1)
  return true
}

function writeMap(
  map: { readonly values?: NonNullable<EventInput['attributes']> } | undefined,
  depth: number,
): boolean {
  if (map === undefined || depth > messageDepthMax || '$unknown' in map) return false
  const at = open(0x3a, 1)
  if (map.values !== undefined && !writeAttributes(0x0a, map.values, depth)) return false
  close(at, 1)
  return true
}

/** Begins a nested message with `reserve` bytes for its length. The place is relative: the slab may be exchanged. */
function open(tag: number, reserve: number): number {
  ensure(16)
  slab[used++] = tag
  const at = used - start
  used += reserve
  return at
}

/** Writes the length at the place that `open` gave, shifting the content when it needs another width; returns that. */
function close(at: number, reserve: number): number {
  const from = start + at + reserve
  const length = used - from
  const width = widthOf(length)
  if (width !== reserve) {
    ensure(8)
    slab.copyWithin(start + at + width, start + at + reserve, used)
    used += width - reserve
  }
  putVarint(start + at, length)
  return width
}

/** Room for `more` bytes; a message that outgrows its slab takes what it has written along. */
function ensure(more: number): void {
  if (used + more <= slab.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(slabBytes, 2 * (used - start + more)))
  slab.copy(grown, 0, start, used)
  used -= start
  start = 0
  slab = grown
}

/** Texts up to this length are copied by a loop: a native call costs more than it. */
const loopCharsMax = 24

function writeText(tag: number, value: string | undefined): void {
  if (value === undefined || value === '') return
  const { length } = value
  // Three bytes of UTF-8 per UTF-16 unit at most.
  ensure(length * 3 + 16)
  slab[used++] = tag
  if (length <= loopCharsMax) {
    let at = used + 1
    let i = 0
    for (; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) break
      slab[at++] = code
    }
    if (i === length) {
      slab[used] = length
      used = at
      return
    }
  }
  const reserve = widthOf(length)
  const written = slab.write(value, used + reserve)
  const width = widthOf(written)
  if (width !== reserve) slab.copyWithin(used + width, used + reserve, used + reserve + written)
  used = putVarint(used, written) + written
}

function writeBytes(tag: number, value: Uint8Array | undefined): void {
  if (value === undefined || value.length === 0) return
  ensure(value.length + 16)
  slab[used++] = tag
  used = putVarint(used, value.length)
  slab.set(value, used)
  used += value.length
}

/** The first byte of a two-byte tag (fields above 15). */
function writePage(low: number): void {
  ensure(1)
  slab[used++] = low
}

function writeByte(tag: number, value: number): void {
  ensure(2)
  slab[used++] = tag
  slab[used++] = value
}

/** False: not a number that fits without a sign, or a bigint beyond 2^53; the library knows what to do. */
function writeUint64(tag: number, value: number | bigint | undefined): boolean {
  if (!value) return value !== undefined ? !Number.isNaN(value) : true
  const plain = typeof value === 'bigint' ? (value > 0n && value <= 9007199254740991n ? Number(value) : -1) : value
  if (!(plain > 0) || !Number.isSafeInteger(plain)) return false
  ensure(12)
  slab[used++] = tag
  used = putVarint(used, plain)
  return true
}

function writeUint32(tag: number, value: number | undefined): boolean {
  return writeBelow(tag, value, 0xffffffff)
}

/** Enum numbers. Negative ones are ten bytes long and left to the library. */
function writeUint31(tag: number, value: number | undefined): boolean {
  return writeBelow(tag, value, 0x7fffffff)
}

function writeBelow(tag: number, value: number | undefined, max: number): boolean {
  if (value === undefined || value === 0) return true
  if (!(value > 0 && value <= max) || !Number.isInteger(value)) return false
  ensure(8)
  slab[used++] = tag
  used = putVarint(used, value)
  return true
}

function writeUint32s(values: readonly number[] | undefined): boolean {
  if (values === undefined || values.length === 0) return true
  ensure(values.length * 5 + 16)
  const at = open(0x22, 1)
  for (const value of values) {
    if (!(value >= 0 && value <= 0xffffffff) || !Number.isInteger(value)) return false
    used = putVarint(used, value)
  }
  close(at, 1)
  return true
}

function writeFloats(values: readonly number[] | undefined): boolean {
  if (values === undefined || values.length === 0) return true
  ensure(values.length * 4 + 16)
  slab[used++] = 0x2a
  used = putVarint(used, values.length * 4)
  for (const value of values) {
    // What a float cannot hold the library refuses with the field's name.
    if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))) return false
    used = slab.writeFloatLE(value, used)
  }
  return true
}

function writeDouble(tag: number, value: number): boolean {
  ensure(9)
  slab[used++] = tag
  used = slab.writeDoubleLE(value, used)
  return true
}

function widthOf(length: number): number {
  if (length < 0x80) return 1
  if (length < 0x4000) return 2
  if (length < 0x20_0000) return 3
  return length < 0x1000_0000 ? 4 : 5
}

/** A number up to 2^53, seven bits at a time; returns where it ends. */
function putVarint(from: number, value: number): number {
  let at = from
  let rest = value
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 128)) slab[at++] = (rest % 128) | 0x80
  for (; rest > 0x7f; rest >>>= 7) slab[at++] = (rest & 0x7f) | 0x80
  slab[at++] = rest
  return at
}
