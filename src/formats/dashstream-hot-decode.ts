// The reading half of dashstream-hot-encode.ts: tokens, events (also in batches) and diffs straight into the library's own
// message objects, with a small cache of repeating strings. Why: four times the library's speed (bench/codec.ts).
// It must never decide an error: at anything unusual it answers `undefined`, and the checked library path judges.
import { isUtf8 } from 'node:buffer'
import type {
  AttributeValue,
  DashStreamMessage,
  DiffOperation,
  Event,
  Header,
  StateDiff,
  TokenChunk,
} from '../gen/dashstream/v1/dashstream_pb.ts'

/** The message in `payload` from `from` on, as the library would decode it. `undefined`: not of the usual form. */
export function decodeHot(payload: Uint8Array, from = 0): DashStreamMessage | undefined {
  const kind = payload[from]
  bytes = payload
  at = from + 1
  end = payload.length
  failed = false
  const length = readLength()
  // Nothing may follow the one message.
  if (failed || at + length !== end) return undefined
  const message = readKind(kind)
  bytes = nothing
  return failed || message === undefined ? undefined : { $typeName: 'dashstream.v1.DashStreamMessage', message }
}

function readKind(tag: number | undefined): DashStreamMessage['message'] | undefined {
  if (tag === 0x1a) return { case: 'tokenChunk', value: readToken() }
  if (tag === 0x0a) return { case: 'event', value: readEvent() }
  if (tag === 0x12) return { case: 'stateDiff', value: readDiff() }
  return tag === 0x42 ? { case: 'eventBatch', value: readBatch() } : undefined
}

const nothing = new Uint8Array(0)

let bytes: Uint8Array = nothing
let at = 0
/** The end of the innermost message. */
let end = 0
/** Set instead of thrown: the caller drops the result. Every loop ends because `at` only grows. */
let failed = false

function readToken(): TokenChunk {
  let header: Header | undefined
  let requestId = ''
  let text = ''
  const tokenIds: number[] = []
  const logprobs: number[] = []
  let chunkIndex = 0
  let isFinal = false
  let finishReason = 0
  let model = ''
  let stats: TokenChunk['stats']
  while (at < end && !failed) {
    switch (bytes[at++]) {
      case 0x0a:
        if (header !== undefined) failed = true
        header = readHeader()
        break
      case 0x12:
        requestId = readRepeating()
        break
      case 0x1a:
        text = readText(readLength())
        break
      case 0x22:
        readUint32s(tokenIds)
        break
      case 0x2a:
        readFloats(logprobs)
        break
      case 0x30:
        chunkIndex = readUint32()
        break
      case 0x38:
        isFinal = readBool()
        break
      case 0x40:
        finishReason = readUint31()
        break
      case 0x4a:
        model = readRepeating()
        break
      case 0x52:
        if (stats !== undefined) failed = true
        stats = readStats()
        break
      default:
        failed = true
    }
  }
  const token: TokenChunk = {
    $typeName: 'dashstream.v1.TokenChunk',
    requestId,
    text,
    tokenIds,
    logprobs,
    chunkIndex,
    isFinal,
    finishReason: finishReason as TokenChunk['finishReason'],
    model,
  }
  if (header !== undefined) token.header = header
  if (stats !== undefined) token.stats = stats
  return token
}

function readStats(): NonNullable<TokenChunk['stats']> {
  const outer = enter()
  let promptTokens = 0
  let completionTokens = 0
  let totalTokens = 0
  while (at < end && !failed) {
    const tag = bytes[at++]
    if (tag === 0x08) promptTokens = readUint32()
    else if (tag === 0x10) completionTokens = readUint32()
    else if (tag === 0x18) totalTokens = readUint32()
    else failed = true
  }
  leave(outer)
  return { $typeName: 'dashstream.v1.TokenStats', promptTokens, completionTokens, totalTokens }
}

function readEvent(): Event {
  let header: Header | undefined
  let eventType = 0
  let nodeId = ''
  const attributes: Event['attributes'] = {}
  let durationUs = 0n
  let llmRequestId = ''
  while (at < end && !failed) {
    switch (bytes[at++]) {
      case 0x0a:
        if (header !== undefined) failed = true
        header = readHeader()
        break
      case 0x10:
        eventType = readUint31()
        break
      case 0x1a:
        nodeId = readRepeating()
        break
      case 0x22:
        readAttribute(attributes)
        break
      case 0x28:
        durationUs = readUint64()
        break
      case 0x32:
        llmRequestId = readRepeating()
        break
      default:
        failed = true
    }
  }
  const event: Event = {
    $typeName: 'dashstream.v1.Event',
    eventType: eventType as Event['eventType'],
    nodeId,
    attributes,
    durationUs,
    llmRequestId,
  }
  if (header !== undefined) event.header = header
  return event
}

function readBatch(): Extract<DashStreamMessage['message'], { case: 'eventBatch' }>['value'] {
  let header: Header | undefined
  const events: Event[] = []
  while (at < end && !failed) {
    const tag = bytes[at++]
    if (tag === 0x0a && header === undefined) header = readHeader()
    else if (tag === 0x12) {
      const outer = enter()
      events.push(readEvent())
      leave(outer)
    } else failed = true
  }
  const batch: ReturnType<typeof readBatch> = { $typeName: 'dashstream.v1.EventBatch', events }
  if (header !== undefined) batch.header = header
  return batch
}

function readDiff(): StateDiff {
  let header: Header | undefined
  let baseCheckpointId: Uint8Array = nothing
  const operations: DiffOperation[] = []
  let stateHash: Uint8Array = nothing
  let fullState: Uint8Array = nothing
  while (at < end && !failed) {
    const tag = bytes[at++]
    if (tag === 0x0a && header === undefined) header = readHeader()
    else if (tag === 0x12) baseCheckpointId = readBytes()
    else if (tag === 0x1a) operations.push(readOperation())
    else if (tag === 0x22) stateHash = readBytes()
    else if (tag === 0x2a) fullState = readBytes()
    else failed = true
  }
  const diff: StateDiff = { $typeName: 'dashstream.v1.StateDiff', baseCheckpointId, operations, stateHash, fullState }
  if (header !== undefined) diff.header = header
  return diff
}

function readOperation(): DiffOperation {
  const outer = enter()
  let op = 0
  let path = ''
  let value: Uint8Array = nothing
  let from = ''
  let encoding = 0
  while (at < end && !failed) {
    const tag = bytes[at++]
    if (tag === 0x08) op = readUint31()
    else if (tag === 0x12) path = readRepeating()
    else if (tag === 0x1a) value = readBytes()
    else if (tag === 0x22) from = readRepeating()
    else if (tag === 0x28) encoding = readUint31()
    else failed = true
  }
  leave(outer)
  return {
    $typeName: 'dashstream.v1.DiffOperation',
    op: op as DiffOperation['op'],
    path,
    value,
    from,
    encoding: encoding as DiffOperation['encoding'],
  }
}

function readHeader(): Header {
  const outer = enter()
  let messageId: Uint8Array = nothing
  let timestampUs = 0n
  let tenantId = ''
  let threadId = ''
  let sequence = 0n
  let type = 0
  let parentId: Uint8Array = nothing
  let compression = 0
  let schemaVersion = 0
  let runId = ''
  let runSequence = 0n
  let runcastFields: Uint8Array = nothing
  while (at < end && !failed) {
    switch (bytes[at++]) {
      case 0x0a:
        messageId = readBytes()
        break
      case 0x10:
        timestampUs = readUint64()
        break
      case 0x1a:
        tenantId = readRepeating()
        break
      case 0x22:
        threadId = readRepeating()
        break
      case 0x28:
        sequence = readUint64()
        break
      case 0x30:
        type = readUint31()
        break
      case 0x3a:
        parentId = readBytes()
        break
      case 0x40:
        compression = readUint31()
        break
      case 0x48:
        schemaVersion = readUint32()
        break
      // Fields 100, 101 and 102 have tags of two bytes.
      case 0xa2:
        if (bytes[at++] === 0x06) runId = readRepeating()
        else failed = true
        break
      case 0xa8:
        if (bytes[at++] === 0x06) runSequence = readUint64()
        else failed = true
        break
      case 0xb2:
        if (bytes[at++] === 0x06) runcastFields = readBytes()
        else failed = true
        break
      default:
        failed = true
    }
  }
  leave(outer)
  return {
    $typeName: 'dashstream.v1.Header',
    messageId,
    timestampUs,
    tenantId,
    threadId,
    sequence,
    type: type as Header['type'],
    parentId,
    compression: compression as Header['compression'],
    schemaVersion,
    runId,
    runSequence,
    runcastFields,
  }
}

/** One entry of the map. Arrays and maps as values are left to the library. */
function readAttribute(into: Event['attributes']): void {
  const outer = enter()
  if (bytes[at++] !== 0x0a) failed = true
  const key = readRepeating()
  if (bytes[at++] !== 0x12) failed = true
  const inner = enter()
  const value = readValue()
  leave(inner)
  leave(outer)
  // Assigning it would set the prototype.
  if (key === '__proto__') failed = true
  into[key] = { $typeName: 'dashstream.v1.AttributeValue', value }
}

function readValue(): AttributeValue['value'] {
  if (at === end) return { case: undefined }
  switch (bytes[at++]) {
    case 0x0a:
      return { case: 'stringValue', value: readText(readLength()) }
    case 0x10:
      return { case: 'intValue', value: readUint64() }
    case 0x19:
      return { case: 'floatValue', value: readDouble() }
    case 0x20:
      return { case: 'boolValue', value: readBool() }
    case 0x2a:
      return { case: 'bytesValue', value: readBytes() }
    default:
      failed = true
      return { case: undefined }
  }
}

/** Into a nested message; gives the outer end for `leave`. */
function enter(): number {
  const outer = end
  const length = readLength()
  end = at + length
  return outer
}

function leave(outer: number): void {
  if (at !== end) failed = true
  end = outer
}

/** A length that fits into what is left. */
function readLength(): number {
  const first = bytes[at] as number
  let length = first
  if (first < 0x80) at++
  else length = readUint32()
  if (!(length <= end - at)) {
    failed = true
    return 0
  }
  return length
}

function readBool(): boolean {
  const value = bytes[at++] as number
  if (!(value <= 1)) failed = true
  return value === 1
}

function readUint31(): number {
  const value = readUint32()
  if (value > 0x7fff_ffff) failed = true
  return value
}

function readUint32(): number {
  const value = readNumber()
  if (!(value <= 0xffff_ffff)) failed = true
  return value
}

function readUint64(): bigint {
  const value = readNumber()
  if (value <= Number.MAX_SAFE_INTEGER) return BigInt(value)
  failed = true
  return 0n
}

/** A varint of up to eight bytes; past the end of the message, or longer, it fails. */
function readNumber(): number {
  let byte = bytes[at++] as number
  if (byte < 0x80) return byte
  let low = byte & 0x7f
  for (let shift = 7; shift < 28; shift += 7) {
    byte = bytes[at++] as number
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) return low
  }
  let high = 0
  for (let shift = 0; shift < 28; shift += 7) {
    byte = bytes[at++] as number
    high |= (byte & 0x7f) << shift
    if (byte < 0x80) return high * 0x1000_0000 + low
  }
  failed = true
  return 0
}

function readBytes(): Uint8Array {
  const length = readLength()
  at += length
  // A plain view, also of a Buffer: its JSON and equality differ.
  return length === 0 ? nothing : new Uint8Array(bytes.buffer, bytes.byteOffset + at - length, length)
}

function readDouble(): number {
  if (at + 8 > end) {
    failed = true
    return 0
  }
  for (let i = 0; i < 8; i++) scratchBytes[i] = bytes[at++] as number
  return scratch.getFloat64(0, true)
}

function readFloats(into: number[]): void {
  const length = readLength()
  if (length % 4 !== 0) failed = true
  for (const until = at + length; at < until && !failed; ) {
    for (let i = 0; i < 4; i++) scratchBytes[i] = bytes[at++] as number
    into.push(scratch.getFloat32(0, true))
  }
}

const scratchBytes = new Uint8Array(8)
const scratch = new DataView(scratchBytes.buffer)

function readUint32s(into: number[]): void {
  const outer = enter()
  while (at < end && !failed) into.push(readUint32())
  leave(outer)
}

/** Strings that come again in the next message: ids, names, keys. Sized for the runs of one busy partition. */
const cacheSlots = 1024
/** Longer strings are not kept: 1,024 of 96 bytes are 100 kB at most. */
const cachedBytesMax = 96
const cachedBytes: (Uint8Array | undefined)[] = Array.from({ length: cacheSlots }, () => undefined)
const cachedText: string[] = Array.from({ length: cacheSlots }, () => '')

function readRepeating(): string {
  const length = readLength()
  if (length === 0) return ''
  if (length > cachedBytesMax) return readText(length)
  const first = bytes[at] as number
  const last = bytes[at + length - 1] as number
  const middle = bytes[at + (length >> 1)] as number
  const slot = (length + first * 5 + last * 37 + middle * 67) & (cacheSlots - 1)
  const known = cachedBytes[slot]
  if (known !== undefined && known.length === length) {
    let i = 0
    while (i < length && known[i] === bytes[at + i]) i++
    if (i === length) {
      at += length
      return cachedText[slot] as string
    }
  }
  const from = at
  const text = readText(length)
  if (!failed) {
    cachedBytes[slot] = Uint8Array.from(bytes.subarray(from, at))
    cachedText[slot] = text
  }
  return text
}

/** Texts up to this length are built from their codes when they are ASCII: a native call costs more. */
const builtBytesMax = 16

function readText(length: number): string {
  const from = at
  at += length
  if (length <= builtBytesMax) {
    let high = 0
    for (let i = from; i < at; i++) high |= bytes[i] as number
    if (high < 0x80) return length <= 8 ? built(from, length) : built(from, 8) + built(from + 8, length - 8)
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + from, length)
  if (!isUtf8(view)) failed = true
  return view.toString()
}

/** At most eight codes in one call: as fast as it gets, and a call with an array is not. */
function built(i: number, length: number): string {
  switch (length) {
    case 0:
      return ''
    case 1:
      return String.fromCharCode(code(i))
    case 2:
      return String.fromCharCode(code(i), code(i + 1))
    case 3:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2))
    case 4:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3))
    case 5:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3), code(i + 4))
    case 6:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3), code(i + 4), code(i + 5))
    case 7:
      return built(i, 4) + built(i + 4, 3)
    default:
      return String.fromCharCode(
        code(i),
        code(i + 1),
        code(i + 2),
        code(i + 3),
        code(i + 4),
        code(i + 5),
        code(i + 6),
        code(i + 7),
      )
  }
}

function code(i: number): number {
  return bytes[i] as number
}
