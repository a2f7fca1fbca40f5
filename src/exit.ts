// The one way from an agent into its log: filter, redact, limit, then append with compare. Nothing else writes to a
// run's log. It must keep the order of what was emitted, never let anything follow the end, and never hold more bytes
// than its bound: an agent that nobody awaits fails its run, and not the process.
import { type Entry, entryOf, type SlabBatch } from './batch.ts'
import type { Stored } from './agent/context.ts'
import { RuncastError } from './error.ts'
import type { Body } from './event.ts'
import type { HeadChange, Key, Log } from './log.ts'
import { createOutputLimit } from './output-limit.ts'
import { ownerTriesMax, persist, retryWaitMs } from './persist.ts'
import type { Redactor } from './redact.ts'
import type { Replay } from './replay.ts'
import { behindEnvelope } from './shape.ts'
import { atEndOfTurn } from './turn.ts'

/** What a run may hold in memory before it is stored. 8 MiB is a second of a fast model times a thousand. */
export const pendingBytesMax = 8 * 1024 * 1024
/** A generator waits for the store when this much is pending: four batches' worth keeps the log busy. */
const pendingBytesHigh = 64 * 1024
/** One event. Frames above 64 KiB already trouble some readers (PROTOCOL.md §4.5); a megabyte troubles everyone. */
export const eventBytesMax = 1024 * 1024

export interface ExitOptions {
  readonly log: Log
  readonly key: Key
  /** The last sequence of the log when this exit takes over. */
  readonly last: number
  /** Which optional events pass: `all`, or type names, `custom`, `custom:NAME`. */
  readonly allowed?: 'all' | ReadonlySet<string> | undefined
  readonly redactor?: Redactor | undefined
  readonly outputCharsMax?: number | undefined
  readonly pendingBytesMax?: number | undefined
  readonly eventBytesMax?: number | undefined
  readonly now: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** The log is lost to this owner: another one took over, or the backend stays away. Nothing can be written any more. */
  readonly onLost: (error: RuncastError) => void
  /** The agent emitted more than memory may hold: the run is to end with this error. */
  readonly onOverload: (error: RuncastError) => void
  /** The run goes on after a crash: what its log has already is not written again. */
  readonly replay?: Replay | undefined
  /** The agent contradicts its own log. */
  readonly onContradiction?: ((error: RuncastError) => void) | undefined
  /** Called after every append with how many events and bytes it added. */
  readonly onStored?: ((events: number, bytes: number) => void) | undefined
}

export interface Exit {
  readonly last: number
  /** Events on their way into the next append. */
  readonly pending: number
  emit(body: Body): Stored
  /** Changes the head in step with the log. */
  change(head: HeadChange): Stored
  /** A promise while the agent is to wait for the store. */
  congested(): Promise<void> | undefined
  /** Lets go what redaction holds back: a question, or the end, cannot wait for the next token. */
  release(): void
  /** The terminal event: resolves when it is stored. Whatever is emitted later is refused. */
  end(body: Body, head: HeadChange): Promise<void>
}

/** Always in the log, whatever the filter says: without them nobody could tell what became of a run. */
const alwaysWritten = new Set(['started', 'complete', 'error', 'cancelled', 'input'])

export function createExit(options: ExitOptions): Exit {
  const { log, key, now, redactor, allowed = 'all' } = options
  const limit = createOutputLimit(options.outputCharsMax)
  const bytesMax = options.pendingBytesMax ?? pendingBytesMax
  let last = options.last
  let entries: Entry[] = []
  let head: HeadChange | undefined
  let group = new Group()
  let bytes = 0
  let scheduled = false
  let flying: Sent | undefined
  let lost: RuncastError | undefined
  /** Why nothing more is taken though the log could be written. */
  let refusing: RuncastError | undefined
  let ended = false

  const schedule = () => {
    if (scheduled || flying) return
    scheduled = true
    atEndOfTurn(flush)
  }

  const flush = () => {
    scheduled = false
    if (entries.length === 0 && !head) return
    const sent = { entries, head, group, bytes }
    flying = sent
    entries = []
    head = undefined
    group = new Group()
    bytes = 0
    try {
      const appended = log.append(key, last, sent.entries, sent.head)
      if (typeof appended === 'number') stored(appended)
      else appended.then(stored, error => void recover(sent, error))
    } catch (error) {
      void recover(sent, error)
    }
  }

  const stored = (newLast: number) => {
    const sent = flying as Sent
    options.onStored?.(newLast - last, sent.bytes)
    last = newLast
    flying = undefined
    sent.group.resolve()
    if (entries.length > 0 || head) schedule()
  }

  /** A failed append may have arrived all the same: the tail says. A backend that is away is asked again, with backoff. */
  const recover = async (sent: Sent, thrown: unknown) => {
    let error = RuncastError.from(thrown, 'unavailable')
    try {
      for (let tries = 1; tries <= ownerTriesMax; tries++) {
        const look = () => arrival(log, key, last, sent)
        const found = await persist(look, { sleep: options.sleep, triesMax: ownerTriesMax })
        if (found === 'ours') return stored(last + sent.entries.length)
        if (found === 'foreign' || !error.retryable) break
        await options.sleep(retryWaitMs(tries))
        const appended = await attempt(() => log.append(key, last, sent.entries, sent.head))
        if (typeof appended === 'number') return stored(appended)
        error = appended
      }
    } catch (away) {
      error = RuncastError.from(away, 'unavailable')
    }
    fail(error)
  }

  const fail = (error: RuncastError) => {
    lost = error
    flying?.group.reject(error)
    flying = undefined
    group.reject(error)
    entries = []
    head = undefined
    options.onLost(error)
  }

  const isWritten = (body: Body): boolean => {
    const found = options.replay?.take(body) ?? 'new'
    if (found !== 'contradiction') return found === 'written'
    const message = `run again after a crash, the agent emitted another ${body.type} than its log has at ${options.replay?.at}`
    refusing = new RuncastError('conflict', message)
    options.onContradiction?.(refusing)
    return true
  }

  /** The event as it will be, into the next batch. */
  const put = (body: Body) => {
    const entry = encoded(body, now(), options.eventBytesMax)
    entries.push(entry)
    bytes += entry.body.length
  }
  const putNew = (body: Body) => {
    if (!isWritten(body)) put(body)
  }

  /** Behind the redactor. */
  const commit = (body: Body) => {
    limit(body, putNew)
    schedule()
    if (bytes <= bytesMax || refusing) return
    const message = `the agent emitted ${bytes} bytes faster than they could be stored (limit ${bytesMax}); await its emits`
    refusing = new RuncastError('overloaded', message)
    options.onOverload(refusing)
  }

  const admit = (body: Body): Stored => {
    const before = entries.length
    if (redactor) redactor.push(body, commit)
    else commit(body)
    // Held back, or written before: an awaiting agent goes on, for only its next token can let go what is held.
    return entries.length === before ? settled : group
  }

  return {
    get last() {
      return last
    },
    get pending() {
      return entries.length
    },
    emit(body) {
      const refusal = lost ?? refusing
      if (refusal) return rejected(refusal)
      if (ended) return rejected(new RuncastError('run_ended', 'the run has ended; nothing follows its last event'))
      return passes(body, allowed) ? admit(body) : settled
    },
    change(change) {
      if (lost) return rejected(lost)
      head = { ...head, ...change }
      schedule()
      return group
    },
    congested: () => (bytes > pendingBytesHigh && !lost ? group.promise() : undefined),
    release: () => redactor?.release(commit),
    async end(body, change) {
      if (lost) throw lost
      ended = true
      redactor?.release(commit)
      const final = redactor ? redactor.body(body) : body
      limit(final, put)
      head = { ...head, ...change }
      schedule()
      await group
    },
  }
}

interface Sent {
  readonly entries: readonly Entry[]
  readonly head: HeadChange | undefined
  readonly group: Group
  readonly bytes: number
}

async function attempt(append: () => number | Promise<number>): Promise<number | RuncastError> {
  try {
    return await append()
  } catch (error) {
    return RuncastError.from(error, 'unavailable')
  }
}

/** What stands where entries were to go whose acknowledgement is missing. */
async function arrival(log: Log, key: Key, after: number, { entries }: Sent): Promise<'nothing' | 'ours' | 'foreign'> {
  let at = 0
  while (at < entries.length + 1) {
    const batch = await log.read(key, after + at, entries.length + 1 - at) // it may return fewer
    if (batch.count === 0) break
    for (let index = 0; index < batch.count; index++) {
      const entry = entries[at++]
      if (!entry || !isThere(batch, index, entry)) return 'foreign'
    }
  }
  if (at === 0) return 'nothing'
  return at === entries.length ? 'ours' : 'foreign' // an append is all or nothing
}

/** By type and fields: its number is the log's to say. */
function isThere(batch: SlabBatch, index: number, { type, body }: Entry): boolean {
  const isOfType = batch.frame(index).toString().startsWith(`event: ${type}\n`)
  return isOfType && batch.json(index).toString().endsWith(behindEnvelope(body))
}

/** The event as an entry; throws when it is no JSON, or larger than an event may be. */
export function encoded(body: Body, time: number, bytesMax = eventBytesMax): Entry {
  let entry: Entry
  try {
    entry = entryOf(body, time)
  } catch (error) {
    throw new RuncastError('invalid_request', `the ${body.type} event is no JSON: ${(error as Error).message}`, {
      cause: error,
    })
  }
  // Counting costs as much as the rest, and UTF-8 has at most three bytes for a UTF-16 unit: most need no counting.
  const bytes = entry.body.length * 3 > bytesMax ? Buffer.byteLength(entry.body) : 0
  if (bytes > bytesMax) {
    throw new RuncastError(
      'too_large',
      `the ${body.type} event has ${bytes} bytes; the limit is ${bytesMax}: send it in parts or by reference`,
    )
  }
  return entry
}

function passes(body: Body, allowed: 'all' | ReadonlySet<string>): boolean {
  if (allowed === 'all' || alwaysWritten.has(body.type)) return true
  if (body.type === 'custom') return allowed.has('custom') || allowed.has(`custom:${body.name}`)
  return allowed.has(body.type)
}

/** All that goes into one append; everyone who emitted into it may await the same object, and pays only if they do. */
class Group implements PromiseLike<void> {
  private state: 'pending' | 'done' | RuncastError = 'pending'
  private deferred: PromiseWithResolvers<void> | undefined

  promise(): Promise<void> {
    if (this.state === 'done') return Promise.resolve()
    if (this.state !== 'pending') return Promise.reject(this.state)
    this.deferred ??= Promise.withResolvers<void>()
    return this.deferred.promise
  }

  // oxlint-disable-next-line unicorn/no-thenable -- an emit that nobody awaits must not cost a promise
  then<A = void, B = never>(
    done?: ((value: void) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    // oxlint-disable-next-line promise/no-callback-in-promise -- this is `then` itself
    return this.promise().then(done, failed)
  }

  resolve(): void {
    this.state = 'done'
    this.deferred?.resolve()
  }

  reject(error: RuncastError): void {
    this.state = error
    this.deferred?.reject(error)
  }
}

const settled: Stored = new Group()
;(settled as Group).resolve()

function rejected(error: RuncastError): Stored {
  const group = new Group()
  group.reject(error)
  return group
}
