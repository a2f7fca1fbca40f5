// Records that nobody can read, written aside with why and from where, before the position moves on. A dead letter
// holds a bounded prefix and the hash of the whole: enough to find it, not a second copy of everything.
import { createHash } from 'node:crypto'
import type { RuncastError } from '../error.ts'
import { clientOptions, type Kafka } from '../kafka/client.ts'
import type { KafkaPlace } from '../kafka/place.ts'
import type { FetchedRecord } from '../kafka/fetch.ts'

export interface DeadLetters extends AsyncDisposable {
  /** Resolves when it is acknowledged by all replicas. */
  send(record: FetchedRecord, error: RuncastError): Promise<void>
}

export const deadLetterTopicDefault = 'dashstream-dlq'
/** Of the payload, in the letter, when nobody says how much: a thousand letters then take less than 5 MB. */
export const deadLetterBytes = 3 * 1024
/** The most that readers of dead letters take. */
const deadLetterBytesMax = 512 * 1024
/** Longer keys, which only names their sender made up have, would make the letter itself too large to send. */
const keyBytesMax = 256

export function createDeadLetters(
  kafka: Kafka,
  options: {
    readonly place: KafkaPlace
    readonly topic: string
    readonly consumer: string
    readonly bytesMax: number
    readonly now: () => number
  },
): DeadLetters {
  const { place, topic, consumer, bytesMax, now } = options
  const producer = new kafka.Producer({ ...clientOptions(place, consumer), compression: 'zstd' })
  return {
    async send(record, error) {
      const letter = JSON.stringify(letterOf(record, error, { consumer, bytesMax, now: now() }))
      const key = isShort(record.key) ? { key: record.key } : {}
      await producer.send({ messages: [{ topic, value: Buffer.from(letter), ...key }], acks: -1 })
    },
    async [Symbol.asyncDispose]() {
      await producer.close(true).catch(() => {})
    },
  }
}

function letterOf(
  record: FetchedRecord,
  error: RuncastError,
  { consumer, bytesMax, now }: { consumer: string; bytesMax: number; now: number },
): Record<string, unknown> {
  const { topic, partition, offset, headers } = record
  const payload = record.value ?? Buffer.alloc(0)
  const included = payload.subarray(0, Math.min(bytesMax, deadLetterBytesMax))
  const cut = included.length < payload.length
  const { reason } = error.details as { reason?: unknown }
  const traceparent = headers.find(([name]) => name?.toString() === 'traceparent')?.[1]?.toString()
  return {
    original_payload_base64: included.toString('base64'),
    error: error.message,
    source_topic: topic,
    source_partition: partition,
    source_offset: String(offset),
    timestamp: new Date(now).toISOString(),
    consumer_id: consumer,
    error_type: typeof reason === 'string' ? reason : 'processing_error',
    trace_id: /^[\da-f]{2}-([\da-f]{32})-/.exec(traceparent ?? '')?.[1] ?? '',
    ...(isShort(record.key) && { thread_id: record.key.toString() }),
    ...(cut && {
      original_payload_size_bytes: payload.length,
      included_bytes: included.length,
      truncated: true,
      sha256: createHash('sha256').update(payload).digest('hex'),
    }),
  }
}

function isShort(key: Buffer | null): key is Buffer {
  return key !== null && key.length <= keyBytesMax
}
