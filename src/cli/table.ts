// Rows as columns that line up: words to the left, numbers to the right. What was not told prints `unknown`, a zero prints 0.
import { oneLine } from './terminal.ts'

export type Cell = string | number | null | undefined

/** A name longer than this is cut; the numbers beside it are what the table is for. */
const cellCharsMax = 60

export function table(heads: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const texts = [heads, ...rows].map(row => row.map(shown))
  const widths = heads.map((_, column) => Math.max(...texts.map(row => row[column]?.length ?? 0)))
  const right = heads.map((_, column) => rows.some(row => typeof row[column] === 'number'))
  return texts.map(row =>
    row
      .map((text, column) => (right[column] ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

function shown(cell: Cell): string {
  if (cell === null || cell === undefined) return 'unknown'
  return typeof cell === 'number' ? String(cell) : oneLine(cell, cellCharsMax)
}

/** Milliseconds as they are compared: a thousandth of one is the least that matters. */
export function inMs(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.toFixed(3))
}
