// Clocks that are wrong: they jump back, or stand before 1970. Order, cursors and deadlines come from elsewhere.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { webDeps } from '../src/client/deps.ts'
import { realDeps } from '../src/deps.ts'
import { createRuns } from '../src/local-runs.ts'
import { eventsOf } from './suites/runs-agents.ts'

for (const [name, open] of [
  ['memory', memory],
  ['sqlite', () => sqlite({ path: ':memory:' })],
] as const) {
  test(`H21 ${name}: a clock that jumps back an hour, or to 1969, breaks no order, no length and no deadline`, async () => {
    let now = Date.UTC(2026, 0, 2)
    const jumps = defineAgent({ name: 'jumps' }, async function* (to: number) {
      yield 'before'
      now = to
      yield 'behind'
    })
    const deps = { ...realDeps, now: () => now }
    await using runs = createRuns({ log: open(), agents: [jumps], deps, maxRunDurationMs: 3_600_000 })
    const started: string[] = []
    for (const to of [now - 3_600_000, Date.UTC(1969, 6, 20)]) {
      const { run_id } = await runs.start('jumps', to, { thread: 't', onBusy: 'queue' })
      started.push(run_id)
      const events = await eventsOf(runs, run_id)
      assert.deepEqual(
        events.map(({ type, sequence }) => [type, sequence]),
        [
          ['started', 1],
          ['token', 2],
          ['token', 3],
          ['complete', 4],
        ],
      )
      for (const { timestamp } of events) assert.ok(!Number.isNaN(Date.parse(timestamp)), timestamp)
      const { status, metadata } = await runs.get(run_id)
      assert.deepEqual([status, metadata['latency_seconds']], ['completed', 0])
    }
    const listed = (await runs.list()).runs.map(({ run_id }) => run_id)
    assert.deepEqual(listed.toSorted(), started.toSorted())
    const first = await runs.list({ limit: 1 })
    const second = await runs.list({ limit: 1, cursor: first.next })
    assert.deepEqual([...first.runs, ...second.runs].map(({ run_id }) => run_id).toSorted(), started.toSorted())
    const feed: unknown[] = []
    for await (const batch of runs.tail({ thread: 't' })) {
      feed.push(...batch.events.map(({ type }) => type))
      if (feed.length >= 6) break
    }
    assert.deepEqual(feed, ['accepted', 'started', 'ended', 'accepted', 'started', 'ended'])
  })
}

for (const [name, { sleep }] of [
  ['server', realDeps],
  ['client', webDeps],
] as const) {
  test(`the clock of a ${name} sleeps longer than a timer can: not at all was what a timer made of it`, async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const dayMs = 86_400_000
    let over = false
    const slept = sleep(60 * dayMs).then(() => (over = true))
    for (let day = 1; day <= 60; day++) {
      assert.equal(over, false, `before day ${day}`)
      t.mock.timers.tick(dayMs)
      await Promise.resolve()
      await Promise.resolve()
    }
    t.mock.timers.tick(dayMs) // each timer begins at the tick that ended the one before
    await slept
    const leaving = new AbortController()
    const endless = assert.rejects(sleep(Number.POSITIVE_INFINITY, leaving.signal))
    t.mock.timers.tick(60 * dayMs)
    leaving.abort()
    await endless
  })
}
