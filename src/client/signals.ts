// Signals that end together, and deadlines, both with an end of their own: what listens is gone when the work is done.
// AbortSignal.any and AbortSignal.timeout are not used: the first kept dead signals alive in Node (nodejs/node#55428), the
// second has a clock of its own.
import type { Deps } from '../runs.ts'

/** Aborts with either. */
export function either(one: AbortSignal, other: AbortSignal | undefined): { signal: AbortSignal } & Disposable {
  const both = new AbortController()
  const abort = () => both.abort()
  const signals = [one, ...(other ? [other] : [])]
  for (const signal of signals) {
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  }
  return {
    signal: both.signal,
    [Symbol.dispose]() {
      for (const signal of signals) signal.removeEventListener('abort', abort)
    },
  }
}

/** A deadline around one request, and its end with the client. */
export function within(
  ms: number,
  closing: AbortSignal,
  deps: Pick<Deps, 'sleep'>,
): { signal: AbortSignal; readonly expired: boolean } & Disposable {
  const done = new AbortController()
  const deadline = new AbortController()
  const ends = either(closing, deadline.signal)
  let expired = false
  deps.sleep(ms, done.signal).then(
    () => {
      expired = true
      deadline.abort()
    },
    () => {},
  )
  return {
    signal: ends.signal,
    get expired() {
      return expired
    },
    [Symbol.dispose]() {
      ends[Symbol.dispose]()
      done.abort()
    },
  }
}
