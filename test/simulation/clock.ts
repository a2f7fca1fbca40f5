// Virtual time: sleeps of hours that cost nothing. Why: a simulation that waits for real timers is slow, and never the
// same twice. It must never move on while something can still happen at the present moment.
import type { Deps } from '../../src/runs.ts'

export interface Clock {
  readonly now: () => number
  readonly sleep: Deps['sleep']
  /** Something happens at this moment: time waits for what follows from it. Sleeping says so itself. */
  stir(): void
  /** Lets time pass until this is true; false when the limit is reached first, or nothing waits for time any more. */
  runUntil(isDone: () => boolean, limitMs: number): Promise<boolean>
}

/** Some fixed day, so that every run of a seed is the same. */
const epochMs = Date.UTC(2030, 0, 1)
/** From one thing that stirs to the next: an emit waits for the end of its turn, and then it is appended. */
const turnsBetween = 2

export function createClock(): Clock {
  let now = epochMs
  let stirred = 0
  const moments: number[] = [] // a heap
  const due = new Map<number, Set<() => void>>()

  const at = (time: number, act: () => void): (() => void) => {
    let acts = due.get(time)
    if (!acts) {
      acts = new Set()
      due.set(time, acts)
      push(moments, time)
    }
    acts.add(act)
    return () => acts.delete(act)
  }

  return {
    now: () => now,
    stir: () => void stirred++,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        stirred++
        const refuse = () => reject(new DOMException('the sleep was ended', 'AbortError'))
        if (signal?.aborted) return refuse()
        const stop = () => {
          forget()
          refuse()
        }
        const forget = at(now + Math.max(0, Math.ceil(ms)), () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        })
        signal?.addEventListener('abort', stop, { once: true })
      }),
    async runUntil(isDone, limitMs) {
      const end = now + limitMs
      for (;;) {
        for (let before = -1; before !== stirred; ) {
          before = stirred
          for (let turn = 0; turn < turnsBetween; turn++) await new Promise(setImmediate)
        }
        if (isDone()) return true
        const next = moments[0]
        if (next === undefined || next > end) return false
        pop(moments)
        const acts = due.get(next) ?? new Set()
        due.delete(next)
        now = next
        for (const act of acts) act()
      }
    },
  }
}

function push(heap: number[], value: number): void {
  let index = heap.push(value) - 1
  while (index > 0) {
    const parent = (index - 1) >> 1
    if ((heap[parent] as number) <= value) break
    heap[index] = heap[parent] as number
    index = parent
  }
  heap[index] = value
}

function pop(heap: number[]): void {
  const value = heap.pop() as number
  if (heap.length === 0) return
  let index = 0
  for (;;) {
    let child = index * 2 + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && (heap[child + 1] as number) < (heap[child] as number)) child++
    if ((heap[child] as number) >= value) break
    heap[index] = heap[child] as number
    index = child
  }
  heap[index] = value
}
