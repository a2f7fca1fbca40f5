// The real clock, dice, ids and timers. This file is an edge, as server.ts and cli/ are: whoever wants to run without a
// simulation takes them from here. Nothing else in src may call them.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deps } from './runs.ts'

export const realDeps: Deps = {
  now: Date.now,
  id: randomUUID,
  random: Math.random,
  // Without `ref`: a deadline an hour away must not keep a process alive that has nothing else to do.
  sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: false }),
}
