// The frame of a DashStream record: byte 0x00 and protobuf, or 0x01 and one zstd frame of it. The only way in and
// out: every writer and every reader of payloads goes through here, so that none forgets the byte or the limits.
// It must never guess at what a payload might be, nor allocate what a payload merely claims.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { undecodable } from './protobuf-check.ts'

/** Protobuf in one record. 1 MiB is what Kafka's brokers take by default. */
export const bodyBytesMax = 1_048_576
/** A framed payload: the frame byte comes on top. Derived, so that the two cannot part. */
export const payloadBytesMax = bodyBytesMax + 1
/** Protobuf in one record of a topic that others write; asked for by `bodyBytesMax` in the options. */
export const foreignBodyBytesMax = 10 * 1024 * 1024
/** Larger bodies are compressed. Below 512 bytes zstd wins a few bytes and costs 35 µs. */
const compressAboveBytes = 512
/** zstd's own default: higher levels gain a tenth and cost double. */
const zstdLevel = 3
/** The largest window a frame may ask for: 16 MiB holds `foreignBodyBytesMax` as one segment. */
const windowLogMax = 24
/** No block of a zstd frame yields more (RFC 8878 §3.1.1.2). */
const zstdBlockBytesMax = 131_072

export const rawByte = 0x00
export const zstdByte = 0x01

/** How a payload was framed. The last two occur in compatible mode only; count them. */
export type Framing = 'raw' | 'zstd' | 'bare_protobuf' | 'bare_zstd'

export interface UnframeOptions {
  /** Takes payloads without frame byte: writers of before the frame. Default: refused. */
  compatible?: boolean
  /** Default {@link bodyBytesMax}; {@link foreignBodyBytesMax} for topics of others. */
  bodyBytesMax?: number
}

/** A raw payload (0x00 and protobuf, whose header says "not compressed") as the payload to send: compressed when that is smaller. */
export function frame(raw: Buffer): Buffer {
  const size = raw.length - 1
  if (size > bodyBytesMax) throw tooLarge('the protobuf', size, bodyBytesMax)
  if (size <= compressAboveBytes) return raw
  const flagged = markCompressed(raw.subarray(1))
  // The two bytes of the mark may not carry a body over the limit: it is sent as it is, and every reader takes it.
  if (flagged.length > bodyBytesMax) return raw
  const packed = zstdCompressSync(flagged, {
    // The checksum lets a reader see a flipped bit (most flips decode to another valid message without it).
    params: { [constants.ZSTD_c_compressionLevel]: zstdLevel, [constants.ZSTD_c_checksumFlag]: 1 },
    pledgedSrcSize: flagged.length,
    chunkSize: chunkSize(flagged.length),
  })
  return packed.length < size ? Buffer.concat([Buffer.of(zstdByte), packed], packed.length + 1) : raw
}

/** The protobuf in a payload. Throws with `details.reason` (and `details.found` for a payload without frame). */
export function unframe(payload: Uint8Array, options: UnframeOptions = {}): { body: Uint8Array; framing: Framing } {
  const limit = options.bodyBytesMax ?? bodyBytesMax
  const framing = framingOf(payload, options.compatible ?? false)
  const bare = framing === 'bare_protobuf' || framing === 'bare_zstd'
  const content = bare ? payload : payload.subarray(1)
  if (content.length > limit) throw tooLarge('the payload', content.length, limit)
  const compressed = framing === 'zstd' || framing === 'bare_zstd'
  return { body: compressed ? decompress(content, limit) : content, framing }
}

/** What a payload begins with: a frame, or what was put there instead of one. */
type Found = Framing | 'empty' | 'json' | 'unknown_byte'

function framingOf(payload: Uint8Array, compatible: boolean): Framing {
  const found = look(payload)
  if (found === 'raw' || found === 'zstd') return found
  if (compatible && (found === 'bare_protobuf' || found === 'bare_zstd')) return found
  const first = payload.length === 0 ? 'no byte' : `0x${(payload[0] ?? 0).toString(16).padStart(2, '0')}`
  throw undecodable(
    'invalid_format',
    `a DashStream payload begins with 0x00 or 0x01, this one with ${first} (${found})`,
    {
      details: { found },
    },
  )
}

function look(payload: Uint8Array): Found {
  const first = payload[0]
  if (first === undefined) return 'empty'
  if (first === rawByte) return 'raw'
  if (first === zstdByte) return 'zstd'
  if (first === 0x28 && magicOf(payload) === zstdMagic) return 'bare_zstd'
  // The tags of the nine kinds: fields 1 to 9, length-delimited.
  if (first >= 0x0a && first <= 0x4a && (first & 7) === 2) return 'bare_protobuf'
  return first === 0x7b || first === 0x5b ? 'json' : 'unknown_byte'
}

function decompress(packed: Uint8Array, limit: number): Uint8Array {
  const { contentSize } = readZstdFrame(packed)
  if (contentSize !== undefined && contentSize > limit)
    throw tooLarge('the content of the zstd frame', contentSize, limit)
  let body: Buffer
  try {
    body = zstdDecompressSync(packed, {
      params: { [constants.ZSTD_d_windowLogMax]: windowLogMax },
      maxOutputLength: limit,
      chunkSize: chunkSize(contentSize ?? 0),
    })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw undecodable('too_large', `the zstd frame holds more than ${limit} bytes`, { cause })
    throw undecodable('decompression_error', `zstd: ${(cause as Error).message}`, { cause })
  }
  if (contentSize !== undefined && body.length !== contentSize)
    throw brokenZstd(`it declares ${contentSize} bytes and holds ${body.length}`)
  return body
}

const zstdMagic = 0xfd2fb528

/**
 * Reads a zstd frame's header and steps over its blocks (RFC 8878 §3.1.1), decompressing nothing. Throws unless
 * `bytes` is exactly one frame without dictionary, of a window that we would give it.
 */
export function readZstdFrame(bytes: Uint8Array): { contentSize: number | undefined; checksum: boolean } {
  if (magicOf(bytes) !== zstdMagic) throw brokenZstd('it has no magic number (or is a skippable frame)')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const descriptor = bytes[4]
  if (descriptor === undefined || (descriptor & 0x08) !== 0) throw brokenZstd('its header is cut off or reserved')
  if ((descriptor & 0x03) !== 0) throw brokenZstd('it wants a dictionary')
  const single = (descriptor & 0x20) !== 0
  const checksum = (descriptor & 0x04) !== 0
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  const blocksAt = 5 + (single ? 0 : 1) + sizeBytes
  if (bytes.length < blocksAt + 3) throw brokenZstd('its header is cut off')
  if (!single) {
    const window = bytes[5] ?? 0
    if ((window >> 3) + 10 > windowLogMax - ((window & 7) === 0 ? 0 : 1))
      throw brokenZstd(`it wants a window of more than 2^${windowLogMax} bytes`)
  }
  const contentSize = readContentSize(view, blocksAt - sizeBytes, sizeBytes)
  const end = stepOverBlocks(bytes, blocksAt) + (checksum ? 4 : 0)
  if (end !== bytes.length)
    throw brokenZstd(end > bytes.length ? 'it is cut off' : `${bytes.length - end} bytes follow it`)
  return { contentSize, checksum }
}

function readContentSize(view: DataView, at: number, bytes: number): number | undefined {
  if (bytes === 0) return undefined
  if (bytes === 1) return view.getUint8(at)
  if (bytes === 2) return view.getUint16(at, true) + 256
  // Sizes beyond 2^53 lose digits here and are refused as too large all the same.
  return bytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true))
}

/** Where the last block ends. */
function stepOverBlocks(bytes: Uint8Array, from: number): number {
  for (let at = from; ; ) {
    if (at + 3 > bytes.length) throw brokenZstd('it is cut off')
    const header = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16)
    const type = (header >> 1) & 3
    const size = header >> 3
    if (type === 3 || size > zstdBlockBytesMax) throw brokenZstd('a block of it is reserved or too large')
    // Type 1 is one byte, repeated `size` times.
    at += 3 + (type === 1 ? 1 : size)
    if ((header & 1) === 1) return at
  }
}

/**
 * Encoded bytes with `Header.compression` set to zstd. The bytes are ours: kind, header first, fields in order.
 * Done on the bytes because a second encode costs more, and because the size decides and is known only now.
 */
export function markCompressed(body: Uint8Array): Buffer {
  const kind = readSpan(body, 0)
  const header = readSpan(body, kind.start)
  let at = header.start
  // Fields 1 to 7 stand before field 8: two varints (2, 5, 6) or length-delimited.
  while (at < header.end && (body[at] ?? 0) < 0x40) {
    const tag = body[at] ?? 0
    at = (tag & 7) === 2 ? readSpan(body, at).end : readVarint(body, at + 1).next
  }
  const headerLength = lengthBytes(header.end - header.start + compressionField.length)
  const kindLength = lengthBytes(kind.end - header.end + 1 + headerLength.length + header.end - header.start + 2)
  return Buffer.concat([
    body.subarray(0, 1),
    kindLength,
    body.subarray(kind.start, kind.start + 1),
    headerLength,
    body.subarray(header.start, at),
    compressionField,
    body.subarray(at),
  ])
}

/** Field 8 as varint: COMPRESSION_ZSTD. */
const compressionField = Buffer.of(0x40, 0x01)

/** Start and end of the content of the length-delimited field whose one-byte tag is at `at`. */
function readSpan(bytes: Uint8Array, at: number): { start: number; end: number } {
  const { value, next } = readVarint(bytes, at + 1)
  return { start: next, end: next + value }
}

function readVarint(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0
  let next = at
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[next++] ?? 0
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return { value, next }
  }
}

function lengthBytes(length: number): Buffer {
  const bytes: number[] = []
  let rest = length
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** One piece of output as large as the content, so that zlib need not join many; never by a claim alone above 64 KiB. */
function chunkSize(contentSize: number): number {
  return Math.min(Math.max(contentSize, 1024), 65_536)
}

function magicOf(bytes: Uint8Array): number {
  return ((bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8) | ((bytes[2] ?? 0) << 16) | ((bytes[3] ?? 0) << 24)) >>> 0
}

function tooLarge(what: string, size: number, limit: number): Error {
  return undecodable('too_large', `${what} has ${size} bytes, at most ${limit} are taken`, { details: { size, limit } })
}

function brokenZstd(what: string): Error {
  return undecodable('decompression_error', `not one zstd frame: ${what}`)
}
