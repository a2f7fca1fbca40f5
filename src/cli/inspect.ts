// `runcast inspect RUN`: what a run was, a table of its nodes, tools and models, and a window of its events. One pass over
// the run, in memory that does not grow with its text.
import type { Event } from '../client/index.ts'
import { eventJson } from '../formats/json.ts'
import { type CostRow, createCosts, type PriceList } from '../inspect/costs.ts'
import { createProfile, type ProfileRow } from '../inspect/profile.ts'
import { createSpans } from '../inspect/spans.ts'
import { createSummary, type Summary } from '../inspect/summary.ts'
import { inWindow, type Window } from '../inspect/timeline.ts'
import { typesOf } from './event-types.ts'
import { eventLine } from './event-line.ts'
import { pricesText, readPrices } from './prices.ts'
import { readRun } from './read-run.ts'
import { openSource, type SourceOptions } from './source.ts'
import { inMs, table } from './table.ts'
import { coloursOf, harmless, note, say } from './terminal.ts'

export interface InspectOptions extends SourceOptions {
  readonly from?: number
  readonly to?: number
  readonly types?: string
  readonly limit: number
  readonly prices?: string
  readonly json?: boolean
}

export async function inspect(run: string, { json, limit, ...options }: InspectOptions): Promise<void> {
  const window: Window = { from: options.from, to: options.to, types: typesOf(options.types) }
  const prices = await readPrices(options.prices)
  await using runs = await openSource(options)
  const info = await runs.get(run)
  const summing = createSummary(info)
  const spans = createSpans()
  const costs = createCosts(prices.models)
  const cost = costs.run(info.run_id)
  const log: Event[] = []
  let leftOut = 0
  await readRun(runs, info, {}, events => {
    for (const event of events) {
      summing.take(event)
      spans.take(event)
      cost.take(event, spans.node)
      if (!inWindow(window, event)) continue
      if (log.length < limit) log.push(event)
      else leftOut++
    }
  })
  cost.end()
  const profile = createProfile()
  profile.take(spans.all())
  const nodes = profile.rows()
  const usage = costs.total()
  const dated = costs.priced > 0 ? prices : undefined
  if (json) return say(jsonOf({ summary: summing.summary(), usage, dated, nodes, log, leftOut }))
  showSummary(summing.summary(), usage, dated && pricesText(options.prices, dated))
  showNodes(nodes)
  showLog(log, leftOut)
}

interface Found {
  readonly summary: Summary
  readonly usage: CostRow
  /** Absent when no cost came from it. */
  readonly dated: PriceList | undefined
  readonly nodes: readonly ProfileRow[]
  readonly log: readonly Event[]
  readonly leftOut: number
}

/** The events as they are on the wire, where custom ones have their name as type. */
function jsonOf({ summary, usage: { name: _, told: __, ...sums }, dated, nodes, log, leftOut }: Found): string {
  const usage = { ...sums, ...(dated && { prices_as_of: dated.as_of ?? null }) }
  const text = JSON.stringify({ ...summary, usage, nodes, events_left_out: leftOut })
  return `${text.slice(0, -1)},"log":[${log.map(eventJson).join(',')}]}`
}

function showSummary(summary: Summary, usage: CostRow, prices: string | undefined): void {
  const { bold } = coloursOf(process.stdout)
  const { by_type, duration_ms, events, first_sequence, last_sequence, ...fields } = summary
  const line = (name: string, value: unknown) => say(`${bold(`${name}:`.padEnd(16))}${harmless(String(value))}`)
  for (const [name, value] of Object.entries(fields)) line(name, value)
  line('duration', duration_ms === null ? 'unknown' : `${duration_ms} ms`)
  line('events', first_sequence === null ? events : `${events} (${first_sequence} to ${last_sequence})`)
  for (const [type, count] of Object.entries(by_type)) line(`  ${type}`, count)
  const { input_tokens, output_tokens, total_tokens } = usage
  const told = (value: number | null) => value ?? 'unknown'
  line('tokens', `${told(input_tokens)} in, ${told(output_tokens)} out, ${told(total_tokens)} in total`)
  line('cost_usd', costText(usage))
  if (prices) line('prices', prices)
}

/** What is known of a cost that is not wholly known is said, and that it is a part. */
export function costText({ cost_usd, known_cost_usd }: CostRow): string {
  if (cost_usd !== null) return String(cost_usd)
  return known_cost_usd === null ? 'unknown' : `unknown (${known_cost_usd} of it known)`
}

function showNodes(rows: readonly ProfileRow[]): void {
  if (rows.length === 0) return
  say()
  const heads = ['kind', 'name', 'calls', 'failed', 'total ms', 'mean ms']
  const cells = rows.map(row => [row.kind, row.name, row.calls, row.failed, inMs(row.total_ms), inMs(row.mean_ms)])
  for (const line of table(heads, cells)) say(line)
}

function showLog(log: readonly Event[], leftOut: number): void {
  if (log.length > 0) say()
  for (const event of log) say(eventLine(event))
  if (leftOut > 0) note(`${leftOut} more events: --from, --to, --types and --limit choose which are shown`)
}
