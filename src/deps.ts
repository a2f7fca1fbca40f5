// The real clock, dice, ids and timers. This file is an edge, as server.ts and cli/ are: whoever wants to run without a
// simulation takes them from here. Nothing else in src may call them.
import { randomUUID } from 'node:crypto'
import type { Deps } from './runs.ts'

/** Somebody waits for a sleep this short: a grace, a retry. A longer one is a deadline, and keeps no process alive. */
export const awaitedMsMax = 10_000
/** What a timer holds: a longer time is none at all to it. */
export const timerMsMax = 2 ** 31 - 1

export const realDeps: Deps = {
  now: Date.now,
  id: randomUUID,
  random: Math.random,
  sleep,
}

/** Rejects with the signal's reason. The one of node:timers makes an error with a stack for each sleep that is cut short: every run has such sleeps. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (ms > timerMsMax) return sleep(timerMsMax, signal).then(() => sleep(ms - timerMsMax, signal))
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (ms > awaitedMsMax) timer.unref()
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/**
 * Waits for `done`, but no longer than this. In steps, for one long sleep would not keep the process alive, and it would end
 * amid its runs.
 */
export async function atMost(msMax: number, done: Promise<unknown>, deps: Pick<Deps, 'sleep'>): Promise<void> {
  const patience = new AbortController()
  const over = async () => {
    let left = msMax
    do {
      await deps.sleep(Math.min(left, awaitedMsMax), patience.signal)
      left -= awaitedMsMax
    } while (left > 0)
  }
  await Promise.race([done, over().catch(() => {})])
  patience.abort()
}
