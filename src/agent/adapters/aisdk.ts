// An agent out of the AI SDK's `streamText` (or an agent's `stream`): its parts as events. The package is the user's:
// only the shapes that are read stand here. It must never end a run as complete whose stream told an error, and never
// re-read arguments that it has passed on.
import type { Body } from '../../event.ts'
import { type Agent, defineAgent } from '../define.ts'
import { coded, modelError } from './model-error.ts'
import { finishReasonOf, usageMetrics } from './model-terms.ts'
import { type AdapterOptions, agentOptions, type Opened, opener, readAhead } from './source.ts'

/** The result of `streamText`; before version 7 its parts were `fullStream`. */
export interface AISDKResult {
  readonly stream?: AsyncIterable<AISDKPart>
  readonly fullStream?: AsyncIterable<AISDKPart>
}
export interface AISDKPart {
  readonly type: string
}

/** The fields that any of the parts may have. */
interface Fields extends AISDKPart {
  readonly id?: string
  readonly text?: string
  readonly delta?: string
  readonly toolCallId?: string
  readonly toolName?: string
  readonly input?: unknown
  readonly output?: unknown
  readonly preliminary?: boolean
  readonly error?: unknown
  readonly reason?: string
  readonly finishReason?: string
  readonly response?: { readonly modelId?: string }
  readonly usage?: Usage
  readonly performance?: Performance
  readonly file?: { readonly base64: string; readonly mediaType: string }
  readonly approvalId?: string
  readonly toolCall?: { readonly toolCallId: string; readonly toolName: string }
}
interface Usage {
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly totalTokens?: number
  readonly inputTokenDetails?: { readonly cacheReadTokens?: number }
  readonly outputTokenDetails?: { readonly reasoningTokens?: number }
}
interface Performance {
  readonly stepTimeMs?: number
  readonly responseTimeMs?: number
  readonly timeToFirstOutputMs?: number
  readonly toolExecutionMs?: Readonly<Record<string, number>>
}

/**
 * `fromAISDK((input, context) => streamText({ model, prompt: input.prompt, abortSignal: context.signal }))`.
 * The output is the text of the last step, as the SDK's own `text`.
 */
export function fromAISDK<I = unknown>(
  result: Opened<I, AISDKResult>,
  options: AdapterOptions<I, string> = {},
): Agent<I, string> {
  const open = opener('fromAISDK', result)
  return defineAgent<I, string>(agentOptions('ai-sdk', result, options), async function* (input, context) {
    try {
      return yield* aiSDKEvents(await open(input, context), context.signal)
    } catch (error) {
      throw modelError(error)
    }
  })
}

/** The events of one result, for agents that call the model in a loop of their own: `yield*` them; returns the text. */
export async function* aiSDKEvents(result: AISDKResult, signal: AbortSignal): AsyncGenerator<Body, string, void> {
  const parts = result.stream ?? result.fullStream
  if (!parts) throw coded('fromAISDK needs the result of streamText, with its `stream`', 'agent_error')
  const reader = partReader()
  for await (const part of readAhead(parts, signal)) yield* reader.read(part)
  return reader.end()
}

function partReader() {
  const names = new Map<string, string>()
  let text: string[] = []
  let step = 0
  let tokens = 0
  let error: unknown
  let finished: string | undefined

  function* read(part: AISDKPart): Generator<Body, void, void> {
    const told = part as Fields
    switch (part.type) {
      case 'start-step':
        step++
        tokens = 0
        text = []
        yield { type: 'step', node_name: stepName(), phase: 'start' }
        return
      case 'finish-step':
        yield* finishStep(told)
        return
      case 'text-delta':
        if (!told.text) return
        text.push(told.text)
        yield token(told.text)
        return
      case 'reasoning-delta':
        if (told.text) yield { ...token(told.text), channel: 'reasoning' }
        return
      case 'finish':
        finished = told.finishReason
        return
      case 'error':
        error = told.error ?? coded('the model failed without a message', 'agent_error')
        return
      case 'abort':
        throw coded(`the model call was aborted${told.reason ? `: ${told.reason}` : ''}`, 'aborted')
      case 'file':
      case 'reasoning-file':
        if (told.file) yield { type: 'item', bytes: told.file.base64, media_type: told.file.mediaType }
        return
      case 'source':
      case 'custom':
        yield { type: 'custom', name: part.type === 'source' ? 'source' : 'ai_sdk_custom', data: withoutType(part) }
        return
      default:
        yield* readTool(told)
    }
  }

  function* readTool(part: Fields): Generator<Body, void, void> {
    const call_id = part.toolCallId ?? part.id ?? ''
    const tool_name = part.toolName ?? names.get(call_id) ?? ''
    const call = { type: 'tool', call_id, tool_name } as const
    switch (part.type) {
      case 'tool-input-start':
        names.set(call_id, tool_name)
        yield { ...call, stage: 'requested' }
        return
      case 'tool-input-delta':
        if (part.delta) yield { ...call, stage: 'arguments', delta: part.delta }
        return
      case 'tool-call':
        // A call whose arguments were not streamed is told at once.
        yield { ...call, stage: names.has(call_id) ? 'arguments' : 'requested', arguments: part.input }
        names.set(call_id, tool_name)
        return
      case 'tool-result':
        yield { ...call, stage: part.preliminary ? 'started' : 'completed', result: part.output ?? null }
        return
      case 'tool-error':
        yield { ...call, stage: 'failed', error: errorText(part.error) }
        return
      case 'tool-output-denied':
        yield { ...call, stage: 'failed', error: 'the call was denied' }
        return
      case 'tool-approval-request': {
        const { toolCallId, toolName } = part.toolCall ?? {}
        const data = { approval_id: part.approvalId ?? '', call_id: toolCallId ?? '', tool_name: toolName ?? '' }
        yield { type: 'custom', name: 'tool_approval_request', data }
      }
    }
  }

  function* finishStep({ finishReason = 'stop', response, usage, performance }: Fields): Generator<Body, void, void> {
    const model = response?.modelId
    const finish_reason = finishReasonOf(finishReason)
    yield { ...token(''), finish_reason, ...(model !== undefined && { model }) }
    const told = {
      prompt: usage?.inputTokens,
      completion: usage?.outputTokens,
      total: usage?.totalTokens,
      cached: usage?.inputTokenDetails?.cacheReadTokens,
      reasoning: usage?.outputTokenDetails?.reasoningTokens,
    }
    const { stepTimeMs, responseTimeMs, timeToFirstOutputMs, toolExecutionMs = {} } = performance ?? {}
    const times = {
      ...inMs('duration_ms', responseTimeMs),
      ...inMs('time_to_first_token_ms', timeToFirstOutputMs),
    }
    yield* usageMetrics(told, { request: stepName(), model, times })
    // The SDK times the tools, but says so only here, after their results.
    for (const [scope_id, ms] of Object.entries(toolExecutionMs)) {
      yield { type: 'metrics', scope: 'tool', scope_id, metrics: inMs('duration_ms', ms) }
    }
    const phase = finishReason === 'error' ? 'error' : 'end'
    yield { type: 'step', node_name: stepName(), phase, ...(stepTimeMs !== undefined && { duration_ms: stepTimeMs }) }
  }

  /** The SDK gives no id of the model's answer before its end; the step is unique in a run. */
  const stepName = () => `step-${step}`
  const token = (content: string) =>
    ({ type: 'token', content, llm_request_id: stepName(), index: tokens++ }) satisfies Body

  return {
    read,
    /** The output; throws what the stream told, unless the SDK retried with success. */
    end(): string {
      if (error !== undefined && (finished === undefined || finished === 'error')) throw error
      return text.join('')
    },
  }
}

function inMs(name: string, value: number | undefined) {
  return value === undefined ? {} : { [name]: { value, unit: 'ms', kind: 'gauge' as const } }
}

function withoutType({ type: _type, ...rest }: AISDKPart): Record<string, unknown> {
  return rest
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : typeof error === 'string' ? error : JSON.stringify(error ?? null)
}
