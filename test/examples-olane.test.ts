// Proves the five streaming tools of the olane specification: the shape of what each yields, how each ends, and that
// none runs on behind a reader who left.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { streamFailure, streamItems, streamProgress, streamQuery, streamText, tools } from '../examples/olane/tools.ts'
import type { ToolParams } from '../examples/olane/tools.ts'
import { rowCount } from '../examples/sales-analyst/data.ts'
import { RuncastError } from '../src/error.ts'

test('OL45 items come one at a time with id, data and timestamp', async () => {
  const items = await Array.fromAsync(streamItems({ count: 3, delayMs: 0 }))
  assert.deepEqual(
    items.map(({ id, data }) => ({ id, data })),
    [
      { id: 1, data: 'Item 1' },
      { id: 2, data: 'Item 2' },
      { id: 3, data: 'Item 3' },
    ],
  )
  for (const item of items) assert.equal(new Date(item.timestamp).toISOString(), item.timestamp)
})

test('OL45 text comes in pieces that join to a sentence', async () => {
  const pieces = await Array.fromAsync(streamText({ count: 6, delayMs: 0 }))
  assert.equal(pieces.length, 6)
  assert.equal(pieces.join(''), 'Every run is a log of ')
})

test('OL45 query results come in batches that hold every row once, in order', async () => {
  const batches = await Array.fromAsync(streamQuery({ count: 120, delayMs: 0 }))
  assert.deepEqual(
    batches.map(({ batch, rows, rowsSoFar }) => [batch, rows.length, rowsSoFar]),
    [
      [1, 50, 50],
      [2, 50, 100],
      [3, 20, 120],
    ],
  )
  const ids = batches.flatMap(({ rows }) => rows.map(row => row['row_id']))
  assert.deepEqual(
    ids,
    Array.from({ length: 120 }, (_, index) => index + 1),
  )
})

test('OL45 a query for more rows than there are ends with the last row', async () => {
  const batches = await Array.fromAsync(streamQuery({ count: rowCount + 1, delayMs: 0 }))
  assert.equal(batches.at(-1)?.rowsSoFar, rowCount)
})

test('OL45 progress rises in equal steps to 1', async () => {
  const steps = await Array.fromAsync(streamProgress({ count: 4, delayMs: 0 }))
  assert.deepEqual(
    steps.map(({ progress }) => progress),
    [0.25, 0.5, 0.75, 1],
  )
  assert.deepEqual(steps[3], { type: 'progress', step: 'process', progress: 1, message: 'Processed 4 of 4' })
})

test('OL45 the failing tool gives its items first and then its error', async () => {
  const seen: number[] = []
  await assert.rejects(async () => {
    for await (const item of streamFailure({ count: 2, delayMs: 0 })) seen.push(item.id)
  }, /failed after 2 items/)
  assert.deepEqual(seen, [1, 2])
})

test('OL45 every tool ends at return(), also one that would pause for a minute', async () => {
  for (const [name, tool] of Object.entries(tools)) {
    const generator = tool({ count: 100, delayMs: 60_000 })
    assert.equal((await generator.next()).done, false, name)
    assert.equal((await generator.return(undefined as never)).done, true, name)
    assert.equal((await generator.next()).done, true, name)
  }
})

test('OL45 a signal ends every tool in the middle of its pause', async () => {
  for (const [name, tool] of Object.entries(tools)) {
    const controller = new AbortController()
    const generator = tool({ count: 100, delayMs: 60_000 }, controller.signal)
    await generator.next()
    const pending = generator.next()
    controller.abort(new Error('enough'))
    await assert.rejects(pending, (thrown: unknown) => thrown instanceof Error && thrown.name === 'AbortError', name)
  }
})

test('a count of 0 gives nothing, and a count or pause beyond its bounds is refused as invalid_input', async () => {
  assert.deepEqual(await Array.fromAsync(streamItems({ count: 0 })), [])
  for (const params of [
    { count: -1 },
    { count: 1.5 },
    { count: 1_000_001 },
    { delayMs: -1 },
    { delayMs: 60_001 },
    { count: '3' },
  ]) {
    await assert.rejects(
      streamItems(params as ToolParams).next(),
      (thrown: unknown) => thrown instanceof RuncastError && thrown.code === 'invalid_input',
      JSON.stringify(params),
    )
  }
})
