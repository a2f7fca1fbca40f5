// How long to wait before the next try: doubling, capped, never the same for two clients, and never giving up. Pure but
// for the dice, which are an argument. It must never wait less than the server asked for with `retry:`.

export interface BackoffOptions {
  /** Before the first try again. */
  readonly baseMs?: number | undefined
  /** Before any later one, at most. */
  readonly capMs?: number | undefined
}

export interface Backoff {
  /** The next wait; each is about twice the one before. */
  next(): number
  /** The other side is well again: the next wait is a short one. */
  reset(): void
  /** `retry:` of the server takes the place of the base. */
  asked(ms: number): void
  readonly capMs: number
}

/** Too short for a person to notice, long enough for a process to restart. */
const backoffBaseMs = 500
/** A server that was away for hours is found again within half a minute. */
const backoffCapMs = 30_000
/** A wait is drawn from once to one and a half times its length, so that a thousand cut readers do not come back as one. */
const spread = 1.5
/** `retry: 0` is legal, and must not become a busy loop. */
const askedMsMin = 10

export function createBackoff({ baseMs, capMs = backoffCapMs }: BackoffOptions, random: () => number): Backoff {
  let base = baseMs ?? backoffBaseMs
  let tries = 0
  return {
    next() {
      const ms = Math.min(capMs / spread, base * 2 ** tries)
      if (ms < capMs / spread) tries++
      return ms * (1 + random() * (spread - 1))
    },
    reset() {
      tries = 0
    },
    asked(ms) {
      base = Math.max(askedMsMin, ms)
    },
    capMs,
  }
}
