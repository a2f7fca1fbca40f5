// P4: 10, 1,000 and 100,000 stored events to one reader, against sending the same bytes from a buffer in 64 KiB slices.
import { contender, type Usage } from './contender.ts'
import { median } from './fanout.ts'
import { load } from './load.ts'
import type { Row } from './row.ts'

const rounds = 7

/** Server CPU microseconds per replay. */
async function measure(script: string, events: number): Promise<number> {
  await using server = await contender(script)
  const ours = script.includes('runcast')
  if (ours) await server.ask({ ask: 'start', agent: 'burst', runs: ['replay'], input: events })
  else await server.ask({ ask: 'store', events })
  const path = ours ? '/runs/replay/events' : '/runs/replay/events'
  const repeats = Math.max(1, Math.min(200, Math.round(20_000 / events)))
  const times: number[] = []
  for (let round = 0; round <= rounds; round++) {
    await server.ask({ ask: 'usage' })
    await load({ port: server.port, path, readers: repeats }).done
    const { cpu } = await server.ask<Usage>({ ask: 'usage' })
    if (round > 0) times.push((cpu * 1e6) / repeats)
  }
  return median(times)
}

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const [events, bar] of [
    [10, null],
    [1_000, 0.5],
    [100_000, 0.5],
  ] as const) {
    const buffer = await measure('./servers/raw.ts', events)
    const ours = await measure('./servers/runcast.ts', events)
    rows.push({
      id: 'P4',
      name: `replay of ${events} events`,
      ratio: buffer / ours,
      bar,
      unit: 'x the same bytes from a buffer',
      detail: `server CPU ${Math.round(ours)} us against ${Math.round(buffer)} us, connection included`,
    })
  }
  return rows
}
