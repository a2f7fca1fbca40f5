// Entries as bytes. An entry is encoded once, at append, as the SSE frame that most readers want; a batch is a
// window over those bytes, shared by all its readers; event objects are made only for who asks for them.
// A leaf beside event.ts: it must never know a backend, a socket or a clock.
import { type Body, type Event, type EventType, eventOf, eventTypes } from './event.ts'
import { msOfIso } from './iso-time.ts'
import type { Entry, Shape } from './shape.ts'

/** What a log says of its tail: `cancelling` = open, and its cancel was requested. */
export type State = 'open' | 'cancelling' | 'sealed' | 'absent'

/** A reader's cursor was older than what is kept: it continues from `oldest`; `snapshot` is the view before that. */
export interface Gap {
  readonly requested: number
  readonly oldest: number
  readonly snapshot?: Uint8Array
  /** Events that got no number, because this reader was too far behind; lost besides `oldest - requested` numbered ones. */
  readonly dropped?: number
}

/** Consecutive entries of one log. Contiguous with my cursor if and only if `batch.after` equals it, under any filter. */
export interface Batch<E = Event> {
  readonly after: number
  readonly last: number
  readonly events: readonly E[]
  /** `sealed`: nothing comes after this batch. */
  readonly state: State
  readonly gap?: Gap
}

const codeOfType = new Map<string, number>(eventTypes.map((type, code) => [type, code]))

export function codeOf(type: string): number {
  return codeOfType.get(type) ?? 0
}

/** U+2028 and U+2029 are legal in JSON, but Node's readline splits an NDJSON line there. PROTOCOL.md §4.3 */
const lineSeparators = /[\u2028\u2029]/

function jsonText(fields: object): string {
  const text = JSON.stringify(fields)
  return lineSeparators.test(text) ? escaped(text) : text
}

function escaped(text: string): string {
  return text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

/** A run's event as an entry. Throws TypeError where JSON.stringify does (cycles, bigint). */
export function entryOf(event: Body, time: number): Entry {
  if (event.type === 'custom') {
    const { name, data, other } = event
    const fields = other ? { ...other, data } : { data: data === undefined ? null : data }
    return { type: name, code: 0, time, body: jsonText(fields) }
  }
  return plainEntry(event, time)
}

/** An event that was told elsewhere, envelope and all, as an entry. */
export function entryOfEvent(event: Event): Entry {
  const { id: _id, run_id: _run, sequence: _sequence, timestamp, ...body } = event
  return entryOf(body, msOfIso(timestamp))
}

/** Fields that are JSON already, as an entry. */
export function fieldsEntry(type: string, time: number, body: string): Entry {
  return { type, code: codeOf(type), time, body: lineSeparators.test(body) ? escaped(body) : body }
}

/** An entry of an inbox or a feed. */
export function plainEntry(record: { readonly type: string }, time: number): Entry {
  const { type, ...fields } = record
  return { type, code: codeOf(type), time, body: jsonText(fields) }
}

/** Contiguous frames with where each starts and what type it has; it only ever grows. */
export class Slab {
  /** The frames of several slabs in one that has room for no more. */
  static joined(slabs: readonly Slab[]): Slab {
    const joined = new Slab(0)
    // Not from Node's pool of 8 KiB pieces, which lives as long as any of them.
    joined.bytes = Buffer.allocUnsafeSlow(slabs.reduce((sum, slab) => sum + slab.end, 0))
    for (const slab of slabs) joined.append(slab)
    return joined
  }

  bytes: Buffer
  /** Offset of each frame in `bytes`. */
  readonly starts: number[] = []
  readonly codes: number[] = []
  /** Bytes in use. */
  end = 0

  constructor(capacityBytes: number) {
    this.bytes = Buffer.allocUnsafe(capacityBytes)
  }

  get count(): number {
    return this.starts.length
  }

  /** Writes an entry as a frame; false when the slab is full. An empty slab takes the room that it needs. */
  push(shape: Shape, entry: Entry, sequence: number): boolean {
    const room = shape.room(entry)
    if (room > this.bytes.length - this.end) {
      if (this.end > 0) return false
      this.bytes = Buffer.allocUnsafeSlow(room)
    }
    const end = shape.write(entry, sequence, this.bytes, this.end) // first, for it may refuse
    this.starts.push(this.end)
    this.codes.push(entry.code)
    this.end = end
    return true
  }

  pushBytes(frame: Uint8Array, code: number): void {
    this.starts.push(this.end)
    this.codes.push(code)
    this.bytes.set(frame, this.end)
    this.end += frame.length
  }

  /** Appends all frames of another slab; there must be room for them. */
  append(slab: Slab): void {
    this.bytes.set(slab.used, this.end)
    for (let index = 0; index < slab.count; index++) {
      this.starts.push(this.end + slab.startOf(index))
      this.codes.push(slab.codes[index] ?? 0)
    }
    this.end += slab.end
  }

  /** The bytes of its frames, without the room behind them. */
  get used(): Buffer {
    return this.end === this.bytes.length ? this.bytes : this.bytes.subarray(0, this.end)
  }

  startOf(index: number): number {
    return this.starts[index] ?? this.end
  }
}

/** A batch of a local log: the frames `from` to `to` of a slab. A class, because its lazy getter is made once for all batches. */
export class SlabBatch<E = Event> implements Batch<E> {
  readonly after: number
  readonly last: number
  readonly state: State
  readonly gap?: Gap
  readonly slab: Slab
  readonly from: number
  readonly to: number
  /** The log had nothing behind this batch when it was read: its reader may wait for the bell without another look. */
  readonly atTail: boolean
  private decoded: readonly E[] | undefined

  constructor(at: {
    after: number
    last: number
    state: State
    gap?: Gap | undefined
    slab: Slab
    from: number
    to: number
    atTail?: boolean
  }) {
    this.after = at.after
    this.last = at.last
    this.state = at.state
    if (at.gap) this.gap = at.gap
    this.slab = at.slab
    this.from = at.from
    this.to = at.to
    this.atTail = at.atTail ?? false
  }

  get count(): number {
    return this.to - this.from
  }

  /** The frames, contiguous, not copied: never write to them. */
  get bytes(): Buffer {
    return this.slab.bytes.subarray(this.slab.startOf(this.from), this.slab.startOf(this.to))
  }

  /** The frame of one entry, 0 to count - 1. */
  frame(index: number): Buffer {
    return this.slab.bytes.subarray(this.slab.startOf(this.from + index), this.slab.startOf(this.from + index + 1))
  }

  /** The JSON of one entry, without its frame. */
  json(index: number): Buffer {
    return jsonOfFrame(this.frame(index))
  }

  get events(): readonly E[] {
    this.decoded ??= eventsOfFrames(this.bytes.toString(), this.count) as E[]
    return this.decoded
  }
}

/** Of contiguous frames, as one text: cutting it costs less than a view and a text for each. JSON holds no line break. */
function eventsOfFrames(text: string, count: number): Event[] {
  const events: Event[] = []
  for (let at = 0; events.length < count; ) {
    const start = text.indexOf(dataLine, at) + dataLine.length
    at = text.indexOf('\n', start)
    events.push(eventOf(JSON.parse(text.slice(start, at)) as Record<string, unknown>))
  }
  return events
}

/** Behind the line of the event's name, which comes first. */
const dataLine = '\ndata: '
const newline = 10
const dataPrefixBytes = 'data: '.length

function jsonOfFrame(frame: Buffer): Buffer {
  const start = frame.indexOf(newline) + 1 + dataPrefixBytes
  return frame.subarray(start, frame.indexOf(newline, start))
}

/** What a log that is at `last` gives behind a cursor: frames of a slab whose first entry has number `first`. */
export function sliceOf(
  log: { readonly last: number; readonly state: State },
  { slab, first }: { readonly slab: Slab; readonly first: number },
  { after, limit, gap }: { readonly after: number; readonly limit: number; readonly gap: Gap | undefined },
): SlabBatch {
  const from = after + 1 - first
  const to = Math.min(slab.count, from + limit)
  const last = after + to - from
  const atTail = last === log.last
  return new SlabBatch({ after, last, state: atTail ? log.state : 'open', gap, slab, from, to, atTail })
}

const noFrames = new Slab(0)

/** A batch without entries: the tail, an absent log, or a bare notice. */
export function emptyBatch<E = Event>(after: number, state: State, gap?: Gap): SlabBatch<E> {
  return new SlabBatch<E>({ after, last: after, state, gap, slab: noFrames, from: 0, to: 0 })
}

/** Which events a reader wants. `custom:NAME` passes one custom event, `custom` all of them. */
export type Types = ReadonlySet<string>

/** Events that pass every reader's filter: without them it would not know that the run ended or waits for an answer. */
const alwaysRead = new Set<EventType>(['complete', 'error', 'cancelled', 'input'])

/** The batch with the events of the given types only. `after` and `last` stay: a cursor moves over what it skips. */
export function select<E>(batch: SlabBatch<E>, types: Types): SlabBatch<E> {
  const wanted: number[] = []
  for (let index = 0; index < batch.count; index++) if (passes(batch, index, types)) wanted.push(index)
  if (wanted.length === batch.count) return batch
  const slab = new Slab(wanted.reduce((sum, index) => sum + batch.frame(index).length, 0))
  for (const index of wanted) slab.pushBytes(batch.frame(index), batch.slab.codes[batch.from + index] ?? 0)
  const { after, last, state, gap } = batch
  return new SlabBatch<E>({ after, last, state, gap, slab, from: 0, to: wanted.length })
}

function passes(batch: SlabBatch<unknown>, index: number, types: Types): boolean {
  const type = eventTypes[batch.slab.codes[batch.from + index] ?? 0] ?? 'custom'
  if (type !== 'custom') return types.has(type) || alwaysRead.has(type)
  if (types.has('custom')) return true
  const frame = batch.frame(index)
  return types.has(`custom:${frame.toString('latin1', 'event: '.length, frame.indexOf(newline))}`)
}

export type { Entry, Shape }
