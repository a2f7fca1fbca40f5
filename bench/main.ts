// `npm run bench [-- NAME …] [-- --json FILE]`: runs the benchmarks one after another and prints one table.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Row } from './row.ts'

const benches: Record<string, () => Promise<{ run(): Promise<Row[]> }>> = {
  fanout: () => import('./fanout.ts'),
  latency: () => import('./latency.ts'),
  replay: () => import('./replay.ts'),
  flat: () => import('./flat.ts'),
  append: () => import('./append.ts'),
  memory: () => import('./memory.ts'),
  state: () => import('./state.ts'),
  codec: () => import('./codec.ts'),
}

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true })
const rows: Row[] = []
for (const [name, load] of Object.entries(benches)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  process.stderr.write(`${name} …\n`)
  const { run } = await load()
  rows.push(...(await run()))
}
for (const row of rows) {
  const verdict =
    row.bar === null
      ? ''
      : (row.atMost ? row.ratio <= row.bar : row.ratio >= row.bar)
        ? `meets ${row.bar}`
        : `MISSES ${row.bar}`
  console.log(
    [row.id.padEnd(4), row.name.padEnd(40), row.ratio.toFixed(2).padStart(8), row.unit, row.detail ?? '', verdict].join(
      '  ',
    ),
  )
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`)
process.exit(0)
