// The real clock, dice, ids and timers. This file is an edge, as server.ts and cli/ are: whoever wants to run without a
// simulation takes them from here. Nothing else in src may call them.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deps } from './runs.ts'

/** Somebody waits for a sleep this short: a grace, a retry. A longer one is a deadline, and keeps no process alive. */
const awaitedMsMax = 10_000

export const realDeps: Deps = {
  now: Date.now,
  id: randomUUID,
  random: Math.random,
  sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: ms <= awaitedMsMax }),
}
