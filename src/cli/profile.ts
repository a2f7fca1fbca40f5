// `runcast profile`: how often each node, tool and model was called in some runs, and how long that took.
import { createProfile } from '../inspect/profile.ts'
import { createSpans } from '../inspect/spans.ts'
import { readRun } from './read-run.ts'
import { type Selection, selectRuns } from './select-runs.ts'
import { openSource, type SourceOptions } from './source.ts'
import { inMs, table } from './table.ts'
import { counted, note, say } from './terminal.ts'

export interface ProfileOptions extends SourceOptions, Selection {
  readonly json?: boolean
}

export async function profile(named: readonly string[], { json, ...options }: ProfileOptions): Promise<void> {
  await using runs = await openSource(options)
  const all = createProfile()
  let count = 0
  for await (const info of selectRuns(runs, named, options)) {
    count++
    const spans = createSpans()
    await readRun(runs, info, {}, events => events.forEach(spans.take))
    all.take(spans.all())
  }
  const rows = all.rows()
  if (json) return rows.forEach(row => say(JSON.stringify(row)))
  note(
    rows.length === 0 ? `${counted(count, 'run')}, no steps, tools or model requests in them` : counted(count, 'run'),
  )
  if (rows.length === 0) return
  const heads = ['kind', 'name', 'calls', 'timed', 'failed', 'total ms', 'mean ms', 'p50 ms', 'p95 ms']
  const cells = rows.map(({ kind, name, calls, timed, failed, total_ms, mean_ms, p50_ms, p95_ms }) => {
    return [kind, name, calls, timed, failed, ...[total_ms, mean_ms, p50_ms, p95_ms].map(inMs)]
  })
  for (const line of table(heads, cells)) say(line)
}
