// The optional language model: any OpenAI-compatible /chat/completions, asked first for a plan as JSON and then
// for an explanation that is streamed. Without the environment variables the analyst works without it.
// It must never be trusted: its plan passes the same checks as the parser's, and it never sees or writes SQL.

import { EventSourceParserStream } from 'eventsource-parser/stream'
import * as z from 'zod'
import { RuncastError } from '../../src/error.ts'
import type { Usage } from '../../src/event.ts'
import { planSchema, refuse } from './plan.ts'
import type { Plan } from './plan.ts'
import type { Result } from './query.ts'
import type { Vocabulary } from './vocabulary.ts'
import { describe } from './wording.ts'

/** A local model on a slow machine still finishes a paragraph within it. */
const answerMsMax = 60_000
/** Far above a plan or a paragraph; a model that rambles on is cut off with an error. */
const answerCharsMax = 20_000
/** Rows put before the model: enough for any chart that can be read. */
const rowsMax = 60

export interface Llm {
  url: string
  model: string
  key?: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** The endpoint of OPENAI_BASE_URL and RUNCAST_MODEL (OPENAI_API_KEY when it wants one), or undefined without both. */
export function llmFrom(environment: Environment): Llm | undefined {
  const { OPENAI_BASE_URL: base, RUNCAST_MODEL: model, OPENAI_API_KEY: key } = environment
  if (!base || !model) return undefined
  return { url: `${base.replace(/\/+$/, '')}/chat/completions`, model, ...(key ? { key } : {}) }
}

/** One piece of a streamed answer. */
export interface Delta {
  content: string
  llm_request_id: string
  model: string
}

/** The model's plan for a question, or its refusal; anything else throws `invalid_input`. */
export async function askPlan(llm: Llm, question: string, vocabulary: Vocabulary, signal: AbortSignal) {
  const answer = ask(llm, [system(planPrompt(vocabulary)), { role: 'user', content: question }], signal)
  let text = ''
  let step = await answer.next()
  for (; !step.done; step = await answer.next()) text += step.value.content
  return { ...readPlan(text, vocabulary), usage: step.value }
}

/** Streams an explanation of the figures; returns the token usage when the endpoint tells it. */
export function explain(llm: Llm, question: string, plan: Plan, result: Result, signal: AbortSignal) {
  const figures = {
    shown: describe(plan),
    total: result.total,
    groups: result.groups,
    rows: result.rows.slice(0, rowsMax),
  }
  return ask(
    llm,
    [
      system(
        'You explain sales figures to a business reader in at most four plain sentences. Use only the figures given. ' +
          'Do not name causes, do not look ahead, and do not repeat the question.',
      ),
      { role: 'user', content: `Question: ${question}\nFigures: ${JSON.stringify(figures)}` },
    ],
    signal,
  )
}

interface Message {
  role: 'system' | 'user'
  content: string
}

const system = (content: string): Message => ({ role: 'system', content })

const count = z.int().nonnegative()
const chunkSchema = z.looseObject({
  id: z.string().max(200).catch('llm'),
  model: z.string().max(200).optional().catch(undefined),
  error: z.unknown().optional(),
  choices: z
    .array(
      z.looseObject({
        delta: z.looseObject({ content: z.string().nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: z.looseObject({ prompt_tokens: count, completion_tokens: count, total_tokens: count }).nullish().catch(null),
})

async function* ask(llm: Llm, messages: Message[], signal: AbortSignal): AsyncGenerator<Delta, Usage | undefined> {
  const deadline = AbortSignal.timeout(answerMsMax)
  try {
    return yield* stream(llm, messages, AbortSignal.any([signal, deadline]))
  } catch (thrown) {
    // The caller's own cancel is no failure of the model.
    signal.throwIfAborted()
    if (deadline.aborted) throw new RuncastError('timeout', `The model took longer than ${answerMsMax} ms`)
    throw RuncastError.from(thrown, 'unavailable')
  }
}

async function* stream(llm: Llm, messages: Message[], signal: AbortSignal): AsyncGenerator<Delta, Usage | undefined> {
  const response = await fetch(llm.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(llm.key ? { authorization: `Bearer ${llm.key}` } : {}) },
    body: JSON.stringify({
      model: llm.model,
      messages,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    }),
    // A redirect would carry question and key to where the user did not send them.
    redirect: 'error',
    signal,
  })
  if (!response.ok || response.body === null) {
    await response.body?.cancel()
    // The body is left out: some endpoints repeat parts of the key in it.
    throw new RuncastError('unavailable', `The model's endpoint answered with status ${response.status}`)
  }
  let usage: Usage | undefined
  let whole = false
  let length = 0
  const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  for await (const { data } of events) {
    if (data === '[DONE]') return usage
    const chunk = readChunk(data)
    if (chunk.usage) usage = usageOf(chunk.usage)
    for (const { delta, finish_reason } of chunk.choices.slice(0, 1)) {
      whole ||= Boolean(finish_reason)
      const content = delta?.content
      if (!content) continue
      length += content.length
      if (length > answerCharsMax) {
        throw new RuncastError('too_large', `The model's answer passed ${answerCharsMax} characters`)
      }
      yield { content, llm_request_id: chunk.id, model: chunk.model ?? llm.model }
    }
  }
  if (!whole) throw new RuncastError('unavailable', "The model's answer was cut off before its end")
  return usage
}

function readChunk(data: string): z.output<typeof chunkSchema> {
  const chunk = chunkSchema.safeParse(parseJson(data))
  if (!chunk.success || chunk.data.error) {
    throw new RuncastError(
      'unavailable',
      "The model's endpoint sent an error or a chunk that is not of the OpenAI form",
    )
  }
  return chunk.data
}

function usageOf(told: { prompt_tokens: number; completion_tokens: number; total_tokens: number }): Usage {
  return { input_tokens: told.prompt_tokens, output_tokens: told.completion_tokens, total_tokens: told.total_tokens }
}

function planPrompt(vocabulary: Vocabulary): string {
  const fields = [
    'year',
    'quarter_of_year',
    'month_of_year',
    'category',
    'sub_category',
    'region',
    'segment',
    'ship_mode',
    'state',
  ] as const
  const values = Object.fromEntries(fields.map(field => [field, [...(vocabulary.values.get(field) ?? [])]]))
  return (
    'Turn the question about sales data into one JSON object and nothing else. It follows this JSON Schema: ' +
    `${JSON.stringify(z.toJSONSchema(planSchema, { io: 'input' }))}. Filter values must be these: ${JSON.stringify(values)}; ` +
    'city, customer and product take full names. A question that only asks for sales is by quarter. ' +
    'If the question cannot be put into such a plan, answer {"cannot": "one sentence saying why"}.'
  )
}

const refusalSchema = z.strictObject({ cannot: z.string().min(1).max(500) })

/** Models like to wrap JSON in prose or fences: the outermost braces count, and then every check. */
export function readPlan(text: string, vocabulary: Vocabulary): { plan: Plan } | { cannot: string } {
  const value = parseJson(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1))
  const refusal = refusalSchema.safeParse(value)
  if (refusal.success) return refusal.data
  const plan = planSchema.safeParse(value)
  if (!plan.success)
    throw new RuncastError('invalid_input', `The model's plan is not valid: ${z.prettifyError(plan.error)}`)
  for (const { field, values } of plan.data.filters) {
    const strange = values.find(wanted => !vocabulary.values.get(field)?.has(wanted))
    if (strange !== undefined) {
      throw new RuncastError(
        'invalid_input',
        `The model's plan narrows ${field} to "${strange}", which the data has not`,
      )
    }
  }
  const refused = refuse(plan.data)
  if (refused !== undefined) throw new RuncastError('invalid_input', `The model's plan cannot be drawn: ${refused}`)
  return { plan: plan.data }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
