// Runs that belong to one reader: a direct stream over a connection, `stream()` in this process, `invoke` for the end alone.
// Each is a run like any other, over a log in memory that goes with its reader; it is on no feed and in no list.
// It must never outlive its reader: who leaves cancels it, and nobody can come back to it.
import { type Agent, type AgentFunction, defineAgent } from './agent/define.ts'
import { checked } from './agent/schema.ts'
import { memory } from './backends/memory.ts'
import type { Batch, Types } from './batch.ts'
import { atMost, realDeps } from './deps.ts'
import { RuncastError } from './error.ts'
import type { Event, EventOf, Json } from './event.ts'
import { type Deliver, follow, iterate } from './follow.ts'
import { bounded, type Bounds } from './layers/bounded.ts'
import { checkRunId, type Key, type NewHead, runKey, type Status } from './log.ts'
import { own, type OwnerOptions, shutDown } from './owner.ts'
import { createRedactor } from './redact.ts'
import type { Deps, Observer, Principal } from './runs.ts'

/** What a server sets for all its direct streams. */
export interface DirectLimits {
  readonly allowed?: 'all' | ReadonlySet<string> | undefined
  readonly redactPatterns?: readonly RegExp[] | undefined
  readonly outputCharsMax?: number | undefined
  readonly pendingBytesMax?: number | undefined
  readonly eventBytesMax?: number | undefined
  readonly bounds?: Bounds | undefined
  readonly maxRunDurationMs?: number | undefined
  readonly cancelGraceMs?: number | undefined
  /** Told of every run that starts and ends; for metrics. */
  readonly observer?: Observer | undefined
  /** Each run is in it from its start to its end, for {@link settle}. */
  readonly running?: Set<DirectStream> | undefined
}

export interface DirectOptions extends DirectLimits {
  readonly agent: Agent
  readonly input: unknown
  readonly deps: Deps
  readonly principal?: Principal | undefined
  readonly labels?: Record<string, string> | undefined
  /** Aborts when the reader leaves, also before it began to read. */
  readonly signal?: AbortSignal | undefined
  /** Made up when absent. */
  readonly requestId?: string | undefined
}

export interface DirectFollowOptions {
  readonly types?: Types | undefined
  readonly signal?: AbortSignal | undefined
}

export interface DirectStream {
  readonly request_id: string
  /** As `follow` of Runs, from the first event on. There is one reader: a second is refused with `conflict`. When it leaves before the end, the run is cancelled. */
  follow(options: DirectFollowOptions, deliver: Deliver): Promise<void>
  /** The same for humans. */
  tail(options?: DirectFollowOptions): AsyncGenerator<Batch, void, undefined>
  /** Resolves with how it ended. */
  readonly sealed: Promise<{ status: Status; last: number }>
  cancel(reason?: string, by?: string): void
  /** Ends it as `error` `interrupted`: its process stops. */
  interrupt(): void
  /** Events that the reader was too slow for. */
  readonly dropped: number
}

/** How a run ended. */
export type End = EventOf<'complete'> | EventOf<'error'> | EventOf<'cancelled'>

/** The end of a run that did not complete as an error: what `stream` and `output` throw, and `POST /invoke` answers. */
export function failureOf(end: EventOf<'error'> | EventOf<'cancelled'>): RuncastError {
  return end.type === 'error'
    ? RuncastError.of(end.code, end.error, { details: { ...end.details } })
    : RuncastError.of('cancelled', end.reason ?? 'the run was cancelled')
}

/** Starts an agent for one reader. Rejects with `invalid_input` when the input does not fit; the agent has not run then. */
export async function direct(options: DirectOptions): Promise<DirectStream> {
  const id = options.requestId ?? options.deps.id()
  checkRunId(id, 'requestId')
  return open(`direct/${id}`, id, options)
}

/** Gives the direct runs of a server that stops time to end, then interrupts them. */
export async function settle(running: ReadonlySet<DirectStream>, graceMs: number, deps: Deps): Promise<void> {
  const ended = () => Promise.allSettled([...running].map(({ sealed }) => sealed))
  await atMost(graceMs, ended(), deps)
  for (const run of running) run.interrupt()
  await ended()
}

/** Runs an agent to its end and returns that; the events before it are not even made. */
export async function invoke(options: DirectOptions): Promise<End> {
  const run = await direct({ ...options, allowed: noEvents })
  let end: Event | undefined
  await run.follow({ types: noEvents }, batch => {
    end = batch.events.at(-1) ?? end
  })
  await run.sealed // throws when the log was lost; then there is no end
  if (!end) throw new RuncastError('unavailable', `the caller of ${run.request_id} left before its end`)
  return end as End
}

export interface StreamOptions extends Omit<DirectLimits, 'bounds'> {
  /** Abort it to cancel the agent; the loop then ends with the `cancelled` event. */
  readonly signal?: AbortSignal | undefined
  /** The run's id; made up when absent. */
  readonly run?: string | undefined
  readonly principal?: Principal | undefined
  readonly labels?: Record<string, string> | undefined
  readonly deps?: Deps | undefined
}

/**
 * The shortest use: `for await (const event of stream(agent, input))`. Yields every event, numbered, the terminal one too,
 * and returns the output. The agent waits for the loop; leaving the loop cancels it and waits for its finally block.
 * A run that fails throws behind its `error` event: a RuncastError with the event's code, message and details.
 */
export async function* stream<I, O>(
  agent: Agent<I, O> | AgentFunction<I, O>,
  input: I,
  options: StreamOptions = {},
): AsyncGenerator<Event, O, undefined> {
  const { deps = realDeps, run: id = deps.id(), signal, ...rest } = options
  checkRunId(id, 'run')
  const defined = (typeof agent === 'function' ? defineAgent(agent) : agent) as Agent
  const run = await open(runKey(id), id, { ...rest, agent: defined, input, deps, bounds: inStep })
  // Not the reader's signal: it cancels, and the reader stays to see the end.
  const cancel = () => run.cancel(reasonOf(signal))
  signal?.addEventListener('abort', cancel, { once: true })
  if (signal?.aborted) cancel()
  let end: Event | undefined
  try {
    for await (const batch of run.tail()) {
      for (const event of batch.events) {
        end = event
        yield event
      }
    }
  } finally {
    signal?.removeEventListener('abort', cancel)
    await run.sealed
  }
  if (end?.type === 'error') throw failureOf(end)
  return (end?.type === 'complete' ? end.output : undefined) as O
}

/**
 * What a run came to: its output, or, of a run that returned nothing, the list of its items. Throws where `stream` does,
 * and `cancelled` when the run was cancelled.
 */
export async function output(events: AsyncIterable<Event>): Promise<unknown> {
  const items: unknown[] = []
  for await (const event of events) {
    if (event.type === 'item') items.push('data' in event ? event.data : Buffer.from(event.bytes, 'base64'))
    else if (event.type === 'complete') return event.output === null && items.length > 0 ? items : event.output
    else if (event.type === 'error' || event.type === 'cancelled') throw failureOf(event)
  }
  throw new RuncastError('unavailable', 'the events stopped before the end of the run')
}

/** Events one by one, of what delivers batches. */
export async function* eventsOf(batches: AsyncIterable<Batch>): AsyncGenerator<Event, void, undefined> {
  for await (const batch of batches) yield* batch.events
}

/** The defaults of the configuration (PROTOCOL: `buffer_size`, `overflow_strategy`, `threshold`, `strategy`). */
const defaultBounds: Bounds = { size: 1_000, overflow: 'drop_oldest', threshold: 100, strategy: 'pause' }
/** How far an agent may be ahead of a loop in this process: enough that both have work, little to be undone by a `break`. */
const aheadEvents = 16
const inStep: Bounds = { size: aheadEvents, overflow: 'block', threshold: aheadEvents, strategy: 'pause' }
const noEvents: ReadonlySet<string> = new Set()
const defaultTenant = 'default'

async function open(key: Key, id: string, options: DirectOptions): Promise<DirectStream> {
  const { agent, deps, signal } = options
  const input = await checked(agent.input, options.input, 'input', 'invalid_input')
  const pipe = bounded(memory(), key, options.bounds ?? defaultBounds)
  const { log } = pipe
  const head = headOf(id, options)
  await log.append(key, 0, [], head)
  const owner = own({
    log,
    key,
    agent,
    input,
    head,
    exit: exitOf(options),
    now: deps.now,
    sleep: deps.sleep,
    cancelGraceMs: options.cancelGraceMs ?? 1_000,
    maxRunDurationMs: options.maxRunDurationMs ?? 3_600_000,
    inbox: false,
    pressure: pipe.pressure,
  })
  options.observer?.started(agent.name)
  let over = false
  let read = false
  const ended = () => {
    over = true
    options.running?.delete(stream)
    signal?.removeEventListener('abort', left)
  }
  const cancel = (reason?: string, by?: string) => owner.stop({ kind: 'cancelled', reason, by })
  const left = () => {
    if (over) return
    pipe.leave()
    cancel('the reader left')
  }
  owner.sealed.then(({ status }) => options.observer?.ended(agent.name, status), nothing).finally(ended)
  signal?.addEventListener('abort', left, { once: true })
  if (signal?.aborted) left()

  async function followOnce({ types, signal: leaving }: DirectFollowOptions, deliver: Deliver): Promise<void> {
    if (read) throw new RuncastError('conflict', `the stream ${id} has its one reader; start a run to share it`)
    read = true
    const gone = signal && leaving ? AbortSignal.any([signal, leaving]) : (signal ?? leaving)
    let end = false
    try {
      await follow(log, key, { types, signal: gone }, batch => {
        end = batch.state === 'sealed'
        return deliver(batch)
      })
    } finally {
      if (!end) left()
    }
  }

  const stream: DirectStream = {
    request_id: id,
    follow: followOnce,
    tail: (opts = {}) => iterate((leaving, deliver) => followOnce({ ...opts, signal: leaving }, deliver), opts.signal),
    sealed: owner.sealed,
    cancel,
    interrupt: () => owner.stop(shutDown),
    get dropped() {
      return pipe.dropped
    },
  }
  options.running?.add(stream)
  return stream
}

function headOf(run_id: string, { agent, deps, input, principal, labels }: DirectOptions): NewHead {
  return {
    run_id,
    status: 'accepted',
    agent: agent.name,
    framework: agent.framework,
    tenant: principal?.tenant ?? defaultTenant,
    ...(principal?.user !== undefined && { user_id: principal.user }),
    ...(labels && { labels }),
    input: input as Json,
    owner: run_id,
    created_at: deps.now(),
  }
}

function exitOf(options: DirectLimits): OwnerOptions['exit'] {
  const { allowed, redactPatterns, outputCharsMax, pendingBytesMax, eventBytesMax } = options
  const redactor = redactPatterns?.length ? createRedactor(redactPatterns) : undefined
  return { allowed, redactor, outputCharsMax, pendingBytesMax, eventBytesMax }
}

function reasonOf(signal: AbortSignal | undefined): string {
  const reason: unknown = signal?.reason
  return reason instanceof Error ? reason.message : String(reason)
}

function nothing(): void {}
