// chat.v1 records to bytes and back: the events of the five ONDASH topics.
// Plain protobuf without a frame, as the other system reads it. What is decoded is checked: it must never pass an
// envelope without conversation, time or event, nor a time that google.protobuf.Timestamp does not have.
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt'
import { type EventEnvelope, EventEnvelopeSchema } from '../gen/chat/v1/events_pb.ts'
import { checkWire, undecodable } from './protobuf-check.ts'

/** One record of an ONDASH topic. */
export function encodeChatEvent(envelope: MessageInitShape<typeof EventEnvelopeSchema>): Uint8Array {
  const message = create(EventEnvelopeSchema, envelope)
  checkEnvelope(message)
  try {
    return toBinary(EventEnvelopeSchema, message)
  } catch (cause) {
    throw undecodable('schema_error', (cause as Error).message, { cause })
  }
}

/** The event in one record of an ONDASH topic, checked. Throws with `details.reason`. */
export function decodeChatEvent(bytes: Uint8Array): EventEnvelope {
  checkWire(EventEnvelopeSchema, bytes)
  const envelope = fromBinary(EventEnvelopeSchema, bytes)
  checkEnvelope(envelope)
  return envelope
}

/** An event's ISO 8601 time as Timestamp, to the nanosecond that it names. */
export function timestampFromIso(iso: string): Timestamp {
  // Without a zone it would be read as the machine's local time.
  const ms = /(?:Z|[+-]\d\d:\d\d)$/.test(iso) ? Date.parse(iso) : Number.NaN
  if (Number.isNaN(ms)) throw undecodable('schema_error', `"${iso}" is no ISO 8601 time with a zone`)
  const seconds = Math.floor(ms / 1000)
  const digits = /\.(\d+)/.exec(iso)?.[1] ?? ''
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: Number(digits.slice(0, 9).padEnd(9, '0')) })
}

/** A Timestamp as ISO 8601 in UTC: milliseconds, or as many more digits as it has. */
export function isoFromTimestamp(timestamp: Timestamp): string {
  const base = new Date(Number(timestamp.seconds) * 1000).toISOString().slice(0, -4)
  const nanos = String(timestamp.nanos).padStart(9, '0')
  return `${base}${nanos.slice(0, 3)}${nanos.slice(3).replace(/0+$/, '')}Z`
}

function checkEnvelope(envelope: EventEnvelope): void {
  if (envelope.event.case === undefined) throw undecodable('schema_error', 'the envelope has no event that we know')
  if (envelope.conversationId.trim() === '') throw undecodable('schema_error', 'conversation_id is blank')
  const { timestamp } = envelope
  if (timestamp === undefined) throw undecodable('schema_error', 'the envelope has no timestamp')
  const { seconds, nanos } = timestamp
  if (seconds < firstSecond || seconds > lastSecond || nanos < 0 || nanos > 999_999_999)
    throw undecodable('schema_error', `timestamp ${seconds}s ${nanos}ns is no google.protobuf.Timestamp`)
}

/** 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z: the range that google.protobuf.Timestamp is defined for. */
const firstSecond = -62_135_596_800n
const lastSecond = 253_402_300_799n
