// Records as one batch of format 2, the other end of record-batches.ts. Ours, because the client makes a dozen objects of
// a record, which costs more than everything that the sink does with an event, and packs with zstd as it comes.
// It must never write a byte that Java's consumers would not read; the tests let one judge.
import { constants, zstdCompressSync } from 'node:zlib'
import type { Kafka } from './client.ts'
import { layout, transactionalBit, zstd } from './record-batches.ts'

export interface NewRecord {
  readonly topic: string
  readonly partition: number
  readonly key: Buffer
  /** Undefined: forget the key, in a compacted topic. */
  readonly value: Uint8Array | undefined
  /** Each by {@link headerBytes}, so that the records of a run share them. */
  readonly headers: readonly Buffer[]
  /** ms since the epoch. */
  readonly timestamp: number
}

/** Who writes, and the number of the first record among those of this producer in the partition. */
export interface Numbering {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequence: number
}

/** Of 100 tokens of prose, 6 saves 4 % of what 3 leaves, for 1 µs per token; what is above saves hardly more. */
export const zstdLevel = 6

/** Of one partition, at least one; a part of a transaction. */
export function writeBatch(kafka: Kafka, records: readonly NewRecord[], numbering: Numbering): Buffer {
  const first = records[0]?.timestamp ?? 0
  const latest = records.reduce((max, { timestamp }) => Math.max(max, timestamp), first)
  const raw = Buffer.allocUnsafe(records.reduce((sum, record) => sum + roomFor(record), 0))
  let end = 0
  for (const [i, record] of records.entries()) end = writeRecord(raw, end, record, record.timestamp - first, i)
  const params = { [constants.ZSTD_c_compressionLevel]: zstdLevel }
  const packed = zstdCompressSync(raw.subarray(0, end), { params, pledgedSrcSize: end })
  const head = Buffer.alloc(layout.records)
  head.writeInt32BE(layout.records - layout.length - 4 + packed.length, layout.length)
  head.writeInt8(2, layout.magic)
  head.writeInt16BE(zstd | transactionalBit, layout.attributes)
  head.writeInt32BE(records.length - 1, layout.lastDelta)
  head.writeBigInt64BE(BigInt(first), layout.firstTime)
  head.writeBigInt64BE(BigInt(latest), layout.lastTime)
  head.writeBigInt64BE(numbering.producerId, layout.producer)
  head.writeInt16BE(numbering.producerEpoch, layout.epoch)
  head.writeInt32BE(numbering.sequence, layout.sequence)
  head.writeInt32BE(records.length, layout.count)
  const batch = Buffer.concat([head, packed])
  batch.writeUInt32BE(kafka.crc32c(batch.subarray(layout.attributes)), layout.crc)
  return batch
}

/** Key and value of a header, each with its length. */
export function headerBytes(key: string, value: string): Buffer {
  const [keyBytes, valueBytes] = [Buffer.from(key), Buffer.from(value)]
  const bytes = Buffer.allocUnsafe(keyBytes.length + valueBytes.length + 2 * varintBytesMax)
  return bytes.subarray(0, writeBytes(bytes, writeBytes(bytes, 0, keyBytes), valueBytes))
}

/** Zigzag, of a number below 2^52. */
const varintBytesMax = 8

/** Bytes that a record may take, and no more. */
function roomFor({ key, value, headers }: NewRecord): number {
  const parts = key.length + (value?.length ?? 0) + headers.reduce((sum, header) => sum + header.length, 0)
  return 1 + parts + 6 * varintBytesMax // before key, value and headers: the record's length, later, index
}

function writeRecord(into: Buffer, from: number, { key, value, headers }: NewRecord, later: number, i: number): number {
  const headersLength = headers.reduce((sum, header) => sum + header.length, 0)
  const keyAndValue = sizeOfBytes(key) + (value === undefined ? 1 : sizeOfBytes(value))
  const length = 1 + sizeOf(later) + sizeOf(i) + keyAndValue + sizeOf(headers.length) + headersLength
  let at = writeVarint(into, from, length)
  into[at++] = 0 // attributes, of which there are none
  at = writeVarint(into, at, later)
  at = writeVarint(into, at, i)
  at = writeBytes(into, at, key)
  at = value === undefined ? writeVarint(into, at, -1) : writeBytes(into, at, value)
  at = writeVarint(into, at, headers.length)
  for (const header of headers) {
    into.set(header, at)
    at += header.length
  }
  return at
}

function sizeOfBytes({ length }: Uint8Array): number {
  return sizeOf(length) + length
}

function writeBytes(into: Buffer, from: number, bytes: Uint8Array): number {
  const at = writeVarint(into, from, bytes.length)
  into.set(bytes, at)
  return at + bytes.length
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}

function sizeOf(value: number): number {
  let size = 1
  for (let rest = zigzag(value); rest > 0x7f; rest = Math.floor(rest / 128)) size++
  return size
}

/** Where it ends. */
function writeVarint(into: Buffer, from: number, value: number): number {
  let at = from
  let rest = zigzag(value)
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) into[at++] = (rest & 0x7f) | 0x80
  into[at++] = rest
  return at
}
