// P6: durable appends through the Log, against bare node:sqlite that inserts the same bytes in transactions as large.
// Beside it the memory log, and what waiting for the disk costs. Contenders take turns, each round with a fresh file.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { type Entry, entryOf } from '../src/batch.ts'
import { type Log, runKey } from '../src/log.ts'
import { runShape } from '../src/shape.ts'
import type { Row } from './row.ts'

const rounds = 5
const runs = 50
const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

/** Events per append, and how many turns of the event loop, each with an append to every run. */
interface Load {
  readonly batch: number
  readonly turns: number
}

/** Microseconds per event, of one thread's time and by the clock. */
interface Cost {
  readonly cpu: number
  readonly wall: number
}

type Contender = (path: string, load: Load) => Promise<Cost>

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const load of [
    { batch: 100, turns: 60 },
    { batch: 1, turns: 2_000 },
  ]) {
    const costs = await compare(
      { ours, powerless: memoryLog, bareBatches: bare('batches'), bareEvents: bare('events'), power: oursOnDisk },
      load,
    )
    const row = (name: string, against: Cost, bar: number | null): Row => ({
      id: 'P6',
      name: `SQLite, ${load.batch} per append, against ${name}`,
      ratio: against.wall / costs.ours.wall,
      bar,
      unit: 'x events per second',
      detail: `${costs.ours.wall.toFixed(2)} against ${against.wall.toFixed(2)} µs per event, of it CPU ${costs.ours.cpu.toFixed(2)} and ${against.cpu.toFixed(2)}`,
    })
    rows.push(row('bare inserts of the same events', costs.bareEvents, 0.7))
    if (load.batch > 1) rows.push(row('bare inserts of ready-made batches: no encoding', costs.bareBatches, null))
    rows.push(row('the memory log', costs.powerless, null))
    rows.push(row('itself with durability: power, a disk flush per commit', costs.power, null))
  }
  return rows
}

async function compare<Name extends string>(
  contenders: Record<Name, Contender>,
  load: Load,
): Promise<Record<Name, Cost>> {
  const costs = new Map<string, Cost[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const [name, contender] of Object.entries<Contender>(contenders)) {
      const directory = mkdtempSync(join(tmpdir(), 'runcast-append-'))
      const cost = await contender(join(directory, 'log.db'), load)
      rmSync(directory, { recursive: true })
      if (round > 0) costs.set(name, [...(costs.get(name) ?? []), cost]) // the first round warms the code up
    }
  }
  const medians = [...costs].map(([name, all]) => [
    name,
    { cpu: median(all.map(cost => cost.cpu)), wall: median(all.map(cost => cost.wall)) },
  ])
  return Object.fromEntries(medians) as Record<Name, Cost>
}

const ours: Contender = (path, load) => throughLog(sqlite({ path }), load)
const oursOnDisk: Contender = (path, load) => throughLog(sqlite({ path, durability: 'power' }), load)
const memoryLog: Contender = (_, load) => throughLog(memory(), load)

async function throughLog(opened: Log, { batch, turns }: Load): Promise<Cost> {
  await using log = opened
  for (let index = 0; index < runs; index++) await log.append(runKey(nameOf(index)), 0, [], headOf(index))
  const entries = Array.from({ length: batch }, (_, index) => token(index))
  const keys = Array.from({ length: runs }, (_, index) => runKey(nameOf(index)))
  return await measured(batch * turns * runs, async () => {
    for (let turn = 0; turn < turns; turn++) {
      await Promise.all(keys.map(async key => log.append(key, turn * batch, entries)))
    }
  })
}

/** The frames that ours writes, made beforehand. */
function bare(rowPer: 'batches' | 'events'): Contender {
  return async (path, { batch, turns }) => {
    using db = new DatabaseSync(path)
    db.exec(
      'PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384',
    )
    db.exec('CREATE TABLE rows (id INTEGER PRIMARY KEY, run INTEGER, sequence INTEGER, frames BLOB)')
    const insert = db.prepare('INSERT INTO rows (run, sequence, frames) VALUES (?, ?, ?)')
    const begin = db.prepare('BEGIN')
    const commit = db.prepare('COMMIT')
    const shape = runShape(nameOf(0))
    const events = Array.from({ length: batch }, (_, index) => {
      const frame = Buffer.alloc(shape.room(token(index)))
      return frame.subarray(0, shape.write(token(index), index + 1, frame, 0))
    })
    const rows = rowPer === 'events' ? events : [Buffer.concat(events)]
    return await measured(batch * turns * runs, async () => {
      for (let turn = 0; turn < turns; turn++) {
        begin.run()
        for (let index = 0; index < runs; index++) for (const row of rows) insert.run(index, turn, row)
        commit.run()
        await new Promise(resolve => setImmediate(resolve))
      }
    })
  }
}

async function measured(events: number, work: () => Promise<void>): Promise<Cost> {
  const usage = process.cpuUsage()
  const start = performance.now()
  await work()
  const wall = ((performance.now() - start) * 1_000) / events
  const { user, system } = process.cpuUsage(usage)
  return { cpu: (user + system) / events, wall }
}

const nameOf = (index: number) => `run-${String(index).padStart(8, '0')}`
const token = (index: number): Entry => entryOf({ type: 'token', content: ` word${index % 10}` }, time)
const headOf = (index: number) => ({
  run_id: nameOf(index),
  status: 'running' as const,
  agent: 'bench',
  framework: 'function',
  tenant: 'default',
  input: null,
  owner: 'bench',
  created_at: time,
})

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}
