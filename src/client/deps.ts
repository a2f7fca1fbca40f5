// The clock, the dice and the ids of a client: this is its edge to the machine, as server.ts is the server's. Nothing else
// in the client may ask for them, and all of it works in a browser.
import type { Deps } from '../runs.ts'

export const webDeps: Deps = {
  now: () => Date.now(),
  random: () => Math.random(),
  // Not crypto.randomUUID: a page that came over plain HTTP does not have it.
  id: () => Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join(''),
  sleep,
}

/** What a timer holds: a longer time is none at all to it. */
const timerMsMax = 2 ** 31 - 1

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (ms > timerMsMax) return sleep(timerMsMax, signal).then(() => sleep(ms - timerMsMax, signal))
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(new DOMException('the sleep was ended', 'AbortError'))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  })
}
