// P5: the cost of an event must not grow with the length of its run, nor with the number of runs. In this process,
// over the memory log, from emit to a reader that follows.
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { createRuns } from '../src/local-runs.ts'
import type { LocalRuns } from '../src/runs.ts'
import type { Row } from './row.ts'

const burst = defineAgent({ name: 'burst' }, async (count: number, ctx) => {
  for (let n = 0; n < count; n++) {
    const stored = ctx.token('token ')
    if (n % 100 === 99) await stored
  }
})

/** No run of these benches is longer. */
const longest = 1_000_000

/** CPU microseconds per event, of as many fresh cores as make the measure long enough. */
async function cost(runs: number, events: number, eventsPerRunMax = 2 * longest): Promise<number> {
  const repeats = Math.max(1, Math.round(10_000 / runs / Math.max(1, events / 100)))
  let micros = 0
  for (let repeat = 0; repeat < repeats; repeat++) {
    await using core = createRuns({
      log: memory(),
      agents: [burst],
      deps: realDeps,
      retention: { runsMax: 1_000, eventsPerRunMax, bytesPerRunMax: 1e10, bytesTotalMax: 1e10 },
    })
    globalThis.gc?.()
    const before = process.cpuUsage()
    for (let n = 0; n < runs; n++) await oneRun(core, events)
    const { user, system } = process.cpuUsage(before)
    micros += user + system
  }
  return micros / (repeats * runs * events)
}

async function oneRun(core: LocalRuns, events: number): Promise<void> {
  const { run_id } = await core.start('burst', events)
  let seen = 0
  await core.follow(run_id, {}, batch => {
    seen = batch.last
  })
  if (seen !== events + 2) throw new Error(`the run ${run_id} ended at ${seen}`)
}

export async function run(): Promise<Row[]> {
  await cost(20, 1_000)
  await cost(5_000, 10)
  const lengths: number[] = []
  for (const events of [100, 1_000, 10_000, 100_000, longest])
    lengths.push(await cost(Math.max(1, 100_000 / events), events))
  const counts: number[] = []
  for (const runs of [10, 100, 1_000, 10_000, 100_000]) counts.push(await cost(runs, 10))
  const trimmed = await cost(1, longest, longest / 10)
  const show = (costs: readonly number[]) => costs.map(us => us.toFixed(2)).join(', ')
  /** The dearest, by the cheapest before it: what grows. */
  const growth = (costs: readonly number[]) =>
    Math.max(...costs.slice(1).map((cost, index) => cost / Math.min(...costs.slice(0, index + 1))))
  return [
    {
      id: 'P5',
      name: 'run length 10^2 to 10^6',
      ratio: growth(lengths),
      bar: 1.25,
      atMost: true,
      unit: 'x a shorter one',
      detail: `us per event: ${show(lengths)}`,
    },
    {
      id: 'P5',
      name: '10 to 10^5 runs of 10 events',
      ratio: growth(counts),
      bar: 1.25,
      atMost: true,
      unit: 'x with fewer',
      detail: `us per event: ${show(counts)}`,
    },
    {
      id: 'P5',
      name: 'a run of 10^6 that keeps 10^5, and the view of what it forgets',
      ratio: trimmed / (lengths.at(-1) ?? Number.NaN),
      bar: null,
      unit: 'x one that keeps all',
      detail: `us per event: ${trimmed.toFixed(2)}`,
    },
  ]
}
