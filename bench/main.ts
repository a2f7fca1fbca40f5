// `npm run bench [-- NAME …] [-- --json FILE]`: runs the benchmarks one after another and prints one table. A run of all
// of them also rewrites the table of docs/benchmarks.md, so that no number there is older than its command.
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { Row } from './row.ts'

const benches: Record<string, () => Promise<{ run(): Promise<Row[]> }>> = {
  fanout: () => import('./fanout.ts'),
  latency: () => import('./latency.ts'),
  replay: () => import('./replay.ts'),
  flat: () => import('./flat.ts'),
  append: () => import('./append.ts'),
  memory: () => import('./memory.ts'),
  start: () => import('./start.ts'),
  state: () => import('./state.ts'),
  codec: () => import('./codec.ts'),
  kafka: () => import('./kafka.ts'),
}

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true })
const rows: Row[] = []
for (const [name, load] of Object.entries(benches)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  process.stderr.write(`${name} …\n`)
  const { run } = await load()
  for (const row of await run()) {
    rows.push(row)
    console.log(
      [
        row.id.padEnd(4),
        row.name.padEnd(44),
        shown(row.ratio).padStart(8),
        row.unit,
        row.detail ?? '',
        verdict(row),
      ].join('  '),
    )
  }
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`)
if (positionals.length === 0) writeDocument()
process.exit(0)

function verdict({ ratio, bar, atMost }: Row): string {
  if (bar === null) return ''
  return (atMost ? ratio <= bar : ratio >= bar) ? `meets ${bar}` : `MISSES ${bar}`
}

function shown(ratio: number): string {
  return ratio >= 100 ? ratio.toFixed(0) : ratio.toFixed(2)
}

function writeDocument(): void {
  const file = new URL('../docs/benchmarks.md', import.meta.url)
  const [head = ''] = readFileSync(file, 'utf8').split('\n| ')
  const machine = `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'unknown'}`
  const stamp = `${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${machine}`
  const lines = rows.map(
    row =>
      `| ${row.id} | ${row.name} | ${shown(row.ratio)} ${row.unit} | ${verdict(row).replace('MISSES', '**misses**') || '–'} | ${row.detail ?? ''} |`,
  )
  const intro = head.trimEnd().replace(/Last run: .*/, `Last run: ${stamp}.`)
  writeFileSync(
    file,
    `${intro}\n\n| id | what | ratio | bar | behind it |\n|---|---|---|---|---|\n${lines.join('\n')}\n`,
  )
}
