// NDJSON: one event, one line, exactly as on the JSON wire. The plainest format, and the one that the others are
// judged against. It must never write a line break inside a line, U+2028 included.
import { entryOfEvent } from '../batch.ts'
import { behindEnvelope } from '../shape.ts'
import { type Event, eventOf, isTerminal } from '../event.ts'
import type { View } from '../state/fold.ts'
import {
  addDecoded,
  checkRunId,
  type Decoded,
  type Decoder,
  emptyDecoded,
  type Encoder,
  type Format,
  type Identity,
  threadOf,
} from './format.ts'
import { undecodable } from './protobuf-check.ts'

/** One event of a managed run as JSON text. */
export function eventJson(event: Event): string {
  const { id, run_id, sequence, timestamp } = event
  const { type, body } = entryOfEvent(event)
  return JSON.stringify({ id, type, run_id, sequence, timestamp }).slice(0, -1) + behindEnvelope(body)
}

export const ndjson: Format = {
  name: 'ndjson',
  contentType: 'application/x-ndjson',
  encoder: (identity, view) => ndjsonEncoder(identity, view),
  decoder: ndjsonDecoder,
}

function ndjsonEncoder(identity: Identity, view?: View): Encoder {
  const key = threadOf(identity)
  let at = view?.at ?? 0
  let ended = view?.terminal !== undefined
  return events =>
    events.flatMap(event => {
      if (event.sequence <= at || ended) return []
      at = event.sequence
      ended = isTerminal(event.type)
      const payload = Buffer.from(`${eventJson(event)}\n`)
      return [{ kind: event.type, topic: 'events', key, id: event.id, sequence: event.sequence, payload }]
    })
}

/** Reads what one log wrote: lines in order, whose holes are gaps. */
function ndjsonDecoder(): Decoder {
  const last = new Map<string, number>()
  const decode = (payload: Uint8Array): Decoded => {
    const event = parseLine(payload)
    const { run_id, sequence } = event
    const before = last.get(run_id) ?? 0
    const about = { tenant: '', thread: threadIn(event), run_id }
    if (sequence <= before) {
      return { batches: [], problems: [{ kind: 'duplicate', ...about, position: BigInt(sequence) }] }
    }
    last.set(run_id, sequence)
    const hole = sequence > before + 1
    const state = isTerminal(event.type) ? ('sealed' as const) : ('open' as const)
    const gap = hole ? { gap: { requested: before, oldest: sequence } } : {}
    const missing = BigInt(sequence - before - 1)
    return {
      batches: [{ ...about, after: sequence - 1, last: sequence, events: [event], state, ...gap }],
      problems: hole ? [{ kind: 'gap', ...about, position: BigInt(sequence), missing }] : [],
    }
  }
  return {
    waiting: 0,
    push: (payload, into) => addDecoded(into, decode(payload)),
    flush: emptyDecoded,
  }
}

function threadIn(event: Event): string {
  return event.type === 'started' && event.thread_id ? event.thread_id : event.run_id
}

function parseLine(payload: Uint8Array): Event {
  let wire: unknown
  try {
    wire = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch (cause) {
    throw undecodable('decode_error', `not a line of JSON: ${(cause as Error).message}`, { cause })
  }
  const { run_id, sequence, type } = (wire ?? {}) as Record<string, unknown>
  if (typeof run_id !== 'string' || typeof type !== 'string' || !Number.isSafeInteger(sequence) || Number(sequence) < 1)
    throw undecodable('schema_error', 'the line has no run_id, type or sequence (1, 2, 3 …)')
  checkRunId(run_id)
  return eventOf(wire as Record<string, unknown>)
}
