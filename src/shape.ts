// How an entry looks as bytes: one SSE frame, `event:`, `data:`, `id:` in this order (PROTOCOL.md §4.1 says why). It is
// written straight into the memory that all readers share, and what two frames of a log have in common is kept as bytes:
// that takes a third of the time of building a string and writing it. It must never write what JSON or SSE would escape.
import { eventIdPrefix } from './event.ts'
import { isoTime } from './iso-time.ts'

/** An entry on its way into a log: all but its number, which the log gives. Its fields are JSON already, so later changes of the agent's objects cannot reach it. */
export interface Entry {
  /** The name on the wire: the event type, or the custom event's name. */
  readonly type: string
  /** Position in `eventTypes`; 0 (`custom`) for every other name. */
  readonly code: number
  /** When it happened, ms since the epoch. */
  readonly time: number
  /** The fields behind the envelope: the JSON text of an object. */
  readonly body: string
}

/** Below so many characters a body's bytes are bounded, not counted. */
const countedFrom = 1024
/** UTF-8 needs at most this for a UTF-16 unit. */
const bytesPerChar = 3
/** The digits of the largest safe integer. */
const digitsMax = 16
/** `,"timestamp":"…"` with a year of six digits. */
const stampBytesMax = 48
const idLine = Buffer.from('\nid: ')
const noFields = '{}'
const comma = 44
const closingBrace = 125
const newline = 10
/** At the end of a frame. */
const newlines = 2
const zero = 48

/** A body as it goes on behind the last field of an envelope. */
export function behindEnvelope(body: string): string {
  return body === noFields ? body.slice(1) : `,${body.slice(1)}`
}

/** Writes the frames of one log. */
export class Shape {
  private readonly pieces: (type: string) => readonly string[]
  private readonly numbered: boolean
  private readonly fixedBytes: number
  /** Everything before the timestamp, for entries of this type whose numbers have as many digits. */
  private type: string | undefined
  private sequenceEnd = 0
  private digits = 0
  private start = Buffer.alloc(0)
  private places: number[] = []

  /** `pieces` stand before the timestamp and have the number between them: those of one piece are not numbered. */
  constructor(pieces: (type: string) => readonly string[]) {
    const [first = '', ...others] = pieces('')
    this.pieces = pieces
    this.numbered = others.length > 0
    const pieceBytes = [first, ...others].reduce((sum, piece) => sum + Buffer.byteLength(piece), 0)
    this.fixedBytes = pieceBytes + (others.length + 1) * digitsMax + stampBytesMax + idLine.length + newlines
  }

  /** As many bytes as the frame of this entry has, or a few more. */
  room({ type, body }: Entry): number {
    const bodyBytes = body.length < countedFrom ? body.length * bytesPerChar : Buffer.byteLength(body)
    return this.fixedBytes + 2 * bytesPerChar * type.length + bodyBytes
  }

  /** Writes the frame at an offset that has the room; returns where it ends. */
  write({ type, time, body }: Entry, sequence: number, into: Buffer, at: number): number {
    if (type !== this.type || sequence >= this.sequenceEnd || sequence * 10 < this.sequenceEnd)
      this.begin(type, sequence)
    const { start, places, digits } = this
    into.set(start, at)
    for (let place = 0; place < places.length; place++) {
      writeDigits(into, at + (places[place] as number), sequence, digits)
    }
    let end = at + start.length
    const stamp = stampOf(time)
    into.set(stamp, end)
    end += stamp.length
    if (body === noFields) into[end++] = closingBrace
    else {
      // The envelope goes on with the fields: a comma takes the place of their brace.
      const brace = end
      end += into.write(body, end)
      into[brace] = comma
    }
    if (this.numbered) {
      into.set(idLine, end)
      end = writeDigits(into, end + idLine.length, sequence, digits)
    }
    into[end] = newline
    into[end + 1] = newline
    return end + newlines
  }

  private begin(type: string, sequence: number): void {
    const pieces = this.pieces(type)
    const number = String(sequence)
    this.type = type
    this.digits = number.length
    this.sequenceEnd = 10 ** number.length
    const start = pieces.join(number)
    // Not from Node's pool of 8 KiB pieces, which lives as long as any of them: this one lives as long as its log.
    this.start = Buffer.allocUnsafeSlow(Buffer.byteLength(start))
    this.start.write(start)
    this.places = []
    let at = 0
    for (const piece of pieces.slice(0, -1)) {
      at += Buffer.byteLength(piece)
      this.places.push(at)
      at += number.length
    }
  }
}

/** Frames of a managed run. */
export function runShape(run: string): Shape {
  return new Shape(type => [
    `event: ${type}\ndata: {"id":"${eventIdPrefix(run)}`,
    `","type":"${type}","run_id":"${run}","sequence":`,
    '',
  ])
}

/** Frames of a direct stream: `request_id` in place of id, run and sequence, and no `id:` line, for there is nothing to resume. */
export function directShape(request: string): Shape {
  return new Shape(type => [`event: ${type}\ndata: {"request_id":"${request}","type":"${type}"`])
}

/** Frames of an inbox or a feed. */
export function plainShape(): Shape {
  return new Shape(type => [`event: ${type}\ndata: {"type":"${type}","sequence":`, ''])
}

function writeDigits(into: Buffer, at: number, number: number, digits: number): number {
  let rest = number
  for (let place = at + digits - 1; place >= at; place--) {
    const tenth = Math.floor(rest / 10)
    into[place] = zero + (rest - tenth * 10)
    rest = tenth
  }
  return at + digits
}

let secondMs = Number.NaN
let stampBytes = Buffer.alloc(0)
/** Where the three digits of the milliseconds are. */
let millisAt = 0

/** Many events share a second. */
function stampOf(ms: number): Buffer {
  const within = ms - secondMs
  if (within >= 0 && within < 1000 && Number.isInteger(within)) writeDigits(stampBytes, millisAt, within, 3)
  else {
    stampBytes = Buffer.from(`,"timestamp":"${isoTime(ms)}"`)
    millisAt = stampBytes.length - '000Z"'.length
    secondMs = Math.floor(ms / 1000) * 1000
  }
  return stampBytes
}
