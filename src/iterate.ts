// From `deliver` to `for await`: how humans read what `follow` delivers. Apart from follow.ts, because the client needs it
// in a browser, where no log is. It must never hold more than one batch: the source waits for the loop.
import type { Batch } from './batch.ts'

/** Takes a batch; returns a promise only when it is blocked, and is not called again before that resolves. */
export type Deliver<B = Batch> = (batch: B) => void | Promise<void>

/** Something that delivers batches until it ends, as `follow` does. */
export type Following<B> = (signal: AbortSignal, deliver: Deliver<B>) => Promise<void>

/** `follow` for humans: `for await (const batch of iterate(…))`. The log is read no faster than the loop runs. */
export async function* iterate<B>(following: Following<B>, signal?: AbortSignal): AsyncGenerator<B, void, undefined> {
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted) stop()
  let wake = () => {}
  let next: B | undefined
  let release = () => {}
  let ended = false
  const done = following(stopping.signal, batch => {
    next = batch
    wake()
    return new Promise<void>(resolve => (release = resolve))
  }).finally(() => {
    ended = true
    wake()
  })
  done.catch(() => {}) // awaited below; here only so that an early break leaves no unhandled rejection
  try {
    for (;;) {
      if (next === undefined && !ended) await new Promise<void>(resolve => (wake = resolve))
      if (next !== undefined) {
        const batch = next
        next = undefined
        yield batch
        release()
      } else {
        await done
        return
      }
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    stop()
    release()
  }
}
