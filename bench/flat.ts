// P5: the cost of an event must not grow with the length of its run, nor with the number of runs. In this process,
// over the memory log, from emit to a reader that follows.
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { createRuns } from '../src/runs.ts'
import type { Row } from './row.ts'

const burst = defineAgent({ name: 'burst' }, async (count: number, ctx) => {
  for (let n = 0; n < count; n++) {
    const stored = ctx.token('token ')
    if (n % 100 === 99) await stored
  }
})

/** CPU microseconds per event. */
async function cost(runs: number, events: number): Promise<number> {
  await using core = createRuns({
    log: memory(),
    agents: [burst],
    deps: realDeps,
    retention: { runsMax: 1_000, eventsPerRunMax: 100_000 },
  })
  globalThis.gc?.()
  const before = process.cpuUsage()
  for (let n = 0; n < runs; n++) {
    const { run_id } = await core.start('burst', events)
    let seen = 0
    await core.follow(run_id, {}, batch => {
      seen = batch.last
    })
    if (seen !== events + 2) throw new Error(`run ${n} ended at ${seen}`)
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (runs * events)
}

export async function run(): Promise<Row[]> {
  await cost(20, 1_000)
  const rows: Row[] = []
  const lengths: number[] = []
  for (const events of [100, 1_000, 10_000, 100_000, 1_000_000])
    lengths.push(await cost(Math.max(1, 100_000 / events), events))
  const counts: number[] = []
  for (const runs of [10, 100, 1_000, 10_000, 100_000]) counts.push(await cost(runs, 10))
  const show = (costs: readonly number[]) => costs.map(us => us.toFixed(2)).join(', ')
  const worst = (costs: readonly number[]) => Math.max(...costs.slice(1)) / Math.min(...costs.slice(1))
  rows.push({
    id: 'P5',
    name: 'run length 10^2 to 10^6',
    ratio: worst(lengths),
    bar: 1.25,
    atMost: true,
    unit: 'x dearest by cheapest, from 10^3 on',
    detail: `us per event: ${show(lengths)}`,
  })
  rows.push({
    id: 'P5',
    name: '10 to 10^5 runs of 10 events',
    ratio: worst(counts),
    bar: 1.25,
    atMost: true,
    unit: 'x dearest by cheapest, from 10^2 on',
    detail: `us per event: ${show(counts)}`,
  })
  return rows
}
