// Tokens of ours straight from a payload to what a log keeps: they are nearly all that a topic holds, and a message object with
// its sixty fields in between costs more than both ends. Only the usual form is read here.
// It must never decide an error, nor read anything otherwise than dashstream-hot-decode.ts and dashstream-read.ts do: at
// whatever is unusual it answers `undefined`, and those judge.
import { type Entry, fieldsEntry } from '../batch.ts'
import { type Event, eventId, runIdPattern } from '../event.ts'
import { isoTime } from '../iso-time.ts'
import { rawByte } from './dashstream-frame.ts'
import {
  begin,
  enter,
  fail,
  finish,
  leave,
  more,
  next,
  readLength,
  readRepeating,
  readSafe,
  readText,
  readUint32,
  skipBytes,
} from './dashstream-hot-wire.ts'

/** One token, which is an event for who asks, or an entry without one. */
export class OwnToken {
  readonly type = 'token'
  readonly tenant: string
  readonly thread: string
  readonly run_id: string
  readonly sequence: number
  /** Where its message id stands in the payload. */
  readonly idAt: number
  private readonly time: number
  private readonly content: string
  private readonly request: string
  private readonly model: string
  private readonly index: number

  /** Of the header that was read last. */
  constructor(content: string, request: string, model: string, index: number) {
    this.tenant = tenant
    this.thread = thread
    this.run_id = run
    this.sequence = sequence
    this.idAt = idAt
    this.time = timestampUs / 1_000
    this.content = content
    this.request = request
    this.model = model
    this.index = index
  }

  event(): Event {
    const { type, run_id, sequence, content, request, model, index } = this
    const event: Extract<Event, { type: 'token' }> = {
      id: eventId(run_id, sequence),
      type,
      run_id,
      sequence,
      timestamp: isoTime(this.time),
      content,
    }
    if (request !== '') event.llm_request_id = request
    if (model !== '') event.model = model
    if (index !== 0) event.index = index
    return event
  }

  /** What `entryOfEvent` makes of the event. */
  entry(): Entry {
    const { request, model, index } = this
    let fields = `{"content":${JSON.stringify(this.content)}`
    if (request !== '') fields += `,"llm_request_id":${JSON.stringify(request)}`
    if (model !== '') fields += `,"model":${JSON.stringify(model)}`
    if (index !== 0) fields += `,"index":${index}`
    return fieldsEntry(this.type, this.time, `${fields}}`)
  }
}

// The header that is being read.
let idAt = 0
let timestampUs = 0
let tenant = ''
let thread = ''
let run = ''
let sequence = 0

export function readOwnToken(payload: Uint8Array): OwnToken | undefined {
  if (payload[0] !== rawByte || payload[1] !== tokenTag || !begin(payload, 2)) return undefined
  run = ''
  if (next() === 0x0a) readHeader()
  else fail()
  let request = ''
  let content = ''
  let index = 0
  let model = ''
  while (more()) {
    const tag = next()
    if (tag === 0x12) request = readRepeating()
    else if (tag === 0x1a) content = readText(readLength())
    else if (tag === 0x30) index = readUint32()
    else if (tag === 0x4a) model = readRepeating()
    else fail()
  }
  if (!finish() || !isUsual()) return undefined
  return new OwnToken(content, request, model, index)
}

const tokenTag = 0x1a

function readHeader(): void {
  idAt = timestampUs = sequence = 0
  tenant = thread = ''
  const outer = enter()
  while (more()) {
    const tag = next()
    if (tag === 0x0a) idAt = skipBytes(16)
    else if (tag === 0x10) timestampUs = readSafe()
    else if (tag === 0x1a) tenant = readRepeating()
    else if (tag === 0x22) thread = readRepeating()
    else if (tag === 0x28) readSafe()
    else if (tag === 0x30) readUint32()
    else if (tag === 0x48) {
      if (readUint32() !== 1) fail()
    } else if (tag === 0xa2 && next() === 0x06) run = readRepeating()
    else if (tag === 0xa8 && next() === 0x06) sequence = readSafe()
    else fail()
  }
  leave(outer)
}

/** Neighbours are mostly of one run and one thread. */
let checkedRun = ''
let checkedThread = ''

function isUsual(): boolean {
  if (idAt === 0 || sequence === 0 || timestampUs % 1_000 !== 0) return false
  if (run === checkedRun && thread === checkedThread) return run !== ''
  if (!runIdPattern.test(run) || thread.trim() === '') return false
  checkedRun = run
  checkedThread = thread
  return true
}
