// The answer to a fetch, read by ourselves: batches that are unpacked only when they count, and records whose parts are
// views that are made when asked for. Why: the client makes a dozen objects of a record, which costs more than what is
// done with it. It must never read a batch that the broker cut off at the end of its answer.
import { zstdDecompressSync } from 'node:zlib'
import type * as Client from '@platformatic/kafka'
import type { Kafka } from './client.ts'

export interface FetchedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** ms since the epoch. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[]
}

export interface PartitionAnswer {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: bigint
  readonly stable: bigint
  readonly logStart: bigint
  readonly aborted: { readonly producerId: bigint; readonly firstOffset: bigint }[]
  /** Batches one behind the other; the last one may be cut off. */
  readonly bytes: Buffer
}

export interface FetchAnswer {
  readonly errorCode: number
  readonly topics: readonly { readonly topicId: string; readonly partitions: readonly PartitionAnswer[] }[]
}

/** Fetch, version 13. */
export function readFetchAnswer(
  _correlation: number,
  _api: number,
  _version: number,
  reader: Client.Reader,
): FetchAnswer {
  reader.readInt32() // how long we were throttled
  const errorCode = reader.readInt16()
  reader.readInt32() // session
  const topics = reader.readArray(topic => ({
    topicId: topic.readUUID(),
    partitions: topic.readArray(readPartition),
  }))
  return { errorCode, topics }
}

function readPartition(reader: Client.Reader): PartitionAnswer {
  const partition = reader.readInt32()
  const errorCode = reader.readInt16()
  const highWatermark = reader.readInt64()
  const stable = reader.readInt64()
  const logStart = reader.readInt64()
  const aborted = reader.readArray(one => ({ producerId: one.readInt64(), firstOffset: one.readInt64() }))
  reader.readInt32() // a replica that would be nearer
  const bytes = reader.readBytes()
  return { partition, errorCode, highWatermark, stable, logStart, aborted, bytes }
}

export interface RecordBatch {
  readonly firstOffset: bigint
  readonly lastOffset: bigint
  readonly control: boolean
  readonly transactional: boolean
  readonly producerId: bigint
  /** Unpacks it. */
  records(): FetchedRecord[]
}

/** Where things stand in a batch of format 2, the only one since Kafka 0.11. */
export const layout = {
  length: 8,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastDelta: 23,
  firstTime: 27,
  lastTime: 35,
  producer: 43,
  epoch: 51,
  sequence: 53,
  count: 57,
  records: 61,
} as const

const compressionBits = 0x07
/** The broker's time counts, which is that of the last record. */
const appendTimeBit = 0x08
export const transactionalBit = 0x10
const controlBit = 0x20

export function* recordBatches(kafka: Kafka, bytes: Buffer, place: Place): Generator<RecordBatch> {
  for (let at = 0; at + layout.records <= bytes.length; ) {
    const end = at + layout.length + 4 + bytes.readInt32BE(at + layout.length)
    if (end > bytes.length) return
    const batch = bytes.subarray(at, end)
    const attributes = batch.readInt16BE(layout.attributes)
    const firstOffset = batch.readBigInt64BE(0)
    yield {
      firstOffset,
      lastOffset: firstOffset + BigInt(batch.readInt32BE(layout.lastDelta)),
      control: (attributes & controlBit) !== 0,
      transactional: (attributes & transactionalBit) !== 0,
      producerId: batch.readBigInt64BE(layout.producer),
      records: () => readRecords(unpacked(kafka, batch, attributes & compressionBits), batch, place),
    }
    at = end
  }
}

export const zstd = 4
/** Most batches are one piece. */
const chunkBytes = 256 * 1024
/** Of one batch: a thousand times what a packed one may be would be a bomb; tokens make twenty to fifty times. */
const unpackedBytesMax = 128 * 1024 * 1024

interface Place {
  readonly topic: string
  readonly partition: number
}

function unpacked(kafka: Kafka, batch: Buffer, compression: number): Buffer {
  const packed = batch.subarray(layout.records)
  if (compression === 0) return packed
  // The client would take it in pieces of 16 KiB, and whatever it claims.
  if (compression === zstd)
    return zstdDecompressSync(packed, { chunkSize: chunkBytes, maxOutputLength: unpackedBytesMax })
  const algorithm = kafka.compressionsAlgorithmsByBitmask[compression]
  if (algorithm === undefined) throw new Error(`a batch has compression ${compression}, which nobody knows`)
  return algorithm.decompressSync(packed)
}

function readRecords(bytes: Buffer, batch: Buffer, { topic, partition }: Place): FetchedRecord[] {
  const appended = (batch.readInt16BE(layout.attributes) & appendTimeBit) !== 0
  const time = Number(batch.readBigInt64BE(appended ? layout.lastTime : layout.firstTime))
  const of = { topic, partition, bytes, firstOffset: batch.readBigInt64BE(0), time }
  const records: FetchedRecord[] = []
  const cursor = { bytes, at: 0 }
  for (let left = batch.readInt32BE(layout.count); left > 0; left--) {
    const length = varint(cursor)
    const end = cursor.at + length
    if (!(length > 0 && end <= bytes.length)) throw new Error(`a record of ${topic}/${partition} is cut off`)
    cursor.at++ // attributes, of which there are none
    const later = varint(cursor)
    records.push(new Record(of, appended ? 0 : later, varint(cursor), cursor.at))
    cursor.at = end
  }
  return records
}

/** What the records of a batch have in common. */
interface Records extends Place {
  readonly bytes: Buffer
  readonly firstOffset: bigint
  readonly time: number
}

/** Small, for a fetch holds some ten thousand; its parts are made when they are asked for, and die young. */
class Record implements FetchedRecord {
  private readonly of: Records
  private readonly later: number
  private readonly index: number
  private readonly keyAt: number

  constructor(of: Records, later: number, index: number, keyAt: number) {
    this.of = of
    this.later = later
    this.index = index
    this.keyAt = keyAt
  }

  get topic(): string {
    return this.of.topic
  }

  get partition(): number {
    return this.of.partition
  }

  get offset(): bigint {
    return this.of.firstOffset + BigInt(this.index)
  }

  get timestamp(): number {
    return this.of.time + this.later
  }

  get key(): Buffer | null {
    return bytesOf(this.cursor())
  }

  get value(): Buffer | null {
    return bytesOf(this.behind(1))
  }

  get headers(): FetchedRecord['headers'] {
    const cursor = this.behind(2)
    return Array.from({ length: varint(cursor) }, () => [bytesOf(cursor), bytesOf(cursor)] as const)
  }

  private cursor(): Cursor {
    return { bytes: this.of.bytes, at: this.keyAt }
  }

  /** Behind the key, or behind key and value. */
  private behind(parts: 1 | 2): Cursor {
    const cursor = this.cursor()
    for (let part = 0; part < parts; part++) bytesOf(cursor, 'skip')
    return cursor
  }
}

interface Cursor {
  readonly bytes: Buffer
  at: number
}

/** Bytes with their length in front, not copied; -1 is null. */
function bytesOf(cursor: Cursor, skip?: 'skip'): Buffer | null {
  const length = varint(cursor)
  if (length < 0) return null
  const from = cursor.at
  cursor.at += length
  return skip === undefined ? cursor.bytes.subarray(from, cursor.at) : null
}

/** Zigzag, up to 2^53: offsets and times within a batch, and lengths. */
function varint(cursor: Cursor): number {
  const { bytes } = cursor
  let byte = bytes[cursor.at++] as number
  // Most are of one or two bytes.
  if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
  let value = byte & 0x7f
  for (let scale = 128; byte >= 0x80; scale *= 128) {
    byte = bytes[cursor.at++] as number
    value += (byte & 0x7f) * scale
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
