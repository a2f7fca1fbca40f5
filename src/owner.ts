// The process that executes a run: its only appender. It listens to the inbox, gives the agent its turn, its context
// and its deadline, and writes the one end. It must seal whatever happens: an agent that ignores its signal is
// abandoned after the grace, and nothing it still does reaches the log.
import { isNoJson } from './agent/check.ts'
import { type Agent, perform } from './agent/define.ts'
import { createContext, type Stored } from './agent/context.ts'
import { checked } from './agent/schema.ts'
import { plainEntry } from './batch.ts'
import { RuncastError, saidBy } from './error.ts'
import type { Bodies, Body } from './event.ts'
import { type ExitOptions, createExit } from './exit.ts'
import { follow } from './follow.ts'
import {
  type HeadChange,
  inboxKey,
  type Key,
  type Log,
  type NewHead,
  type Numbered,
  readLimitEntries,
  type Told,
} from './log.ts'
import { ownerTriesMax, persist } from './persist.ts'

/** Why an agent is told to stop; the cause of its signal's reason. */
export type StopReason =
  | { readonly kind: 'cancelled'; readonly reason?: string | undefined; readonly by?: string | undefined }
  | { readonly kind: 'timeout' | 'interrupted' | 'overloaded'; readonly error: string }
  | { readonly kind: 'critical'; readonly warning: Bodies['warning'] }
  | { readonly kind: 'lost'; readonly error: RuncastError }

/** Its process stops. */
export const shutDown: StopReason = { kind: 'interrupted', error: 'the server is shutting down' }

export interface OwnerOptions {
  readonly log: Log
  readonly key: Key
  readonly agent: Agent
  readonly input: unknown
  readonly head: NewHead
  readonly exit: Pick<
    ExitOptions,
    'allowed' | 'redactor' | 'outputCharsMax' | 'pendingBytesMax' | 'eventBytesMax' | 'onStored' | 'replay'
  >
  readonly now: () => number
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly cancelGraceMs: number
  readonly maxRunDurationMs: number
  /** Waits for the run's turn on its thread; undefined when aborted first. Absent: runs at once. */
  readonly turn?: ((signal: AbortSignal) => Promise<number | undefined>) | undefined
  /** Whether the run listens to an inbox; direct streams do not. */
  readonly inbox: boolean
  /** A promise while the reader of a direct stream is too far behind; `pending` events are on their way to it. */
  readonly pressure?: ((pending: number) => Promise<void> | undefined) | undefined
  readonly onStarted?: ((threadBase: number) => Promise<void>) | undefined
}

export interface Owner {
  /** Resolves with how it ended once the log is sealed. */
  readonly sealed: Promise<{ status: NewHead['status']; last: number }>
  /** Stops the agent for good. The first reason wins. */
  stop(reason: StopReason): void
}

export function own(options: OwnerOptions): Owner {
  const { log, key, agent, head, now, sleep, cancelGraceMs } = options
  const stopping = new AbortController()
  const stop = (reason: StopReason) => stopping.abort(stopError(reason))
  const exit = createExit({
    ...options.exit,
    log,
    key,
    last: options.exit.replay?.last ?? 0,
    now,
    sleep,
    onLost: error => stop({ kind: 'lost', error }),
    onOverload: error => stop({ kind: 'overloaded', error: error.message }),
    onContradiction: error => stop({ kind: 'interrupted', error: error.message }),
  })
  const inbox = options.inbox ? listen(options, stop, exit) : undefined

  const run = async (): Promise<{ status: NewHead['status']; last: number }> => {
    await inbox?.read()
    if (options.turn && !stopping.signal.aborted) {
      const base = await options.turn(stopping.signal)
      if (base !== undefined) return execute(base)
      return seal()
    }
    return stopping.signal.aborted ? seal() : execute(0)
  }

  const execute = async (thread_base: number) => {
    const { run_id, thread_id, user_id, labels } = head
    const started_at = now()
    const identity = { ...(thread_id !== undefined && { thread_id }), ...(user_id !== undefined && { user_id }) }
    const { scenario, company_id } = labels ?? {}
    const told = scenario ?? agent.scenario
    exit.emit({
      type: 'started',
      agent_name: agent.name,
      framework: agent.framework,
      ...identity,
      ...(told !== undefined && { scenario: told }),
      ...(company_id !== undefined && { company_id }),
    })
    await exit.change({ status: 'running', owner: head.owner, started_at: head.started_at ?? started_at, thread_base })
    await options.onStarted?.(thread_base)
    if (stopping.signal.aborted) return seal()
    const over = new AbortController() // the deadline's timer goes with the run
    const late = () => stop({ kind: 'timeout', error: `the run took longer than ${options.maxRunDurationMs} ms` })
    sleep(options.maxRunDurationMs, over.signal).then(late, nothing)
    const congested = () => exit.congested() ?? options.pressure?.(exit.pending)
    const watched = stoppedByCritical(exit.emit, stop)
    const emit = options.pressure ? paced(watched, options.pressure) : watched
    const context = createContext({
      run_id,
      agent: agent.name,
      tenant: head.tenant,
      ...identity,
      labels,
      signal: stopping.signal,
      emit,
      congested,
      answer: inbox?.answer,
    })
    const stage = { signal: stopping.signal, congested, emit: watched }
    const performed = perform(agent, options.input, context, stage).then(
      output => completed(agent, output, Math.max(0, now() - started_at)), // a clock may jump back
      failure,
    )
    const abandoned = aborted(stopping.signal)
      .then(() => sleep(cancelGraceMs, over.signal))
      .then(nothing, nothing)
    const outcome = await Promise.race([performed, abandoned])
    over.abort('the run is over') // a reason of its own: without one, an error with a stack is made
    return seal(outcome)
  }

  /** The one end: the inbox is closed first, so that a cancel that came in time still decides. */
  const seal = async (outcome?: Body) => {
    await inbox?.close()
    const reason = stopping.signal.aborted ? ((stopping.signal.reason as Error).cause as StopReason) : undefined
    const end = (reason && endOf(reason)) ?? outcome ?? failure(new Error('the run ended without an outcome'))
    try {
      await exit.end(end, { status: statusOf(end), completed_at: now() })
    } catch (error) {
      // An output too large or no JSON: the run still gets its one end. A lost log cannot be written at all.
      const code = end.type === 'complete' ? 'invalid_output' : 'agent_error'
      await exit.end({ type: 'error', error: saidBy(error), code }, { status: 'failed', completed_at: now() })
    }
    return { status: statusOf(end), last: exit.last }
  }

  const sealed = run().finally(() => inbox?.leave())
  sealed.catch(() => {}) // a lost log: recovery seals the run; whoever waits for `sealed` is told
  return { sealed, stop }
}

/** The owner's end of the inbox. */
function listen(options: OwnerOptions, stop: (reason: StopReason) => void, exit: ReturnType<typeof createExit>) {
  const { log, now, sleep, head } = options
  const key = inboxKey(head.run_id)
  const answers = new Map<string, PromiseWithResolvers<unknown>>()
  const leaving = new AbortController()
  let heard = 0
  let closed = false

  const answerTo = (input_id: string) => {
    const answer = answers.get(input_id) ?? Promise.withResolvers<unknown>()
    answers.set(input_id, answer)
    return answer
  }

  const hear = (told: Numbered<Told>) => {
    if (told.sequence <= heard) return
    heard = told.sequence
    if (told.type === 'cancel') {
      exit.change({ cancel_requested_at: now() })
      stop({ kind: 'cancelled', reason: told.reason, by: told.by })
    } else if (told.type === 'input') {
      const { input_id, value, by } = told
      exit.emit({ type: 'input', input_id, kind: 'answer', value, ...(by !== undefined && { by }) })
      answerTo(input_id).resolve(value)
    } else closed = true
  }

  const take = (batch: { readonly events: readonly unknown[] }) => {
    for (const told of batch.events as readonly Numbered<Told>[]) hear(told)
  }
  const read = async () => take(await log.read(key, heard, readLimitEntries))

  /** Also when our own `closed` arrived and only its acknowledgement did not. */
  const close = async () => {
    while (!closed) {
      try {
        await log.append(key, heard, [plainEntry({ type: 'closed' } satisfies Told, now())])
        closed = true
      } catch (error) {
        if (!(error instanceof RuncastError && error.code === 'conflict')) throw error
        await read()
      }
    }
  }

  // Whoever tells a run something was told that it arrived: a log that is away for a while must not make us deaf.
  const listening = () => follow(log, key, { after: heard, signal: leaving.signal }, take)
  persist(listening, { sleep, signal: leaving.signal }).catch(error => {
    if (!leaving.signal.aborted) stop({ kind: 'lost', error: RuncastError.from(error) })
  })

  return {
    read: () => persist(read, { sleep, triesMax: ownerTriesMax }),
    /** Waits for the answer to a question; one that came before the question counts. */
    answer(input_id: string, signal: AbortSignal): Promise<unknown> {
      exit.release()
      return Promise.race([answerTo(input_id).promise, aborted(signal).then(() => Promise.reject(signal.reason))])
    },
    close: () => persist(close, { sleep, triesMax: ownerTriesMax }),
    leave: () => leaving.abort('the run is over'),
  }
}

/** What an agent itself calls critical stops it (PROTOCOL.md §2.7), whether or not the warning is let into the log. */
function stoppedByCritical(emit: (body: Body) => Stored, stop: (reason: StopReason) => void) {
  return (body: Body): Stored => {
    const stored = emit(body)
    if (body.type === 'warning' && body.severity === 'critical') stop({ kind: 'critical', warning: body })
    return stored
  }
}

/** An agent that awaits its emits is held back like one that yields; who does not await pays one small object. */
function paced(emit: (body: Body) => Stored, pressure: (pending: number) => Promise<void> | undefined) {
  return (body: Body): Stored => {
    const stored = emit(body)
    const waited = async () => {
      await stored
      await pressure(0)
    }
    // oxlint-disable-next-line unicorn/no-thenable, promise/no-callback-in-promise -- as in exit.ts: nobody may await it
    return { then: (done, failed) => waited().then(done, failed) }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function nothing(): undefined {}

async function completed(agent: Agent, returned: unknown, latencyMs: number): Promise<Body> {
  try {
    if (isNoJson(returned)) throw new Error(`the agent returned a ${typeof returned}; an output is JSON`)
    const output = await checked(agent.output, returned === undefined ? null : returned, 'output', 'invalid_input')
    return { type: 'complete', output, latency_seconds: latencyMs / 1000 }
  } catch (error) {
    return { ...failure(error), code: 'invalid_output' } as Body
  }
}

/** A thrown value as the run's end: its own code if it has one, no stack. */
function failure(thrown: unknown): Body {
  const code = (thrown as { code?: unknown } | null)?.code
  const details = thrown instanceof RuncastError ? thrown.details : {}
  return {
    type: 'error',
    error: saidBy(thrown),
    code: typeof code === 'string' && code !== '' ? code : 'agent_error',
    ...(Object.keys(details).length > 0 && { details: { ...details } }),
  }
}

/** An error, and of the usual name: agents hand their signal to fetch and to clients, which throw what they find in it. */
function stopError(reason: StopReason): Error {
  const end = endOf(reason)
  const why = end.type === 'error' ? end.error : (end.reason ?? 'somebody cancelled it')
  const name = reason.kind === 'timeout' ? 'TimeoutError' : 'AbortError'
  return Object.assign(new Error(`the run is stopped: ${why}`, { cause: reason }), { name })
}

function endOf(reason: StopReason): Extract<Body, { type: 'error' | 'cancelled' }> {
  if (reason.kind === 'cancelled') {
    const { by, reason: why } = reason
    return { type: 'cancelled', ...(why !== undefined && { reason: why }), ...(by !== undefined && { by }) }
  }
  if (reason.kind === 'critical') {
    const { code, message, details } = reason.warning
    return { type: 'error', error: message, code, severity: 'critical', ...(details && { details }) }
  }
  if (reason.kind === 'lost') return { type: 'error', error: reason.error.message, code: reason.error.code }
  return { type: 'error', error: reason.error, code: reason.kind }
}

function statusOf(end: Body): HeadChange['status'] & {} {
  return end.type === 'complete' ? 'completed' : end.type === 'cancelled' ? 'cancelled' : 'failed'
}
