// Waiting for what a test needs next, instead of for a time: a loaded machine is slow, and not wrong. It must never be used to
// prove that something came soon.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/** Longer than any start of a service on a loaded machine: what has not happened by then does not happen. */
const patienceMs = 60_000
/** Short against what is waited for, long against the cost of a look. */
const pollMs = 5

/** The first value of `look` that is not nothing. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
): Promise<Exclude<T, undefined | false | null | 0>> {
  const since = performance.now()
  for (;;) {
    const seen = await look()
    if (seen) return seen as never
    if (performance.now() - since > patienceMs) assert.fail(`within ${patienceMs} ms ${what} did not happen`)
    await sleep(pollMs)
  }
}
