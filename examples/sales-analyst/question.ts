// A question in English to a plan, without any model: small, strict and honest. It answers what it fully read,
// and says which word stopped it otherwise, with what it can answer instead.
// It must never drop a word that it does not know, and never guess a value that the data does not hold.

import { dimensions, list, measures, refuse, topDefault, topMax } from './plan.ts'
import type { Dimension, Filter, FilterField, Measure, Plan } from './plan.ts'
import { ambiguousCities, correctableLength, fieldLabel, words } from './vocabulary.ts'
import type { Meaning, Vocabulary } from './vocabulary.ts'

/** Longer than any question that fits a plan; it bounds the parser's work. */
export const questionCharsMax = 500

export type Parsed = { plan: Plan; notes: string[] } | { cannot: string }

export function parseQuestion(question: string, vocabulary: Vocabulary): Parsed {
  if (question.length > questionCharsMax) {
    return cannot(`The question has ${question.length} characters; I read at most ${questionCharsMax}.`)
  }
  const { tokens, notes } = correct(words(question), vocabulary)
  const readings = readYears(read(tokens, vocabulary), vocabulary)
  const reason = unreadable(readings, vocabulary)
  if (reason !== undefined) return cannot(reason)
  const plan = build(readings)
  if (typeof plan === 'string') return cannot(plan)
  const refused = refuse(plan)
  return refused === undefined ? { plan, notes } : cannot(refused)
}

/** The reason, then what can be asked. Also used when a model gives up. */
export function cannot(reason: string): { cannot: string } {
  const measured = list(
    Object.values(measures).map(measure => measure.label),
    'and',
  )
  const grouped = list(
    Object.values(dimensions).map(dimension => dimension.label),
    'or',
  )
  return {
    cannot:
      `${reason} I can answer questions about ${measured}, by ${grouped}, narrowed to values of these ` +
      `(such as the West, Furniture or 2016). For example: ${examples.map(example => `"${example}"`).join(', ')}.`,
  }
}

export const examples = [
  'Create a chart with sales data',
  'Profit by category in 2017',
  'Top 5 customers in the West',
] as const

type Reading = { text: string; at: number } & (Meaning | { kind: 'unknown' })

/** Mends typing errors of words that are otherwise unknown, when exactly one meaning is near. */
function correct(tokens: readonly string[], vocabulary: Vocabulary): { tokens: string[]; notes: string[] } {
  const notes: string[] = []
  const corrected = tokens.map(token => {
    if (token.length < correctableLength || /\P{L}/u.test(token) || vocabulary.words.has(token)) return token
    const near = [...vocabulary.corrections].filter(word => isNear(token, word))
    const meanings = new Set(near.map(word => JSON.stringify(vocabulary.phrases.get(word) ?? word)))
    const [only] = near
    if (only === undefined || meanings.size !== 1) return token
    notes.push(`I read "${token}" as "${only}".`)
    return only
  })
  return { tokens: corrected, notes }
}

/** One letter missing, extra, different, or swapped with its neighbour; the first letter must be right. */
function isNear(typed: string, word: string): boolean {
  if (typed[0] !== word[0] || Math.abs(typed.length - word.length) > 1) return false
  let start = 0
  while (start < typed.length && typed[start] === word[start]) start++
  const [left, right] = [typed.slice(start), word.slice(start)]
  if (left.slice(1) === right.slice(1) || left.slice(1) === right || left === right.slice(1)) return true
  return left[0] === right[1] && left[1] === right[0] && left.slice(2) === right.slice(2)
}

/** Longest known phrase first. */
function read(tokens: readonly string[], vocabulary: Vocabulary): Reading[] {
  const readings: Reading[] = []
  for (let at = 0; at < tokens.length; ) {
    let length = Math.min(vocabulary.wordsMax, tokens.length - at)
    let meaning: Meaning | undefined
    for (; length > 0; length--) {
      meaning = vocabulary.phrases.get(tokens.slice(at, at + length).join(' '))
      if (meaning !== undefined && !(length === 1 && isOtherwiseMeant(tokens, at, meaning))) break
    }
    const text = tokens.slice(at, at + Math.max(1, length)).join(' ')
    if (length > 0 && meaning !== undefined) readings.push({ ...meaning, text, at })
    else if (/^\d{1,9}$/.test(text)) readings.push({ kind: 'number', value: Number(text), text, at })
    else readings.push({ kind: 'unknown', text, at })
    at += Math.max(1, length)
  }
  return readings
}

const introducers: ReadonlySet<string> = new Set('in from at for of during city'.split(' '))

/** Words such as "may" and "mobile" are values only where the sentence introduces them so. */
function isOtherwiseMeant(tokens: readonly string[], at: number, meaning: Meaning): boolean {
  const token = tokens[at] ?? ''
  if (meaning.kind !== 'value') return false
  const doubtful = meaning.field === 'city' ? ambiguousCities.has(token) : token === 'may' || token === 'march'
  const introduced =
    introducers.has(tokens[at - 1] ?? '') || (/^\d{4}$/.test(tokens[at + 1] ?? '') && meaning.field !== 'city')
  return doubtful && !introduced
}

/** Numbers that are years become values; "2015 to 2017" and "since 2016" become each of their years. */
function readYears(readings: readonly Reading[], { years }: Vocabulary): Reading[] {
  const result: Reading[] = []
  const oldest = Number(years[0])
  const newest = Number(years.at(-1))
  const yearAt = (index: number): number | undefined => {
    const reading = readings[index]
    const before = readings[index - 1]
    if (reading?.kind !== 'number' || !/^(19|20)\d\d$/.test(reading.text)) return undefined
    return before?.kind === 'rank' ? undefined : reading.value
  }
  for (let index = 0; index < readings.length; index++) {
    const reading = readings[index]
    const year = yearAt(index)
    const next = yearAt(index + 1)
    if (reading === undefined) continue
    const bounds = next === undefined ? undefined : spans[reading.text]?.(next, oldest, newest)
    const until = yearAt(index + 2)
    const joins = readings[index + 1]?.text ?? ''
    const between = joins === 'and' && readings[index - 1]?.text === 'between'
    if (bounds !== undefined) {
      result.push(...eachYear(bounds, reading))
      index++
    } else if (year !== undefined && until !== undefined && (/^(to|through|until|till)$/.test(joins) || between)) {
      result.push(...eachYear([year, until], reading))
      index += 2
    } else if (year !== undefined) result.push(...eachYear([year, year], reading))
    else result.push(reading)
  }
  return result
}

const spans: Record<string, ((year: number, oldest: number, newest: number) => [number, number]) | undefined> = {
  since: (year, _oldest, newest) => [year, Math.max(year, newest)],
  after: (year, _oldest, newest) => [year + 1, Math.max(year + 1, newest)],
  until: (year, oldest) => [Math.min(year, oldest), year],
  before: (year, oldest) => [Math.min(year - 1, oldest), year - 1],
}

function eachYear([from, to]: [number, number], { text, at }: Reading): Reading[] {
  const all: Reading[] = []
  for (let year = Math.min(from, to); year <= Math.max(from, to); year++) {
    all.push({ kind: 'value', field: 'year', value: String(year), text, at })
  }
  return all
}

/** The first thing that stops an honest answer, as a sentence. */
function unreadable(readings: readonly Reading[], vocabulary: Vocabulary): string | undefined {
  const unsupported = readings.find(reading => reading.kind === 'unsupported')
  if (unsupported?.kind === 'unsupported') return `${unsupported.why} ("${unsupported.text}").`
  const first = readings.findIndex(reading => reading.kind === 'unknown')
  if (first !== -1) {
    let end = first
    while (readings[end]?.kind === 'unknown') end++
    const phrase = readings
      .slice(first, end)
      .map(reading => reading.text)
      .join(' ')
    return introducers.has(readings[first - 1]?.text ?? '')
      ? `This data has no place, product, customer or time called "${phrase}".`
      : `I do not know "${phrase}".`
  }
  for (const reading of readings) {
    if (reading.kind === 'value' && reading.field === 'year' && !vocabulary.years.includes(reading.value)) {
      return `The data has the years ${vocabulary.years[0]} to ${vocabulary.years.at(-1)}, and nothing of ${reading.value}.`
    }
  }
  return misjoined(readings)
}

const families: readonly (readonly FilterField[])[] = [
  ['region', 'state', 'city'],
  ['category', 'sub_category', 'product'],
]

/** "Texas or Furniture" and "Texas and the West" would be unions; a plan can only narrow. */
function misjoined(readings: readonly Reading[]): string | undefined {
  for (const [index, reading] of readings.entries()) {
    if (!/^(and|or|vs|versus|against)$/.test(reading.text)) continue
    const left = readings[index - 1]
    const right = readings.slice(index + 1).find(next => next.text !== 'the')
    if (left?.kind !== 'value' || right?.kind !== 'value' || left.field === right.field) continue
    const related = families.some(family => family.includes(left.field) && family.includes(right.field))
    if (reading.text === 'or' || related) {
      return `I cannot join ${fieldLabel(left.field)} "${left.text}" and ${fieldLabel(right.field)} "${right.text}" in one question.`
    }
  }
  return undefined
}

/** The plan that the readings make, or the sentence that says why they make none. */
function build(readings: readonly Reading[]): Plan | string {
  const filters = filtersOf(readings)
  const times = (field: FilterField) => filters.find(filter => filter.field === field)?.values.length ?? 0
  const parts = Math.max(times('quarter_of_year'), times('month_of_year'))
  if (
    parts > 1 &&
    (times('year') > 1 || readings.some(reading => /^(to|through|until|till|between)$/.test(reading.text)))
  ) {
    return 'I cannot read a span from one quarter or month to another; name single ones of one year.'
  }
  const measure = measureOf(readings)
  if (!(measure in measures)) return measure
  const named = dimensionsOf(readings)
  const trend = readings.some(reading => reading.kind === 'trend')
  if (named.length > 2) return `I can group by two things at once, not ${named.length}.`
  if (!trend && named.length + filters.length === 0 && !readings.some(isAboutFigures))
    return 'I see no question about the data in that.'
  const by = arrange(named, filters, trend)
  const rank = rankOf(readings, by)
  if (typeof rank === 'string') return rank
  const charts = new Set(readings.flatMap(reading => (reading.kind === 'chart' ? [reading.chart] : [])))
  if (charts.size > 1) return `I draw one chart at a time, not ${list([...charts], 'and')}.`
  // Forty-eight months are a curve; bars serve everything shorter.
  const [chart = trend || named.includes('month') ? 'line' : 'bar'] = charts
  return { measure: measure as Measure, by, filters, chart, ...rank }
}

function isAboutFigures(reading: Reading): boolean {
  return reading.kind === 'measure' || reading.kind === 'sold' || reading.kind === 'many'
}

function filtersOf(readings: readonly Reading[]): Filter[] {
  const filters = new Map<FilterField, Set<string>>()
  for (const reading of readings) {
    if (reading.kind !== 'value') continue
    filters.set(reading.field, (filters.get(reading.field) ?? new Set()).add(reading.value))
  }
  return [...filters].map(([field, values]) => ({ field, values: [...values] }))
}

/** A measure, or a sentence. */
function measureOf(readings: readonly Reading[]): string {
  const named = [...new Set(readings.flatMap(reading => (reading.kind === 'measure' ? [reading.measure] : [])))]
  if (named.length > 1) {
    return `I answer about one figure at a time, not ${list(
      named.map(name => measures[name].label),
      'and',
    )}.`
  }
  const many = readings.findIndex(reading => reading.kind === 'many')
  const counted = readings[many + 1]
  if (many !== -1 && counted?.kind === 'dimension') return `I count orders and units sold, not ${counted.text}.`
  const measure = named[0] ?? (many === -1 ? 'sales' : 'quantity')
  if (readings.some(reading => reading.kind === 'average') && measures[measure].unit !== 'percent') {
    return `I add ${measures[measure].label} up; averages I have of discounts only.`
  }
  return measure
}

const dimensionOf = (field: FilterField): Dimension =>
  field === 'quarter_of_year' ? 'quarter' : field === 'month_of_year' ? 'month' : field

/** Named groupings. In "the West region" or "state of Texas" the word only introduces its value. */
function dimensionsOf(readings: readonly Reading[]): Dimension[] {
  const solid = readings.filter(reading => !/^(of|the|is)$/.test(reading.text))
  const named = new Set<Dimension>()
  for (const [index, reading] of solid.entries()) {
    if (reading.kind !== 'dimension') continue
    const before = solid[index - 1]
    const introduces = [before, solid[index + 1]].some(
      beside => beside?.kind === 'value' && dimensionOf(beside.field) === reading.dimension,
    )
    if (!introduces || /^(by|per|each|every|across)$/.test(before?.text ?? '')) named.add(reading.dimension)
  }
  // A quarter or a month is labelled with its year.
  if (named.has('quarter') || named.has('month')) named.delete('year')
  return [...named]
}

/** The axis first: time, then the longer list; without any grouping, the one that the filters suggest. */
function arrange(named: readonly Dimension[], filters: readonly Filter[], trend: boolean): Dimension[] {
  const isTime = (name: Dimension) => dimensions[name].time
  if (trend && !named.some(isTime)) return arrange(['quarter', ...named], filters, false)
  if (named.length === 0) return [suggested(filters)]
  const weight = (name: Dimension) => (isTime(name) ? 2 : 0) + (dimensions[name].small ? 0 : 1)
  return named.toSorted((a, b) => weight(b) - weight(a))
}

function suggested(filters: readonly Filter[]): Dimension {
  const several = filters.find(filter => filter.values.length > 1)
  if (several !== undefined) return dimensionOf(several.field)
  const has = (field: FilterField) => filters.some(filter => filter.field === field)
  if (has('month_of_year')) return has('year') ? 'category' : 'year'
  return has('quarter_of_year') && has('year') ? 'month' : 'quarter'
}

/** "top 5", "5 best", "which 3 products sold least"; a number that ranks nothing is not read. */
function rankOf(readings: readonly Reading[], by: readonly Dimension[]): Pick<Plan, 'order' | 'top'> | string {
  const orders = new Set(readings.flatMap(reading => ('order' in reading && reading.order ? [reading.order] : [])))
  if (orders.size > 1) return 'I can show the largest or the smallest, not both in one chart.'
  const [order = 'natural'] = orders
  const tops: number[] = []
  for (const [index, reading] of readings.entries()) {
    if (reading.kind !== 'number') continue
    const beside = [readings[index - 1], readings[index + 1]]
    const ranks = beside.some(next => next !== undefined && 'order' in next && next.order !== undefined)
    if (!ranks && !(order !== 'natural' && readings[index + 1]?.kind === 'dimension')) {
      return `I do not know what the number ${reading.text} stands for.`
    }
    if (reading.value < 1 || reading.value > topMax) return `I can show the top 1 to ${topMax}, not ${reading.text}.`
    tops.push(reading.value)
  }
  if (tops.length > 1) return `I can show one top at a time, not ${list(tops.map(String), 'and')}.`
  const [axis] = by
  const long = axis !== undefined && !dimensions[axis].small && !dimensions[axis].time
  const top = tops[0] ?? (order !== 'natural' && long ? topDefault : undefined)
  return top === undefined ? { order } : { order, top }
}
