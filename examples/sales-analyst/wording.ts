// How figures and plans are said in English: one place, so that chart, sentences and model prompt agree.
// It must never round a figure so far that a sentence about it becomes false.

import { dimensions, list, measures } from './plan.ts'
import type { Filter, Measure, Plan } from './plan.ts'
import { fieldLabel } from './vocabulary.ts'

/** `$74,448`, `$12.60`, `1,204`, `15.6%`. */
export function say(measure: Measure, value: number): string {
  const { unit } = measures[measure]
  if (unit === 'percent') return `${fixed(value, 1)}%`
  if (unit === 'count') return fixed(value, 0)
  const dollars = fixed(Math.abs(value), Math.abs(value) < 100 ? 2 : 0)
  return `${value < 0 ? '-' : ''}$${dollars}`
}

export function fixed(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** `sales by quarter`, `top 5 customers by sales in West`: what a plan shows, filters included. */
export function describe(plan: Plan): string {
  const by = list(
    plan.by.map(name => dimensions[name].label),
    'and',
  )
  const ranked = plan.order === 'smallest' ? 'smallest' : 'largest'
  const top = plan.top === undefined ? '' : `, ${ranked} ${plan.top}`
  const filters = plan.filters.length === 0 ? '' : ` for ${describeFilters(plan.filters)}`
  return `${measures[plan.measure].label} by ${by}${top}${filters}`
}

/** `region East or West, year 2016`. */
export function describeFilters(filters: readonly Filter[]): string {
  return filters
    .map(({ field, values }) => {
      const spoken = values.map(value => (field === 'month_of_year' ? (monthNames[Number(value) - 1] ?? value) : value))
      return `${fieldLabel(field)} ${list(spoken, 'or')}`
    })
    .join(', ')
}

export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** `2016-03` as `Mar 2016`; every other label as it is. */
export function label(dimension: Plan['by'][number] | undefined, x: string): string {
  if (dimension !== 'month') return x
  return `${monthNames[Number(x.slice(5)) - 1]} ${x.slice(0, 4)}`
}

const monthNames = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')
