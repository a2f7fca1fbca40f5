// The only reconnect loop. Whatever the wire: attach at the cursor, deliver, and when the connection is cut, silent or
// broken, wait and attach again where it ended; for ever, until the run ends, the reader leaves, or the server refuses for
// good. It must never read ahead of a reader, and never take the end of a connection for the end of a run.
import type { Batch } from '../batch.ts'
import { RuncastError } from '../error.ts'
import type { Deliver } from '../iterate.ts'
import type { Deps } from '../runs.ts'
import { type BackoffOptions, createBackoff } from './backoff.ts'
import { type Arrival, createSeam, type SeamOptions } from './seam.ts'

/** One connection, as the loop asks a transport for it. */
export interface Attempt {
  /** The last sequence seen. */
  readonly after: number
  /** Aborts when the connection is of no use any more, at the latest when the attempt is over. */
  readonly signal: AbortSignal
  /** The server accepted; how often it says something at least. */
  opened(heartbeatMs?: number): void
  /** For every piece that arrives, also when it holds nothing. Read on only after it resolved, and only if it says true. */
  take(arrivals: readonly Arrival[]): Promise<boolean>
}

/** Why a connection is over, when trying again makes sense. */
export interface Lost {
  readonly error: RuncastError
  /** The other side answered nonsense: not to be tried for ever. */
  readonly broken?: boolean
  /** The server said when to come back. */
  readonly waitMs?: number
  /** The server ended it, as it does at a deadline: it is well. */
  readonly clean?: boolean
}

/** Connects once and reads until it is over. Throws what no retry mends, and whatever `take` throws. */
export type Attach = (attempt: Attempt) => Promise<'ended' | Lost>

/** How a reader's connection fares, for a page that wants to say so. */
export type Connection =
  | { readonly state: 'open'; readonly after: number }
  | { readonly state: 'waiting'; readonly after: number; readonly waitMs: number; readonly error: RuncastError }

export interface ResumeOptions extends SeamOptions {
  readonly strict?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Silence after which a connection counts as dead; default: 2.4 heartbeats of the server. */
  readonly idleMs?: number | undefined
  readonly backoff?: BackoffOptions | undefined
  readonly opened?: (() => void) | undefined
  readonly onConnection?: ((connection: Connection) => void) | undefined
  readonly deps: Pick<Deps, 'now' | 'random' | 'sleep'>
}

/** Two beats may be late or lost; a third is not waited for. */
const heartbeatsMissed = 2.4
/** What a server that says nothing is taken to do; the default of ours. */
const heartbeatMsDefault = 15_000
/** A hole or nonsense at the same cursor so often is the server's, not the network's. */
const brokenMax = 3

export function resume(attach: Attach, options: ResumeOptions, deliver: Deliver): Promise<void> {
  const { signal } = options
  if (signal?.aborted) return Promise.resolve()
  let left = () => {}
  // Also while `deliver` is pending: a reader that leaves is not waited for.
  const leaving = new Promise<void>(resolve => (left = resolve))
  signal?.addEventListener('abort', left, { once: true })
  return Promise.race([reconnecting(attach, options, deliver), leaving]).finally(() =>
    signal?.removeEventListener('abort', left),
  )
}

async function reconnecting(attach: Attach, options: ResumeOptions, deliver: Deliver): Promise<void> {
  const { signal, deps, onConnection } = options
  const seam = createSeam(options)
  const backoff = createBackoff(options.backoff ?? {}, deps.random)
  let wasOpen = false
  let broken = 0
  let endedEmpty = false

  const take = async (arrivals: readonly Arrival[]): Promise<'on' | Lost> => {
    for (const arrival of arrivals) if (arrival.kind === 'retry') backoff.asked(arrival.ms)
    const joined = seam.join(arrivals)
    for (const batch of joined.batches) {
      if (options.strict && batch.gap) throw gone(batch.gap)
      await deliver(batch)
      if (signal?.aborted) break
    }
    if (joined.broken !== undefined) return { error: new RuncastError('internal', joined.broken), broken: true }
    return joined.leave ? { error: new RuncastError('unavailable', 'the server is going away') } : 'on'
  }

  const attemptOnce = async (): Promise<'ended' | Lost> => {
    const watch = createWatch(options)
    let lost: Lost | undefined
    const attempt: Attempt = {
      after: seam.cursor,
      signal: watch.signal,
      opened(heartbeatMs) {
        watch.expect(heartbeatMs)
        if (!wasOpen) options.opened?.()
        wasOpen = true
        onConnection?.({ state: 'open', after: seam.cursor })
      },
      async take(arrivals) {
        watch.pause() // the silence while the reader is busy is ours
        const done = await take(arrivals)
        watch.heard()
        if (done !== 'on') lost = done
        return done === 'on' && !seam.sealed && !watch.signal.aborted
      },
    }
    try {
      const over = await attach(attempt)
      return lost ?? (watch.silent ? { error: watch.silent } : over)
    } finally {
      watch.stop()
    }
  }

  for (;;) {
    const before = seam.cursor
    const since = deps.now()
    const over = await attemptOnce()
    if (seam.sealed || signal?.aborted) return
    if (over === 'ended') {
      await deliver(sealed(seam.cursor))
      return
    }
    if (over.error.code === 'too_many_readers' && !wasOpen) throw over.error
    const progress = seam.cursor > before
    if (progress) broken = 0
    if (over.broken && ++broken >= brokenMax) throw over.error
    // A connection that lived for long was a good one, also when the run had nothing to say.
    if (progress || deps.now() - since > backoff.capMs) backoff.reset()
    // A server that ended the connection is asked again at once, but not one that does nothing else.
    const prompt = over.clean === true && (progress || !endedEmpty)
    endedEmpty = over.clean === true && !progress
    const waitMs = prompt ? 0 : Math.min(backoff.capMs, Math.max(backoff.next(), over.waitMs ?? 0))
    onConnection?.({ state: 'waiting', after: seam.cursor, waitMs, error: over.error })
    if (await waited(waitMs, options)) backoff.reset()
    if (signal?.aborted) return
  }
}

/** Waits; true when the network came back meanwhile, which ends the wait at once. */
async function waited(ms: number, { signal, deps }: ResumeOptions): Promise<boolean> {
  const waking = new AbortController()
  const wake = () => waking.abort()
  let online = false
  const back = () => {
    online = true
    wake()
  }
  const network = typeof globalThis.addEventListener === 'function' ? globalThis : undefined // a browser
  signal?.addEventListener('abort', wake, { once: true })
  network?.addEventListener('online', back)
  try {
    await deps.sleep(ms, waking.signal)
  } catch {
    // Woken.
  } finally {
    signal?.removeEventListener('abort', wake)
    network?.removeEventListener('online', back)
  }
  return online
}

/** Ends a connection when the reader leaves, or when nothing was heard for too long: a pipe may be dead and say nothing. */
function createWatch({ signal, idleMs, deps }: ResumeOptions) {
  const closing = new AbortController()
  let nap = new AbortController()
  const close = () => {
    closing.abort()
    nap.abort()
  }
  signal?.addEventListener('abort', close, { once: true })
  let limitMs = idleMs ?? heartbeatMsDefault * heartbeatsMissed
  let heardAt = deps.now()
  let silent: RuncastError | undefined

  const watching = async () => {
    while (!closing.signal.aborted) {
      const leftMs = heardAt + limitMs - deps.now()
      if (leftMs <= 0) {
        silent = new RuncastError('unavailable', `nothing was heard for ${limitMs} ms`)
        close()
      } else {
        nap = new AbortController()
        await deps.sleep(Math.min(leftMs, limitMs), nap.signal).catch(() => {})
      }
    }
  }
  void watching()

  return {
    signal: closing.signal,
    get silent() {
      return silent
    },
    expect(heartbeatMs: number | undefined) {
      heardAt = deps.now()
      if (idleMs !== undefined || heartbeatMs === undefined) return
      limitMs = heartbeatMs * heartbeatsMissed
      nap.abort() // it was set for another limit
    },
    pause() {
      heardAt = Number.POSITIVE_INFINITY
    },
    heard() {
      heardAt = deps.now()
    },
    stop() {
      signal?.removeEventListener('abort', close)
      close()
    },
  }
}

function sealed(cursor: number): Batch {
  return { after: cursor, last: cursor, events: [], state: 'sealed' }
}

function gone({ requested, oldest }: { requested: number; oldest: number }): RuncastError {
  return new RuncastError(
    'cursor_gone',
    `the run starts at ${oldest}, asked for ${requested}; take its snapshot and continue from ${oldest}`,
    { details: { requested, oldest } },
  )
}
