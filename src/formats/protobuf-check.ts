// What a protobuf library lets pass, refused before it reads: wrong wire types, numbers too large for their field,
// broken UTF-8, two values of one oneof, messages nested too deep. Why: a lenient reader turns damage into data.
// It walks the bytes by descriptor and builds nothing; it must never refuse an unknown field or enum number.
import { isUtf8 } from 'node:buffer'
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf'
import { RuncastError } from '../error.ts'

/** Why bytes could not be read: the `error_type` of a dead letter. */
export type DecodeReason = 'decode_error' | 'decompression_error' | 'schema_error' | 'invalid_format' | 'too_large'

/**
 * The deepest nesting of messages, in reading and writing. 100 is where the readers of other languages stop.
 * An entry of a map is a message too: 48 nested arrays or 32 nested maps of attributes.
 */
export const messageDepthMax = 100

/** The error of every decoder; `details.reason` says why, for a metric's label and a dead letter. */
export function undecodable(
  reason: DecodeReason,
  message: string,
  more: { details?: Record<string, unknown>; cause?: unknown } = {},
): RuncastError {
  const options = { details: { ...more.details, reason }, ...(more.cause === undefined ? {} : { cause: more.cause }) }
  return new RuncastError(reason === 'too_large' ? 'too_large' : 'invalid_request', message, options)
}

/** Throws `decode_error` unless `bytes` is exactly a message of this type. */
export function checkWire(desc: DescMessage, bytes: Uint8Array): void {
  walkMessage(desc, { bytes, at: 0, end: bytes.length, depth: 1 })
}

interface Cursor {
  readonly bytes: Uint8Array
  at: number
  /** Where the innermost message ends. */
  end: number
  depth: number
}

const varint = 0
const fixed64 = 1
const delimited = 2
const startGroup = 3
const endGroup = 4
const fixed32 = 5

function walkMessage(desc: DescMessage, cursor: Cursor): void {
  if (cursor.depth > messageDepthMax) throw refused(cursor, `messages are nested more than ${messageDepthMax} deep`)
  const fields = fieldsOf(desc)
  let oneofs: Set<string> | undefined
  while (cursor.at < cursor.end) {
    const { number, type } = readTag(cursor)
    const field = fields.get(number)
    if (field === undefined) {
      skip(cursor, number, type)
      continue
    }
    if (field.oneof !== undefined) {
      oneofs ??= new Set()
      if (oneofs.has(field.oneof.name))
        throw refused(cursor, `${desc.typeName} has more than one "${field.oneof.name}"`)
      oneofs.add(field.oneof.name)
    }
    walkField(field, type, cursor)
  }
}

function walkField(field: DescField, type: number, cursor: Cursor): void {
  switch (field.fieldKind) {
    case 'message':
      return walkDelimited(field, type, cursor, inner => walkMessage(field.message, inner))
    case 'enum':
      return walkScalar(field, ScalarType.INT32, type, cursor)
    case 'scalar':
      return walkScalar(field, field.scalar, type, cursor)
    case 'list':
      if (field.listKind === 'message')
        return walkDelimited(field, type, cursor, inner => walkMessage(field.message, inner))
      return walkList(field, field.listKind === 'enum' ? ScalarType.INT32 : field.scalar, type, cursor)
    case 'map':
      return walkDelimited(field, type, cursor, inner => walkEntry(field, inner))
  }
}

function walkEntry(field: DescField & { fieldKind: 'map' }, cursor: Cursor): void {
  while (cursor.at < cursor.end) {
    const { number, type } = readTag(cursor)
    if (number === 1) walkScalar(field, field.mapKey, type, cursor)
    else if (number !== 2) skip(cursor, number, type)
    else if (field.mapKind === 'message') walkDelimited(field, type, cursor, inner => walkMessage(field.message, inner))
    else walkScalar(field, field.mapKind === 'enum' ? ScalarType.INT32 : field.scalar, type, cursor)
  }
}

function walkList(field: DescField, scalar: ScalarType, type: number, cursor: Cursor): void {
  const packable = scalar !== ScalarType.STRING && scalar !== ScalarType.BYTES
  if (!packable || type !== delimited) return walkScalar(field, scalar, type, cursor)
  walkDelimited(field, type, cursor, inner => {
    while (inner.at < inner.end) walkScalar(field, scalar, wireTypeOf(scalar), inner)
  })
}

function walkDelimited(field: DescField, type: number, cursor: Cursor, walk: (inner: Cursor) => void): void {
  if (type !== delimited) throw foreign(field, type, cursor)
  const length = readLength(cursor)
  const outer = cursor.end
  cursor.end = cursor.at + length
  cursor.depth++
  walk(cursor)
  cursor.depth--
  cursor.end = outer
}

function walkScalar(field: DescField, scalar: ScalarType, type: number, cursor: Cursor): void {
  if (type !== wireTypeOf(scalar)) throw foreign(field, type, cursor)
  if (type === fixed64) return advance(cursor, 8)
  if (type === fixed32) return advance(cursor, 4)
  if (type === delimited) {
    const length = readLength(cursor)
    const text = scalar === ScalarType.STRING ? cursor.bytes.subarray(cursor.at, cursor.at + length) : undefined
    if (text !== undefined && !isUtf8(text)) throw refused(cursor, `${field.toString()} is not UTF-8`)
    return advance(cursor, length)
  }
  const value = readVarint(cursor)
  const fits =
    scalar === ScalarType.UINT32
      ? value <= 0xffffffffn
      : scalar !== ScalarType.INT32 || value <= 0x7fffffffn || value >= 0xffffffff80000000n
  if (!fits) throw refused(cursor, `${field.toString()} holds ${value}, more than 32 bits`)
}

function wireTypeOf(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return delimited
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return fixed64
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return fixed32
    default:
      return varint
  }
}

function skip(cursor: Cursor, number: number, type: number): void {
  if (type === varint) readVarint(cursor)
  else if (type === fixed64) advance(cursor, 8)
  else if (type === fixed32) advance(cursor, 4)
  else if (type === delimited) advance(cursor, readLength(cursor))
  else if (type === startGroup) skipGroup(cursor, number)
  else throw refused(cursor, `field ${number} has the wire type ${type}, which opens nothing`)
}

function skipGroup(cursor: Cursor, number: number): void {
  if (++cursor.depth > messageDepthMax) throw refused(cursor, `groups are nested more than ${messageDepthMax} deep`)
  for (;;) {
    const inner = readTag(cursor)
    if (inner.type !== endGroup) skip(cursor, inner.number, inner.type)
    else if (inner.number === number) break
    else throw refused(cursor, `group ${number} is closed by ${inner.number}`)
  }
  cursor.depth--
}

function readTag(cursor: Cursor): { number: number; type: number } {
  const tag = readVarint(cursor)
  if (tag > 0xffffffffn || tag < 8n) throw refused(cursor, `${tag} is no field tag`)
  return { number: Number(tag >> 3n), type: Number(tag & 7n) }
}

function readLength(cursor: Cursor): number {
  const length = readVarint(cursor)
  if (length > BigInt(cursor.end - cursor.at))
    throw refused(cursor, `a field of ${length} bytes has ${cursor.end - cursor.at} left`)
  return Number(length)
}

function readVarint(cursor: Cursor): bigint {
  const { bytes } = cursor
  const first = cursor.at
  let low = 0
  for (let read = 0; read < 10; read++) {
    if (cursor.at >= cursor.end) throw refused(cursor, 'the bytes end inside a number')
    const byte = bytes[cursor.at++] ?? 0
    // 7 groups of 7 bits are exact in a double; most numbers end there.
    if (read < 7) low += (byte & 0x7f) * 2 ** (7 * read)
    if (byte < 0x80) {
      if (read < 7) return BigInt(low)
      if (read === 9 && byte > 1) break
      return BigInt(low) + highBits(bytes, first + 7, cursor.at)
    }
  }
  throw refused(cursor, 'a number has more than 64 bits')
}

function highBits(bytes: Uint8Array, from: number, to: number): bigint {
  let value = 0n
  for (let i = from; i < to; i++) value |= BigInt((bytes[i] ?? 0) & 0x7f) << BigInt(49 + 7 * (i - from))
  return value
}

function advance(cursor: Cursor, length: number): void {
  if (cursor.end - cursor.at < length)
    throw refused(cursor, `a field of ${length} bytes has ${cursor.end - cursor.at} left`)
  cursor.at += length
}

function foreign(field: DescField, type: number, cursor: Cursor): RuncastError {
  return refused(cursor, `${field.toString()} has the wire type ${type}`)
}

function refused(cursor: Cursor, what: string): RuncastError {
  return undecodable('decode_error', `not a protobuf message: ${what} (at byte ${cursor.at})`)
}

const numbered = new WeakMap<DescMessage, Map<number, DescField>>()

function fieldsOf(desc: DescMessage): Map<number, DescField> {
  let fields = numbered.get(desc)
  if (fields === undefined) {
    fields = new Map(desc.fields.map(field => [field.number, field]))
    numbered.set(desc, fields)
  }
  return fields
}
