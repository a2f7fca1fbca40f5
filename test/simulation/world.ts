// What everything in a simulation stands on: the dice, the clock, the log that outlives processes, the process that
// serves it now, and the record of what was promised to whom. It must never judge; that is verdict.ts.
import { memory } from '../../src/backends/memory.ts'
import type { Entry } from '../../src/batch.ts'
import { type Event, isTerminal } from '../../src/event.ts'
import type { Key, Log } from '../../src/log.ts'
import { createRuns } from '../../src/local-runs.ts'
import type { Deps, LocalRuns } from '../../src/runs.ts'
import { seeded } from '../cut-pipe.ts'
import { type Clock, createClock } from './clock.ts'
import { type Faults, faulty, type FaultyLog, never, noFaults, type Weather } from './faulty.ts'
import { agentsOf } from './agents.ts'

/** One process of a server, from its start to its kill. */
export interface Process {
  readonly runs: LocalRuns
  readonly log: FaultyLog
  readonly life: { alive: boolean }
  /** Aborts with the kill: connections break, and that is all that anyone outside learns of it. */
  readonly killed: AbortSignal
}

/** What somebody was told, and may rely on. */
export interface Promised {
  /** Runs whose start was acknowledged. */
  readonly accepted: Set<string>
  /** Run ids by idempotency key, as they were answered. */
  readonly byKey: Map<string, string>
  /** Runs whose cancel was acknowledged. */
  readonly cancelled: Set<string>
  /** How often an agent was begun for a run. */
  readonly executions: Map<string, number>
  /** The highest number that an agent emitted and saw stored. */
  readonly stored: Map<string, number>
  /** Starts and ends of runs in the order in which they reached the log. */
  readonly order: { readonly run: string; readonly what: 'started' | 'ended' }[]
  /** Why a run may have been interrupted: the process was killed, or the log was away for longer than owners wait. */
  readonly excuses: { readonly from: number; readonly to: number }[]
}

/** What one reader saw, in its order. */
export interface Seen {
  readonly run: string
  readonly kind: string
  readonly events: Event[]
  done: boolean
}

export interface SeenThread {
  readonly thread: string
  readonly events: { readonly run: string; readonly position: number }[]
}

export interface Counts {
  cuts: number
  events: number
  readers: number
  restarts: number
}

export interface World {
  readonly random: () => number
  readonly clock: Clock
  readonly weather: Weather
  readonly inner: Log
  readonly promised: Promised
  readonly counts: Counts
  /** All readers, also those that never arrive. */
  readonly seen: Seen[]
  /** Faults have stopped: nothing is cut, killed or cancelled any more. */
  healing: boolean
  /** Whatever went wrong in an actor; the first one counts. */
  readonly failures: Error[]
  /** The process that serves; waits while there is none. */
  up(): Promise<Process>
  /** Starts a server, unless one lives: there is one per log. */
  boot(): Promise<void>
  kill(): void
  readonly process: Process | undefined
  readonly chance: (share: number) => boolean
  /** From 0 to n - 1. */
  readonly below: (n: number) => number
  readonly pick: <T>(from: readonly T[]) => T
  readonly sleep: (msMax: number) => Promise<void>
}

/** `spoil` puts something broken below everything, to see that it is found. */
export function createWorld(seed: number, spoil: (log: Log) => Log = log => log): World {
  const random = seeded(seed)
  const clock = createClock()
  const below = (n: number) => Math.floor(random() * n)
  const promised: Promised = {
    accepted: new Set(),
    byKey: new Map(),
    cancelled: new Set(),
    executions: new Map(),
    stored: new Map(),
    order: [],
    excuses: [],
  }
  const weather: Weather = { faults: drawFaults(random), outageUntil: 0, struck: 0 }
  const inner = recorded(spoil(memory()), promised)
  let process: Process | undefined
  let living: { alive: boolean } | undefined
  let waiting: (() => void)[] = []
  let ids = 0

  const bootProcess = async () => {
    if (living?.alive) return
    const life = { alive: true }
    living = life
    const killing = new AbortController()
    const alive = <T>(work: Promise<T>) => work.then(value => (life.alive ? value : never<T>()))
    const sleep: Deps['sleep'] = (ms, signal) => alive(clock.sleep(ms, signal))
    const log = faulty(inner, { weather, random, sleep, clock, life })
    const deps: Deps = { now: clock.now, random, id: () => `id-${++ids}`, sleep }
    const runs = createRuns({
      log,
      agents: agentsOf(world, deps),
      deps,
      maxRunDurationMs: 600_000,
      cancelGraceMs: 500,
      readersPerRunMax: 1_000,
    })
    process = undefined
    const booting: Process = { runs, log, life, killed: killing.signal }
    killing.signal.addEventListener('abort', () => (life.alive = false))
    kill = () => killing.abort()
    await Promise.race([runs.recover(), new Promise(resolve => killing.signal.addEventListener('abort', resolve))])
    if (!life.alive) return
    process = booting
    for (const wake of waiting) wake()
    waiting = []
  }
  let kill = () => {}

  const world: World = {
    random,
    clock,
    weather,
    inner,
    promised,
    counts: { cuts: 0, events: 0, readers: 0, restarts: 0 },
    seen: [],
    healing: false,
    failures: [],
    async up() {
      while (!process) await new Promise<void>(resolve => waiting.push(resolve))
      return process
    },
    boot: bootProcess,
    kill() {
      kill()
      process = undefined
      world.counts.restarts++
      promised.excuses.push({ from: clock.now(), to: clock.now() })
    },
    get process() {
      return process
    },
    chance: share => random() < share,
    below,
    pick: <T>(from: readonly T[]) => from[below(from.length)] as T,
    sleep: msMax => clock.sleep(below(msMax)),
  }
  return world
}

/** Each seed has faults of its own, many or few: one that always has all of them hides what each does alone. */
function drawFaults(random: () => number): Faults {
  const share = (max: number) => (random() < 0.3 ? 0 : random() * max)
  return {
    ...noFaults,
    failBefore: share(0.1),
    lostAck: share(0.1),
    failRead: share(0.05),
    delay: share(0.5),
    delayMsMax: 1 + Math.floor(random() * 50),
    bellDelay: share(0.5),
    bellDouble: share(0.2),
  }
}

/** Notes which run began and ended when, below all faults. */
function recorded(log: Log, { order }: Promised): Log {
  const note = (key: Key, entries: readonly Entry[]) => {
    if (!key.startsWith('run/')) return
    const run = key.slice('run/'.length)
    for (const { type } of entries) {
      if (type === 'started') order.push({ run, what: 'started' })
      else if (isTerminal(type)) order.push({ run, what: 'ended' })
    }
  }
  return {
    ...log,
    append(key, after, entries, head) {
      const last = log.append(key, after, entries, head)
      note(key, entries)
      return last
    },
  }
}
