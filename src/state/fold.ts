// The fold of a run's events into its view (view.ts; content blocks in parts.ts). The one place that says what an event
// means for a reader, so that no format, face, page or store can differ: the stored message is this fold.
// It must never throw for what an agent may emit, keep anything outside the view, or cost more per event as a run grows.
import { RuncastError } from '../error.ts'
import type { Event, EventOf, Metric, TerminalType } from '../event.ts'
import {
  chart,
  closeParts,
  closeTokens,
  custom,
  type Folded,
  input,
  item,
  none,
  output,
  pick,
  stranger,
  textBlock,
  token,
  tool,
  withoutOldest,
} from './parts.ts'
import { applyState, type HashCheck } from './state.ts'
import {
  checkpointsMax,
  gapsMax,
  modelsMax,
  progressMax,
  questionsMax,
  type Step,
  stepsMax,
  trimCount,
  type UsageSum,
  type View,
  warningsMax,
} from './view.ts'

export type { Folded } from './parts.ts'
export { emptyView, openParts, type Part, textOf, usageOf, type View } from './view.ts'

/** The view after these events. The given view stays as it is; entries that did not change are shared with it. */
export function fold(view: View, events: readonly Event[]): View {
  if (events.length === 0) return view
  const next = ownCopy(view)
  for (const event of events) foldInto(next, event)
  return next
}

/** The same for a batch whose reader has a filter: sequences missing inside it were left out on purpose, not lost. */
export function foldBatch(
  view: View,
  batch: { after: number; last: number; events: readonly Event[] },
  matches?: HashCheck,
): View {
  const next = ownCopy(view)
  if (batch.after > next.at) passHole(next, batch.after)
  for (const event of batch.events) {
    if (event.sequence > next.at) next.at = event.sequence - 1
    foldInto(next, event, matches)
  }
  next.at = Math.max(next.at, batch.last)
  return next
}

/**
 * Folds one event into a view that is the caller's own, at a constant cost. The view and its lists change; their
 * entries are replaced, so what was taken out of them before stays as it was. An event at or below the cursor, or
 * behind the end, does nothing. With `matches`, a state that its hash contradicts is uncertain. Returns what became of the
 * parts.
 */
export function foldInto(view: View, event: Event, matches?: HashCheck): Folded {
  if (event.sequence <= view.at || view.terminal !== undefined) return none
  adoptRun(view, event)
  const cut = event.sequence > view.at + 1 ? passHole(view, event.sequence - 1) : none
  view.at = event.sequence
  view.updated_at = event.timestamp
  if (view.status === 'accepted') view.status = 'running'
  const folded = apply(view, event, matches)
  return cut.closed.length === 0 ? folded : { ...folded, closed: [...cut.closed, ...folded.closed] }
}

function apply(view: View, event: Event, matches: HashCheck | undefined): Folded {
  switch (event.type) {
    case 'token':
      return token(view, event)
    case 'tool':
      return tool(view, event)
    case 'text':
      return textBlock(view, event)
    case 'chart':
      return chart(view, event)
    case 'item':
      return item(view, event)
    case 'input':
      ask(view, event)
      return input(view, event)
    case 'custom':
      return custom(view, event)
    case 'complete':
    case 'error':
    case 'cancelled':
      return end(view, event)
    case 'started':
      started(view, event)
      return none
    case 'step':
      step(view, event)
      return none
    case 'progress':
      progress(view, event)
      return none
    case 'checkpoint':
      checkpoint(view, event)
      return none
    case 'state':
      state(view, event, matches)
      return none
    case 'metrics':
      metrics(view, event)
      return none
    case 'warning':
      keepNewest(view, 'warnings', [...view.warnings, fieldsOf(event)], warningsMax)
      return none
    default:
      event satisfies never
      return stranger(view, event)
  }
}

function adoptRun(view: View, event: Event): void {
  // A direct stream's events carry no run id.
  const run = event.run_id ?? ''
  if (view.run_id === '') view.run_id = run
  if (run !== '' && run !== view.run_id) {
    throw new RuncastError(
      'invalid_request',
      `the view of run ${view.run_id} got event ${event.sequence} of run ${run}`,
    )
  }
}

/** Events up to `to` were never seen: no text is joined over the hole, and the state waits for a snapshot (H75). */
function passHole(view: View, to: number): Folded {
  keepNewest(view, 'gaps', [...view.gaps, { from: view.at + 1, to }], gapsMax)
  view.at = to
  view.state = { ...view.state, certain: false }
  return { began: false, closed: closeTokens(view, view.updated_at) }
}

function started(view: View, event: EventOf<'started'>): void {
  const fields = ['agent_name', 'framework', 'thread_id', 'scenario', 'user_id', 'company_id'] as const
  Object.assign(view, pick(event, fields))
  view.started_at = event.timestamp
}

/** Keeps the list of open questions; the exchange itself is a part. */
function ask(view: View, event: EventOf<'input'>): void {
  const { input_id, kind, sequence } = event
  const others = view.questions.filter(one => one.input_id !== input_id)
  if (kind === 'answer') view.questions = others
  else {
    const question = { input_id, kind, part_id: `p${sequence}`, ...pick(event, ['prompt', 'details']) }
    keepNewest(view, 'questions', [...others, question], questionsMax)
  }
}

/** An end closes the innermost open step of its name; an end alone is a step of which only the end was told. */
function step(view: View, event: EventOf<'step'>): void {
  const { node_name, phase, sequence, timestamp } = event
  const keys = pick(event, ['duration_ms', 'input_keys', 'output_keys'])
  const told = { node_name, phase, open: phase === 'start', ...keys }
  const index = phase === 'start' ? -1 : view.steps.findLastIndex(one => one.open && one.node_name === node_name)
  const begun = view.steps[index]
  if (begun !== undefined) {
    view.steps[index] = closedStep({ ...begun, ...told }, event)
    return
  }
  const when = phase === 'start' ? { started_at: timestamp } : { ended_at: timestamp }
  view.steps.push({ step_id: `s${sequence}`, ...told, sequence, last_sequence: sequence, ...when })
  if (view.steps.length >= stepsMax + trimCount) trimSteps(view)
}

function closedStep(one: Step, event: Event): Step {
  const passed = one.duration_ms ?? Math.max(0, Date.parse(event.timestamp) - Date.parse(one.started_at ?? ''))
  const duration = Number.isNaN(passed) ? {} : { duration_ms: passed }
  return { ...one, open: false, last_sequence: event.sequence, ended_at: event.timestamp, ...duration }
}

/** Forgets the oldest steps: closed ones, or else open ones, so that a run which only tells starts is bounded too. */
function trimSteps(view: View): void {
  const before = view.steps.length
  view.steps = withoutOldest(view.steps, trimCount, one => !one.open)
  view.steps = withoutOldest(view.steps, trimCount - (before - view.steps.length), () => true)
  view.dropped = { ...view.dropped, steps: view.dropped.steps + before - view.steps.length }
}

function progress(view: View, event: EventOf<'progress'>): void {
  const latest = fieldsOf(event)
  const index = view.progress.findIndex(one => one.step === event.step)
  if (index === -1) keepNewest(view, 'progress', [...view.progress, latest], progressMax)
  else view.progress[index] = latest
}

function checkpoint(view: View, event: EventOf<'checkpoint'>): void {
  const others = view.checkpoints.filter(one => one.name !== event.name)
  keepNewest(view, 'checkpoints', [...others, fieldsOf(event)], checkpointsMax)
}

/** What does not fit leaves the value as it was and uncertain; a patch that might fit by chance is not tried (H75, H78). */
function state(view: View, event: EventOf<'state'>, matches: HashCheck | undefined): void {
  const whole = event.ops === undefined
  const { value, version, certain } = view.state
  const next = certain || whole ? applyState({ value, version }, event, matches) : 'uncertain'
  view.state = next === 'uncertain' ? { value, version, certain: false } : { ...next, certain: true }
}

function metrics(view: View, event: EventOf<'metrics'>): void {
  if (event.scope !== 'llm') return
  const told = usageIn(event.metrics)
  if (Object.keys(told).length === 0) return
  const { by_model = [], ...sum } = view.usage ?? {}
  const usage = addUsage(sum, told)
  const model = event.tags?.['model']
  const index = by_model.findIndex(one => one.model === model)
  const old = by_model[index]
  if (model === undefined || (old === undefined && by_model.length >= modelsMax)) {
    view.usage = by_model.length === 0 ? usage : { ...usage, by_model }
  } else if (old === undefined) view.usage = { ...usage, by_model: [...by_model, { model, ...told }] }
  else view.usage = { ...usage, by_model: by_model.with(index, { model, ...addUsage(old, told) }) }
}

/** The standard names of wire.md, and nothing guessed: a number that was not told stays absent (H135). */
function usageIn(told: Record<string, Metric>): UsageSum {
  const number = (name: string) => {
    const value = told[name]?.value
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined
  }
  const [input_tokens, output_tokens] = [number('tokens_prompt'), number('tokens_completion')]
  const both =
    input_tokens === undefined && output_tokens === undefined ? undefined : (input_tokens ?? 0) + (output_tokens ?? 0)
  const total_tokens = number('tokens_total') ?? both
  const cost_usd = number('cost_usd')
  return {
    ...(input_tokens !== undefined && { input_tokens }),
    ...(output_tokens !== undefined && { output_tokens }),
    ...(total_tokens !== undefined && { total_tokens }),
    ...(cost_usd !== undefined && { cost_usd }),
  }
}

function addUsage(sum: UsageSum, told: UsageSum): UsageSum {
  const next: UsageSum = { ...sum }
  for (const name of ['input_tokens', 'output_tokens', 'total_tokens', 'cost_usd'] as const) {
    const value = told[name]
    if (value !== undefined) next[name] = (next[name] ?? 0) + value
  }
  return next
}

const statusAt = { complete: 'completed', error: 'failed', cancelled: 'cancelled' } as const

/** Nothing stays open behind the end, whatever the agent still owed. */
function end(view: View, event: Extract<Event, { type: TerminalType }>): Folded {
  const closed = closeParts(view, event.timestamp)
  view.steps = view.steps.map(one => (one.open ? closedStep(one, event) : one))
  view.questions = []
  view.status = statusAt[event.type]
  view.ended_at = event.timestamp
  const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, ...terminal } = event
  view.terminal = terminal
  return event.type === 'complete' ? { ...output(view, event), closed } : { ...none, closed }
}

/** Sets a bounded list to its newest entries, and counts what that forgets. */
function keepNewest<K extends 'progress' | 'checkpoints' | 'warnings' | 'questions' | 'gaps'>(
  view: View,
  list: K,
  entries: View[K],
  max: number,
): void {
  const over = Math.max(0, entries.length - max)
  view[list] = (over === 0 ? entries : entries.slice(over)) as View[K]
  if (over > 0) view.dropped = { ...view.dropped, [list]: view.dropped[list] + over }
}

/** The event without what the view itself says. */
function fieldsOf<E extends Event>(event: E): Omit<E, 'id' | 'run_id' | 'type'> {
  const { id: _id, run_id: _run, type: _type, ...fields } = event
  return fields
}

function ownCopy(view: View): View {
  return {
    ...view,
    parts: [...view.parts],
    open_parts: [...view.open_parts],
    steps: [...view.steps],
    progress: [...view.progress],
    checkpoints: [...view.checkpoints],
    warnings: [...view.warnings],
    questions: [...view.questions],
    gaps: [...view.gaps],
  }
}
