// What is forgotten: many short runs leave only what the limits keep, in the runs' logs, their inboxes and the feeds.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { inboxKey, type Key, type Log, runKey, tenantFeed, threadFeed } from '../src/log.ts'
import { heldMax } from '../src/retention.ts'
import { createRuns } from '../src/local-runs.ts'
import { eventsOf } from './suites/runs-agents.ts'
import { turns } from './suites/log.suite.ts'

const short = defineAgent({ name: 'short' }, async function* () {
  yield 'done'
})
const long = defineAgent({ name: 'long' }, async (count: number, ctx) => {
  for (let n = 1; n <= count; n++) {
    const stored = ctx.token(`t${n} `)
    if (n % 50 === 0) await stored
  }
})

test('DK73 H98 ten thousand short runs leave as many logs, inboxes and feed entries as the limit allows', async () => {
  const log = memory()
  const kept = 50
  const runs = createRuns({ log, agents: [short], deps: realDeps, retention: { runsMax: kept } })
  const started: string[] = []
  for (let n = 0; n < 10_000; n += 100) {
    const infos = await Promise.all(
      Array.from({ length: 100 }, (_, k) =>
        runs.start('short', null, k % 10 === 0 ? { thread: `t${k}`, onBusy: 'queue' } : {}),
      ),
    )
    for (const { run_id } of infos) started.push(run_id)
    while (runs.running > 0) await turns(1)
  }
  await turns(50)
  assert.ok((await log.list({ tenant: 'default', limit: 20_000 })).length <= kept)
  let left = 0
  for (const run of started) {
    if ((await log.read(runKey(run), 0, 1)).state !== 'absent') left++
    else assert.equal((await log.read(inboxKey(run), 0, 1)).state, 'absent')
  }
  assert.ok(left <= kept, `${left} logs`)
  const feed = await extent(log, tenantFeed('default'))
  assert.ok(feed.last >= 30_000)
  assert.ok(feed.kept <= 20 * kept, `${feed.kept} feed entries`)
  const thread = await extent(log, threadFeed('default', 't10'))
  assert.equal(thread.last, 300)
  assert.ok(thread.kept <= 3 * kept)
  await runs.stop(0)
})

test('DK69 DK70 a long run is trimmed near its limit while it goes on, and its view stays whole', async () => {
  const log = memory()
  const limit = 1_000
  const runs = createRuns({ log, agents: [long], deps: realDeps, retention: { eventsPerRunMax: limit } })
  const { run_id } = await runs.start('long', 12_345)
  await eventsOf(runs, run_id, { after: 12_000 })
  const { first_sequence, last_sequence } = await runs.get(run_id)
  assert.equal(last_sequence, 12_347)
  assert.ok(last_sequence - first_sequence < limit * 1.2, `${first_sequence} to ${last_sequence}`)
  const view = await runs.snapshot(run_id)
  const [part] = view.parts
  assert.ok(part?.kind === 'text')
  assert.equal(part.content, Array.from({ length: 12_345 }, (_, n) => `t${n + 1} `).join(''))
  await runs.stop(0)
})

test('bytes limit a run and all runs together', async () => {
  const log = memory()
  const runs = createRuns({
    log,
    agents: [long],
    deps: realDeps,
    retention: { bytesPerRunMax: 100_000, bytesTotalMax: 150_000 },
  })
  const ids: string[] = []
  for (let n = 0; n < 3; n++) {
    const { run_id } = await runs.start('long', 3_000)
    await eventsOf(runs, run_id)
    ids.push(run_id)
    await turns(20)
  }
  const heads = await log.list({ tenant: 'default', limit: 10 })
  assert.ok(
    heads.every(head => head.bytes < 200_000),
    JSON.stringify(heads.map(head => head.bytes)),
  )
  assert.ok(heads.reduce((sum, head) => sum + head.bytes, 0) <= 200_000)
  assert.equal(heads[0]?.run_id, ids.at(-1))
  await runs.stop(0)
})

test('DK73 runs that somebody still needs are kept beyond the limits, but neither for ever nor in any number of bytes', async () => {
  const log = memory()
  let ahead = 0
  const deps = { ...realDeps, now: () => realDeps.now() + ahead }
  const retention = { ageMs: 1_000, bytesTotalMax: 100_000, hold: () => true }
  const runs = createRuns({ log, agents: [long], deps, retention })
  const finish = async (count: number) => {
    const { run_id } = await runs.start('long', count)
    await eventsOf(runs, run_id)
    await turns(20)
    return run_id
  }
  const bytesOf = async () =>
    (await log.list({ tenant: 'default', limit: 100 })).reduce((sum, one) => sum + one.bytes, 0)
  const first = await finish(400)
  while ((await bytesOf()) < 150_000) await finish(400)
  ahead = 2_000 + heldMax.ageMs / 2
  await finish(1)
  assert.ok(await log.head(first), 'beyond the age and the bytes that are kept of others')
  for (let n = 0; n < 10; n++) await finish(400)
  assert.equal(await log.head(first), undefined, 'too many bytes')
  assert.ok((await bytesOf()) <= 200_000 * 1.2)
  const newest = await finish(1)
  ahead += 2_000 + heldMax.ageMs
  await finish(1)
  assert.equal(await log.head(newest), undefined, 'too old')
  await runs.stop(0)
})

/** Where a log ends, and how many of its entries are kept. */
async function extent(log: Log, key: Key): Promise<{ last: number; kept: number }> {
  let kept = 0
  for (let last = 0; ; ) {
    const batch = await log.read(key, last, 1_000)
    if (batch.count === 0) return { last, kept }
    kept += batch.count
    last = batch.last
  }
}
