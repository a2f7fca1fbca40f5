// Chat completions, chunk by chunk, as events. Also what others stream who speak this protocol: reasoning under two
// names, usage on every chunk, calls without ids. It must pass deltas of arguments on as they are and parse them once.
import type { Body } from '../../event.ts'
import { incompleteStream } from './model-error.ts'
import { finishReasonOf, parsedArguments, usageMetrics } from './model-terms.ts'

export interface ChatChunk {
  readonly id: string
  readonly model?: string
  readonly choices: readonly ChatChoice[]
  readonly usage?: ChatUsage | null
}
interface ChatChoice {
  readonly index: number
  readonly delta?: ChatDelta
  readonly finish_reason?: string | null
}
interface ChatDelta {
  readonly content?: string | null
  readonly refusal?: string | null
  readonly reasoning_content?: string | null
  readonly reasoning?: unknown
  readonly tool_calls?: readonly ChatCallDelta[]
}
interface ChatCallDelta {
  readonly index?: number
  readonly id?: string
  readonly function?: { readonly name?: string; readonly arguments?: string }
  readonly custom?: { readonly name?: string; readonly input?: string }
}
interface ChatUsage {
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
  readonly total_tokens?: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number | null } | null
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number | null } | null
}

interface Call {
  readonly id: string
  readonly call_id: string
  readonly tool_name: string
  readonly pieces: string[]
}
/** One choice of one completion. */
interface Choice {
  readonly request: string
  readonly calls: Map<number, Call>
  tokens: number
  finished: boolean
}

export interface ChunkReader<C> {
  read(chunk: C): Iterable<Body>
  /** What remains at the end of the stream; throws when the answer is not whole. */
  end(): Iterable<Body>
  /** The text of the first choice. */
  text(): string
}

export function chatReader(): ChunkReader<ChatChunk> {
  const text: string[] = []
  let id = ''
  let model: string | undefined
  let usage: ChatUsage | undefined
  let choices = new Map<number, Choice>()

  function* read(chunk: ChatChunk): Generator<Body, void, void> {
    // A loop of tools is several completions in one stream; some first chunks have no id yet.
    if (chunk.id && id && chunk.id !== id) yield* completionEnd()
    if (chunk.id) id = chunk.id
    if (chunk.model) model = chunk.model
    if (chunk.usage) usage = chunk.usage // some tell it on every chunk, each a sum so far
    for (const { index, delta, finish_reason } of chunk.choices ?? []) {
      const choice = choiceOf(index)
      if (delta) yield* readDelta(delta, choice, index === 0)
      if (finish_reason) yield* finish(choice, finish_reason)
    }
  }

  function* readDelta(delta: ChatDelta, choice: Choice, first: boolean): Generator<Body, void, void> {
    const reasoning = delta.reasoning_content ?? delta.reasoning
    if (typeof reasoning === 'string' && reasoning !== '') yield token(choice, reasoning, 'reasoning')
    for (const content of [delta.content, delta.refusal]) {
      if (!content) continue
      if (first) text.push(content)
      yield token(choice, content)
    }
    for (const call of delta.tool_calls ?? []) yield* readCall(call, choice)
  }

  function* readCall(delta: ChatCallDelta, choice: Choice): Generator<Body, void, void> {
    const { index = 0, id: given } = delta
    let call = choice.calls.get(index)
    if (!call || (given && given !== call.id)) {
      const tool_name = delta.function?.name ?? delta.custom?.name ?? ''
      // Some number no call but give each its id: the one before is whole then.
      if (call) yield* wholeArguments(call)
      call = { id: given ?? '', call_id: given || `${choice.request}:${index}`, tool_name, pieces: [] }
      choice.calls.set(index, call)
      yield { type: 'tool', call_id: call.call_id, tool_name, stage: 'requested' }
    }
    const piece = delta.function?.arguments ?? delta.custom?.input
    if (!piece) return
    call.pieces.push(piece)
    yield { type: 'tool', call_id: call.call_id, tool_name: call.tool_name, stage: 'arguments', delta: piece }
  }

  function* finish(choice: Choice, reason: string): Generator<Body, void, void> {
    if (choice.finished) return
    choice.finished = true
    for (const call of choice.calls.values()) yield* wholeArguments(call)
    yield { ...token(choice, ''), finish_reason: finishReasonOf(reason) }
  }

  function* completionEnd(): Generator<Body, void, void> {
    if (usage) {
      const told = {
        prompt: usage.prompt_tokens,
        completion: usage.completion_tokens,
        total: usage.total_tokens,
        cached: usage.prompt_tokens_details?.cached_tokens,
        reasoning: usage.completion_tokens_details?.reasoning_tokens,
      }
      yield* usageMetrics(told, { request: id, model })
    }
    if (choices.size === 0 || ![...choices.values()].every(choice => choice.finished)) {
      throw incompleteStream('a finish reason')
    }
    usage = undefined
    choices = new Map()
    text.length = 0 // the answer is the last completion's
  }

  function choiceOf(index: number): Choice {
    let choice = choices.get(index)
    if (!choice) {
      choice = { request: index === 0 ? id : `${id}:${index}`, calls: new Map(), tokens: 0, finished: false }
      choices.set(index, choice)
    }
    return choice
  }

  function token(choice: Choice, content: string, channel?: 'reasoning'): Body & { type: 'token' } {
    return {
      type: 'token',
      content,
      llm_request_id: choice.request,
      index: choice.tokens++,
      ...(model !== undefined && { model }),
      ...(channel && { channel }),
    }
  }

  let output = ''
  return {
    read,
    *end() {
      output = text.join('')
      yield* completionEnd()
    },
    text: () => output,
  }
}

function* wholeArguments({ call_id, tool_name, pieces }: Call): Generator<Body, void, void> {
  const whole = parsedArguments(pieces.join(''))
  if (whole !== undefined) yield { type: 'tool', call_id, tool_name, stage: 'arguments', arguments: whole }
}
