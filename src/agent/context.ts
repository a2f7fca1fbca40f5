// The context of a run: everything an agent can say, ask and learn. Each emitter needs no await and can be awaited.
// AsyncLocalStorage makes it reachable from any depth, and keeps concurrent runs apart. It must never touch a log.
import { AsyncLocalStorage } from 'node:async_hooks'
import { RuncastError } from '../error.ts'
import type { Bodies, Body, Metric } from '../event.ts'
import { createState, type State } from '../state/state.ts'
import { checkBody } from './check.ts'

/** Resolves when the event is stored; rejects when it never will be. Not awaited, it costs nothing. */
export type Stored = PromiseLike<void>

type Rest<T extends keyof Bodies, Named extends keyof Bodies[T]> = Omit<Bodies[T], Named>

export interface Question {
  /** `approval` asks for yes or no. Default `question`. */
  readonly kind?: 'question' | 'approval'
  /** Names the question, so that an answer can be sent before it is asked. Default: `ask-1`, `ask-2`, … */
  readonly input_id?: string
  /** Anything a front end needs to show it: choices, the tool call to approve. */
  readonly details?: Record<string, unknown>
}

export interface Context {
  readonly run_id: string
  readonly agent: string
  readonly tenant: string
  readonly thread_id?: string
  readonly user_id?: string
  readonly labels: Readonly<Record<string, string>>
  /** Aborts on cancel, deadline, owner loss; `signal.reason` is an error that says why, named as those of fetch are. */
  readonly signal: AbortSignal
  /** Shared state: `state.update(draft => …)` sends what changed as RFC 6902 operations. */
  readonly state: State<Record<string, unknown>>
  token(content: string, options?: Rest<'token', 'content'>): Stored
  step(node_name: string, options?: Partial<Rest<'step', 'node_name'>>): Stored
  /** `progress` from 0 to 1; values outside are clamped. */
  progress(step: string, progress: number, message?: string, metadata?: Record<string, unknown>): Stored
  checkpoint(name: string, data: unknown): Stored
  tool(call: Bodies['tool']): Stored
  metrics(scope: string, metrics: Record<string, Metric>, options?: Rest<'metrics', 'scope' | 'metrics'>): Stored
  text(content: string, options?: Rest<'text', 'content'>): Stored
  /** An ECharts option, plain JSON; the same chart_id replaces the chart. */
  chart(
    chart_id: string,
    option: Record<string, unknown>,
    options?: Partial<Rest<'chart', 'chart_id' | 'option'>>,
  ): Stored
  item(data: unknown): Stored
  bytes(bytes: Uint8Array, media_type?: string): Stored
  warning(code: string, message: string, options?: Partial<Rest<'warning', 'code' | 'message'>>): Stored
  /** A custom event: `fraud_check`, `analytics`, … */
  emit(name: string, data?: unknown): Stored
  /** Asks whoever reads the run and waits for the answer. */
  ask(prompt: string, question?: Question): Promise<unknown>
}

const storage = new AsyncLocalStorage<Context>()

/** The context of the run that this code belongs to; undefined outside of one. */
export function getCurrentContext(): Context | undefined {
  return storage.getStore()
}

export function inContext<T>(context: Context, act: () => T): T {
  return storage.run(context, act)
}

/** What a context stands on: who it is, where its events go, and how an answer comes back. */
export interface ContextBasis {
  readonly run_id: string
  readonly agent: string
  readonly tenant: string
  readonly thread_id?: string | undefined
  readonly user_id?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly signal: AbortSignal
  emit(body: Body): Stored
  /** A promise while the agent is to wait. */
  congested(): Promise<void> | undefined
  /** Waits for the inbox to hold an answer; undefined where nobody can answer (direct streams). */
  readonly answer?: ((input_id: string, signal: AbortSignal) => Promise<unknown>) | undefined
}

const bases = new WeakMap<Context, ContextBasis>()

/** What stands below a context, for who puts something between it and an agent. */
export function basisOf(context: Context): ContextBasis {
  const basis = bases.get(context)
  if (!basis) throw new RuncastError('internal', 'this context was not made by createContext')
  return basis
}

export function createContext(basis: ContextBasis): Context {
  const { run_id, agent, tenant, thread_id, user_id, labels = {}, signal, answer } = basis
  const emit = (body: Body) => basis.emit(checkBody(body))
  let asked = 0
  const context: Context = {
    run_id,
    agent,
    tenant,
    ...(thread_id === undefined ? {} : { thread_id }),
    ...(user_id === undefined ? {} : { user_id }),
    labels,
    signal,
    state: createState<Record<string, unknown>>({}, basis.emit),
    token: (content, options) => emit({ type: 'token', content, ...options }),
    step: (node_name, options) => emit({ type: 'step', node_name, phase: 'end', ...options }),
    progress: (step, progress, message, metadata) =>
      emit({
        type: 'progress',
        step,
        progress,
        ...(message !== undefined && { message }),
        ...(metadata && { metadata }),
      }),
    checkpoint: (name, data) => emit({ type: 'checkpoint', name, data }),
    tool: call => emit({ type: 'tool', ...call }),
    metrics: (scope, metrics, options) => emit({ type: 'metrics', scope, metrics, ...options }),
    text: (content, options) => emit({ type: 'text', content, ...options }),
    chart: (chart_id, option, options) => emit({ type: 'chart', chart_id, chart_type: 'custom', option, ...options }),
    item: data => emit({ type: 'item', data }),
    bytes: (bytes, media_type = 'application/octet-stream') =>
      emit({ type: 'item', bytes: Buffer.from(bytes).toString('base64'), media_type }),
    warning: (code, message, options) => emit({ type: 'warning', code, message, recoverable: true, ...options }),
    emit: (name, data) => emit({ type: 'custom', name, data }),
    async ask(prompt, { kind = 'question', input_id = `ask-${++asked}`, details } = {}) {
      if (!answer)
        throw new RuncastError('invalid_request', 'a direct stream cannot ask; start a run (POST /runs) instead')
      const answered = answer(input_id, signal)
      answered.catch(() => {}) // awaited below; the question may fail first
      await emit({ type: 'input', input_id, kind, prompt, ...(details && { details }) })
      return answered
    },
  }
  bases.set(context, basis)
  return context
}
