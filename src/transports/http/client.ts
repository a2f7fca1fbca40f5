// `Runs` over HTTP: requests that may be repeated are, a bounded number of times, and events are read by the one
// reconnect loop. Works wherever fetch does; it must import nothing of Node.
import { type BackoffOptions, createBackoff } from '../../client/backoff.ts'
import { type Connection, resume } from '../../client/resume.ts'
import { either, within } from '../../client/signals.ts'
import { RuncastError } from '../../error.ts'
import { type Deliver, iterate } from '../../iterate.ts'
import type { RunInfo } from '../../run-info.ts'
import type { Deps, FollowRunOptions, ListFilter, Message, Page, Runs, StartOptions, Target } from '../../runs.ts'
import type { View } from '../../state/view.ts'
import { errorOf, mayPass, messageOf, retryAfterMs } from './answer.ts'
import { attachTo } from './attach.ts'

export interface HttpOptions {
  readonly url: string
  /** Sent as `Authorization: Bearer …`; a function is asked before every request, so that it may renew what expires. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** Sent as `X-API-Key`. */
  readonly apiKey?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly fetch?: typeof fetch | undefined
  /** Silence after which a stream counts as dead; default: 2.4 heartbeats of the server. */
  readonly idleMs?: number | undefined
  readonly backoff?: BackoffOptions | undefined
  /** Tries of a request that may be repeated. */
  readonly triesMax?: number | undefined
  /** Ends every reader and request. */
  readonly signal?: AbortSignal | undefined
  readonly onConnection?: ((target: Target, connection: Connection) => void) | undefined
  readonly deps: Deps
}

/** With the default backoff about 20 s: a restart is survived, a person is not kept waiting for longer. */
const triesMaxDefault = 6
/** A request other than a stream is answered by then, a cancel after its grace included, or never. */
const answerMsMax = 60_000

interface Call {
  readonly query?: Record<string, string | undefined>
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Asking twice is no worse than asking once. */
  readonly repeatable?: boolean
}

export function httpRuns(options: HttpOptions): Runs {
  const { deps } = options
  const fetching: typeof fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const closing = new AbortController()
  const close = () => closing.abort()
  options.signal?.addEventListener('abort', close, { once: true })
  if (options.signal?.aborted) close()
  const base = options.url.replace(/\/+$/, '')

  const headersOf = async (more: Record<string, string> = {}): Promise<Record<string, string>> => {
    const { token, apiKey, headers } = options
    const bearer = typeof token === 'function' ? await renewed(token) : token
    return sendable({
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
      ...(apiKey !== undefined && { 'x-api-key': apiKey }),
      ...headers,
      ...more,
    })
  }

  /** One request, one answer. */
  const ask = async (method: string, path: string, { query = {}, body, headers }: Call): Promise<Answer> => {
    const json = body === undefined ? undefined : jsonText(body)
    const type: Record<string, string> = json === undefined ? {} : { 'content-type': 'application/json' }
    using limit = within(answerMsMax, closing.signal, deps)
    try {
      const sent = await headersOf({ accept: 'application/json', ...type, ...headers })
      const response = await fetching(`${base}${path}${queryText(query)}`, {
        method,
        headers: sent,
        signal: limit.signal,
        ...(json !== undefined && { body: json }),
      })
      if (response.ok) return { value: await response.json() }
      return { error: await errorOf(response), again: mayPass(response.status), waitMs: retryAfterMs(response) ?? 0 }
    } catch (cause) {
      if (closing.signal.aborted) return { error: new RuncastError('unavailable', 'this client was closed'), waitMs: 0 }
      if (cause instanceof RuncastError) return { error: cause, again: cause.retryable, waitMs: 0 }
      const what = limit.expired ? `no answer within ${answerMsMax} ms` : messageOf(cause)
      const error = new RuncastError('unavailable', `${method} ${base}${path}: ${what}`, { cause })
      return { error, again: true, waitMs: 0 }
    }
  }

  /** Asks until there is an answer, if asking again does no harm. */
  const request = async <T>(method: string, path: string, call: Call = {}): Promise<T> => {
    const backoff = createBackoff(options.backoff ?? {}, deps.random)
    const triesMax = options.triesMax ?? triesMaxDefault
    for (let tries = 1; ; tries++) {
      const answer = await ask(method, path, call)
      if (!('error' in answer)) return answer.value as T
      const { error, waitMs } = answer
      // 500 is a bug over there: the same request meets it again. A full house of readers is for the caller to know.
      const final = error.code === 'internal' || error.code === 'too_many_readers'
      if (!answer.again || !call.repeatable || final || tries >= triesMax) throw repeated(error, tries)
      await deps.sleep(Math.min(backoff.capMs, Math.max(backoff.next(), waitMs)), closing.signal).catch(() => {})
    }
  }

  async function start(
    agent: string | undefined,
    input: unknown,
    { run, thread, onBusy, idempotencyKey, labels }: StartOptions = {},
  ): Promise<RunInfo> {
    const { traceparent, tracestate, ...named } = labels ?? {}
    const value = await request<Partial<RunInfo> & Pick<RunInfo, 'run_id' | 'status' | 'created_at'>>('POST', '/runs', {
      query: { ...named, run_id: run, agent, thread_id: thread, on_busy: onBusy },
      body: input ?? null,
      // Always a key: without one a lost answer could not be told from a lost request.
      headers: {
        'idempotency-key': idempotencyKey ?? deps.id(),
        ...(traceparent !== undefined && { traceparent }),
        ...(tracestate !== undefined && { tracestate }),
      },
      repeatable: true,
    })
    return {
      agent: agent ?? '',
      framework: '',
      ...(thread !== undefined && { thread_id: thread }),
      ...(labels && { labels }),
      first_sequence: 1,
      last_sequence: 0,
      metadata: {},
      ...value,
    }
  }

  async function get(run: string): Promise<RunInfo> {
    return request('GET', runPath(run), { repeatable: true })
  }

  async function list({ status, thread, agent, cursor, limit }: ListFilter = {}): Promise<Page> {
    const query = { status, thread_id: thread, agent, cursor, limit: limit?.toString() }
    return request('GET', '/runs', { query, repeatable: true })
  }

  async function tell(run: string, message: Message): Promise<void> {
    // Not repeated: a lost answer may mean that the run has heard it.
    if (message.type === 'cancel')
      await request('POST', `${runPath(run)}/cancel`, { query: { reason: message.reason } })
    else {
      const { input_id, value = null } = message
      await request('POST', `${runPath(run)}/input`, { body: { input_id, value } })
    }
  }

  async function cancel(run: string, reason?: string): Promise<RunInfo> {
    try {
      await request('DELETE', runPath(run), { query: { reason }, repeatable: true })
    } catch (error) {
      const again = error instanceof RuncastError && error.code === 'run_ended' && error.details['tries']
      // Our first try may have been heard, and only its answer lost.
      const info = again ? await get(run) : undefined
      if (info?.status === 'cancelled') return info
      throw error
    }
    return get(run)
  }

  async function snapshot(run: string, at?: number): Promise<View> {
    const call = { query: { at: at?.toString() }, repeatable: true }
    return (await request<{ view: View }>('GET', `${runPath(run)}/snapshot`, call)).view
  }

  async function follow(target: Target, opts: FollowRunOptions, deliver: Deliver): Promise<void> {
    const { after = 0, strict, opened } = opts
    const ends = typeof target === 'string'
    const types = ends ? opts.types : undefined
    const path = `${ends ? runPath(target) : threadPath(target.thread)}/events`
    const query = { types: types && typesText(types), strict: ends && strict ? '1' : undefined }
    using leaving = either(closing.signal, opts.signal)
    const { idleMs, backoff, onConnection } = options
    await resume(
      attachTo({
        fetch: fetching,
        url: cursor => `${base}${path}${queryText({ after: String(cursor), ...query })}`,
        headers: () => headersOf({ accept: 'text/event-stream' }),
      }),
      {
        after,
        filtered: types !== undefined,
        ends,
        strict,
        signal: leaving.signal,
        idleMs,
        backoff,
        opened,
        onConnection: onConnection && (connection => onConnection(target, connection)),
        deps,
      },
      deliver,
    )
  }

  return {
    start,
    get,
    list,
    follow,
    tail: (target, opts = {}) =>
      iterate((signal, deliver) => follow(target, { ...opts, signal }, deliver), opts.signal),
    snapshot,
    tell,
    cancel,
    async [Symbol.asyncDispose]() {
      options.signal?.removeEventListener('abort', close)
      close()
    },
  }
}

type Answer =
  | { readonly value: unknown }
  | { readonly error: RuncastError; readonly again?: boolean; readonly waitMs: number }

/** Says how often it was tried, for whoever wonders what happened meanwhile. */
function repeated(error: RuncastError, tries: number): RuncastError {
  if (tries === 1) return error
  return RuncastError.of(error.code, `${error.message} (after ${tries} tries)`, {
    details: { ...error.details, tries },
    cause: error,
  })
}

/** Who renews a token over the same network is cut off with it: that passes. */
async function renewed(token: () => string | Promise<string>): Promise<string> {
  try {
    return await token()
  } catch (cause) {
    if (cause instanceof RuncastError) throw cause
    throw new RuncastError('unavailable', `no token: ${messageOf(cause)}`, { cause })
  }
}

/** The same headers, or a refusal that shows no value: fetch would fail with one, and be asked again and again. */
function sendable(headers: Record<string, string>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    try {
      new Headers([[name, value]])
    } catch {
      const message = `the header ${JSON.stringify(name)} has a character that no header can carry; leave it out, or encode it`
      throw new RuncastError('invalid_request', message, { details: { field: name } })
    }
  }
  return headers
}

function jsonText(input: unknown): string {
  try {
    return JSON.stringify(input)
  } catch (error) {
    throw RuncastError.from(error, 'invalid_input')
  }
}

function queryText(query: Record<string, string | undefined>): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

/** An empty filter passes only what passes always, of which one must be named. */
function typesText(types: ReadonlySet<string>): string {
  return types.size === 0 ? 'complete' : [...types].join(',')
}

function runPath(run: string): string {
  // A URL has no room for these names: `/runs/..` is `/`.
  if (run === '' || run === '.' || run === '..') throw new RuncastError('not_found', `there is no run "${run}"`)
  return `/runs/${encodeURIComponent(run)}`
}

function threadPath(thread: string): string {
  if (thread === '' || thread === '.' || thread === '..') {
    throw new RuncastError('invalid_request', `a thread cannot be called "${thread}"; choose another name`)
  }
  return `/threads/${encodeURIComponent(thread)}`
}
