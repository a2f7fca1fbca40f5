// The sales analyst: a question in, status, text, chart and text out, from a real query of real orders.
// It exists to show every kind of event that a chat draws, and it works without any model or network.
// It must never state a figure that the rows do not hold, and never show the model's key in an event.

import { RuncastError } from '../../src/error.ts'
import type { Body, Usage } from '../../src/event.ts'
import { draw } from './chart.ts'
import { dataSource, salesData } from './data.ts'
import { insight } from './insight.ts'
import { askPlan, explain, llmFrom } from './llm.ts'
import type { Llm } from './llm.ts'
import { measures } from './plan.ts'
import type { Plan } from './plan.ts'
import { compile, run } from './query.ts'
import type { Result, Row } from './query.ts'
import { cannot, parseQuestion } from './question.ts'
import type { Parsed } from './question.ts'
import { vocabularyOf } from './vocabulary.ts'
import type { Vocabulary } from './vocabulary.ts'
import { describe } from './wording.ts'

export interface SalesAnswer {
  answer: string
  rows: Row[]
}

/** Yields the bodies of one answer in the order in which a chat shows them; returns the output. */
export async function* salesAnalyst(
  input: { question: string },
  signal: AbortSignal,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): AsyncGenerator<Body, SalesAnswer, void> {
  if (typeof input?.question !== 'string') {
    throw new RuncastError('invalid_input', 'question is missing; send {"question": "Create a chart with sales data"}')
  }
  const llm = llmFrom(environment)
  const parsed = yield* inStep('decompose', progress('decompose', 0.1, 'Decomposing query...'), () =>
    decompose(input.question, llm, signal),
  )
  if ('cannot' in parsed) {
    yield text(parsed.cannot, 'standalone')
    return { answer: parsed.cannot, rows: [] }
  }
  const { plan, notes } = parsed
  return yield* inStep(
    'chart_generation',
    progress('chart_generation', 0.4, 'Executing chart_generation...'),
    async function* () {
      signal.throwIfAborted()
      const result = yield* inStep('query_database', progress('query_database', 0.7, 'Querying database...'), () =>
        query(plan),
      )
      const facts = insight(plan, result)
      if (result.rows.length === 0) {
        yield text([...notes, `I looked for ${describe(plan)}.`, facts].join(' '), 'standalone')
        return { answer: facts, rows: [] }
      }
      yield* present(plan, result, notes, facts)
      signal.throwIfAborted()
      const explanation = llm === undefined ? '' : yield* explained(llm, input.question, plan, result, signal)
      return { answer: [facts, explanation].filter(Boolean).join('\n\n'), rows: result.rows }
    },
  )
}

let known: Vocabulary | undefined

/** The model's plan when there is a model and its plan passes the checks, else the parser's. */
async function* decompose(
  question: string,
  llm: Llm | undefined,
  signal: AbortSignal,
): AsyncGenerator<Body, Parsed, void> {
  known ??= vocabularyOf(salesData())
  if (llm !== undefined) {
    try {
      const { usage, ...asked } = await askPlan(llm, question, known, signal)
      if (usage !== undefined) yield metered(usage, 'decompose')
      return 'plan' in asked ? { plan: asked.plan, notes: [] } : cannot(asked.cannot)
    } catch (thrown) {
      signal.throwIfAborted()
      yield warning('llm_plan_refused', thrown, 'decompose', 'The built-in parser reads the question instead.')
    }
  }
  return parseQuestion(question, known)
}

/** Runs the plan's statement as a tool call that a reader can inspect and repeat. */
async function* query(plan: Plan): AsyncGenerator<Body, Result, void> {
  const call = { type: 'tool', call_id: 'query_1', tool_name: 'query_sales' } as const
  const statement = compile(plan)
  yield { ...call, stage: 'requested', arguments: statement }
  yield { ...call, stage: 'started' }
  const started = performance.now()
  try {
    const result = run(salesData(), plan)
    const { total, groups } = result
    yield {
      ...call,
      stage: 'completed',
      result: { row_count: result.rows.length, total, groups },
      duration_ms: since(started),
    }
    return result
  } catch (thrown) {
    yield { ...call, stage: 'failed', error: RuncastError.from(thrown).message, duration_ms: since(started) }
    throw thrown
  }
}

function* present(plan: Plan, result: Result, notes: readonly string[], facts: string): Generator<Body, void, void> {
  const { chart_type, option, title, data_points, note } = draw(plan, result)
  const lead = `Here is your ${measures[plan.measure].label} chart: ${describe(plan)}.`
  yield text([lead, ...notes, ...(note === undefined ? [] : [note])].join(' '), 'before')
  yield { type: 'chart', chart_id: 'chart_1', chart_type, option, title, data_points, data_source: dataSource }
  yield text(facts, 'after')
}

/** The model's words about the figures. They are an extra: when the model fails, the answer stands without them. */
async function* explained(
  llm: Llm,
  question: string,
  plan: Plan,
  result: Result,
  signal: AbortSignal,
): AsyncGenerator<Body, string, void> {
  const tokens = explain(llm, question, plan, result, signal)
  let words = ''
  try {
    let step = await tokens.next()
    for (; !step.done; step = await tokens.next()) {
      words += step.value.content
      yield { type: 'token', ...step.value }
    }
    if (step.value !== undefined) yield metered(step.value, 'explain')
  } catch (thrown) {
    signal.throwIfAborted()
    yield warning('llm_unavailable', thrown, 'explain', 'The figures above do not depend on it.')
  } finally {
    await tokens.return(undefined)
  }
  return words
}

/** Brackets work with step events; a failure ends the step with `error` and goes on upwards. */
async function* inStep<T>(
  node_name: string,
  first: Body,
  work: () => AsyncGenerator<Body, T, void>,
): AsyncGenerator<Body, T, void> {
  const started = performance.now()
  yield { type: 'step', node_name, phase: 'start' }
  yield first
  let result: T
  try {
    result = yield* work()
  } catch (thrown) {
    yield { type: 'step', node_name, phase: 'error', duration_ms: since(started) }
    throw thrown
  }
  yield { type: 'step', node_name, phase: 'end', duration_ms: since(started) }
  return result
}

function since(started: number): number {
  return Math.round(performance.now() - started)
}

function progress(step: string, done: number, message: string): Body {
  return { type: 'progress', step, progress: done, message }
}

function text(content: string, position: 'before' | 'after' | 'standalone'): Body {
  return { type: 'text', content, language: 'en', position }
}

function warning(code: string, thrown: unknown, step: string, what: string): Body {
  const message = `${RuncastError.from(thrown).message}. ${what}`
  return { type: 'warning', code, message, severity: 'warning', step, recoverable: true }
}

function metered(usage: Usage, scope_id: string): Body {
  const metrics = Object.fromEntries(
    Object.entries(usage).map(([name, value]) => [
      name,
      { value: Number(value), unit: 'tokens', kind: 'counter' as const },
    ]),
  )
  return { type: 'metrics', scope: 'llm', scope_id, metrics }
}
