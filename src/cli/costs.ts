// `runcast costs`: what some runs used and cost, by model, node, tenant, agent or run. What was not told is unknown.
import { type CostRow, createCosts, type Grouping, groupings } from '../inspect/costs.ts'
import { createSpans } from '../inspect/spans.ts'
import { costText } from './inspect.ts'
import { pricesText, readPrices } from './prices.ts'
import { readRun } from './read-run.ts'
import { type Selection, selectRuns } from './select-runs.ts'
import { openSource, type SourceOptions } from './source.ts'
import { table } from './table.ts'
import { coloursOf, counted, note, say } from './terminal.ts'

export interface CostsOptions extends SourceOptions, Selection {
  readonly by?: Grouping
  readonly prices?: string
  readonly json?: boolean
}

/** What is shown unless one is asked for. */
const usual: readonly Grouping[] = ['model', 'node', 'tenant']

export async function costs(named: readonly string[], { json, by, ...options }: CostsOptions): Promise<void> {
  const prices = await readPrices(options.prices)
  const counting = createCosts(prices.models)
  await using runs = await openSource(options)
  for await (const info of selectRuns(runs, named, options)) {
    const spans = createSpans()
    const run = counting.run(info.run_id)
    await readRun(runs, info, {}, events => {
      for (const event of events) {
        spans.take(event)
        run.take(event, spans.node)
      }
    })
    run.end()
  }
  const shown = by === undefined ? usual : [by]
  const total = counting.total()
  if (json) {
    for (const grouping of shown) for (const row of counting.by(grouping)) say(JSON.stringify({ by: grouping, ...row }))
    const { runs: count, silent, priced } = counting
    const dated = priced > 0 && { prices_as_of: prices.as_of ?? null }
    return say(JSON.stringify({ by: 'total', ...total, runs: count, runs_without_usage: silent, ...dated }))
  }
  const { bold } = coloursOf(process.stdout)
  for (const grouping of groupings.filter(one => shown.includes(one))) {
    show(grouping, counting.by(grouping), total)
    say()
  }
  say(bold(`${counted(counting.runs, 'run')}, cost in USD: ${counting.runs === 0 ? 0 : costText(total)}`))
  if (counting.priced > 0) say(`by the prices of ${pricesText(options.prices, prices)}`)
  if (counting.silent > 0) note(`${counted(counting.silent, 'run')} told no usage`)
}

function show(grouping: Grouping, rows: readonly CostRow[], total: CostRow): void {
  const heads = [grouping, 'told', 'input tokens', 'output tokens', 'total tokens', 'cost USD']
  const cells = [...rows, total].map(row => {
    const { name, told, input_tokens, output_tokens, total_tokens } = row
    const cost = row.cost_usd ?? costText(row)
    return [name, told, input_tokens, output_tokens, total_tokens, cost]
  })
  for (const line of table(heads, cells)) say(line)
}
