// Messages as Kafka records: key, headers, time, and how many go into one request. A request's records of one partition
// are one batch, which the topic limits as it does a record.
import { createHash } from 'node:crypto'
import { chat } from '../../formats/chat.ts'
import type { Format } from '../../formats/format.ts'
import { traceContextOf } from '../../formats/trace-context.ts'
import type { Kafka } from '../../kafka/client.ts'
import { headerBytes, type NewRecord } from '../../kafka/write-batches.ts'
import type { Outgoing } from './backlog.ts'

/** Of a record with its headers: what the topics are made for (`max.message.bytes`), less what Kafka adds. */
export const recordBytesMax = 2 * 1024 * 1024 - 4 * 1024
/** Of one request: half of what a topic takes in one batch. */
const requestBytesMax = 1024 * 1024

/** False when it is too large for a topic. */
export function fits({ payload, key }: Outgoing['message']): boolean {
  return payload.length + key.length * 3 <= recordBytesMax
}

type Place = Pick<NewRecord, 'key' | 'partition'>

/**
 * Keys as bytes, and the partitions where Java's producers put them, found once for neighbours. Counted by the partitions that
 * the topics were found to have: those that are added meanwhile would tear threads apart.
 */
export function createPlaces(
  partitionOf: Kafka['compatibilityPartitioner'],
  partitions: number,
): (key: string) => Place {
  let latest: string | undefined
  let place: Place
  return text => {
    if (text !== latest) {
      const key = Buffer.from(text)
      place = { key, partition: partitionOf({} as never, key) % partitions }
      latest = text
    }
    return place
  }
}

export function recordOf(
  { message, time, headers: told }: Outgoing,
  { topic, place, format }: { readonly topic: string; readonly place: Place; readonly format: Format },
): NewRecord {
  // Envelopes of chat.v1 have no place for an id; readers without transactions need one.
  const headers = format === chat ? [...told, headerBytes('runcast-id', message.id)] : told
  return { topic, partition: place.partition, key: place.key, value: message.payload, headers, timestamp: time }
}

/** In order, in requests of bounded size. */
export function* chunked(records: readonly NewRecord[]): Generator<NewRecord[]> {
  let chunk: NewRecord[] = []
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
export function headersOf(run: string, labels: Readonly<Record<string, string>>): readonly Buffer[] {
  const given = traceContextOf(labels['traceparent'], labels['tracestate'])
  if (given !== undefined) {
    const parent = headerBytes('traceparent', given.traceparent)
    return given.tracestate ? [parent, headerBytes('tracestate', given.tracestate)] : [parent]
  }
  const hash = createHash('sha256').update(run).digest('hex')
  return [headerBytes('traceparent', `00-${hash.slice(0, 32)}-${hash.slice(32, 48)}-00`)]
}
