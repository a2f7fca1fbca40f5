// Reads one run, off the page's thread: fetches, decodes and folds its events, and answers what it was at any of them.
// A view is kept every so many events, so that any cursor is a short fold away. It must never send more than is shown.
import { connect, type Event, isTerminal } from '../../../src/client/index.ts'
import { emptyView, foldBatch, foldInto, usageOf, type View } from '../../../src/state/fold.ts'
import { type Part, textOf } from '../../../src/state/view.ts'
import type { Ask, Filter, Moment, Row, Rows, Span, Tell } from './protocol.ts'
import { createSchemaHistory } from './schema.ts'

/** Folding that many events takes a few milliseconds. */
const keepEvery = 1_000
/** How often the page is told of progress. */
const tellMs = 100
const wordsCharsMax = 160
/** Enough to read on from; the whole text is in the chat and in the export. */
const textCharsMax = 20_000

const events: Event[] = []
const kept: View[] = []
const schema = createSchemaHistory()
/** Positions of the events that pass a filter. */
const passed: Record<Exclude<Filter, 'all'>, number[]> = { 'no tokens': [], state: [] }
let head = emptyView()
let ended = false
let failed: string | undefined
let toldAt = 0
let timer: ReturnType<typeof setTimeout> | undefined

addEventListener('message', ({ data }: MessageEvent<Ask>) => {
  if (data.kind === 'open') void read(data)
  else if (data.kind === 'rows') answer(data.id, rowsOf(data.from, data.count, data.filter))
  else if (data.kind === 'moment') answer(data.id, momentAt(data.at))
  else
    answer(
      data.id,
      new Blob(['[\n', ...events.flatMap((event, n) => [n === 0 ? '' : ',\n', JSON.stringify(event)]), '\n]\n'], {
        type: 'application/json',
      }),
    )
})

async function read({ base, apiKey, run }: Extract<Ask, { kind: 'open' }>): Promise<void> {
  const runs = connect(base, { apiKey })
  try {
    await runs.follow(run, {}, batch => {
      for (const event of batch.events) take(event)
      if (batch.state === 'sealed') ended = true
      tellSoon()
    })
  } catch (error) {
    failed = (error as Error).message
  }
  tell()
}

function take(event: Event): void {
  if (events.length % keepEvery === 0) kept.push(copyOf(head))
  foldInto(head, event)
  const position = events.push(event) - 1
  if (event.type !== 'token') passed['no tokens'].push(position)
  if (event.type === 'state') {
    passed.state.push(position)
    if (head.state.certain) schema.take(event.sequence, head.state.value)
  }
  if (isTerminal(event.type)) ended = true
}

/** `at` counts events from 1, as they are here: of a trimmed run the first is not sequence 1. */
function viewAt(at: number): View {
  const start = Math.max(0, Math.floor((at - 1) / keepEvery))
  const view = copyOf(kept[start] ?? emptyView())
  for (let index = start * keepEvery; index < at; index++) foldInto(view, events[index] as Event)
  return view
}

/** Lists of its own; what is in them is never changed. */
function copyOf(view: View): View {
  return foldBatch(view, { after: view.at, last: view.at, events: [] })
}

function momentAt(asked: number): Moment {
  const at = Math.min(Math.max(asked, 0), events.length)
  const view = viewAt(at)
  const event = events[at - 1]
  const startMs = timeOf(events[0])
  const nowMs = timeOf(event)
  const change = changeBefore(at)
  return {
    at,
    status: view.status,
    ...(head.agent_name !== undefined && { agent: head.agent_name }),
    startMs,
    nowMs,
    steps: view.steps,
    spans: spansOf(view, startMs, nowMs),
    state: view.state,
    schema: schema.versions,
    tokens: tokensBefore(at),
    usage: usageOf(view),
    text: textOf(view).slice(-textCharsMax),
    ...(event && { event }),
    ...(change && { change }),
    ...(view.terminal?.type === 'error' && { error: `${view.terminal.code}: ${view.terminal.error}` }),
  }
}

/** How many of the first `at` events are tokens: the others are listed, in order. */
function tokensBefore(at: number): number {
  const others = passed['no tokens']
  let low = 0
  for (let high = others.length; low < high; ) {
    const middle = (low + high) >> 1
    if ((others[middle] as number) < at) low = middle + 1
    else high = middle
  }
  return at - low
}

function changeBefore(at: number): Moment['change'] {
  const position = passed.state.findLast(one => one < at)
  const event = position === undefined ? undefined : events[position]
  if (event?.type !== 'state') return undefined
  return { sequence: event.sequence, paths: event.ops?.map(op => op.path) ?? [''] }
}

function spansOf(view: View, startMs: number, nowMs: number): Span[] {
  const since = (iso: string | undefined, otherwise: number) =>
    iso === undefined ? otherwise : Date.parse(iso) - startMs
  const end = nowMs - startMs
  const open = new Set<number>()
  const steps = view.steps.map(
    ({ step_id, node_name, phase, sequence, last_sequence, started_at, ended_at, ...step }): Span => {
      for (const last of open) if (last < sequence) open.delete(last)
      const depth = open.size
      open.add(step.open ? Number.POSITIVE_INFINITY : last_sequence)
      const toMs = step.open ? end : since(ended_at, end)
      return {
        key: step_id,
        lane: 'step',
        name: node_name,
        fromMs: since(started_at, toMs),
        toMs,
        open: step.open,
        failed: phase === 'error',
        depth,
      }
    },
  )
  const parts = view.parts.map((part): Span => {
    const fromMs = since(part.started_at, 0)
    const isOpen = 'open' in part && part.open
    const toMs = isOpen ? end : 'ended_at' in part ? since(part.ended_at, fromMs) : fromMs
    const stage = part.kind === 'tool' ? part.stage : undefined
    return { key: part.part_id, ...nameOf(part), fromMs, toMs, open: isOpen, failed: stage === 'failed', depth: 0 }
  })
  return [...steps, ...parts].sort((a, b) => a.fromMs - b.fromMs || Number(a.key.slice(1)) - Number(b.key.slice(1)))
}

function nameOf(part: Part): Pick<Span, 'lane' | 'name'> {
  if (part.kind === 'tool') return { lane: 'tool', name: part.tool_name }
  if (part.kind === 'text' || part.kind === 'text_block')
    return { lane: 'text', name: `${part.content.length.toLocaleString('en')} characters` }
  if (part.kind === 'reasoning') return { lane: 'reasoning', name: 'reasoning' }
  if (part.kind === 'custom') return { lane: 'other', name: part.name }
  return { lane: 'other', name: part.kind }
}

function rowsOf(from: number, count: number, filter: Filter): Rows {
  const startMs = timeOf(events[0])
  const positions = filter === 'all' ? undefined : passed[filter]
  const total = positions?.length ?? events.length
  const rows: Row[] = []
  for (let row = from; row < Math.min(total, from + count); row++) {
    const event = events[positions?.[row] ?? row] as Event
    rows.push({
      sequence: event.sequence,
      type: event.type === 'custom' ? event.name : event.type,
      atMs: timeOf(event) - startMs,
      words: wordsOf(event),
    })
  }
  return { total, rows }
}

/** The fields of an event in a line. */
function wordsOf(event: Event): string {
  const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, type, ...fields } = event
  if (type === 'token' || type === 'text')
    return JSON.stringify((fields as { content: string }).content).slice(0, wordsCharsMax)
  return Object.entries(fields)
    .map(
      ([name, value]) =>
        `${name}: ${typeof value === 'string' ? value : JSON.stringify(value).slice(0, wordsCharsMax)}`,
    )
    .join(' · ')
    .slice(0, wordsCharsMax)
}

function timeOf(event: Event | undefined): number {
  return event === undefined ? 0 : Date.parse(event.timestamp)
}

function tellSoon(): void {
  if (timer !== undefined) return
  timer = setTimeout(tell, Math.max(0, toldAt + tellMs - performance.now()))
}

function tell(): void {
  clearTimeout(timer)
  timer = undefined
  toldAt = performance.now()
  send({ kind: 'progress', count: events.length, ended, ...(failed !== undefined && { failed }) })
}

function answer(id: number, value: Rows | Moment | Blob): void {
  send({ kind: 'answer', id, value })
}

function send(told: Tell): void {
  postMessage(told)
}
