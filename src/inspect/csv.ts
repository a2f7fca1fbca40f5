// Events as CSV (RFC 4180): the envelope and the usual fields in columns, the other fields as JSON in the last one. Pure.
// A spreadsheet must never run what an agent wrote: text that it would take for a formula begins with an apostrophe, and so
// that nothing is lost by that, so does text that began with one.
import type { Event } from '../event.ts'

const envelope = ['id', 'run_id', 'sequence', 'timestamp', 'type'] as const
/** Fields that many events have, of one meaning each. */
const usual = [
  'name',
  'content',
  'node_name',
  'phase',
  'step',
  'progress',
  'message',
  'tool_name',
  'call_id',
  'stage',
  'duration_ms',
  'model',
  'llm_request_id',
  'channel',
  'finish_reason',
  'error',
  'code',
] as const

export const csvColumns: readonly string[] = [...envelope, ...usual, 'other']

const columns = new Set<string>([...envelope, ...usual])

export function csvHeader(): string {
  return `${csvColumns.join(',')}\r\n`
}

export function csvRow(event: Event): string {
  const fields = event as unknown as Readonly<Record<string, unknown>>
  const cells = [...columns].map(name => cell(isPlain(fields[name]) ? fields[name] : undefined))
  const others = Object.entries(fields).filter(([name, value]) => !columns.has(name) || !isPlain(value))
  // By name: what came over another wire may have its fields in another order.
  const other = others.filter(([, value]) => value !== undefined).sort(([a], [b]) => (a < b ? -1 : 1))
  cells.push(other.length === 0 ? '' : quoted(JSON.stringify(Object.fromEntries(other))))
  return `${cells.join(',')}\r\n`
}

function isPlain(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

function cell(value: string | number | boolean | undefined): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? quoted(safe(value)) : String(value)
}

/** What spreadsheets take for the beginning of a formula, wide forms included, and the apostrophe itself. */
const formula = /^[=+\-@\t\r\n'＝＋－＠]/

function safe(text: string): string {
  return formula.test(text) ? `'${text}` : text
}

/** Always in quotes where it is not surely plain: a separator or quote inside must not begin another cell. */
function quoted(text: string): string {
  return /^[\w.:-]*$/.test(text) && text !== '' ? text : `"${text.replaceAll('"', '""')}"`
}
