// The DashStream format: a run as the messages of the DashFlow Streaming protocol, and messages as runs again.
// Every event is one message that holds all of it; some get a second one for readers that know only the original schema.
// It must never skip a number of a thread: what is too large to send is replaced by a message that says so.
import { RuncastError } from '../error.ts'
import type { Event } from '../event.ts'
import { emptyView, foldBatch, foldInto, type View } from '../state/fold.ts'
import { encodeDashStream } from './dashstream-codec.ts'
import { dashstreamDecoder } from './dashstream-decoder.ts'
import {
  checked,
  checkpointedVersion,
  checkpointEveryVersions,
  type Derived,
  derived,
  derivedKinds,
  type DerivedOptions,
} from './dashstream-derived.ts'
import { hex, messageIds } from './dashstream-names.ts'
import { type HeaderOf, type Kind, withHeader, type Written, write } from './dashstream-write.ts'
import { type Encoder, type Format, type Identity, type Message, threadOf } from './format.ts'

export { type DashDecoderOptions, dashstreamDecoder } from './dashstream-decoder.ts'

export interface DashEncoderOptions extends Identity {
  /** The view at the cursor to go on from. */
  readonly view?: View | undefined
  /** Versions of the state between two checkpoints of it. */
  readonly checkpointEvery?: number | undefined
}

export const dashstream: Format = {
  name: 'dashstream',
  contentType: 'application/x-dashstream',
  encoder: (identity, view) => dashstreamEncoder({ ...identity, view }),
  decoder: () => dashstreamDecoder(),
}

/** The topic of the per-tenant tree that a kind belongs to: `dashstream.{topic}.{tenant}`. */
export const dashTopics = {
  event: 'events',
  tokenChunk: 'events',
  toolExecution: 'events',
  executionTrace: 'events',
  eventBatch: 'events',
  stateDiff: 'state',
  checkpoint: 'checkpoints',
  metrics: 'metrics',
  error: 'errors',
} as const satisfies Record<Kind, string>

export function dashstreamEncoder(options: DashEncoderOptions): Encoder {
  const { run, tenant = '', threadBase = 0, checkpointEvery = checkpointEveryVersions } = options
  const thread = threadOf(options)
  // A copy of one's own: folding changes its lists.
  const view = foldBatch(options.view ?? emptyView(run), { after: 0, last: 0, events: [] })
  const idOf = messageIds(run)
  const made: DerivedOptions = { checkpointEvery, stateCheckpointId: version => idOf(version, '', stateCheckpointKind) }

  /** The version of the state's last checkpoint. Where it began in the middle, that is the usual one. */
  let sent = checkpointedVersion(view.state.version, checkpointEvery)

  const tell = (event: Event, out: Message[]) => {
    if (event.sequence <= view.at || view.terminal !== undefined) return
    foldInto(view, event)
    const messageId = idOf(event.sequence, event.timestamp)
    const sequence = threadBase + event.sequence
    const written = write(event, messageId)
    const main = event.type === 'state' ? checked(written, event, view, { ...made, sent }) : written
    out.push(mainMessage(event, main, { messageId, tenant, thread, sequence }))
    for (const one of derived(event, view, made)) {
      const id = idOf(event.sequence, event.timestamp, derivedKinds[one.kind])
      const message = derivedMessage(event, one, { messageId: id, tenant, thread, sequence: 0, parentId: messageId })
      if (message === undefined) continue
      out.push(message)
      if (one.kind === 'checkpoint') sent = view.state.version
    }
  }
  return events => {
    const out: Message[] = []
    for (const event of events) tell(event, out)
    return out
  }
}

/** The id of a state's checkpoint counts versions where other ids count events, so it has a kind of its own. */
const stateCheckpointKind = 4

function mainMessage(event: Event, written: Written, header: HeaderOf): Message {
  try {
    return message(event, written, header, true)
  } catch (thrown) {
    if (!(thrown instanceof RuncastError) || thrown.code !== 'too_large') throw thrown
    return message(event, tooLarge(event, thrown), header, true)
  }
}

/** Undefined when it does not fit into a message: the event itself was sent. Of a trace, its final state goes first. */
function derivedMessage(event: Event, { kind, written }: Derived, header: HeaderOf): Message | undefined {
  try {
    return message(event, written, header, false)
  } catch (thrown) {
    if (!(thrown instanceof RuncastError) || thrown.code !== 'too_large') throw thrown
    if (kind !== 'trace' || written.value['finalState'] === undefined) return undefined
    const { finalState: _, ...value } = written.value
    return derivedMessage(event, { kind, written: { ...written, value } }, header)
  }
}

function message(event: Event, written: Written, header: HeaderOf, main: boolean): Message {
  const payload = encodeDashStream(withHeader(written, header, event, main))
  return new DashMessage(written.kind, header, event.sequence, payload)
}

/** A class, because the text of its id is made for who asks: most carriers have no use for it, it stands in the payload. */
class DashMessage implements Message {
  readonly kind: Kind
  readonly topic: string
  readonly key: string
  readonly sequence: number
  readonly payload: Uint8Array
  private readonly messageId: Uint8Array

  constructor(kind: Kind, header: HeaderOf, sequence: number, payload: Uint8Array) {
    this.kind = kind
    this.topic = dashTopics[kind]
    this.key = header.thread
    this.sequence = sequence
    this.payload = payload
    this.messageId = header.messageId
  }

  get id(): string {
    return hex(this.messageId)
  }
}

/** Stands in the place of an event that no record can hold, so that its absence shows. A terminal event still ends its run. */
function tooLarge(event: Event, { details }: RuncastError): Written {
  const { id, run_id, sequence, timestamp } = event
  const envelope = { id, run_id, sequence, timestamp }
  const data = { type: event.type, bytes: details['size'], limit: details['limit'] }
  const metadata = { too_large: data }
  if (event.type === 'complete') {
    const { latency_seconds } = event
    return write({ ...envelope, type: 'complete', output: null, latency_seconds, metadata }, nothing)
  }
  if (event.type === 'error') {
    const error = event.error.slice(0, keptErrorChars).toWellFormed()
    return write({ ...envelope, type: 'error', error, code: event.code.slice(0, 100), details: metadata }, nothing)
  }
  if (event.type === 'cancelled') return write({ ...envelope, type: 'cancelled' }, nothing)
  return write({ ...envelope, type: 'custom', name: 'too_large', data }, nothing)
}

const nothing = new Uint8Array(0)
/** Of an error that is too long as a whole: what people read of it. */
const keptErrorChars = 4_096
