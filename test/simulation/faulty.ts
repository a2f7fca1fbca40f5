// A log that fails as real ones do: before the write, after it (the acknowledgement is lost), on reads, for a while, or
// slowly; and the process in front of it may die at any of these points. A Log that wraps a Log. It must never do what
// the contract of Log forbids: no append in part, no bell left out, no event shown before its append.
import { RuncastError } from '../../src/error.ts'
import type { Key, Log } from '../../src/log.ts'
import type { Deps } from '../../src/runs.ts'
import type { Clock } from './clock.ts'

/** How often each fault happens, 0 to 1. */
export interface Faults {
  readonly failBefore: number
  readonly lostAck: number
  readonly failRead: number
  readonly delay: number
  readonly delayMsMax: number
  readonly bellDelay: number
  readonly bellDouble: number
}

export const noFaults: Faults = {
  failBefore: 0,
  lostAck: 0,
  failRead: 0,
  delay: 0,
  delayMsMax: 0,
  bellDelay: 0,
  bellDouble: 0,
}

/** What all processes share: the state of the world around the log. */
export interface Weather {
  faults: Faults
  /** Nothing works until then. */
  outageUntil: number
  /** How many faults hit something. */
  struck: number
}

export interface FaultyOptions {
  readonly weather: Weather
  readonly random: () => number
  readonly sleep: Deps['sleep']
  readonly clock: Clock
  /** The process that uses this log; a dead one neither writes nor hears again. */
  readonly life: { readonly alive: boolean }
}

export interface FaultyLog extends Log {
  /** Bells that somebody holds now, by log. */
  readonly watched: readonly Key[]
}

export function faulty(inner: Log, { weather, random, sleep, clock, life }: FaultyOptions): FaultyLog {
  const watched = new Map<object, Key>()
  const happens = (share: number) => share > 0 && random() < share

  const away = (what: string) => {
    weather.struck++
    // Foreign errors come as they are; the core must make sense of both.
    if (random() < 0.5) throw new Error(`connection reset while ${what}`)
    throw new RuncastError('unavailable', `simulated: ${what} failed`)
  }

  const pause = () => sleep(1 + Math.floor(random() * weather.faults.delayMsMax))

  /** Synchronous when nothing happens, as a log in memory is. */
  const call = <T>(what: string, share: number, act: () => T, lost = 0): T | Promise<T> => {
    if (!life.alive) return never()
    clock.stir()
    const isDown = () => clock.now() < weather.outageUntil
    const attempt = () => {
      if (isDown() || happens(share)) away(what)
      const value = act()
      if (happens(lost)) away(`the acknowledgement of ${what}`)
      return value
    }
    if (!happens(weather.faults.delay)) {
      if (random() < 0.5) return attempt()
      return promised(attempt) // a failing log rejects as often as it throws
    }
    return (async () => {
      await pause()
      if (!life.alive) return never<T>()
      const value = attempt()
      if (random() < 0.5) await pause()
      return life.alive ? value : never<T>()
    })()
  }

  return {
    append: (key, after, entries, head) =>
      call(
        `append to ${key}`,
        weather.faults.failBefore,
        () => inner.append(key, after, entries, head) as number,
        weather.faults.lostAck,
      ),
    read: (key, after, limit) => {
      const most = happens(weather.faults.delay) ? 1 + Math.floor(random() * 5) : limit // fewer at will
      return call(
        `read of ${key}`,
        weather.faults.failRead,
        () => inner.read(key, after, Math.min(limit, most)) as never,
      )
    },
    head: run => call(`head of ${run}`, weather.faults.failRead, () => inner.head(run) as never),
    list: filter => call('list', weather.faults.failRead, () => inner.list(filter) as never),
    drop: (key, upTo, snapshot) =>
      call(
        `drop of ${key}`,
        weather.faults.failBefore,
        () => inner.drop(key, upTo, snapshot) as never,
        weather.faults.lostAck,
      ),
    watch(key, ring) {
      const place = {}
      const heard = () => {
        if (life.alive && watched.has(place)) ring()
      }
      const bell = inner.watch(key, () => {
        if (happens(weather.faults.bellDelay)) void pause().then(heard)
        else heard()
        if (happens(weather.faults.bellDouble)) void pause().then(heard)
      })
      watched.set(place, key)
      return {
        [Symbol.dispose]() {
          watched.delete(place)
          bell[Symbol.dispose]()
        },
      }
    },
    get watched() {
      return [...watched.values()]
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** What a dead process waits for. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => {})
}

async function promised<T>(act: () => T): Promise<T> {
  return act()
}
