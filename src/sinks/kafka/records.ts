// Messages as Kafka records: key, headers, time, and how many go into one request. A request's records of one partition
// are one batch, which the topic limits as it does a record.
import { createHash } from 'node:crypto'
import { traceContextOf } from '../../formats/trace-context.ts'
import type { Outgoing } from './backlog.ts'

export interface KafkaRecord {
  readonly topic: string
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Map<Buffer, Buffer>
  readonly timestamp: bigint
}

/** Of a record with its headers: what the topics are made for (`max.message.bytes`), less what Kafka adds. */
export const recordBytesMax = 2 * 1024 * 1024 - 4 * 1024
/** Of one request: half of what a topic takes in one batch. */
const requestBytesMax = 1024 * 1024

const traceparentKey = Buffer.from('traceparent')
const tracestateKey = Buffer.from('tracestate')
const idKey = Buffer.from('runcast-id')

/** Undefined when it is too large for a topic. */
export function recordOf(
  { message, time, traceparent, tracestate }: Outgoing,
  topic: string,
  format: 'dashstream' | 'chat',
): KafkaRecord | undefined {
  const { payload } = message
  if (payload.length + message.key.length * 3 > recordBytesMax) return undefined
  const headers = new Map([[traceparentKey, traceparent]])
  if (tracestate !== undefined) headers.set(tracestateKey, tracestate)
  // Envelopes of chat.v1 have no place for an id; readers without transactions need one.
  if (format === 'chat') headers.set(idKey, Buffer.from(message.id))
  const value = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  return { topic, key: Buffer.from(message.key), value, headers, timestamp: BigInt(time) }
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
export function traceOf(
  run: string,
  labels: Readonly<Record<string, string>>,
): Pick<Outgoing, 'traceparent' | 'tracestate'> {
  const given = traceContextOf(labels['traceparent'], labels['tracestate'])
  if (given !== undefined) {
    const { traceparent, tracestate } = given
    return { traceparent: Buffer.from(traceparent), ...(tracestate && { tracestate: Buffer.from(tracestate) }) }
  }
  const hash = createHash('sha256').update(run).digest('hex')
  return { traceparent: Buffer.from(`00-${hash.slice(0, 32)}-${hash.slice(32, 48)}-00`) }
}
