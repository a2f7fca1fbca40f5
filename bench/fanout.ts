// P1: one run to 1, 100 and 1,000 readers, one and sixteen events per turn of the event loop, against raw `res.write`
// of a shared buffer, the bare socket loop, and nchan where nginx has it. P2: 500 independent runs, one reader each.
import { contender, type Usage } from './contender.ts'
import { load } from './load.ts'
import { nchan } from './nchan.ts'
import type { Row } from './row.ts'

const roundsDefault = 3

export interface Scenario {
  readonly runs: number
  readonly readersPerRun: number
  readonly events: number
  readonly perTurn: number
  /** How often it is measured; more where one time differs much from the next. */
  readonly rounds?: number
}

/** Deliveries per CPU-second of the server, the median of the rounds after a first one that warms the code up. */
async function measure(script: string, scenario: Scenario): Promise<number> {
  const { runs, readersPerRun, events, perTurn, rounds = roundsDefault } = scenario
  await using server = await contender(script)
  const rates: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const names = Array.from({ length: runs }, (_, n) => `r${round}x${n}`)
    await server.ask({ ask: 'start', runs: names })
    const readers = runs * readersPerRun
    const path = runs === 1 ? `/runs/${names[0]}/events` : `/runs/r${round}x%d/events`
    const work = load({ port: server.port, path, readers })
    await work.ready
    await server.ask({ ask: 'usage' })
    await server.ask({ ask: 'emit', events, perTurn })
    await work.done
    const { cpu } = await server.ask<Usage>({ ask: 'usage' })
    if (round > 0) rates.push((readers * events) / cpu)
  }
  return median(rates)
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

const k = (rate: number) => `${Math.round(rate / 1000)} k/s`

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const [id, scenario, bar] of [
    ['P1', { runs: 1, readersPerRun: 1, events: 20_000, perTurn: 1 }, null],
    ['P1', { runs: 1, readersPerRun: 100, events: 3_000, perTurn: 1 }, null],
    ['P1', { runs: 1, readersPerRun: 1_000, events: 400, perTurn: 1 }, 1.5],
    ['P1', { runs: 1, readersPerRun: 1_000, events: 3_200, perTurn: 16 }, 4],
    ['P2', { runs: 500, readersPerRun: 1, events: 100, perTurn: 1, rounds: 9 }, 1.3],
  ] as const) {
    const { runs, readersPerRun, perTurn } = scenario
    const raw = await measure('./servers/raw.ts', scenario)
    const ours = await measure('./servers/runcast.ts', scenario)
    const socket = await measure('./servers/socket.ts', scenario)
    const name =
      runs === 1 ? `fan-out 1 to ${readersPerRun}, ${perTurn} per turn` : `${runs} independent runs, one reader each`
    rows.push({
      id,
      name,
      ratio: ours / raw,
      bar,
      unit: 'x raw res.write',
      detail: `${k(ours)} per CPU-second; raw ${k(raw)}, bare sockets ${k(socket)}`,
    })
    if (readersPerRun === 1_000 && perTurn === 1) {
      const nginx = await nchan(scenario)
      if (nginx !== undefined)
        rows.push({
          id: 'P1',
          name: 'fan-out 1 to 1000 against nchan',
          ratio: ours / nginx,
          bar: 1,
          unit: 'x nchan',
          detail: `${k(nginx)} per CPU-second`,
        })
    }
  }
  return rows
}
