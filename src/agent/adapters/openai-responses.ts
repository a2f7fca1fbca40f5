// The responses API, event by event, as events. Tools that the provider runs itself have a result; calls of functions
// are for the agent to run. It must pass deltas of arguments on as they are, and never a generated image: those are
// larger than an event may be.
import type { Body } from '../../event.ts'
import { coded, incompleteStream } from './model-error.ts'
import { finishReasonOf, parsedArguments, usageMetrics } from './model-terms.ts'
import type { ChunkReader } from './openai-chat.ts'

export interface ResponseEvent {
  readonly type: string
}
/** The fields that any of the events may have. */
interface Fields extends ResponseEvent {
  readonly delta?: unknown
  readonly item_id?: string
  readonly item?: Item
  readonly response?: Answer
  readonly code?: string | null
  readonly message?: string
}
interface Item {
  readonly id?: string
  readonly type: string
  readonly status?: string
  readonly call_id?: string
  readonly name?: string
  readonly arguments?: string
  readonly input?: string
  readonly action?: unknown
  readonly queries?: unknown
  readonly code?: string | null
  readonly results?: unknown
  readonly outputs?: unknown
  readonly output?: unknown
  readonly error?: unknown
}
interface Answer {
  readonly id: string
  readonly model?: string
  readonly error?: { readonly code?: string; readonly message?: string } | null
  readonly incomplete_details?: { readonly reason?: string } | null
  readonly usage?: {
    readonly input_tokens?: number
    readonly output_tokens?: number
    readonly total_tokens?: number
    readonly input_tokens_details?: { readonly cached_tokens?: number } | null
    readonly output_tokens_details?: { readonly reasoning_tokens?: number } | null
  } | null
}

/** Run by the provider: what they did is told at their end. Other calls wait for whoever reads them. */
const providerTools = new Set(['web_search_call', 'file_search_call', 'code_interpreter_call', 'mcp_call'])
const imageTool = 'image_generation_call'

const textDeltas = new Set(['response.output_text.delta', 'response.refusal.delta'])
const reasoningDeltas = new Set(['response.reasoning_text.delta', 'response.reasoning_summary_text.delta'])
const argumentDeltas = new Set([
  'response.function_call_arguments.delta',
  'response.custom_tool_call_input.delta',
  'response.mcp_call_arguments.delta',
  'response.code_interpreter_call_code.delta',
])

export function responsesReader(): ChunkReader<ResponseEvent> {
  const text: string[] = []
  const calls = new Map<string, { call_id: string; tool_name: string }>()
  let request = ''
  let model: string | undefined
  let tokens = 0
  let toBeRun = 0
  let ended = false

  function* read(event: ResponseEvent): Generator<Body, void, void> {
    const { type, delta, item, item_id = '', response, code, message } = event as Fields
    if (response) {
      request = response.id
      model = response.model ?? model
    }
    if (typeof delta === 'string') {
      const call = argumentDeltas.has(type) ? calls.get(item_id) : undefined
      if (textDeltas.has(type)) {
        text.push(delta)
        yield token(delta)
      } else if (reasoningDeltas.has(type)) yield { ...token(delta), channel: 'reasoning' }
      else if (call) yield { type: 'tool', ...call, stage: 'arguments', delta }
    } else if (type === 'response.output_item.added' && item) yield* added(item)
    else if (type === 'response.output_item.done' && item) yield* done(item)
    else if (type === 'response.completed') yield* finish(response, toBeRun > 0 ? 'tool_calls' : 'stop')
    else if (type === 'response.incomplete') yield* finish(response, response?.incomplete_details?.reason ?? 'length')
    else if (type === 'response.failed') {
      yield* finish(response, 'error')
      const { code: failed, message: why } = response?.error ?? {}
      throw coded(why || 'the model failed without a message', failed || 'agent_error')
    } else if (type === 'error') throw coded(message || 'the model failed without a message', code || 'agent_error')
  }

  function* added(item: Item): Generator<Body, void, void> {
    if (!item.type.endsWith('_call')) return
    const call = { call_id: item.call_id ?? item.id ?? '', tool_name: item.name ?? item.type.slice(0, -'_call'.length) }
    calls.set(item.id ?? call.call_id, call)
    yield { type: 'tool', ...call, stage: 'requested' }
  }

  function* done(item: Item): Generator<Body, void, void> {
    const call = calls.get(item.id ?? item.call_id ?? '')
    if (!call) return
    const whole = argumentsOf(item)
    const args = whole === undefined ? {} : { arguments: whole }
    const { error } = item
    if (error || item.status === 'failed') {
      const why = typeof error === 'string' ? error : JSON.stringify(error ?? item.status)
      yield { type: 'tool', ...call, stage: 'failed', ...args, error: why }
    } else if (providerTools.has(item.type)) {
      const result = item.results ?? item.outputs ?? item.output
      yield { type: 'tool', ...call, stage: 'completed', ...args, ...(result != null && { result }) }
    } else if (item.type === imageTool) yield { type: 'tool', ...call, stage: 'completed' }
    else {
      toBeRun++
      if (whole !== undefined) yield { type: 'tool', ...call, stage: 'arguments', ...args }
    }
  }

  function* finish(response: Answer | undefined, reason: string): Generator<Body, void, void> {
    ended = true
    yield { ...token(''), finish_reason: finishReasonOf(reason) }
    const { usage } = response ?? {}
    if (!usage) return
    const told = {
      prompt: usage.input_tokens,
      completion: usage.output_tokens,
      total: usage.total_tokens,
      cached: usage.input_tokens_details?.cached_tokens,
      reasoning: usage.output_tokens_details?.reasoning_tokens,
    }
    yield* usageMetrics(told, { request, model })
  }

  function token(content: string): Body & { type: 'token' } {
    return {
      type: 'token',
      content,
      llm_request_id: request,
      index: tokens++,
      ...(model !== undefined && { model }),
    }
  }

  return {
    read,
    // oxlint-disable-next-line require-yield -- nothing remains: the last event brought the usage
    *end() {
      if (!ended) throw incompleteStream('response.completed')
    },
    text: () => text.join(''),
  }
}

function argumentsOf(item: Item): unknown {
  if (item.arguments !== undefined) return parsedArguments(item.arguments)
  return item.input ?? item.action ?? item.queries ?? item.code ?? undefined
}
