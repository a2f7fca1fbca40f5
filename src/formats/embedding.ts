// Vectors in the four encodings of dashstream.v1's Embedding message: float32, float16, int8 with a scale, one bit per
// dimension. Little-endian everywhere. Why here and not a typed array: Float16Array is younger than the oldest Node we
// run on. It must never turn a number it cannot hold into another one silently: those are refused.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { RuncastError } from '../error.ts'
import { type EmbeddingEncoding as EncodingNumber, EmbeddingSchema } from '../gen/dashstream/v1/dashstream_pb.ts'
import { checkWire, undecodable } from './protobuf-check.ts'

/** By number, as EmbeddingEncoding. */
export const embeddingEncodings = ['float32', 'float16', 'int8', 'binary'] as const
export type EmbeddingEncoding = (typeof embeddingEncodings)[number]

/** More than any model's vectors have; a claim beyond it is a broken message. */
const dimensionsMax = 1_048_576

/** `data` of a `custom` event named `embedding`. */
export interface EmbeddingData {
  readonly embedding_id?: string
  readonly model?: string
  readonly dimensions: number
  readonly encoding: EmbeddingEncoding
  /** Base64 of the encoded vector. */
  readonly data: string
}

/** A vector as the data of an `embedding` event: `ctx.emit('embedding', embedding(vector, { model }))`. */
export function embedding(
  values: ArrayLike<number>,
  options: { model?: string; encoding?: EmbeddingEncoding; embedding_id?: string } = {},
): EmbeddingData {
  const { encoding = 'float32', ...named } = options
  const data = Buffer.from(encodeVector(values, encoding)).toString('base64')
  return { ...named, dimensions: values.length, encoding, data }
}

/** The vector of an `embedding` event's data, as near as its encoding keeps it. */
export function vectorOf({ data, encoding, dimensions }: EmbeddingData): Float32Array {
  return decodeVector(Buffer.from(data, 'base64'), encoding, dimensions)
}

/**
 * Error bounds: float32 2^-24 of each value; float16 2^-11 of it, or 2^-25 below 2^-14; int8 half a step of
 * largest/127; binary keeps the sign only (0 counts as positive).
 */
export function encodeVector(values: ArrayLike<number>, encoding: EmbeddingEncoding): Uint8Array {
  if (values.length > dimensionsMax) throw refused(`it has ${values.length} dimensions, at most ${dimensionsMax}`)
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw refused(`value ${i} is ${values[i]}`)
  }
  switch (encoding) {
    case 'float32':
      return fill(values, 4, (view, at, value) => view.setFloat32(at, within(value, Math.fround(value)), true))
    case 'float16':
      return fill(values, 2, (view, at, value) => view.setUint16(at, toHalf(value), true))
    case 'int8':
      return encodeInt8(values)
    case 'binary':
      return encodeBits(values)
  }
}

export function decodeVector(data: Uint8Array, encoding: EmbeddingEncoding, dimensions: number): Float32Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const length = (bytes: number) => {
    if (data.length !== bytes)
      throw broken(`${dimensions} dimensions of ${encoding} are ${bytes} bytes, not ${data.length}`)
  }
  if (dimensions > dimensionsMax) throw broken(`it claims ${dimensions} dimensions, at most ${dimensionsMax}`)
  switch (encoding) {
    case 'float32':
      length(dimensions * 4)
      return Float32Array.from({ length: dimensions }, (_, i) => view.getFloat32(i * 4, true))
    case 'float16':
      length(dimensions * 2)
      return Float32Array.from({ length: dimensions }, (_, i) => fromHalf(view.getUint16(i * 2, true)))
    case 'int8': {
      // Without a scale in front the values are parts of 127, as others write unit vectors.
      const bare = data.length === dimensions
      if (!bare) length(dimensions + scaleBytes)
      const scale = bare ? 1 / 127 : view.getFloat32(0, true)
      return Float32Array.from({ length: dimensions }, (_, i) => view.getInt8(i + (bare ? 0 : scaleBytes)) * scale)
    }
    case 'binary':
      length(Math.ceil(dimensions / 8))
      return Float32Array.from({ length: dimensions }, (_, i) => (((data[i >> 3] ?? 0) >> (7 - (i & 7))) & 1 ? 1 : -1))
    default:
      // It is what a reader was sent, and a newer schema may have more.
      throw broken(`its encoding ${String(encoding satisfies never)} is none of ${embeddingEncodings.join(', ')}`)
  }
}

/** The Embedding message of an event's data; `exact`: reading it gives this very data. No bytes when it is no vector. */
export function embeddingBytes(data: unknown): { bytes?: Uint8Array; exact: boolean } {
  if (typeof data !== 'object' || data === null) return { exact: false }
  const { embedding_id, model, dimensions, encoding = 'float32', data: text, values } = data as Record<string, unknown>
  const number = embeddingEncodings.indexOf(encoding as EmbeddingEncoding)
  if (number === -1) return { exact: false }
  let bytes: Uint8Array
  if (typeof text === 'string') bytes = Buffer.from(text, 'base64')
  else if (Array.isArray(values) && values.length <= dimensionsMax && values.every(fits)) {
    bytes = encodeVector(values, encoding as EmbeddingEncoding)
  } else return { exact: false }
  const count = typeof dimensions === 'number' && dimensions >>> 0 === dimensions ? dimensions : undefined
  const message = create(EmbeddingSchema, {
    embeddingId: textOf(embedding_id),
    model: textOf(model),
    dimensions: count ?? (Array.isArray(values) ? values.length : 0),
    encoding: number as EncodingNumber,
    data: bytes,
  })
  const again = dataOf(message)
  const same = Object.keys(data).length === Object.keys(again).length
  const exact =
    same && Object.entries(again).every(([name, value]) => (data as Record<string, unknown>)[name] === value)
  return { bytes: toBinary(EmbeddingSchema, message), exact }
}

/** The data of an `embedding` event from the bytes of an Embedding message. */
export function embeddingData(bytes: Uint8Array): EmbeddingData {
  checkWire(EmbeddingSchema, bytes)
  return dataOf(fromBinary(EmbeddingSchema, bytes))
}

function dataOf(message: {
  embeddingId: string
  model: string
  dimensions: number
  encoding: number
  data: Uint8Array
}): EmbeddingData {
  const { embeddingId, model, dimensions, encoding, data } = message
  return {
    ...(embeddingId !== '' && { embedding_id: embeddingId }),
    ...(model !== '' && { model }),
    dimensions,
    // A number of a newer schema is kept as its digits; nobody decodes it by mistake.
    encoding: embeddingEncodings[encoding] ?? (String(encoding) as EmbeddingEncoding),
    data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.toWellFormed() : ''
}

function fits(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) <= halfMax
}

type Write = (view: DataView, at: number, value: number) => void

function fill(values: ArrayLike<number>, bytes: number, write: Write): Uint8Array {
  const data = new Uint8Array(values.length * bytes)
  const view = new DataView(data.buffer)
  for (let i = 0; i < values.length; i++) write(view, i * bytes, values[i] ?? 0)
  return data
}

const scaleBytes = 4

function encodeInt8(values: ArrayLike<number>): Uint8Array {
  let largest = 0
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i] ?? 0))
  const scale = within(largest, Math.fround(largest / 127))
  const data = new Uint8Array(scaleBytes + values.length)
  const view = new DataView(data.buffer)
  view.setFloat32(0, scale, true)
  for (let i = 0; i < values.length; i++) {
    const step = scale === 0 ? 0 : Math.round((values[i] ?? 0) / scale)
    view.setInt8(scaleBytes + i, Math.max(-127, Math.min(127, step)))
  }
  return data
}

function encodeBits(values: ArrayLike<number>): Uint8Array {
  const data = new Uint8Array(Math.ceil(values.length / 8))
  for (let i = 0; i < values.length; i++)
    if ((values[i] ?? 0) >= 0) data[i >> 3] = (data[i >> 3] ?? 0) | (0x80 >> (i & 7))
  return data
}

/** The largest finite half; what rounds above it is refused. */
const halfMax = 65_504

function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (size >= halfMax + 16) throw refused(`${value} is more than float16 holds (${halfMax})`)
  // Steps of 2^-24 below 2^-14, above it 1024 steps for each power of two.
  const exponent = Math.max(-14, Math.min(15, Math.floor(Math.log2(size || 1e-9))))
  const steps = roundEven(size / 2 ** (exponent - 10))
  return exponent === -14 ? sign | steps : sign + (((exponent + 15) << 10) + (steps - 1024))
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function roundEven(value: number): number {
  const below = Math.floor(value)
  const half = value - below
  return half > 0.5 || (half === 0.5 && below % 2 === 1) ? below + 1 : below
}

function within(value: number, rounded: number): number {
  if (!Number.isFinite(rounded)) throw refused(`${value} is more than float32 holds`)
  return rounded
}

function refused(why: string): RuncastError {
  return new RuncastError(
    'invalid_request',
    `this vector has no such encoding: ${why}; scale it, or use another encoding`,
  )
}

function broken(why: string): RuncastError {
  return undecodable('schema_error', `not an embedding: ${why}`)
}
