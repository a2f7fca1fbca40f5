// Who wants to be woken for which log, inside one process. Every backend that learns of its own appends stands on it.
// It must never ring inside an append: an agent that emits would then write to sockets.
import type { Key, Ring } from './log.ts'

export interface Bells {
  watch(key: Key, ring: Ring): Disposable
  /** Rings the key's watchers at the end of this turn, after everything that the turn still does. */
  soon(key: Key): void
  /** The logs that somebody watches. */
  keys(): Iterable<Key>
  clear(): void
}

/** `onCount` is told how many logs are watched each time the first watcher of a log comes or its last one leaves. */
export function createBells(onCount: (logs: number) => void = () => {}): Bells {
  const bells = new Map<Key, Set<Ring>>()
  let dirty: Set<Ring>[] = []

  const ringAll = () => {
    const due = dirty
    dirty = []
    for (const rings of due) for (const ring of rings) ring()
  }

  const unwatched = (key: Key, rings: Set<Ring>) => {
    if (rings.size > 0 || bells.get(key) !== rings) return
    bells.delete(key)
    onCount(bells.size)
  }

  return {
    watch(key, ring) {
      const rings = bells.get(key) ?? new Set()
      rings.add(ring)
      if (!bells.has(key)) {
        bells.set(key, rings)
        onCount(bells.size)
      }
      return new Watch(rings, ring, key, unwatched)
    },
    soon(key) {
      const rings = bells.get(key)
      if (rings && dirty.push(rings) === 1) queueMicrotask(ringAll)
    },
    keys: () => bells.keys(),
    clear() {
      bells.clear()
      dirty = []
      onCount(0)
    },
  }
}

/** What ends a watch. A class: a thousand readers hold one each. */
class Watch implements Disposable {
  private readonly rings: Set<Ring>
  private readonly ring: Ring
  private readonly key: Key
  private readonly unwatched: (key: Key, rings: Set<Ring>) => void

  constructor(rings: Set<Ring>, ring: Ring, key: Key, unwatched: (key: Key, rings: Set<Ring>) => void) {
    this.rings = rings
    this.ring = ring
    this.key = key
    this.unwatched = unwatched
  }

  [Symbol.dispose](): void {
    this.rings.delete(this.ring)
    this.unwatched(this.key, this.rings)
  }
}
