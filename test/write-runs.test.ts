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
import { until } from './until.ts'

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
