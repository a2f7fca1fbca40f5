// Tokens of ours straight from a payload to the event: they are nearly all that a topic holds, and a message object with
// its sixty fields in between costs more than both ends. Only the usual form is read here.
// It must never decide an error, nor read anything otherwise than dashstream-hot-decode.ts and dashstream-read.ts do: at
// whatever is unusual it answers `undefined`, and those judge.
import { isoTime } from '../iso-time.ts'
import { type Event, eventId, runIdPattern } from '../event.ts'
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

export interface OwnToken {
  readonly tenant: string
  readonly thread: string
  /** Where its message id stands in the payload. */
  readonly idAt: number
  readonly event: Event
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
  const timestamp = isoTime(timestampUs / 1_000)
  const event: Extract<Event, { type: 'token' }> = {
    id: eventId(run, sequence),
    type: 'token',
    run_id: run,
    sequence,
    timestamp,
    content,
  }
  if (request !== '') event.llm_request_id = request
  if (model !== '') event.model = model
  if (index !== 0) event.index = index
  return { tenant, thread, idAt, event }
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
