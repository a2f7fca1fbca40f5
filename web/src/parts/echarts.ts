// The chart library with the kinds of charts that we draw, loaded when the first chart comes. Canvas, because a chart is
// exported as PNG. It must stay behind a dynamic import: it is larger than the rest of the page.
import * as charts from 'echarts/charts'
import * as components from 'echarts/components'
import { type EChartsType, init, use } from 'echarts/core'
import { LabelLayout } from 'echarts/features'
import { CanvasRenderer } from 'echarts/renderers'
import { isRecord, listOf } from './chart-option.ts'

use([
  charts.BarChart,
  charts.LineChart,
  charts.PieChart,
  charts.ScatterChart,
  charts.EffectScatterChart,
  charts.RadarChart,
  charts.HeatmapChart,
  charts.BoxplotChart,
  charts.CandlestickChart,
  charts.FunnelChart,
  charts.GaugeChart,
  charts.GraphChart,
  charts.SankeyChart,
  charts.TreeChart,
  charts.TreemapChart,
  charts.SunburstChart,
  charts.ParallelChart,
  charts.ThemeRiverChart,
  charts.PictorialBarChart,
  components.AriaComponent,
  components.DatasetComponent,
  components.TransformComponent,
  components.GridComponent,
  components.PolarComponent,
  components.RadarComponent,
  components.SingleAxisComponent,
  components.ParallelComponent,
  components.CalendarComponent,
  components.LegendComponent,
  components.TitleComponent,
  components.TooltipComponent,
  components.AxisPointerComponent,
  components.DataZoomComponent,
  components.VisualMapComponent,
  components.MarkAreaComponent,
  components.MarkLineComponent,
  components.MarkPointComponent,
  LabelLayout,
  CanvasRenderer,
])

export interface Drawing {
  draw(option: Record<string, unknown>): void
  resize(): void
  png(): string
  end(): void
}

const colours = {
  light: ['#4655d6', '#0d9488', '#c2570c', '#b8336a', '#5b6b86', '#7a5cc9', '#3d8b37', '#a37a00'],
  dark: ['#8b98ff', '#4fd1bd', '#f59e6b', '#f084ae', '#a9b6cc', '#bfa5ff', '#8fd18a', '#e2c25a'],
}

/** Narrower than that, a chart gives its labels less room. */
const narrowPx = 480

export function drawIn(element: HTMLElement, dark: boolean): Drawing {
  const chart: EChartsType = init(element, dark ? 'dark' : undefined, { renderer: 'canvas' })
  let last: Record<string, unknown> = {}
  const set = () => chart.setOption(fitted(last, { dark, narrow: element.clientWidth < narrowPx }), { notMerge: true })
  return {
    draw(option) {
      last = option
      set()
    },
    resize() {
      chart.resize()
      set()
    },
    png: () => chart.getDataURL({ type: 'png', pixelRatio: 2, backgroundColor: dark ? '#1c1e26' : '#ffffff' }),
    end: () => chart.dispose(),
  }
}

/** The option in the colours and the width of the page. Tooltips are drawn, not HTML, so that no label becomes markup. */
function fitted(option: Record<string, unknown>, { dark, narrow }: { dark: boolean; narrow: boolean }) {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches
  const tooltip = listOf(option['tooltip'])[0]
  return {
    color: colours[dark ? 'dark' : 'light'],
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    ...option,
    backgroundColor: 'transparent',
    animation: !still && option['animation'] !== false,
    animationDuration: 500,
    // The card has the title.
    title: listOf(option['title']).map(one => ({ ...(isRecord(one) ? one : {}), show: false })),
    ...(tooltip === undefined
      ? {}
      : { tooltip: { ...(isRecord(tooltip) ? tooltip : {}), renderMode: 'richText', confine: true } }),
    ...(option['grid'] === undefined
      ? {}
      : { grid: listOf(option['grid']).map(grid => fittedGrid(grid, narrow, option)) }),
    ...(narrow ? narrowAxes(option) : {}),
  }
}

/** Room above was for the title. */
function fittedGrid(grid: unknown, narrow: boolean, option: Record<string, unknown>) {
  if (!isRecord(grid)) return grid
  const alone = listOf(option['grid']).length === 1
  const { top, left, right } = grid
  return {
    ...(alone ? { left: 12, right: 24 } : {}),
    ...grid,
    ...(alone && typeof top === 'number' && listOf(option['title']).length > 0 ? { top: Math.min(top, 36) } : {}),
    ...(narrow && typeof left === 'number' ? { left: Math.min(left, 96) } : {}),
    ...(narrow && typeof right === 'number' ? { right: Math.min(right, 24) } : {}),
  }
}

function narrowAxes(option: Record<string, unknown>) {
  const fit = (axis: unknown) => {
    if (!isRecord(axis)) return axis
    const label = isRecord(axis['axisLabel']) ? axis['axisLabel'] : {}
    const width = typeof label['width'] === 'number' ? { width: Math.min(label['width'], 84) } : {}
    return { ...axis, axisLabel: { ...label, ...width, hideOverlap: true } }
  }
  return Object.fromEntries(
    ['xAxis', 'yAxis'].flatMap(name => (option[name] === undefined ? [] : [[name, listOf(option[name]).map(fit)]])),
  )
}
