// One or two sentences about the rows of an answer, each computed from them.
// It must never say anything that the rows and their total do not prove: no causes, no outlook.

import { dimensions, measures } from './plan.ts'
import type { Plan } from './plan.ts'
import type { Result, Row } from './query.ts'
import { describeFilters, fixed, label, say, sentence } from './wording.ts'

/** True sentences about a result that has rows. */
export function insight(plan: Plan, result: Result): string {
  const [axis = 'quarter', colour] = plan.by
  const [first] = result.rows
  if (first === undefined) return 'No orders match this question.'
  if (result.rows.length === 1) return only(plan, first)
  const sentences =
    dimensions[axis].time && colour === undefined && plan.top === undefined && plan.order === 'natural'
      ? overTime(plan, result.rows)
      : extremes(plan, result)
  return [...sentences, ...whole(plan, result)].join(' ')
}

function only(plan: Plan, row: Row): string {
  return `${sentence(measures[plan.measure].label)} of ${name(plan, row)}: ${say(plan.measure, row.value)}.`
}

/** The latest step, and what was the best; of quarters also whether one is the best of every year. */
function overTime(plan: Plan, rows: readonly Row[]): string[] {
  const [before, latest] = rows.slice(-2)
  if (before === undefined || latest === undefined) return []
  const subject = sentence(measures[plan.measure].label) + narrowed(plan)
  const said = [before, latest].map(row => say(plan.measure, row.value))
  const verb = latest.value > before.value ? 'increased' : latest.value < before.value ? 'decreased' : 'stayed the same'
  const change =
    before.value > 0 && measures[plan.measure].unit !== 'percent'
      ? ` (${percent(latest.value / before.value - 1)})`
      : ''
  const best = extreme(rows, 1)
  return [
    `${subject} ${verb} in ${time(plan, latest)}: ${said[1]}, after ${said[0]} in ${time(plan, before)}${latest.value === before.value ? '' : change}.`,
    everyYear(plan, rows) ??
      `The ${superlatives(plan).most} of all shown: ${say(plan.measure, best.value)} in ${time(plan, best)}${alike(rows, best)}.`,
  ]
}

/** "Q4 was the strongest quarter of every year", when it is, over at least two whole years. */
function everyYear(plan: Plan, rows: readonly Row[]): string | undefined {
  if (plan.by[0] !== 'quarter') return undefined
  const years = Map.groupBy(rows, row => row.x.slice(0, 4))
  if (years.size < 2 || [...years.values()].some(quarters => quarters.length !== 4)) return undefined
  const winners = new Set<string>()
  for (const quarters of years.values()) {
    const best = extreme(quarters, 1)
    if (quarters.filter(row => row.value === best.value).length > 1) return undefined
    winners.add(best.x.slice(5))
  }
  const [winner] = winners
  return winners.size === 1
    ? `${winner} had the ${superlatives(plan).most} ${measures[plan.measure].label} of every year shown.`
    : undefined
}

function extremes(plan: Plan, { rows }: Result): string[] {
  const best = extreme(rows, 1)
  const worst = extreme(rows, -1)
  if (best.value === worst.value) return [`All ${rows.length} shown are equal: ${say(plan.measure, best.value)} each.`]
  const { label: measured } = measures[plan.measure]
  const { most, least } = superlatives(plan)
  const ends = [
    `${name(plan, best)} has the ${most} ${measured} with ${say(plan.measure, best.value)}${alike(rows, best)}`,
    `${name(plan, worst)} the ${least} ${measured} with ${say(plan.measure, worst.value)}${alike(rows, worst)}`,
  ]
  // A cut list shows only its own best and worst; the whole has others.
  return [`Of the ${rows.length} shown, ${ends.join(', ')}.`]
}

/** Others with the same figure: a tie has no single winner. */
function alike(rows: readonly Row[], row: Row): string {
  const others = rows.filter(other => other.value === row.value).length - 1
  return others === 0 ? '' : ` (like ${others} more)`
}

function superlatives(plan: Plan) {
  return measures[plan.measure].unit === 'count'
    ? { most: 'most', least: 'fewest' }
    : { most: 'highest', least: 'lowest' }
}

/** The total, the leader's share where shares are true, and what was cut. */
function whole(plan: Plan, { rows, total, groups }: Result): string[] {
  const { label: measured, additive, unit } = measures[plan.measure]
  const [axis = 'quarter', colour] = plan.by
  const shown = new Set(rows.map(row => row.x)).size
  const cut = shown < groups ? [`${shown} of ${groups} ${plural(dimensions[axis].label)} are shown.`] : []
  const overall = unit === 'percent' ? 'Over all of them the' : 'In total, the'
  const best = extreme(rows, 1)
  // With losses among the parts, a part can be more than the whole.
  const parts = additive && total > 0 && !dimensions[axis].time && colour === undefined && shown === groups
  const share =
    parts && rows.every(row => row.value >= 0)
      ? `, and ${name(plan, best)} is ${fixed((100 * best.value) / total, 1)}% of it`
      : ''
  return [
    ...cut,
    `${overall} ${measured} ${measured.endsWith('s') && unit !== 'percent' ? 'are' : 'is'} ${say(plan.measure, total)}${share}.`,
  ]
}

function extreme(rows: readonly Row[], sign: 1 | -1): Row {
  return rows.reduce((best, row) => (sign * row.value > sign * best.value ? row : best))
}

function name(plan: Plan, row: Row): string {
  return `${time(plan, row)}${row.series === undefined ? '' : ` (${row.series})`}`
}

/** "Q4 2017", as one says it; on the axis it is "2017 Q4", as it sorts. */
function time(plan: Plan, row: Row): string {
  if (plan.by[0] === 'quarter') return `${row.x.slice(5)} ${row.x.slice(0, 4)}`
  return label(plan.by[0], row.x)
}

/** The filters other than years, which the periods name already. */
function narrowed(plan: Plan): string {
  const filters = plan.filters.filter(filter => filter.field !== 'year')
  return filters.length === 0 ? '' : ` for ${describeFilters(filters)}`
}

function percent(change: number): string {
  return `${change > 0 ? '+' : ''}${fixed(100 * change, 1)}%`
}

function plural(word: string): string {
  return /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`
}
