// Runs that others told, on their way into a log: what somebody sees who reads it meanwhile.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { entryOf } from '../src/batch.ts'
import { realDeps } from '../src/deps.ts'
import { type Log, runKey } from '../src/log.ts'
import { follow } from '../src/follow.ts'
import { createRetention } from '../src/retention.ts'
import { createRunWriter } from '../src/sources/write-runs.ts'
import { createClock } from './simulation/clock.ts'
import { until } from './until.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const token = (content: string) => entryOf({ type: 'token', content }, 1)
const run = { run_id: 'r', tenant: 'default', thread: 'r' }

for (const [name, open] of [
  ['memory', () => memory()],
  ['sqlite', (dir: string) => sqlite({ path: join(dir, 'log.db') })],
] as [string, (dir: string) => Log][]) {
  test(`${name}: DF21 a reader who is there when a hole comes is told of the gap, and of nothing in it`, async t => {
    const dir = mkdtempSync(join(tmpdir(), 'runcast-hole-'))
    t.after(() => rmSync(dir, { recursive: true, force: true }))
    await using log = open(dir)
    const retention = createRetention(log, {}, realDeps)
    t.after(() => retention.stop())
    const writer = createRunWriter({ log, retention, owner: 'o' })
    await writer.write({ ...run, last: 2, entries: [token('a'), token('b')] })
    const seen: unknown[] = []
    const reading = follow(log, runKey('r'), {}, ({ gap, events }) => {
      if (gap) seen.push([gap.requested, gap.oldest])
      for (const event of events) seen.push(event.type === 'token' ? event.content : event.type)
    })
    await until('it has read', () => seen.length === 2)
    const end = entryOf({ type: 'complete', output: null, latency_seconds: 0 }, 1)
    await writer.write({ ...run, last: 7, entries: [token('f'), end] })
    await reading
    assert.deepEqual(seen, ['a', 'b', [3, 6], 'f', 'complete'])
  })
}

for (const when of ['while it runs', 'at its next start']) {
  test(`H127 a run of a clock a day ahead is forgotten an hour after it came, and keeps no other: ${when}`, async () => {
    const clock = createClock()
    await using log = memory()
    const limits = { ageMs: hourMs }
    let retention = createRetention(log, limits, clock)
    const writer = createRunWriter({ log, retention, owner: 'o' })
    for (const [run_id, ahead] of [
      ['ahead', dayMs],
      ['right', 0],
    ] as const) {
      const end = entryOf({ type: 'complete', output: null, latency_seconds: 0 }, clock.now() + ahead)
      await writer.write({ run_id, tenant: 'default', thread: run_id, last: 1, entries: [end] })
    }
    if (when === 'at its next start') {
      retention.stop()
      retention = createRetention(log, limits, clock)
      await retention.load()
    }
    const kept = () => log.list({ tenant: 'default', limit: 10 }) as readonly unknown[]
    assert.equal(await clock.runUntil(() => kept().length < 2, hourMs - 1), false)
    assert.equal(await clock.runUntil(() => kept().length === 0, hourMs), true)
    retention.stop()
  })
}
