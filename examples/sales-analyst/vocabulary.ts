// Every word that the analyst's parser knows: its own tables, and the values that the data holds. The parser
// reads a question against this and nothing else, so a word that stands in neither table is unknown and said so.
// A word may never stand here as filler when leaving it out would change what a question asks.

import type { DatabaseSync } from 'node:sqlite'
import { dimensions, filterFields } from './plan.ts'
import type { Dimension, FilterField, Measure, Plan } from './plan.ts'

/** What a phrase means to the parser. */
export type Meaning =
  | { kind: 'measure'; measure: Measure; order?: 'largest' }
  | { kind: 'dimension'; dimension: Dimension }
  | { kind: 'value'; field: FilterField; value: string }
  | { kind: 'chart'; chart: Plan['chart'] }
  | { kind: 'rank'; order: 'largest' | 'smallest' }
  | { kind: 'number'; value: number }
  | { kind: 'trend' | 'many' | 'average' | 'sold' | 'filler' }
  | { kind: 'unsupported'; why: string }

export interface Vocabulary {
  /** Phrase (words joined by one space, lower case) to meaning. */
  readonly phrases: ReadonlyMap<string, Meaning>
  /** Words of the longest phrase. */
  readonly wordsMax: number
  /** Every single word of any phrase: a word of these is never taken for a typing error. */
  readonly words: ReadonlySet<string>
  /** Words that a typing error may be corrected to: not the hundreds of cities, customers and products. */
  readonly corrections: ReadonlySet<string>
  /** The years of the data, ascending. */
  readonly years: readonly string[]
  readonly values: ReadonlyMap<FilterField, ReadonlySet<string>>
}

/** Lower-case words and the few signs that would change a question's meaning if they were dropped. */
export function words(text: string): string[] {
  const spans = /\b(q[1-4]|(?:19|20)\d\d|[a-z]{3,9})\s*[-–—]\s*(?=(?:q[1-4]|(?:19|20)\d\d|[a-z]{3,9})\b)/g
  const plain = text.normalize('NFKC').toLowerCase().replaceAll('’', "'")
  // "2015-2017", "Q1-Q3" and "Jan-Mar" are ranges; in "sub-category" the dash only joins.
  const spelled = plain.replace(spans, (whole, left: string) => (isTime(left) ? `${left} to ` : whole))
  return spelled.match(/[\p{L}\p{N}]+(?:'\p{L}+)*|[<>=≠≤≥%]/gu) ?? []
}

/** The vocabulary of a database: built once, it reads the distinct values of every filter field. */
export function vocabularyOf(database: DatabaseSync): Vocabulary {
  const values = new Map<FilterField, Set<string>>()
  for (const [field, sql] of Object.entries(filterFields) as [FilterField, string][]) {
    const rows = database.prepare(`SELECT DISTINCT ${sql} AS value FROM orders ORDER BY 1`).all()
    values.set(field, new Set(rows.map(row => String(row['value']))))
  }
  const phrases = new Map<string, Meaning>()
  const corrections = new Set<string>()
  const add = (phrase: string, meaning: Meaning, correctable: boolean) => {
    const parts = words(phrase)
    if (parts.length === 0 || phrases.has(parts.join(' '))) return
    phrases.set(parts.join(' '), meaning)
    if (correctable) for (const part of parts) if (part.length >= correctableLength) corrections.add(part)
  }
  // The first meaning of a phrase stays: own words before values, and Washington the state before the city.
  for (const [meaning, text] of ownWords)
    for (const phrase of text.split('|')) add(phrase, meaning, meaning.kind !== 'filler')
  for (const field of valueFields) {
    const large = field === 'city' || field === 'customer' || field === 'product'
    for (const value of values.get(field) ?? []) {
      add(value, { kind: 'value', field, value }, !large)
      if (!large) add(singular(value), { kind: 'value', field, value }, true)
      if (field === 'segment') add(`${value}s`, { kind: 'value', field, value }, true)
    }
  }
  return {
    phrases,
    wordsMax: Math.max(...[...phrases.keys()].map(phrase => phrase.split(' ').length)),
    words: new Set([...phrases.keys()].flatMap(phrase => phrase.split(' '))),
    corrections,
    years: [...(values.get('year') ?? [])],
    values,
  }
}

/** Shorter words have too many neighbours for a correction to be more than a guess. */
export const correctableLength = 5

/** Cities that are also plain English; they need "in", "from", "city" … before them to be meant as cities. */
export const ambiguousCities: ReadonlySet<string> = new Set(
  'mobile reading normal orange superior jupiter sparks mentor mason independence hickory wheeling parker rogers'.split(
    ' ',
  ),
)

const valueFields: readonly FilterField[] = [
  'region',
  'state',
  'category',
  'sub_category',
  'segment',
  'ship_mode',
  'city',
  'customer',
  'product',
]

const measure = (name: Measure, order?: 'largest'): Meaning => ({
  kind: 'measure',
  measure: name,
  ...(order === undefined ? {} : { order }),
})
const dimension = (name: Dimension): Meaning => ({ kind: 'dimension', dimension: name })
const no = (why: string): Meaning => ({ kind: 'unsupported', why })
const filler: Meaning = { kind: 'filler' }

const months = 'january|february|march|april|may|june|july|august|september|october|november|december'.split('|')
const monthWords: (readonly [Meaning, string])[] = months.map((name, index) => [
  { kind: 'value', field: 'month_of_year', value: String(index + 1).padStart(2, '0') },
  // Bare "may" and "march" are verbs too: the parser asks for a preposition or a year beside them.
  name === 'may' ? name : `${name}|${name.slice(0, 3)}${name === 'september' ? '|sept' : ''}`,
])
const quarterWords: (readonly [Meaning, string])[] = ['first', 'second', 'third', 'fourth'].map((name, index) => [
  { kind: 'value', field: 'quarter_of_year', value: `Q${index + 1}` },
  `q${index + 1}|quarter ${index + 1}|${name} quarter|${name} quarters`,
])
const numberWords: (readonly [Meaning, string])[] =
  'one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty'
    .split('|')
    .map((name, index) => [{ kind: 'number', value: [12, 15, 20][index - 10] ?? index + 1 }, name])

function isTime(word: string): boolean {
  return /^(q[1-4]|\d{4})$/.test(word) || months.some(name => name.startsWith(word))
}

function singular(value: string): string {
  // "table" in a question about charts is rather the other kind of table.
  if (value === 'Tables' || !value.endsWith('s') || value.includes(' ')) return value
  return value.endsWith('ies') ? `${value.slice(0, -3)}y` : value.slice(0, -1)
}

const ownWords: readonly (readonly [Meaning, string])[] = [
  [measure('sales'), 'sales|sale|revenue|revenues|turnover|sales figures'],
  [measure('sales', 'largest'), 'best selling|best sellers|best seller|top selling|bestselling'],
  [measure('profit'), 'profit|profits|earnings|profitability'],
  [measure('profit', 'largest'), 'most profitable'],
  [measure('quantity'), 'quantity|quantities|units|unit sales|units sold|items sold|pieces'],
  [measure('orders'), 'orders|order count|order counts|number of orders'],
  [measure('discount'), 'discount|discounts|discount rate|average discount|mean discount'],
  [measure('margin'), 'margin|margins|profit margin|profit margins|profit ratio|average margin|average profit margin'],
  [dimension('year'), 'year|years|yearly|annual|annually'],
  [dimension('quarter'), 'quarter|quarters|quarterly'],
  [dimension('month'), 'month|months|monthly'],
  [dimension('category'), 'category|categories|product category|product categories'],
  [
    dimension('sub_category'),
    'sub category|sub categories|subcategory|subcategories|product sub category|product sub categories',
  ],
  [dimension('product'), 'product|products|item|items|product name|product names'],
  [dimension('region'), 'region|regions|sales region|sales regions'],
  [dimension('state'), 'state|states'],
  [dimension('city'), 'city|cities|town|towns'],
  [dimension('segment'), 'segment|segments|customer segment|customer segments'],
  [dimension('customer'), 'customer|customers|client|clients|buyer|buyers|customer name|customer names'],
  [dimension('ship_mode'), 'ship mode|ship modes|shipping mode|shipping modes|ship method|shipping method|shipping'],
  [{ kind: 'chart', chart: 'bar' }, 'bar|bars|bar chart|bar graph|column chart'],
  [{ kind: 'chart', chart: 'line' }, 'line|lines|line chart|line graph|curve'],
  [{ kind: 'chart', chart: 'pie' }, 'pie|pie chart|share|shares|proportion|proportions'],
  [{ kind: 'trend' }, 'trend|trends|over time|development|evolution|evolve|evolved|develop|developed|over the time'],
  [{ kind: 'rank', order: 'largest' }, 'top|best|highest|largest|biggest|most|greatest|strongest|leading'],
  [{ kind: 'rank', order: 'smallest' }, 'bottom|worst|lowest|smallest|least|weakest|fewest|poorest'],
  [{ kind: 'rank', order: 'largest' }, 'descending|descending order'],
  [{ kind: 'rank', order: 'smallest' }, 'ascending|ascending order'],
  [{ kind: 'many' }, 'how many|number of|count|count of'],
  [{ kind: 'average' }, 'average|avg|mean'],
  [{ kind: 'sold' }, 'sold|sell|sells|selling'],
  ...monthWords,
  ...quarterWords,
  ...numberWords,
  [
    no('I cannot see into the future; the data ends where it ends'),
    'forecast|predict|prediction|next|future|will|tomorrow',
  ],
  [no('I show figures, not their causes'), 'why|because|reason|reasons|cause|causes|explain'],
  [
    no('I can narrow a question to values but not leave values out'),
    "not|no|without|except|excluding|exclude|excludes|other than|besides|minus|don't|isn't|aren't|outside|but",
  ],
  [
    no('I cannot compare with a number or another figure'),
    'more than|less than|greater than|fewer than|than|above|below|under|exceed|exceeds|at least|at most|<|>|=|≠|≤|≥|%|percent|percentage',
  ],
  [
    no('I do not calculate changes myself; a chart by quarter or year shows them'),
    'growth|grow|grew|change|changes|increase|increases|increased|decrease|decreased|decline|declined|cumulative|running',
  ],
  [
    no('I add up and take averages of discounts only'),
    'median|maximum|minimum|max|min|variance|deviation|correlation|percentile',
  ],
  [
    no('I read fixed dates only; name a year, a quarter or a month'),
    'today|yesterday|now|recent|recently|latest|last|previous|current|currently|this year|this month|this quarter|ago|past',
  ],
  [
    no('I group time by year, quarter or month only'),
    'day|days|daily|week|weeks|weekly|weekday|weekdays|weekend|hour|hours|hourly',
  ],
  [
    no('I draw bar, line and pie charts only'),
    'table|spreadsheet|map|heatmap|scatter|scatterplot|histogram|donut|doughnut|radar|treemap|area chart|funnel|gauge',
  ],
  [no('All orders of this data are from the United States'), 'country|countries|international|worldwide'],
  [filler, 'a|an|the|me|us|i|we|my|our|you|your|it|its|this|that|these|those|there|their|they|them'],
  [
    filler,
    "please|hi|hello|hey|thanks|thank|can|could|would|should|may i|like|want|need|wish|to|let|lets|let's|i'd|i'm",
  ],
  [
    filler,
    'show|shows|create|creates|make|draw|plot|plots|give|get|see|tell|display|generate|build|produce|visualise|visualize',
  ],
  [
    filler,
    'present|find|list|report|analyse|analyze|compare|compared|comparison|look|looks|looking|do|does|did|have|has|had|know',
  ],
  [
    filler,
    'chart|charts|graph|graphs|diagram|figure|figures|data|dataset|number|numbers|stats|statistics|overview|summary|breakdown',
  ],
  [filler, "what|what's|whats|which|how|how much|who|whose|where|when|is|are|was|were|be|been"],
  [
    filler,
    'by|per|for|of|in|on|at|from|with|within|across|over|during|and|or|vs|versus|against|as|each|every|all|any|both',
  ],
  [
    filler,
    'between|about|out|into|split|grouped|group|broken|down|divided|only|just|also|then|total|totals|overall|sum|together',
  ],
  [
    filler,
    'until|till|through|made|make|makes|come|came|perform|performed|performance|business|store|superstore|shop|company',
  ],
  [filler, 'usa|united states|whole|entire|different|various|nice|quick|simple|name|names|value|values|amount|amounts'],
]

/** How a filter field is named in a sentence. */
export function fieldLabel(field: FilterField): string {
  if (field === 'quarter_of_year') return 'quarter'
  if (field === 'month_of_year') return 'month'
  return dimensions[field].label
}
