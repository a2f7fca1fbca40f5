// What a format is: the events of one run as messages, and messages as the events of runs again. It exists so that a
// sink, a source and a transport need not know which format they carry. A format is a function over events and their
// fold: it must never look at a clock, roll dice, or remember anything that the view does not say.
import type { Batch, Entry } from '../batch.ts'
import { RuncastError } from '../error.ts'
import { type Event, runIdPattern } from '../event.ts'
import type { View } from '../state/fold.ts'

/** Whose events these are. Formats put as much of it into their messages as they have places for. */
export interface Identity {
  readonly run: string
  readonly tenant?: string | undefined
  /** Without one, the run is its own. */
  readonly thread?: string | undefined
  /** Events of the earlier runs of the thread. */
  readonly threadBase?: number | undefined
  /** What chat.v1 calls the task; the run's id when absent. */
  readonly task?: string | undefined
  readonly scenario?: string | undefined
  readonly user?: string | undefined
  readonly company?: string | undefined
}

/** One message of a format: what a Kafka record needs, and what a file or a socket writes. */
export interface Message {
  /** What it is, in the format's own word. */
  readonly kind: string
  /** Which of the format's topics it belongs to. */
  readonly topic: string
  /** The order of messages with one key is kept: the thread. */
  readonly key: string
  /** A function of run, sequence and kind, so that a second export can be recognised. */
  readonly id: string
  /** Of the event it came from. */
  readonly sequence: number
  readonly payload: Uint8Array
}

/** The messages of the next events of a run. Events at or below the view's cursor, and behind the end, give none. */
export type Encoder = (events: readonly Event[]) => Message[]

/** Consecutive events of one run, as they came out of messages. A hole before them is their `gap`. */
export interface RunBatch extends Batch {
  readonly run_id: string
  readonly tenant: string
  readonly thread: string
  /** The task of chat.v1, which has its own ids. */
  readonly task?: string
  /** The events as a log keeps them, where that costs less than making events first. */
  entries?(): Entry[]
}

/** What was noticed about messages, and cannot be said in events. */
export interface Problem {
  /**
   * `duplicate`: had already, dropped. `conflict`: another message with a number that we had, dropped. `late`: older than anyone
   * remembers, dropped. `reordered`: came after a later one, and was put in place. `gap`: numbers never came.
   * `unsequenced`: a change of state without a number, dropped. `after_end`: belongs to a run that ended, dropped.
   * `invalid_chart`: became a warning.
   */
  readonly kind: 'duplicate' | 'conflict' | 'late' | 'reordered' | 'gap' | 'unsequenced' | 'after_end' | 'invalid_chart'
  readonly tenant: string
  readonly thread: string
  readonly run_id?: string
  /** The number it was about; bigint, for strangers use all 64 bits. */
  readonly position?: bigint
  /** How many numbers are missing in front of `position`. */
  readonly missing?: bigint
  readonly message_id?: string
}

export interface Decoded {
  readonly batches: RunBatch[]
  readonly problems: Problem[]
}

export function emptyDecoded(): Decoded {
  return { batches: [], problems: [] }
}

/** Adds what a payload gave to what others gave. */
export function addDecoded(into: Decoded | undefined, more: Decoded): Decoded {
  if (into === undefined) return more
  into.batches.push(...more.batches)
  into.problems.push(...more.problems)
  return into
}

export interface Decoder {
  /**
   * Takes the next payload. Throws, having changed nothing, when it is none of this format (`details.reason`).
   * What it gives is added to `into`, and returned: events of a run that follow on make one batch of many payloads.
   */
  push(payload: Uint8Array, into?: Decoded): Decoded
  /** Waits no longer for what is missing: holes become gaps. For the end of a topic, and for when time has passed. */
  flush(): Decoded
  /** Messages that wait for an earlier one. */
  readonly waiting: number
}

export interface Format {
  readonly name: string
  readonly contentType: string
  /** `view` is the view at the cursor to go on from; it is not changed. Default: from the start. */
  encoder(identity: Identity, view?: View): Encoder
  /** Absent where messages cannot be read back. */
  decoder?(): Decoder
}

/** The conversation of a run: its thread, or the run itself. */
export function threadOf({ run, thread }: Identity): string {
  return thread === undefined || thread.trim() === '' ? run : thread
}

/** A run as several batches told it. */
export interface DecodedRun {
  readonly run_id: string
  readonly thread: string
  readonly events: Event[]
  readonly gaps: { readonly requested: number; readonly oldest: number }[]
}

/** All payloads of a topic as runs, in order of their first event. */
export function runsOf(decoder: Decoder, payloads: Iterable<Uint8Array>): { runs: DecodedRun[]; problems: Problem[] } {
  const runs = new Map<string, DecodedRun>()
  const problems: Problem[] = []
  const take = (decoded: Decoded) => {
    problems.push(...decoded.problems)
    for (const { tenant, run_id, thread, events, gap } of decoded.batches) {
      const key = JSON.stringify([tenant, run_id])
      const run = runs.get(key) ?? { run_id, thread, events: [], gaps: [] }
      runs.set(key, run)
      run.events.push(...events)
      if (gap) run.gaps.push({ requested: gap.requested, oldest: gap.oldest })
    }
  }
  for (const payload of payloads) take(decoder.push(payload))
  take(decoder.flush())
  return { runs: [...runs.values()], problems }
}

/** Refuses an id that a stranger made up and that would end up in frames, keys and log lines. */
export function checkRunId(run: string): string {
  if (runIdPattern.test(run)) return run
  throw new RuncastError(
    'invalid_request',
    `run_id ${JSON.stringify(run.slice(0, 40))} is not letters, digits, _ and -, 1 to 128 of them`,
    { details: { reason: 'schema_error', field: 'run_id' } },
  )
}
