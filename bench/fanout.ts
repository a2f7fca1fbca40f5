// P1: one run to 1, 100 and 1,000 readers, one and sixteen events per turn, against raw `res.write` of a shared buffer.
import { contender, type Usage } from './contender.ts'
import { load } from './load.ts'
import type { Row } from './row.ts'

const rounds = 3
const request = 'GET /runs/run/events HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n'

/** Deliveries per CPU-second of the server. */
async function measure(script: string, readers: number, events: number, perTick: number): Promise<number> {
  await using server = await contender(script)
  const rates: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const work = load({ port: server.port, request, readers })
    await work.ready
    await server.ask({ ask: 'usage' })
    await server.ask({ ask: 'emit', events, perTick })
    await work.done
    const { cpu } = await server.ask<Usage>({ ask: 'usage' })
    if (round > 0) rates.push((readers * events) / cpu) // the first round warms the code up
  }
  return median(rates)
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const [readers, events, perTick, bar] of [
    [1, 20_000, 1, null],
    [100, 3_000, 1, null],
    [1_000, 400, 1, 1.5],
    [1_000, 3_200, 16, 4],
  ] as const) {
    const raw = await measure('./servers/raw.ts', readers, events, perTick)
    const ours = await measure('./servers/log.ts', readers, events, perTick)
    rows.push({
      id: 'P1',
      name: `fan-out 1 to ${readers}, ${perTick} per turn`,
      ratio: ours / raw,
      bar,
      unit: 'x raw res.write, deliveries per CPU-second',
      detail: `${Math.round(ours / 1000)} k against ${Math.round(raw / 1000)} k`,
    })
  }
  return rows
}
