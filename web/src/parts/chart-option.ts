// What an agent wants to have drawn, checked before ECharts sees it: plain data, of kinds that we know, without links,
// markup or pictures from elsewhere. A refusal says which field and why; the data is then still shown as a table.

export type Checked = { readonly option: Record<string, unknown> } | { readonly refused: string }

/** ECharts needs about ten levels. */
const depthMax = 16
/** More values than that freeze a page while they are laid out. */
const valuesMax = 200_000

const seriesTypes = new Set(
  'bar line pie scatter effectScatter radar heatmap boxplot candlestick funnel gauge graph sankey tree treemap sunburst parallel themeRiver pictorialBar'.split(
    ' ',
  ),
)

const refusedKeys: Readonly<Record<string, string>> = {
  link: 'opens an address',
  sublink: 'opens an address',
  target: 'opens an address',
  renderItem: 'is code',
  extraCssText: 'is code',
  optionToContent: 'is code',
  contentToOption: 'is code',
  __proto__: 'is no data',
}
/** The card has its own; these would be in the way. */
const leftOut = new Set(['toolbox', 'graphic', 'backgroundColor', 'darkMode', 'media', 'timeline', 'options'])

export function checkOption(given: unknown): Checked {
  if (!isRecord(given)) return { refused: 'the option is not an object' }
  const option = Object.fromEntries(Object.entries(given).filter(([key]) => !leftOut.has(key)))
  const left = { values: valuesMax }
  const wrong = problemIn(option, 'option', 0, left)
  if (wrong !== undefined) return { refused: wrong }
  const series = listOf(option['series'])
  if (series.length === 0) return { refused: 'the option has no series' }
  for (const one of series) {
    const type = isRecord(one) ? one['type'] : undefined
    if (typeof type !== 'string' || !seriesTypes.has(type)) {
      return { refused: `there is no series of type ${JSON.stringify(type) ?? 'nothing'}` }
    }
  }
  return { option }
}

function problemIn(value: unknown, path: string, depth: number, left: { values: number }): string | undefined {
  if (depth > depthMax) return `${path} is nested deeper than ${depthMax}`
  if (--left.values < 0) return `the option has more than ${valuesMax} values`
  if (typeof value === 'function') return `${path} is code`
  if (typeof value === 'string') return problemInText(value, path)
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, inner] of Object.entries(value)) {
    const why = Object.hasOwn(refusedKeys, key) ? refusedKeys[key] : undefined
    if (why !== undefined && !Array.isArray(value)) return `${path}.${key} ${why}`
    const wrong = problemIn(inner, `${path}.${key}`, depth + 1, left)
    if (wrong !== undefined) return wrong
  }
  return undefined
}

function problemInText(text: string, path: string): string | undefined {
  if (/^\s*(javascript:|function\b|\(?[\w\s,]*\)?\s*=>)/i.test(text)) return `${path} is code`
  if (/^\s*image:\/\/(?!data:image\/)/i.test(text)) return `${path} is a picture from elsewhere`
  if (path.toLowerCase().endsWith('formatter') && /<[a-z!/]/i.test(text)) return `${path} is markup`
  return undefined
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
