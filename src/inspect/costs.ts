// What runs cost, from the usage that their events tell: by model, node, tenant, agent and run. Pure.
// It must never guess: usage that was not told, or a model without a price, makes a sum unknown, and a zero that was told
// is 0. The names of the metrics are the fold's, so that a cost and a view cannot differ.
import { RuncastError } from '../error.ts'
import type { Event } from '../event.ts'
import { emptyView, foldInto } from '../state/fold.ts'
import type { UsageSum } from '../state/view.ts'

export interface Price {
  /** USD per million tokens. */
  readonly input_per_million: number
  readonly output_per_million: number
}

/** By the model's name, exactly as events tell it. */
export type Prices = Readonly<Record<string, Price>>

/** A prices file. */
export interface PriceList {
  /** The day that the prices are of, YYYY-MM-DD; a file need not say. */
  readonly as_of?: string
  readonly models: Prices
}

export const groupings = ['model', 'node', 'tenant', 'agent', 'run'] as const
export type Grouping = (typeof groupings)[number]

export interface CostRow {
  /** null = it was not told. */
  readonly name: string | null
  /** How often usage was told. */
  readonly told: number
  /** null = none was told. */
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  readonly total_tokens: number | null
  /** null = unknown, in whole or in part. */
  readonly cost_usd: number | null
  /** The part that is known; null when there is none. */
  readonly known_cost_usd: number | null
}

export interface RunCosts {
  /** `node` is the step that is open. */
  take(event: Event, node: string | undefined): void
  /** Once, behind the last event. */
  end(): void
}

export interface Costs {
  run(id: string): RunCosts
  by(grouping: Grouping): CostRow[]
  total(): CostRow
  readonly runs: number
  /** How much of the usage told no cost of its own and got one from the prices. */
  readonly priced: number
  /** Runs that told no usage at all. */
  readonly silent: number
}

/** Tenants are the companies that `started` names. */
type Labels = Record<Grouping, string | undefined>

interface Sum {
  told: number
  usage: UsageSum
  known: number | undefined
  whole: boolean
}

export function createCosts(prices: Prices): Costs {
  const sums = new Map(groupings.map(name => [name, new Map<string | undefined, Sum>()]))
  const total = emptySum()
  let runs = 0
  let silent = 0
  let priced = 0

  const add = (usage: UsageSum, labels: Labels) => {
    const cost = costOf(usage, labels.model, prices)
    if (cost !== undefined && usage.cost_usd === undefined) priced++
    addTo(total, usage, cost)
    for (const [grouping, rows] of sums) {
      const sum = rows.get(labels[grouping]) ?? emptySum()
      rows.set(labels[grouping], sum)
      addTo(sum, usage, cost)
    }
  }

  return {
    run(id) {
      const labels: Labels = { model: undefined, node: undefined, tenant: undefined, agent: undefined, run: id }
      let told: UsageSum = {}
      let whole: UsageSum = {}
      runs++
      return {
        take(event, node) {
          if (event.type === 'started') {
            labels.agent = event.agent_name
            labels.tenant = event.company_id
          } else if (event.type === 'metrics') {
            const { usage, model } = usageIn(event)
            if (usage === undefined) return
            told = plus(told, usage)
            add(usage, { ...labels, model, node })
          } else if (event.type === 'complete') whole = event.usage ?? {}
        },
        end() {
          // The end counts what a filter or retention took away from the events.
          const rest = minus(whole, told)
          const none = Object.keys(told).length === 0
          if (rest !== undefined || none) add(rest ?? {}, labels)
          if (rest === undefined && none) silent++
        },
      }
    },
    by: grouping => [...(sums.get(grouping) ?? [])].map(([name, sum]) => rowOf(name, sum)).sort(dearestFirst),
    total: () => rowOf('total', total),
    get runs() {
      return runs
    },
    get silent() {
      return silent
    },
    get priced() {
      return priced
    },
  }
}

/** What was told, else what the tokens cost; undefined = unknown. */
function costOf(usage: UsageSum, model: string | undefined, prices: Prices): number | undefined {
  if (usage.cost_usd !== undefined) return usage.cost_usd
  const price = model !== undefined && Object.hasOwn(prices, model) ? prices[model] : undefined
  const { input_tokens, output_tokens } = usage
  if (price === undefined || input_tokens === undefined || output_tokens === undefined) return undefined
  return (input_tokens * price.input_per_million + output_tokens * price.output_per_million) / 1_000_000
}

/** A prices file as it was read; its `note` is for people. Throws `invalid_request` naming the model and the field. */
export function checkPrices(value: unknown, file: string): PriceList {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refusal(file, 'it is no object of models')
  const { as_of, note: _note, ...models } = value as Record<string, unknown>
  if (as_of !== undefined && !isDay(as_of)) {
    throw refusal(file, `as_of is ${JSON.stringify(as_of)} and no day such as "2026-01-31"`)
  }
  for (const [model, price] of Object.entries(models as Record<string, Partial<Price> | null>)) {
    for (const field of ['input_per_million', 'output_per_million'] as const) {
      const number = price?.[field]
      if (typeof number !== 'number' || !(number >= 0) || number === Infinity) {
        throw refusal(file, `${JSON.stringify(model)} has no ${field} that is a number of USD from 0 on`)
      }
    }
  }
  return { models: models as Prices, ...(as_of !== undefined && { as_of }) }
}

function isDay(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(value)) return false
  const time = Date.parse(value)
  // There is no 30th of February.
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(value)
}

function refusal(file: string, reason: string): RuncastError {
  const fix = 'write {"as_of": "2026-01-31", "MODEL": {"input_per_million": 2.5, "output_per_million": 10}}'
  return new RuncastError('invalid_request', `${file}: ${reason}; ${fix}`)
}

function usageIn(event: Event): { usage: UsageSum | undefined; model: string | undefined } {
  const view = emptyView(event.run_id)
  view.at = event.sequence - 1
  foldInto(view, event)
  if (view.usage === undefined) return { usage: undefined, model: undefined }
  const { by_model, ...usage } = view.usage
  return { usage, model: by_model?.[0]?.model }
}

const fields = ['input_tokens', 'output_tokens', 'total_tokens', 'cost_usd'] as const

function plus(a: UsageSum, b: UsageSum): UsageSum {
  const sum: UsageSum = { ...a }
  for (const name of fields) if (b[name] !== undefined) sum[name] = (sum[name] ?? 0) + b[name]
  return sum
}

/** What `whole` has more than `part`; undefined when that is nothing. */
function minus(whole: UsageSum, part: UsageSum): UsageSum | undefined {
  const rest: UsageSum = {}
  for (const name of ['input_tokens', 'output_tokens', 'total_tokens'] as const) {
    const more = (whole[name] ?? 0) - (part[name] ?? 0)
    if (more > 0 || (whole[name] === 0 && part[name] === undefined)) rest[name] = more
  }
  return Object.keys(rest).length > 0 ? rest : undefined
}

function emptySum(): Sum {
  return { told: 0, usage: {}, known: undefined, whole: true }
}

function addTo(sum: Sum, usage: UsageSum, cost: number | undefined): void {
  if (Object.keys(usage).length > 0) sum.told++
  sum.usage = plus(sum.usage, usage)
  if (cost === undefined) sum.whole = false
  else sum.known = (sum.known ?? 0) + cost
}

function rowOf(name: string | undefined, { told, usage, known, whole }: Sum): CostRow {
  const { input_tokens = null, output_tokens = null, total_tokens = null } = usage
  const known_cost_usd = known === undefined ? null : rounded(known)
  const cost_usd = whole ? known_cost_usd : null
  return { name: name ?? null, told, input_tokens, output_tokens, total_tokens, cost_usd, known_cost_usd }
}

/** A billionth of a dollar: the sums of floats stay readable, and no price of a token is lost. */
function rounded(usd: number): number {
  return Number(usd.toFixed(9))
}

function dearestFirst(a: CostRow, b: CostRow): number {
  return (
    (b.known_cost_usd ?? -1) - (a.known_cost_usd ?? -1) ||
    (b.total_tokens ?? -1) - (a.total_tokens ?? -1) ||
    (a.name ?? '').localeCompare(b.name ?? '')
  )
}
