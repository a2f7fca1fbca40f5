// Messages that an event gets besides its own: Error beside a failure, a Checkpoint of the state now and then, one
// ExecutionTrace at the end. They exist for readers of the original schema; ours skip them, for they say nothing new.
// Each must be a function of the event and the view alone, so that an encoder started in the middle makes the same.
import type { Event, EventOf } from '../event.ts'
import { usageOf, type View } from '../state/fold.ts'
import { stateHash } from '../state/hash.ts'
import { text, texts } from './body.ts'
import { jsonBytes, severities } from './dashstream-names.ts'
import { checkpointValue, type Written } from './dashstream-write.ts'

/** What distinguishes the ids of messages made from one event. */
export const derivedKinds = { error: 1, checkpoint: 2, trace: 3 } as const

export interface Derived {
  readonly kind: keyof typeof derivedKinds
  readonly written: Written
}

/** Every so many versions of the state the whole goes out too: a reader that joins applies at most that many diffs. */
export const checkpointEveryVersions = 100

/** A state of more values and characters than this is hashed only at each {@link hashEveryVersions}-th version: 64 KiB take a millisecond. */
const hashedSizeMax = 65_536
/** Often enough that a reader whose state went wrong sees it soon. */
const hashEveryVersions = 16

export interface DerivedOptions {
  readonly checkpointEvery: number
  readonly stateCheckpointId: (version: number) => Uint8Array
}

/** Behind the event's own message; `view` is the view after it. */
export function derived(event: Event, view: View, options: DerivedOptions): Derived[] {
  switch (event.type) {
    case 'warning':
      return [{ kind: 'error', written: errorOf(event, event.message, event.severity ?? 'warning', event.step) }]
    case 'error':
      return [
        { kind: 'error', written: errorOf(event, event.error, event.severity ?? 'error', undefined) },
        { kind: 'trace', written: traceOf(view, event) },
      ]
    case 'complete':
    case 'cancelled':
      return [{ kind: 'trace', written: traceOf(view, event) }]
    case 'state':
      return stateCheckpoint(view, options)
    default:
      return []
  }
}

/** Adds what other readers check a diff by: the checkpoint it builds on, if it was `sent`, and the hash of what it makes. */
export function checked(
  written: Written,
  event: EventOf<'state'>,
  view: View,
  options: DerivedOptions & { readonly sent: number },
): Written {
  const { value, rest } = written
  const base = checkpointedVersion(event.base_version, options.checkpointEvery)
  // Behind a hole nobody knows whether that checkpoint was ever sent.
  const known =
    event.ops !== undefined && base >= options.checkpointEvery && view.gaps.length === 0 && base === options.sent
  const baseOf = known ? { baseCheckpointId: options.stateCheckpointId(base) } : {}
  if (event.hash !== undefined || !view.state.certain) return { ...written, value: { ...value, ...baseOf } }
  const hash = cheapHash(view)
  if (hash === undefined) return { ...written, value: { ...value, ...baseOf } }
  const own = { stateHash: Buffer.from(hash, 'hex'), ...baseOf }
  return { ...written, value: { ...value, ...own }, rest: { ...rest, hash: null } }
}

/** The version whose checkpoint the diffs behind `version` build on. */
export function checkpointedVersion(version: number, every: number): number {
  return Math.floor(version / every) * every
}

function cheapHash({ state: { value, version } }: View): string | undefined {
  if (version % hashEveryVersions !== 0 && sizeLeft(value, hashedSizeMax) < 0) return undefined
  try {
    return stateHash(value)
  } catch {
    // A state without canonical JSON, such as one with half of a surrogate pair, has no hash.
    return undefined
  }
}

/** Walks only as far as the budget goes. */
function sizeLeft(value: unknown, budget: number): number {
  let left = budget - 1
  if (typeof value === 'string') return left - value.length
  if (typeof value !== 'object' || value === null) return left
  for (const [key, member] of Object.entries(value)) {
    left = sizeLeft(member, left - key.length)
    if (left < 0) return left
  }
  return left
}

function stateCheckpoint({ state }: View, options: DerivedOptions): Derived[] {
  if (!state.certain || state.version === 0 || state.version % options.checkpointEvery !== 0) return []
  const metadata = { name: 'state', version: String(state.version) }
  const id = options.stateCheckpointId(state.version)
  return [{ kind: 'checkpoint', written: made('checkpoint', checkpointValue(jsonBytes(state.value), id, metadata)) }]
}

function errorOf(
  event: EventOf<'warning'> | EventOf<'error'>,
  message: string,
  severity: string,
  node: string | undefined,
): Written {
  const { stack, stack_trace = stack, exception_type, suggestions, ...context } = event.details ?? {}
  return made('error', {
    errorCode: event.code,
    message,
    severity: severities.value(severity) ?? 0,
    stackTrace: text(stack_trace),
    exceptionType: text(exception_type),
    suggestions: Array.isArray(suggestions) ? suggestions.map(text) : [],
    context: texts({ ...context, ...(node !== undefined && { step: node }) }),
  })
}

function traceOf(view: View, event: Event): Written {
  const { terminal, warnings, steps } = view
  const latency = terminal?.type === 'complete' ? terminal.latency_seconds * 1_000 : undefined
  const warned = warnings.map(({ step = '', message, code, timestamp, recoverable }) => ({
    node: step,
    message,
    errorCode: code,
    timestamp,
    recovered: recoverable ?? true,
  }))
  const failed =
    terminal?.type === 'error'
      ? [{ node: '', message: terminal.error, errorCode: terminal.code, timestamp: event.timestamp, recovered: false }]
      : []
  return made('executionTrace', {
    threadId: view.thread_id ?? view.run_id,
    executionId: view.run_id,
    nodesExecuted: steps.map(nodeOf),
    totalDurationMs: count(latency ?? between(view.started_at, view.ended_at)),
    totalTokens: count(usageOf(view).total_tokens),
    errors: [...warned, ...failed],
    completed: view.status === 'completed',
    startedAt: view.started_at ?? '',
    endedAt: view.ended_at ?? '',
    // Before the first state event there was none, which is not the same as null.
    ...(view.state.certain && view.state.version > 0 && { finalState: jsonBytes(view.state.value) }),
    metadata: { status: jsonBytes(view.status), usage: jsonBytes(usageOf(view)) },
  })
}

function nodeOf(step: View['steps'][number]) {
  return {
    node: step.node_name,
    durationMs: count(step.duration_ms),
    // A step that the end of the run cut off is closed, but it did not finish.
    succeeded: step.phase === 'end',
    startedAt: step.started_at ?? '',
    endedAt: step.ended_at ?? '',
    metadata: { first_sequence: String(step.sequence), last_sequence: String(step.last_sequence) },
  }
}

function made(kind: Written['kind'], value: Written['value']): Written {
  return { kind, value, rest: {} }
}

function between(start: string | undefined, end: string | undefined): number {
  return start === undefined || end === undefined ? 0 : Date.parse(end) - Date.parse(start)
}

/** A whole number that uint64 holds; 0 stands for unknown there. */
function count(value: number | undefined): number {
  const whole = Math.round(value ?? 0)
  return Number.isSafeInteger(whole) && whole > 0 ? whole : 0
}
