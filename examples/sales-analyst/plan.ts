// What the analyst can be asked: the plan that both the parser and a language model must end in, and the tables
// (measures, dimensions, filter fields) that everything else reads. Names here are data; SQL is made in query.ts.
// A plan must never hold anything that is not checked against these tables and the data's own values.

import * as z from 'zod'

/** `additive`: the groups' values add up to the total, so shares of it are true. */
interface MeasureMeaning {
  readonly sql: string
  readonly label: string
  readonly unit: 'usd' | 'count' | 'percent'
  readonly additive: boolean
}

export const measures = {
  sales: { sql: 'SUM(sales)', label: 'sales', unit: 'usd', additive: true },
  profit: { sql: 'SUM(profit)', label: 'profit', unit: 'usd', additive: true },
  quantity: { sql: 'SUM(quantity)', label: 'units sold', unit: 'count', additive: true },
  // One order can hold several categories and products, so its groups overlap.
  orders: { sql: 'COUNT(DISTINCT order_id)', label: 'orders', unit: 'count', additive: false },
  discount: { sql: '100 * AVG(discount)', label: 'average discount', unit: 'percent', additive: false },
  margin: { sql: '100 * SUM(profit) / SUM(sales)', label: 'profit margin', unit: 'percent', additive: false },
} as const satisfies Record<string, MeasureMeaning>

const quarterNumber = '((CAST(substr(order_date, 6, 2) AS INTEGER) + 2) / 3)'

/** `small`: few values, so it can be told apart by colour (the second dimension of a plan). */
interface DimensionMeaning {
  readonly sql: string
  readonly label: string
  readonly time: boolean
  readonly small: boolean
}

export const dimensions = {
  year: { sql: 'substr(order_date, 1, 4)', label: 'year', time: true, small: true },
  quarter: { sql: `substr(order_date, 1, 4) || ' Q' || ${quarterNumber}`, label: 'quarter', time: true, small: false },
  month: { sql: 'substr(order_date, 1, 7)', label: 'month', time: true, small: false },
  category: { sql: 'category', label: 'category', time: false, small: true },
  sub_category: { sql: 'sub_category', label: 'sub-category', time: false, small: false },
  product: { sql: 'product_name', label: 'product', time: false, small: false },
  region: { sql: 'region', label: 'region', time: false, small: true },
  state: { sql: 'state', label: 'state', time: false, small: false },
  city: { sql: 'city', label: 'city', time: false, small: false },
  segment: { sql: 'segment', label: 'segment', time: false, small: true },
  customer: { sql: 'customer_name', label: 'customer', time: false, small: false },
  ship_mode: { sql: 'ship_mode', label: 'ship mode', time: false, small: true },
} as const satisfies Record<string, DimensionMeaning>

/** Fields that a question can be narrowed by. `quarter_of_year` is Q1..Q4 and `month_of_year` 01..12, of any year. */
export const filterFields = {
  year: dimensions.year.sql,
  quarter_of_year: `'Q' || ${quarterNumber}`,
  month_of_year: 'substr(order_date, 6, 2)',
  category: 'category',
  sub_category: 'sub_category',
  product: 'product_name',
  region: 'region',
  state: 'state',
  city: 'city',
  segment: 'segment',
  customer: 'customer_name',
  ship_mode: 'ship_mode',
} as const

export type Measure = keyof typeof measures
export type Dimension = keyof typeof dimensions
export type FilterField = keyof typeof filterFields

/** More bars than this cannot be read in one chart. */
export const topMax = 50
/** What "the top products" means without a number, and where a long list is cut. */
export const topDefault = 10
/** Filter values of one question: above it no sentence could name them all. */
const filterValuesMax = 50

const names = <T extends string>(table: Record<T, unknown>) => z.enum(Object.keys(table) as [T, ...T[]])

export const planSchema = z.strictObject({
  measure: names<Measure>(measures),
  /** The first is the axis; the second, a small one, the colours. */
  by: z.array(names<Dimension>(dimensions)).min(1).max(2),
  filters: z
    .array(
      z.strictObject({
        field: names<FilterField>(filterFields),
        values: z.array(z.string().min(1).max(200)).min(1).max(filterValuesMax),
      }),
    )
    .max(Object.keys(filterFields).length)
    .default([]),
  top: z.int().min(1).max(topMax).optional(),
  /** `natural`: time runs forward, everything else largest first. */
  order: z.enum(['natural', 'largest', 'smallest']).default('natural'),
  chart: z.enum(['bar', 'line', 'pie']).default('bar'),
})

export type Plan = z.output<typeof planSchema>
export type Filter = Plan['filters'][number]

/** Why a plan of the right form still cannot be drawn, or undefined when it can. */
export function refuse(plan: Plan): string | undefined {
  const [axis, colour] = plan.by
  if (axis === undefined || axis === colour) return 'It names the same grouping twice.'
  if (colour !== undefined && !dimensions[colour].small) {
    return `I cannot draw ${dimensions[axis].label} and ${dimensions[colour].label} together; one of the two must be ${list(smallDimensions, 'or')}.`
  }
  if (colour !== undefined && dimensions[axis].time && dimensions[colour].time) {
    return 'A chart over time can be split by one span of time only: year, quarter or month.'
  }
  if (plan.filters.some(filter => filter.values.length > filterValuesMax)) {
    return `It names more than ${filterValuesMax} values of one kind.`
  }
  const fields = plan.filters.map(filter => filter.field)
  if (new Set(fields).size !== fields.length) return 'It narrows the same field twice.'
  if (plan.chart === 'pie' && measures[plan.measure].unit === 'percent') {
    return `A pie shows parts of a whole, which ${measures[plan.measure].label} has not; ask for a bar chart.`
  }
  if (plan.chart === 'pie' && colour !== undefined) return 'A pie shows one grouping; name one, or ask for a bar chart.'
  return undefined
}

const smallDimensions = Object.values(dimensions)
  .filter(dimension => dimension.small)
  .map(dimension => dimension.label)

/** `a, b and c`. */
export function list(words: readonly string[], last: 'and' | 'or'): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`
}
