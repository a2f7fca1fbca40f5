// What stands on the wire between the events: notices, heartbeats, the first line. And how a batch becomes a body, as
// SSE or as NDJSON. Notices have no `id:`, so that they never move a cursor (PROTOCOL.md §4).
import { type Batch, type Gap, SlabBatch } from '../../batch.ts'
import type { Event } from '../../event.ts'

export type Wire = 'sse' | 'ndjson'

/** Whom a stream is about, as its notices say it. */
export type Subject = { readonly run_id: string } | { readonly request_id: string } | { readonly thread_id: string }

export const contentTypes: Record<Wire, string> = {
  sse: 'text/event-stream; charset=utf-8',
  ndjson: 'application/x-ndjson',
}

/** Everything that keeps proxies from buffering or changing a stream, in one place. */
export const streamHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
}

/** A notice: data without an id. */
export function notice(wire: Wire, type: string, subject: Subject, fields: object): string {
  const data = JSON.stringify({ type, ...subject, ...fields })
  return wire === 'sse' ? `event: ${type}\ndata: ${data}\n\n` : `${data}\n`
}

export function gapNotice(wire: Wire, subject: Subject, gap: Gap): string {
  const { requested, oldest, dropped = 0 } = gap
  if ('request_id' in subject) return notice(wire, 'gap', subject, { dropped: oldest - requested + dropped })
  return notice(wire, 'gap', subject, { requested, oldest })
}

/** Traffic for proxies and watchdogs. The comment has one newline only: behind a blank line some readers see an empty event. */
export function heartbeat(wire: Wire, asEvent: boolean, subject: Subject, timestamp: string): string {
  if (asEvent) return notice(wire, 'heartbeat', subject, { timestamp })
  return wire === 'sse' ? ': hb\n' : '\n'
}

/** The events of a batch as bytes, without copying where the log has them so already. */
export function bodyOf(wire: Wire, batch: Batch): Buffer {
  if (!(batch instanceof SlabBatch)) return Buffer.from(batch.events.map(event => lineOf(wire, event)).join(''))
  if (wire === 'sse') return batch.bytes
  const lines: Buffer[] = []
  for (let index = 0; index < batch.count; index++) lines.push(batch.json(index), newline)
  return Buffer.concat(lines)
}

export function countOf(batch: Batch): number {
  return batch instanceof SlabBatch ? batch.count : batch.events.length
}

const newline = Buffer.from('\n')

/** An event of a remote run, which has no bytes here. */
function lineOf(wire: Wire, event: Event): string {
  const { type, ...fields } = event
  const name = type === 'custom' ? (fields as { name: string }).name : type
  const body = type === 'custom' ? customBody(fields as Event & { type: 'custom' }) : fields
  const data = JSON.stringify({ id: event.id, type: name, ...body })
  return wire === 'sse' ? `event: ${name}\ndata: ${data}\nid: ${event.sequence}\n\n` : `${data}\n`
}

function customBody({ name: _name, other, ...fields }: Omit<Event & { type: 'custom' }, 'type'>): object {
  return { ...fields, ...other }
}
