// Entries as bytes. An entry is encoded once, at append, as the SSE frame that most readers want; a batch is a
// window over those bytes, shared by all its readers; event objects are made only for who asks for them.
// A leaf beside event.ts: it must never know a backend, a socket or a clock.
import { type Body, type Event, type EventType, eventIdPrefix, eventOf, eventTypes } from './event.ts'

/** An entry on its way into a log: all but its number, which the log gives. Its fields are JSON already, so later changes of the agent's objects cannot reach it. */
export interface Entry {
  /** The name on the wire: the event type, or the custom event's name. */
  readonly type: string
  /** Position in {@link eventTypes}; 0 (`custom`) for every other name. */
  readonly code: number
  /** When it happened, ms since the epoch. */
  readonly time: number
  /** The fields behind the envelope as JSON text: empty, or begins with a comma. */
  readonly body: string
}

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

function jsonText(value: unknown): string {
  const text = JSON.stringify(value)
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
    return { type: name, code: 0, time, body: fieldsText(fields) }
  }
  const { type, ...fields } = event
  return { type, code: codeOf(type), time, body: fieldsText(fields) }
}

/** An event that was told elsewhere, envelope and all, as an entry: its fields one by one, for most have a few short ones. */
export function entryOfEvent(event: Event): Entry {
  const { type, timestamp } = event
  const time = msOfIso(timestamp)
  if (type === 'custom') {
    const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, ...custom } = event
    return entryOf(custom, time)
  }
  let body = ''
  const fields = event as unknown as Record<string, unknown>
  for (const name in fields) {
    switch (name) {
      case 'id':
      case 'type':
      case 'run_id':
      case 'sequence':
      case 'timestamp':
        continue
    }
    const text = JSON.stringify(fields[name])
    if (text !== undefined) body += name === 'content' ? `,"content":${text}` : `,${JSON.stringify(name)}:${text}`
  }
  return { type, code: codeOf(type), time, body: lineSeparators.test(body) ? escaped(body) : body }
}

/** An entry of an inbox or a feed. */
export function plainEntry(record: { readonly type: string }, time: number): Entry {
  const { type, ...fields } = record
  return { type, code: codeOf(type), time, body: fieldsText(fields) }
}

function fieldsText(fields: object): string {
  const text = jsonText(fields)
  return text === '{}' ? '' : `,${text.slice(1, -1)}`
}

/** Writes one entry as a frame: `event:`, `data:`, `id:` in this order (PROTOCOL.md §4.1 says why). */
export type Shape = (entry: Entry, sequence: number) => string

/**
 * Frames of a managed run. Most events of a run have the type of the one before, so what stands around the number is
 * kept: a frame costs what joining its pieces costs, and few long ones are joined in 0.6 of the time of many short ones.
 */
export function runShape(run: string): Shape {
  let typed: string | undefined
  let head = ''
  let middle = ''
  return ({ type, time, body }, sequence) => {
    if (type !== typed) {
      typed = type
      head = `event: ${type}\ndata: {"id":"${eventIdPrefix(run)}`
      middle = `","type":"${type}","run_id":"${run}","sequence":`
    }
    const n = String(sequence)
    return head + n + middle + n + timestampField(time) + body + '}\nid: ' + n + '\n\n'
  }
}

/** Frames of a direct stream: `request_id` in place of id, run and sequence, and no `id:` line, for there is nothing to resume. */
export function directShape(request: string): Shape {
  return ({ type, time, body }) =>
    `event: ${type}\ndata: {"request_id":"${request}","type":"${type}"${timestampField(time)}${body}}\n\n`
}

/** Frames of inboxes and feeds. */
export const plainShape: Shape = ({ type, time, body }, n) =>
  `event: ${type}\ndata: {"type":"${type}","sequence":${n}${timestampField(time)}${body}}\nid: ${n}\n\n`

function timestampField(ms: number): string {
  return `,"timestamp":"${isoTime(ms)}"`
}

// The second that was written last, as its 20 characters and in ms: toISOString costs as much as the rest of a frame.
let secondMs = Number.NaN
let secondText = ''
const millis = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`)

/** What `Date.toISOString` gives. */
export function isoTime(ms: number): string {
  const within = ms - secondMs
  if (within >= 0 && within < 1000 && Number.isInteger(within)) return secondText + (millis[within] as string)
  const text = new Date(ms).toISOString()
  if (text.length === isoChars && Number.isSafeInteger(ms)) {
    secondMs = Math.floor(ms / 1000) * 1000
    secondText = text.slice(0, secondChars)
  }
  return text
}

/** What `Date.parse` gives. */
export function msOfIso(text: string): number {
  if (text.length === isoChars && text.startsWith(secondText) && secondText !== '' && text.charCodeAt(23) === zulu) {
    const [a, b, c] = [text.charCodeAt(20) - zero, text.charCodeAt(21) - zero, text.charCodeAt(22) - zero]
    if (a >= 0 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9) return secondMs + a * 100 + b * 10 + c
  }
  const ms = Date.parse(text)
  // The next ones are mostly of the same second.
  if (text.length === isoChars && ms >= 0) isoTime(ms)
  return ms
}

/** `2026-01-31T12:34:56.789Z`; the years 0 to 9999. */
const isoChars = 24
const secondChars = 20
const zero = 48
const zulu = 90

/** Contiguous frames with where each starts and what type it has; it only ever grows. */
export class Slab {
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

  /** Writes a frame; false when the slab is full. A frame larger than an empty slab gets the room it needs. */
  push(frame: string, code: number): boolean {
    // A UTF-16 unit is at most 3 bytes of UTF-8; only near the end is it worth counting exactly.
    if (frame.length * 3 > this.bytes.length - this.end) {
      const size = Buffer.byteLength(frame)
      if (size > this.bytes.length - this.end) {
        if (this.end > 0) return false
        this.bytes = Buffer.allocUnsafeSlow(size)
      }
    }
    this.starts.push(this.end)
    this.codes.push(code)
    this.end += this.bytes.write(frame, this.end)
    return true
  }

  pushBytes(frame: Uint8Array, code: number): void {
    this.starts.push(this.end)
    this.codes.push(code)
    this.bytes.set(frame, this.end)
    this.end += frame.length
  }

  startOf(index: number): number {
    return this.starts[index] ?? this.end
  }

  /** Gives back the room that no frame uses: a sealed run keeps what it holds and no more. */
  trim(): void {
    if (this.end < this.bytes.length) this.bytes = Buffer.from(this.bytes.subarray(0, this.end))
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
  private decoded: readonly E[] | undefined

  constructor(at: {
    after: number
    last: number
    state: State
    gap?: Gap | undefined
    slab: Slab
    from: number
    to: number
  }) {
    this.after = at.after
    this.last = at.last
    this.state = at.state
    if (at.gap) this.gap = at.gap
    this.slab = at.slab
    this.from = at.from
    this.to = at.to
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
