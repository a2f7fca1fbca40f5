// Rows to an ECharts option: plain JSON, so that it can be stored, replayed and checked before a page draws it.
// It must never hold a function, HTML or anything a page would execute; axis formats are templates.

import { dimensions, measures } from './plan.ts'
import type { Plan } from './plan.ts'
import type { Result, Row } from './query.ts'
import { describe, label, sentence } from './wording.ts'

/** More slices than this are slivers. */
const slicesMax = 12
/** Longer labels are cut on the axis; the tooltip has them whole. */
const labelWidthPx = 150
/** Lying bars up to this many are all named; of more, as many as there is room for. */
const labelsMax = 20

export interface Chart {
  chart_type: Plan['chart']
  option: Record<string, unknown>
  title: string
  data_points: number
  /** Why the chart is of another type than asked, for the reader. */
  note?: string
}

export function draw(plan: Plan, { rows }: Result): Chart {
  const title = sentence(describe(plan))
  const note = plan.chart === 'pie' ? noPie(rows) : undefined
  const chart_type = note === undefined ? plan.chart : 'bar'
  const option = {
    title: { text: title, left: 'center', textStyle: { overflow: 'break', width: 640 } },
    aria: {
      enabled: true,
      label: { enabled: true, description: `${title}. ${chart_type} chart of ${rows.length} values.` },
    },
    dataset: { source: table(plan, rows) },
    ...(chart_type === 'pie' ? pie() : axes(plan, rows, chart_type)),
  }
  return { chart_type, option, title, data_points: rows.length, ...(note === undefined ? {} : { note }) }
}

function noPie(rows: readonly Row[]): string | undefined {
  if (rows.some(row => row.value < 0)) return 'A pie cannot show losses, so these are bars.'
  if (rows.length > slicesMax) return `A pie of ${rows.length} slices cannot be read, so these are bars.`
  return undefined
}

/** Header and lines: the axis label, then one column per colour. A missing combination is null, not 0. */
function table(plan: Plan, rows: readonly Row[]): (string | number | null)[][] {
  const axis = plan.by[0]
  const series = seriesOf(plan, rows)
  const lines = new Map<string, Map<string, number>>()
  for (const row of rows) {
    const line = lines.get(row.x) ?? new Map<string, number>()
    lines.set(row.x, line.set(row.series ?? series[0] ?? '', row.value))
  }
  const body = [...lines].map(([x, line]) => [label(axis, x), ...series.map(name => line.get(name) ?? null)])
  return [[axis === undefined ? '' : dimensions[axis].label, ...series], ...body]
}

function seriesOf(plan: Plan, rows: readonly Row[]): string[] {
  if (plan.by.length === 1) return [measures[plan.measure].label]
  return [...new Set(rows.map(row => row.series ?? ''))].toSorted()
}

function pie() {
  return {
    tooltip: { trigger: 'item', formatter: '{b}: {d}%' },
    legend: { bottom: 0, type: 'scroll' },
    series: [{ type: 'pie', radius: ['35%', '65%'], label: { formatter: '{b}: {d}%' } }],
  }
}

// ECharts would write a loss as $-20,000; there the unit stands at the axis name instead.
const templates = { usd: '${value}', count: '{value}', percent: '{value}%' } as const

function axes(plan: Plan, rows: readonly Row[], type: 'bar' | 'line') {
  const [axis = 'quarter'] = plan.by
  const series = seriesOf(plan, rows)
  const { unit, label: name } = measures[plan.measure]
  // Long names are read along the lines of horizontal bars, not slanted under upright ones.
  const lying = type === 'bar' && !dimensions[axis].time && !dimensions[axis].small
  const categories = {
    type: 'category',
    inverse: lying,
    axisLabel: lying
      ? {
          width: labelWidthPx,
          overflow: 'truncate',
          ...(rows.length > labelsMax ? { hideOverlap: true } : { interval: 0 }),
        }
      : { hideOverlap: true },
  }
  const losses = unit === 'usd' && rows.some(row => row.value < 0)
  const values = {
    type: 'value',
    name: losses ? `${name} ($)` : name,
    axisLabel: { formatter: losses ? '{value}' : templates[unit], hideOverlap: true },
  }
  return {
    tooltip: { trigger: 'axis', axisPointer: { type: type === 'bar' ? 'shadow' : 'line' } },
    grid: { top: 70, bottom: series.length > 1 ? 60 : 40, ...(lying ? { left: labelWidthPx + 20, right: 80 } : {}) },
    ...(series.length > 1 ? { legend: { bottom: 0, type: 'scroll' } } : {}),
    xAxis: lying ? values : categories,
    yAxis: lying ? categories : values,
    series: series.map(() => ({ type, ...(type === 'line' ? { showSymbol: rows.length <= slicesMax } : {}) })),
  }
}
