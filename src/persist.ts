// Tries again what a log refused only for the moment, with a growing pause. For what must happen sooner or later and has
// nobody else who would ask again: the end of a run, its feeds. It must never repeat what would be refused again.
import { RuncastError } from './error.ts'

export interface Persistence {
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  /** Gives up when it aborts: the process is leaving. */
  readonly signal?: AbortSignal | undefined
  /** Default: for ever. */
  readonly triesMax?: number | undefined
}

export async function persist<T>(act: () => T | Promise<T>, options: Persistence): Promise<T> {
  const { sleep, signal, triesMax = Number.POSITIVE_INFINITY } = options
  for (let tries = 1; ; tries++) {
    try {
      return await act()
    } catch (thrown) {
      const error = RuncastError.from(thrown, 'unavailable')
      if (!error.retryable || tries >= triesMax || signal?.aborted) throw error
      await sleep(retryWaitMs(tries), signal)
    }
  }
}

/** About forty seconds in all, then whoever owns a run gives it up. */
export const ownerTriesMax = 12
/** A lost connection is back at once, as a rule. */
const retryMsMin = 20
/** A backend that was away for hours is found again soon. */
const retryMsMax = 10_000

export function retryWaitMs(tries: number): number {
  return Math.min(retryMsMax, retryMsMin * 2 ** (tries - 1))
}
