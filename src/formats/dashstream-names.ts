// Names and numbers that the writer and the reader of DashStream messages share: attributes, enums, units. One module,
// because two copies of a name drift apart unseen. It must never drop a number it does not know: it becomes its digits.
import { createHash } from 'node:crypto'
import { isoTime, msOfIso } from '../iso-time.ts'
import { EventType } from '../gen/dashstream/v1/dashstream_pb.ts'
import { undecodable } from './protobuf-check.ts'

/** The attributes of Event that are not simply the event's own field names. */
export const attribute = {
  substep: 'substep_name',
  status: 'status',
  percent: 'percent',
  thought: 'thought',
  embedding: 'embedding',
} as const

/** Attributes of this ending hold JSON text: of null, lists and objects, which have no other exact form. */
export const jsonSuffix = '_json'

/** Text of an enum whose numbers others may extend: unknown numbers are their digits, and become numbers again (H14). */
export interface Names {
  text(value: number): string | undefined
  /** Undefined when the enum has no such number. */
  value(text: unknown): number | undefined
}

/** `names` by number; number 0 has no text. */
function names(byNumber: readonly string[]): Names {
  return {
    text: value => (value === 0 ? undefined : (byNumber[value] ?? String(value))),
    value: text => {
      if (typeof text !== 'string' || text === '') return undefined
      const known = byNumber.indexOf(text)
      if (known > 0) return known
      // Only digits that `text` would write again, in what protobuf enums hold.
      const digits = /^-?[1-9]\d{0,9}$/.test(text) ? Number(text) : 0
      return digits !== 0 && byNumber[digits] === undefined && digits === (digits | 0) ? digits : undefined
    },
  }
}

export const finishReasons = names(['', 'stop', 'length', 'content_filter', 'tool_calls', 'error'])
export const toolStages = names(['', 'requested', 'started', 'completed', 'failed', 'retrying'])
export const metricKinds = names(['', 'counter', 'gauge', 'histogram', 'summary'])
export const severities = names(['', 'debug', 'info', 'warning', 'error', 'critical'])

/** `op` of RFC 6902 by OpType. */
export const patchOps = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const

/** `EventType` as a custom event's name: `edge_traversal`; numbers of a newer schema keep their number. */
export function eventTypeName(value: number): string {
  return eventTypeNames.get(value) ?? `event_type_${value}`.replace('-', 'minus_')
}

const eventTypeNames = new Map(Object.entries(EventType).map(([name, value]) => [value as number, name.toLowerCase()]))

/**
 * 16 bytes in the form of a UUIDv7, the same for the same event: time first, to 65 s, a constant node part, and the
 * sequence, so that a batch of ids compresses to almost nothing (random ids cost more bytes than everything else
 * together, and each further byte of time one more per message).
 * `kind`: 0 for the event's own message, 1 to 15 for others made from it.
 */
export function messageIds(run: string): (sequence: number, timestamp: string, kind?: number) => Uint8Array {
  const node = createHash('sha256').update(run).digest()
  return (sequence, timestamp, kind = 0) => {
    const id = new Uint8Array(16)
    const span = Math.floor(Math.min(Math.max(msOfIso(timestamp) || 0, 0), 2 ** 48 - 1) / 2 ** 16)
    id[0] = span >>> 24
    id[1] = span >>> 16
    id[2] = span >>> 8
    id[3] = span
    id[4] = node[5] as number
    id[5] = node[6] as number
    id[6] = 0x70 | (kind & 0x0f)
    for (let i = 0; i < 5; i++) id[7 + i] = node[i] as number
    id[8] = 0x80 | ((id[8] as number) & 0x3f)
    id[12] = sequence >>> 24
    id[13] = sequence >>> 16
    id[14] = sequence >>> 8
    id[15] = sequence
    return id
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Microseconds of an ISO time; only as many of its digits as fit. */
export function usOf(timestamp: string): number {
  const ms = msOfIso(timestamp)
  return Number.isNaN(ms) ? 0 : ms * 1000 + Number((/\.\d{3}(\d{1,3})/.exec(timestamp)?.[1] ?? '').padEnd(3, '0'))
}

/** The other way: milliseconds, and three more digits only where there are any. Beyond the years 0 to 9999 the nearest. */
export function isoOf(us: bigint): string {
  // Times of this century are exact as numbers, and most have no more than milliseconds.
  const number = Number(us)
  if (number >= 0 && number <= Number.MAX_SAFE_INTEGER && number % 1000 === 0) return isoTime(number / 1000)
  const clamped = us < usMin ? usMin : us > usMax ? usMax : us
  const below = ((clamped % 1000n) + 1000n) % 1000n
  const iso = new Date(Number((clamped - below) / 1000n)).toISOString()
  return below === 0n ? iso : `${iso.slice(0, -1)}${String(below).padStart(3, '0')}Z`
}

const usMin = -62_167_219_200_000_000n
const usMax = 253_402_300_799_999_999n

/** JSON in bytes. Neither broken UTF-8 nor broken JSON is ever taken for a text (H17, H18). */
export function parseJson(bytes: Uint8Array, of: string): unknown {
  try {
    return JSON.parse(strict.decode(bytes)) as unknown
  } catch (cause) {
    throw undecodable('decode_error', `${of} is not JSON: ${(cause as Error).message}`, { cause })
  }
}

export function jsonBytes(value: unknown): Uint8Array {
  return value === undefined ? empty : encoder.encode(JSON.stringify(value))
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()
const empty = new Uint8Array(0)
