// Who wants to be woken for which log, inside one process. Every backend that learns of its own appends stands on it.
// It must never ring inside an append: an agent that emits would then write to sockets. And it must never ring for long:
// whoever is not woken in this turn of the event loop is in the next, and reads then what has come meanwhile in one batch.
import type { Key, Ring } from './log.ts'

export interface Bells {
  watch(key: Key, ring: Ring): Disposable
  /** Rings the key's watchers at the end of this turn, after everything that the turn still does; many of them over several. */
  soon(key: Key): void
  /** Rings at once those who wait for their turn: what they were to read is about to be forgotten. */
  now(key: Key): void
  /** The logs that somebody watches. */
  keys(): Iterable<Key>
  /** Rings those who wait for their turn, and then nobody any more. */
  clear(): void
}

/**
 * Watchers rung per turn of the event loop: for readers on sockets half a millisecond, in which nothing else gets its turn.
 * When more events come than can be written one by one, each write carries as many more: 64 readers per turn measured five
 * to eight times the throughput of a thousand, and no later p99.
 */
const ringsPerTurnMax = 64

/** `onCount` is told how many logs are watched each time the first watcher of a log comes or its last one leaves. */
export function createBells(onCount: (logs: number) => void = () => {}): Bells {
  const bells = new Map<Key, Bell>()
  /** In the order in which they ring. */
  const due = new Set<Bell>()
  let ringing = false

  const ringDue = (): void => {
    let left = ringsPerTurnMax
    for (const bell of due) {
      left -= bell.ring(left)
      if (bell.ringing) return
      due.delete(bell)
      if (bell.unheard > 0) due.add(bell)
      if (left === 0) return
    }
  }

  const ringFirst = () => {
    try {
      ringDue()
    } finally {
      // Also behind a ring that throws: the others are to be woken still.
      ringing = due.size > 0
      if (ringing) setImmediate(ringOn)
    }
  }

  /** From the second turn on: what becomes due in a turn that has rung already waits for the next. */
  const ringOn = () => {
    ringing = due.size > 0
    if (!ringing) return
    setImmediate(ringOn)
    ringDue()
  }

  const unwatched = (bell: Bell) => {
    if (bells.get(bell.key) !== bell) return
    bells.delete(bell.key)
    onCount(bells.size)
  }

  return {
    watch(key, ring) {
      let bell = bells.get(key)
      if (!bell) {
        bell = new Bell(key, unwatched)
        bells.set(key, bell)
        onCount(bells.size)
      }
      return bell.watch(ring)
    },
    soon(key) {
      const bell = bells.get(key)
      if (!bell) return
      bell.unheard = bell.watches.size
      due.add(bell)
      if (ringing) return
      ringing = true
      queueMicrotask(ringFirst)
    },
    now: key => bells.get(key)?.ringAll(),
    keys: () => bells.keys(),
    clear() {
      for (const bell of due) bell.ringAll()
      bells.clear()
      due.clear()
      onCount(0)
    },
  }
}

/** The watchers of one log, rung in a circle: while some have not heard, the next round begins where the last one ended. */
class Bell {
  readonly key: Key
  readonly watches = new Set<Watch>()
  /** How many, from `place` on, have not been rung since the newest entry. */
  unheard = 0
  /** How many of them this round still rings: each watcher once, then other logs have their turn. */
  private round = 0
  /** Kept only while somebody has not heard: a Set with an iterator at rest forgets nobody who has left. */
  private place: Iterator<Watch, undefined> | undefined
  private readonly unwatched: (bell: Bell) => void

  constructor(key: Key, unwatched: (bell: Bell) => void) {
    this.key = key
    this.unwatched = unwatched
  }

  watch(ring: Ring): Watch {
    const watch = new Watch(this, ring)
    this.watches.add(watch)
    if (this.unheard > 0) this.unheard++ // it stands before the end of the circle
    return watch
  }

  leave(watch: Watch): void {
    this.watches.delete(watch)
    this.unheard = Math.min(this.unheard, this.watches.size)
    this.round = Math.min(this.round, this.unheard)
    if (this.watches.size === 0) this.unwatched(this)
  }

  /** In mid-round. */
  get ringing(): boolean {
    return this.round > 0
  }

  /** Rings at most so many, up to the end of the round; returns how many. */
  ring(most: number): number {
    this.round ||= this.unheard
    let rung = 0
    while (rung < most && this.round > 0) {
      const watch = this.next()
      if (!watch) {
        this.round = this.unheard = 0
        break
      }
      this.round--
      this.unheard--
      rung++
      watch.ring()
    }
    if (this.unheard === 0) this.place = undefined
    return rung
  }

  ringAll(): void {
    this.round = this.unheard
    this.ring(this.round)
  }

  private next(): Watch | undefined {
    this.place ??= this.watches.values()
    const { value } = this.place.next()
    if (value) return value
    this.place = this.watches.values()
    return this.place.next().value
  }
}

/** One that is woken, until it is disposed of. A class: a thousand readers hold one each. */
class Watch implements Disposable {
  readonly ring: Ring
  private readonly bell: Bell

  constructor(bell: Bell, ring: Ring) {
    this.bell = bell
    this.ring = ring
  }

  [Symbol.dispose](): void {
    this.bell.leave(this)
  }
}
