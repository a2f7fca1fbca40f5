// The bounds of a direct stream, over a log in memory: what gives way when the one reader is slow, and that nothing is
// ever lost uncounted. Numbers are checked, not times.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { memory } from '../src/backends/memory.ts'
import { type Entry, entryOf, type SlabBatch } from '../src/batch.ts'
import type { Event } from '../src/event.ts'
import { follow } from '../src/follow.ts'
import { bounded, type Bounds } from '../src/layers/bounded.ts'

const key = 'direct/d1'
const token = (n: number): Entry => entryOf({ type: 'token', content: String(n) }, 0)
const tokens = (count: number, from = 1) => Array.from({ length: count }, (_, index) => token(from + index))
const complete = entryOf({ type: 'complete', output: null, latency_seconds: 0 }, 0)

const loose: Bounds = { size: 1_000, overflow: 'block', threshold: 1_000, strategy: 'buffer' }

function pipe(bounds: Partial<Bounds>) {
  const inner = memory()
  const bound = bounded(inner, key, { ...loose, ...bounds })
  let last = 0
  const append = (entries: Entry[]) => bound.log.append(key, last, entries)
  return {
    inner,
    bound,
    /** As the exit does it: the returned last is where the next append stands. These come in at once. */
    push(...entries: Entry[]): void {
      const appended = append(entries)
      assert.ok(typeof appended === 'number', 'it does not wait')
      last = appended
    },
    /** These may have to wait. */
    async pushing(...entries: Entry[]): Promise<void> {
      last = await append(entries)
    },
    read: (after: number, limit = 1_000) => bound.log.read(key, after, limit) as SlabBatch,
  }
}

const shown = (batch: { events: readonly Event[] }) =>
  batch.events.map(event => (event.type === 'token' ? Number(event.content) : event.type))
const lost = ({ gap }: SlabBatch) => (gap ? gap.oldest - gap.requested + (gap.dropped ?? 0) : 0)

/** Reads to the tail, as a reader who confirms each batch by asking for the next. */
function readAll(read: (after: number, limit?: number) => SlabBatch, after = 0, limit = 1_000) {
  const seen: (number | string)[] = []
  let announced = 0
  for (;;) {
    const batch = read(after, limit)
    announced += lost(batch)
    seen.push(...shown(batch))
    if (batch.state === 'sealed' || (batch.count === 0 && !batch.gap)) return { seen, announced, after: batch.last }
    after = batch.last
  }
}

test('PX23 drop_oldest of size 3 keeps 3, 4, 5 of five, and the gap says that two are lost', () => {
  for (const together of [true, false]) {
    const { push, read, bound } = pipe({ size: 3, overflow: 'drop_oldest' })
    if (together) push(...tokens(5))
    else for (const entry of tokens(5)) push(entry)
    const batch = read(0)
    assert.deepEqual(shown(batch), [3, 4, 5])
    assert.deepEqual(batch.gap, { requested: 1, oldest: 3 })
    assert.equal(bound.dropped, 2)
    assert.equal(read(batch.last).gap, undefined)
  }
})

test('PX24 drop_newest of size 3 keeps 1, 2, 3 of five, and tells of the refused two where they are missing', () => {
  for (const together of [true, false]) {
    const { push, read, bound } = pipe({ size: 3, overflow: 'drop_newest' })
    if (together) push(...tokens(5))
    else for (const entry of tokens(5)) push(entry)
    assert.deepEqual(shown(read(0)), [1, 2, 3])
    const told = read(3)
    assert.deepEqual(told.gap, { requested: 4, oldest: 4, dropped: 2 })
    assert.equal(read(3).gap, undefined, 'told once')
    push(token(6))
    assert.deepEqual(shown(read(3)), [6])
    assert.equal(bound.dropped, 2)
  }
})

test('PX24 two losses at two places are told at these two places', () => {
  const { push, read } = pipe({ size: 2, overflow: 'drop_newest' })
  push(...tokens(3)) // 3 is refused behind 1 and 2
  assert.deepEqual(shown(read(0, 1)), [1])
  read(1, 0) // 1 is read
  push(token(4), token(5)) // 4 comes in, 5 is refused
  const batches = [read(1), read(2), read(3)]
  assert.deepEqual(batches.map(shown), [[2], [4], []])
  assert.deepEqual(batches.map(lost), [0, 1, 1])
})

test('PX25 the fourth push to a full blocking buffer of 3 waits until a read makes room', async () => {
  const { push, pushing, read } = pipe({ size: 3, overflow: 'block' })
  for (const entry of tokens(3)) push(entry)
  let arrived = false
  const fourth = pushing(token(4)).then(() => (arrived = true))
  await turn()
  assert.equal(arrived, false)
  assert.deepEqual(shown(read(0)), [1, 2, 3])
  await turn()
  assert.equal(arrived, false, 'handed over is not read')
  read(3)
  await fourth
  assert.deepEqual(shown(read(3)), [4])
})

test('PX25 a push larger than the whole buffer comes through in order, never more than the size at once', async () => {
  const { pushing, read } = pipe({ size: 3, overflow: 'block' })
  const pushed = pushing(...tokens(10), complete)
  const seen: (number | string)[] = []
  for (let after = 0; seen.at(-1) !== 'complete'; ) {
    const batch = read(after)
    assert.ok(batch.count <= 4, 'three and the end')
    seen.push(...shown(batch))
    after = batch.last
    await turn()
  }
  await pushed
  assert.deepEqual(seen, [...Array.from({ length: 10 }, (_, index) => index + 1), 'complete'])
})

test('PX26 the terminal event is kept at once by every overflow and every strategy, however full it is', () => {
  for (const overflow of ['drop_oldest', 'drop_newest', 'block'] as const) {
    for (const strategy of ['pause', 'drop', 'buffer'] as const) {
      const { push, read } = pipe({ size: 3, overflow, threshold: 2, strategy })
      push(...tokens(3))
      push(complete)
      const { seen } = readAll(read)
      assert.deepEqual(seen, [1, 2, 3, 'complete'], `${overflow}, ${strategy}: the end takes no place from the others`)
    }
  }
})

test('PX28 at 100 unread events the agent goes on, at 101 it pauses, and back at 100 it goes on', async () => {
  const { push, read, bound } = pipe({ threshold: 100, strategy: 'pause' })
  push(...tokens(100))
  assert.equal(bound.pressure(), undefined)
  assert.ok(bound.pressure(1), 'what is on its way counts')
  push(token(101))
  let going = false
  const paused = bound.pressure()?.then(() => (going = true))
  assert.ok(paused)
  read(0, 1)
  await turn()
  assert.equal(going, false)
  read(1)
  await paused
  assert.equal(bound.pressure(), undefined)
})

test('PX29 drop refuses what comes above the threshold, counts it, and takes events again once some are read', () => {
  const { push, read, bound } = pipe({ threshold: 100, strategy: 'drop' })
  push(...tokens(150))
  assert.equal(bound.pressure(), undefined)
  assert.equal(bound.dropped, 49)
  const first = readAll(read)
  assert.equal(first.seen.length, 101)
  assert.equal(first.announced, 49)
  push(token(151))
  assert.deepEqual(shown(read(first.after)), [151])
})

test('PX29 buffer neither pauses nor drops before its size, and then the overflow decides', () => {
  const { push, read, bound } = pipe({ size: 500, overflow: 'drop_newest', threshold: 100, strategy: 'buffer' })
  push(...tokens(500))
  assert.equal(bound.pressure(), undefined)
  assert.equal(bound.dropped, 0)
  push(token(501))
  assert.equal(bound.dropped, 1)
  assert.equal(readAll(read).seen.length, 500)
})

test('a stalled reader and a long run leave no more below than the size', async () => {
  const { push, inner } = pipe({ size: 10, overflow: 'drop_oldest' })
  for (let n = 1; n <= 5_000; n++) push(token(n))
  const below = await inner.read(key, 0, 10_000)
  assert.equal(below.gap?.oldest, 4_991)
})

test('what its reader has read is forgotten', async () => {
  const { push, read, inner } = pipe({ size: 10 })
  for (let n = 1; n <= 1_000; n++) {
    push(token(n))
    read(n)
  }
  assert.ok(((await inner.read(key, 0, 1)).gap?.oldest ?? 0) > 980)
})

test('a reader that leaves frees who waits for it, and of the rest only the end is kept', async () => {
  const { push, pushing, bound, read } = pipe({ size: 3, overflow: 'block', threshold: 2, strategy: 'pause' })
  const blocked = pushing(...tokens(5))
  const paused = bound.pressure()
  assert.ok(paused)
  bound.leave()
  await Promise.all([blocked, paused])
  push(...tokens(5, 6))
  push(complete)
  assert.deepEqual(shown(read(3)), ['complete'])
})

test('an append behind the end is refused with run_ended, one at a wrong place with conflict, and other keys pass', async () => {
  const { push, bound, read } = pipe({ size: 1, overflow: 'drop_newest' })
  push(...tokens(3))
  assert.throws(() => bound.log.append(key, 3, [token(4)]), { code: 'conflict' })
  push(complete)
  assert.throws(() => push(token(4)), { code: 'run_ended' })
  await bound.log.append('direct/other', 0, tokens(3))
  assert.equal((await bound.log.read('direct/other', 0, 10)).count, 3)
  assert.equal(read(0).count, 1)
})

const anyBounds = fc.record({
  size: fc.integer({ min: 1, max: 6 }),
  overflow: fc.constantFrom('drop_oldest', 'drop_newest', 'block'),
  threshold: fc.integer({ min: 1, max: 6 }),
  strategy: fc.constantFrom('pause', 'drop', 'buffer'),
} satisfies { [K in keyof Bounds]: fc.Arbitrary<Bounds[K]> })
const anySteps = fc.array(fc.record({ push: fc.nat(9), limit: fc.integer({ min: 1, max: 9 }), reads: fc.nat(3) }), {
  maxLength: 12,
})

test('PX23 PX24 PX25 PX26 PX29 whatever the bounds and the pace: seen + announced = emitted, in order, and the end comes', async () => {
  await fc.assert(
    fc.asyncProperty(anyBounds, anySteps, async (bounds, steps) => {
      const { pushing, read, bound } = pipe(bounds)
      const seen: (number | string)[] = []
      let emitted = 0
      let announced = 0
      let after = 0
      let state = 'open'
      const take = (limit: number) => {
        const batch = read(after, limit)
        seen.push(...shown(batch))
        announced += lost(batch)
        after = batch.last
        state = batch.state
      }
      /** Reads only when the writer has to wait. */
      const drained = async (pushed: Promise<void>) => {
        let done = false
        const finished = pushed.then(() => (done = true))
        for (let turns = 0; !done; turns++) {
          if (turns > 0) take(2)
          await turn()
        }
        await finished
      }
      for (const step of steps) {
        await drained(pushing(...tokens(step.push, emitted + 1)))
        emitted += step.push
        for (let read = 0; read < step.reads; read++) take(step.limit)
      }
      await drained(pushing(complete))
      for (let reads = 0; state !== 'sealed'; reads++) {
        assert.ok(reads < 500, 'the end comes')
        take(3)
      }
      const numbers = seen.slice(0, -1) as number[]
      assert.equal(seen.at(-1), 'complete')
      assert.deepEqual(
        numbers,
        [...new Set(numbers)].sort((a, b) => a - b),
      )
      assert.equal(numbers.length + announced, emitted)
      assert.equal(bound.dropped, announced)
      if (bounds.overflow === 'block' && bounds.strategy !== 'drop') assert.equal(announced, 0)
    }),
    { numRuns: 300 },
  )
})

test('PX24 the one loop that waits delivers what is left and every announcement, also to a reader slower than the writer', async () => {
  const { push, bound } = pipe({ size: 5, overflow: 'drop_newest' })
  const seen: (number | string)[] = []
  let announced = 0
  const read = follow(bound.log, key, { limit: 2 }, async batch => {
    announced += lost(batch)
    seen.push(...shown(batch))
    await turn()
    await turn()
  })
  for (let n = 1; n <= 100; n += 4) {
    push(...tokens(4, n))
    await turn()
  }
  push(complete)
  await read
  assert.equal(seen.at(-1), 'complete')
  assert.equal(seen.length - 1 + announced, 100)
  assert.ok(announced > 0)
})
