// The five streaming tools of the olane specification: items, text, query batches, progress, failure.
// They exist so that a client of that specification finds what its examples promise. In a tool every yield is one
// data chunk, whatever its form. They must never outlive their reader: return() ends them where
// they yield, and the signal also within a pause.

import { setTimeout as wait } from 'node:timers/promises'
import { RuncastError } from '../../src/error.ts'
import { salesData } from '../sales-analyst/data.ts'

export interface ToolParams {
  /** How many chunks, or rows of `stream_query`, to give. */
  count?: number
  /** The pause behind each chunk; the specification's example pauses 100 ms. */
  delayMs?: number
}

/** A tool started by mistake with a huge count still ends. */
const countMax = 1_000_000
/** A pause above it is not a slow tool but a stuck one. */
const delayMsMax = 60_000
const countDefault = 10
const delayMsDefault = 100
/** Rows per chunk: neither a chunk per row nor one that fills a frame. */
const batchRows = 50

export interface Item {
  id: number
  data: string
  timestamp: string
}

/** Items, one at a time. */
export async function* streamItems(params?: ToolParams, signal?: AbortSignal): AsyncGenerator<Item, void, void> {
  const { count, pause } = checked(params, signal)
  for (let id = 1; id <= count; id++) {
    yield { id, data: `Item ${id}`, timestamp: new Date().toISOString() }
    await pause()
  }
}

/** A text in pieces, as a language model writes: `count` words of it. */
export async function* streamText(params?: ToolParams, signal?: AbortSignal): AsyncGenerator<string, void, void> {
  const { count, pause } = checked(params, signal)
  const words =
    'Every run is a log of numbered events that anyone can read, live or late, over any wire. '.match(/\S+\s/g) ?? []
  for (let index = 0; index < count; index++) {
    yield words[index % words.length] ?? ''
    await pause()
  }
}

export interface QueryBatch {
  batch: number
  rows: Record<string, string | number>[]
  /** Rows given so far, this batch included. */
  rowsSoFar: number
}

/** The first `count` rows of the sales data in batches, read from a cursor: memory holds one batch. */
export async function* streamQuery(params?: ToolParams, signal?: AbortSignal): AsyncGenerator<QueryBatch, void, void> {
  const { count, pause } = checked({ count: 200, ...params }, signal)
  const select = salesData().prepare(
    'SELECT row_id, order_id, order_date, product_name, sales FROM orders ORDER BY row_id LIMIT ?',
  )
  let rows: QueryBatch['rows'] = []
  let batch = 0
  let rowsSoFar = 0
  for (const row of select.iterate(count)) {
    rows.push(row as QueryBatch['rows'][number])
    rowsSoFar++
    if (rows.length < batchRows) continue
    yield { batch: ++batch, rows, rowsSoFar }
    rows = []
    await pause()
  }
  if (rows.length > 0) yield { batch: ++batch, rows, rowsSoFar }
}

export interface ToolProgress {
  type: 'progress'
  step: string
  /** 0..1, the last one 1. */
  progress: number
  message: string
}

/** Progress of a long operation of `count` parts. */
export async function* streamProgress(
  params?: ToolParams,
  signal?: AbortSignal,
): AsyncGenerator<ToolProgress, void, void> {
  const { count, pause } = checked(params, signal)
  for (let part = 1; part <= count; part++) {
    yield { type: 'progress', step: 'process', progress: part / count, message: `Processed ${part} of ${count}` }
    await pause()
  }
}

/** Items as above, and then a failure: what came before it must reach the reader. */
export async function* streamFailure(params?: ToolParams, signal?: AbortSignal): AsyncGenerator<Item, never, void> {
  const given = { count: 3, ...params }
  yield* streamItems(given, signal)
  throw new Error(`The tool failed after ${given.count} items, as it was asked to`)
}

/** The tools by the names under which a client calls them. */
export const tools = {
  stream_items: streamItems,
  stream_text: streamText,
  stream_query: streamQuery,
  stream_progress: streamProgress,
  stream_failure: streamFailure,
} as const

function checked({ count = countDefault, delayMs = delayMsDefault }: ToolParams = {}, signal?: AbortSignal) {
  requireInteger('count', count, countMax)
  requireInteger('delayMs', delayMs, delayMsMax)
  const pause = async () => {
    signal?.throwIfAborted()
    if (delayMs > 0) await wait(delayMs, undefined, signal === undefined ? {} : { signal })
  }
  return { count, pause }
}

function requireInteger(name: string, value: unknown, max: number): void {
  if (!Number.isInteger(value) || Number(value) < 0 || Number(value) > max) {
    throw new RuncastError('invalid_input', `${name} is ${JSON.stringify(value)}; send a whole number from 0 to ${max}`)
  }
}
