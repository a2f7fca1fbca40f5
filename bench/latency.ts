// P3: from emit to reader at 20,000 and 75,000 events per second, 500 runs with a reader each, against the bare
// `node:http` server doing the same. The events carry the time of their emit; both processes read one monotonic clock.
import { contender } from './contender.ts'
import { load } from './load.ts'
import type { Row } from './row.ts'

const runs = 500
const seconds = 4

async function measure(script: string, perSecond: number): Promise<{ p50: number; p99: number }> {
  await using server = await contender(script)
  const events = Math.round((perSecond * seconds) / runs)
  const names = Array.from({ length: runs }, (_, n) => `l${n}`)
  await server.ask({ ask: 'start', runs: names })
  const work = load({ port: server.port, path: '/runs/l%d/events', readers: runs, latencies: true })
  await work.ready
  await server.ask({ ask: 'emit', events, perTurn: 1, everyMs: (runs / perSecond) * 1000 })
  const { p50 = Number.NaN, p99 = Number.NaN } = await work.done
  return { p50, p99 }
}

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  const half = await measure('./servers/raw.ts', 10_000)
  for (const perSecond of [20_000, 75_000]) {
    const ours = await measure('./servers/runcast.ts', perSecond)
    const raw = await measure('./servers/raw.ts', perSecond)
    const ms = (value: number) => value.toFixed(2)
    rows.push({
      id: 'P3',
      name: `emit to reader, p99 at ${perSecond} events/s`,
      ratio: ours.p99 / half.p99,
      bar: 3,
      atMost: true,
      unit: 'x raw p99 at 10,000 events/s',
      detail: `ms p50/p99: ours ${ms(ours.p50)}/${ms(ours.p99)}, raw ${ms(raw.p50)}/${ms(raw.p99)}, raw at half load ${ms(half.p50)}/${ms(half.p99)}`,
    })
  }
  return rows
}
