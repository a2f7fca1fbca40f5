// What a frame of the HTTP wire means to a reader: an event, a step of its cursor, or a notice. Pure. Only a frame that
// carries its own id may move a cursor, so that nothing has to be paired with anything.
import type { Arrival } from '../../client/seam.ts'
import { eventOf } from '../../event.ts'
import type { Parsed } from './sse-parser.ts'

/** Undefined for what asks for nothing: heartbeats, and notices of a newer server. */
export function arrivalOf(parsed: Parsed): Arrival | undefined {
  if ('retryMs' in parsed) return { kind: 'retry', ms: parsed.retryMs }
  const { event, data, id } = parsed
  if (data === undefined) return passedTo(id)
  const wire = jsonOf(data)
  if (id === undefined) return noticeOf(event, wire)
  if (wire === undefined) return { kind: 'garbled', reason: `the data of event ${id} is no JSON object` }
  // An id that does not belong to its data would be resumed from the wrong place.
  if (String(wire['sequence']) !== id || sequenceOf(id) === undefined) {
    return { kind: 'garbled', reason: `an event with sequence ${String(wire['sequence'])} came with the id ${id}` }
  }
  return { kind: 'event', event: eventOf(wire) }
}

function noticeOf(name: string | undefined, wire: Record<string, unknown> | undefined): Arrival | undefined {
  if (name === 'cancel_requested') return { kind: 'cancelling' }
  if (name === 'reconnect') return { kind: 'leave' }
  if (name !== 'gap') return undefined
  const oldest = wire?.['oldest']
  if (typeof oldest !== 'number') return { kind: 'garbled', reason: 'a gap notice does not say its oldest sequence' }
  const requested = wire?.['requested']
  const snapshot = wire?.['snapshot']
  return {
    kind: 'gap',
    gap: {
      requested: typeof requested === 'number' ? requested : 0,
      oldest,
      ...(snapshot !== undefined && { snapshot: new TextEncoder().encode(JSON.stringify(snapshot)) }),
    },
  }
}

function passedTo(id: string | undefined): Arrival | undefined {
  const sequence = sequenceOf(id)
  return sequence === undefined ? undefined : { kind: 'passed', sequence }
}

/** A sequence in its only spelling. */
function sequenceOf(id: string | undefined): number | undefined {
  const sequence = Number(id)
  return Number.isSafeInteger(sequence) && sequence > 0 && String(sequence) === id ? sequence : undefined
}

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
