// The figures of a chart as a table, for who cannot see it and for who wants to copy them: from its dataset, or from the
// data of its series beside their categories.
import { isRecord, listOf } from './chart-option.ts'

export interface Table {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** A page of figures; whoever needs more has the run's export. */
const rowsMax = 500

export function tableOf(option: Record<string, unknown>): Table | undefined {
  const table = fromDataset(option) ?? fromSeries(option)
  return table && { head: table.head, rows: table.rows.slice(0, rowsMax) }
}

function fromDataset(option: Record<string, unknown>): Table | undefined {
  const dataset = listOf(option['dataset'])[0]
  const source = isRecord(dataset) ? dataset['source'] : undefined
  if (!Array.isArray(source) || source.length === 0) return undefined
  if (source.every(Array.isArray)) {
    const [head = [], ...rows] = source as unknown[][]
    return { head: head.map(text), rows: rows.map(row => row.map(text)) }
  }
  if (!source.every(isRecord)) return undefined
  const head = [...new Set(source.flatMap(row => Object.keys(row)))]
  return { head, rows: source.map(row => head.map(name => text(row[name]))) }
}

function fromSeries(option: Record<string, unknown>): Table | undefined {
  const series = listOf(option['series']).filter(isRecord)
  const axis = [...listOf(option['xAxis']), ...listOf(option['yAxis'])]
    .filter(isRecord)
    .find(one => Array.isArray(one['data']))
  const categories = (axis?.['data'] as unknown[] | undefined)?.map(text)
  const columns = series.map((one, index) => ({
    name: text(one['name'] ?? (series.length === 1 ? 'Value' : `Series ${index + 1}`)),
    data: listOf(one['data']),
  }))
  const length = Math.max(0, categories?.length ?? 0, ...columns.map(column => column.data.length))
  if (length === 0) return undefined
  const nameOf = (index: number) => {
    const item = columns[0]?.data[index]
    return (
      categories?.[index] ?? (isRecord(item) && item['name'] !== undefined ? text(item['name']) : String(index + 1))
    )
  }
  return {
    head: [text(axis?.['name'] ?? ''), ...columns.map(column => column.name)],
    rows: Array.from({ length }, (_, index) => [nameOf(index), ...columns.map(column => text(column.data[index]))]),
  }
}

function text(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number') return value.toLocaleString('en')
  if (Array.isArray(value)) return value.map(text).join(', ')
  if (isRecord(value)) return text(value['value'] ?? value['name'] ?? '')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
