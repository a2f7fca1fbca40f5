// A plan to SQL to rows. Expressions come from the fixed tables of plan.ts, values are bound parameters: whatever
// a question or a model says can therefore never become SQL.
// It must never put a value of a plan into the text of a statement.

import type { DatabaseSync } from 'node:sqlite'
import { dimensions, filterFields, measures } from './plan.ts'
import type { Plan } from './plan.ts'

/** Where a list without "top" is cut: this many lying bars still have room for their names. */
const listMax = 20
/** Where time is cut: above the 48 months of the data, so it never is; it bounds a plan on other data. */
const timeMax = 60

export interface Query {
  sql: string
  params: (string | number)[]
}

/** One group: `x` on the axis, `series` the colour when there are two groupings. */
export interface Row {
  x: string
  series?: string
  value: number
}

export interface Result {
  rows: Row[]
  /** The measure over everything that the filters let through, not only the rows shown. */
  total: number
  /** Groups on the axis before the cut. */
  groups: number
}

/** The statement of a plan. */
export function compile(plan: Plan): Query {
  const { axis, colour, measure, where, values } = parts(plan)
  const byValue = plan.order === 'natural' && dimensions[axis].time ? undefined : directionOf(plan)
  // The axis is ranked by its own figure over all colours, so that "top 5 by region" keeps five whole groups.
  const ranked = `SELECT ${dimensions[axis].sql} AS x, ${measure} AS rank FROM orders${where} GROUP BY 1`
  const picked = `SELECT x, rank FROM ranked ORDER BY ${byValue === undefined ? 'x' : `rank ${byValue}, x`} LIMIT ?`
  const series = colour === undefined ? 'NULL' : dimensions[colour].sql
  const grouped = `SELECT ${dimensions[axis].sql} AS x, ${series} AS series, ${measure} AS value FROM orders${where} GROUP BY 1, 2`
  return {
    sql:
      `WITH ranked AS (${ranked}), picked AS (${picked}), grouped AS (${grouped}) ` +
      'SELECT grouped.x, grouped.series, grouped.value FROM grouped JOIN picked ON picked.x = grouped.x ' +
      `ORDER BY ${byValue === undefined ? 'picked.x' : `picked.rank ${byValue}, picked.x`}, grouped.series`,
    params: [...values, plan.top ?? (dimensions[axis].time ? timeMax : listMax), ...values],
  }
}

/** The statement of the figures beside the rows: the total and the number of groups. */
export function compileTotal(plan: Plan): Query {
  const { axis, measure, where, values } = parts(plan)
  return {
    sql: `SELECT ${measure} AS total, COUNT(DISTINCT ${dimensions[axis].sql}) AS groups FROM orders${where}`,
    params: values,
  }
}

/** Runs both statements. A plan that matches no order has no rows and the total 0. */
export function run(database: DatabaseSync, plan: Plan): Result {
  const query = compile(plan)
  const rows = all(database, query).map(row => ({
    x: String(row['x']),
    ...(row['series'] === null ? {} : { series: String(row['series']) }),
    value: round(Number(row['value'])),
  }))
  const [figures] = all(database, compileTotal(plan))
  return { rows, total: round(Number(figures?.['total'] ?? 0)), groups: Number(figures?.['groups'] ?? 0) }
}

/** Cents: sums of binary fractions have tails like .0000000001. */
function round(value: number): number {
  return Math.round(value * 100) / 100
}

function parts(plan: Plan) {
  const [axis = 'quarter', colour] = plan.by
  const clauses = plan.filters.map(
    filter => `${filterFields[filter.field]} IN (${filter.values.map(() => '?').join(', ')})`,
  )
  const where = clauses.length === 0 ? '' : ` WHERE ${clauses.join(' AND ')}`
  return {
    axis,
    colour,
    measure: measures[plan.measure].sql,
    where,
    values: plan.filters.flatMap(filter => filter.values),
  }
}

function directionOf(plan: Plan): 'ASC' | 'DESC' {
  return plan.order === 'smallest' ? 'ASC' : 'DESC'
}

function all(database: DatabaseSync, { sql, params }: Query): Record<string, string | number | null>[] {
  // No column of the table is a blob, and no integer of it passes 2^53.
  return database.prepare(sql).all(...params) as Record<string, string | number | null>[]
}
