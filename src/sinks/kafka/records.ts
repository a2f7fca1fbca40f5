// Messages as Kafka records: key, headers, time, and how many go into one request. A request's records of one partition
// are one batch, which the topic limits as it does a record.
import { createHash } from 'node:crypto'
import { traceContextOf } from '../../formats/trace-context.ts'
import type { Kafka } from '../../kafka/client.ts'
import type { Outgoing } from './backlog.ts'

/** The client makes its own of it, so that the records of a run share one. */
export type Headers = Map<Buffer, Buffer>

export interface KafkaRecord {
  readonly topic: string
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Headers
  readonly timestamp: bigint
}

/** Of a record with its headers: what the topics are made for (`max.message.bytes`), less what Kafka adds. */
export const recordBytesMax = 2 * 1024 * 1024 - 4 * 1024
/** Of one request: half of what a topic takes in one batch. */
const requestBytesMax = 1024 * 1024

const traceparentKey = Buffer.from('traceparent')
const tracestateKey = Buffer.from('tracestate')
const idKey = Buffer.from('runcast-id')

/** False when it is too large for a topic. */
export function fits({ payload, key }: Outgoing['message']): boolean {
  return payload.length + key.length * 3 <= recordBytesMax
}

export function recordOf({ message, time, headers: told }: Outgoing, topic: string, format: string): KafkaRecord {
  const { payload } = message
  // Envelopes of chat.v1 have no place for an id; readers without transactions need one.
  const headers = format === 'chat' ? new Map([...told, [idKey, Buffer.from(message.id)]]) : told
  const value = Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  return { topic, key: keyOf(message.key), value, headers, timestamp: BigInt(time) }
}

let latestKey = ''
let latestKeyBytes = Buffer.alloc(0)
/** Neighbours have mostly the same key: one buffer, by which the partitioner knows it again. */
function keyOf(key: string): Buffer {
  if (key !== latestKey) {
    latestKey = key
    latestKeyBytes = Buffer.from(key)
  }
  return latestKeyBytes
}

type Partitioner = Kafka['compatibilityPartitioner']

/**
 * Where Java's producers put a key, asked once for neighbours: the hash of a key costs as much as sending it. Counted by the
 * partitions that the topics were found to have: those that are added meanwhile would tear threads apart.
 */
export function rememberingPartitioner(partitionOf: Partitioner, partitions: number): Partitioner {
  let latest: Buffer | undefined
  let partition = 0
  return (message, key) => {
    if (latest === undefined || key !== latest) {
      partition = partitionOf(message, key) % partitions
      latest = key
    }
    return partition
  }
}

/** In order, in requests of bounded size. */
export function* chunked<R extends { readonly key: Buffer; readonly value: Buffer | undefined }>(
  records: readonly R[],
): Generator<R[]> {
  let chunk: R[] = []
  let bytes = 0
  for (const record of records) {
    const size = (record.value?.length ?? 0) + record.key.length
    if (chunk.length > 0 && bytes + size > requestBytesMax) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(record)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}

/** W3C trace context: the caller's, when the run was given one as a label; else one made of the run's id, not sampled. */
export function headersOf(run: string, labels: Readonly<Record<string, string>>): Headers {
  const given = traceContextOf(labels['traceparent'], labels['tracestate'])
  if (given !== undefined) {
    const headers = new Map([[traceparentKey, Buffer.from(given.traceparent)]])
    return given.tracestate ? headers.set(tracestateKey, Buffer.from(given.tracestate)) : headers
  }
  const hash = createHash('sha256').update(run).digest('hex')
  return new Map([[traceparentKey, Buffer.from(`00-${hash.slice(0, 32)}-${hash.slice(32, 48)}-00`)]])
}
