// Messages and tools of a LangGraph stream as events: tokens, reasoning, calls with their arguments, results, usage.
// Apart from langgraph.ts because these shapes are LangChain's, not the graph's. It must never tell a call's end twice,
// and pass deltas of arguments on as they are.
import type { Body } from '../../event.ts'
import { finishReasonOf, parsedArguments, usageMetrics } from './model-terms.ts'
import { type Message, messageType, plain } from './langgraph-values.ts'

/** What `messages` tells beside a message. */
export interface MessageMetadata {
  readonly ls_model_name?: string
  readonly langgraph_checkpoint_ns?: string
}

/** What `tools` tells. */
export interface ToolEvent {
  readonly event: string
  readonly toolCallId?: string
  readonly name: string
  readonly input?: unknown
  readonly data?: unknown
  readonly output?: unknown
  readonly error?: unknown
}

interface Request {
  readonly request: string
  readonly model: string | undefined
  /** Streamed by a provider that always says why an answer ended, if it is whole. */
  readonly finishes: boolean
  /** The calls of this answer by their index: later pieces have no id. */
  readonly calls: Map<number, { call_id: string; tool_name: string }>
  tokens: number
}

export function messageReader() {
  const requests = new Map<string, Request>()
  const byTask = new Map<string, Set<string>>()
  const reasons = new Map<string, string>()
  const names = new Map<string, string>()
  const ended = new Set<string>()

  function* message(message: Message, metadata: MessageMetadata): Generator<Body, void, void> {
    const type = messageType(message)
    if (type === 'tool') yield* toolMessage(message)
    if (type !== 'ai') return
    const request = requestOf(message, metadata)
    for (const { content, channel } of contentOf(message)) yield token(request, content, channel)
    for (const piece of message.tool_call_chunks ?? []) yield* callPiece(piece, request)
    if (!message.tool_call_chunks) {
      for (const { id, name, args } of message.tool_calls ?? []) {
        const call_id = id || `${request.request}:${name}`
        names.set(call_id, name)
        yield { type: 'tool', call_id, tool_name: name, stage: 'requested', arguments: args ?? {} }
      }
    }
    const { usage_metadata: usage } = message
    if (!usage) return
    const told = {
      prompt: usage.input_tokens,
      completion: usage.output_tokens,
      total: usage.total_tokens,
      cached: usage.input_token_details?.cache_read,
      reasoning: usage.output_token_details?.reasoning,
    }
    yield* usageMetrics(told, request)
  }

  function* callPiece(
    { id, name, args, index = 0 }: NonNullable<Message['tool_call_chunks']>[number],
    { request, calls }: Request,
  ): Generator<Body, void, void> {
    let call = calls.get(index)
    if (!call || (id && id !== call.call_id)) {
      call = { call_id: id || `${request}:${index}`, tool_name: name ?? '' }
      calls.set(index, call)
      names.set(call.call_id, call.tool_name)
      yield { type: 'tool', ...call, stage: 'requested' }
    }
    if (args) yield { type: 'tool', ...call, stage: 'arguments', delta: args }
  }

  /** A tool's answer in the messages: news only where no `tools` event told it before. */
  function* toolMessage({ tool_call_id, name, status, content }: Message): Generator<Body, void, void> {
    if (!tool_call_id || ended.has(tool_call_id)) return
    yield* toolEnd(tool_call_id, name ?? names.get(tool_call_id) ?? '', { status, content })
  }

  function* tool({ event, toolCallId, name, input, data, output, error }: ToolEvent): Generator<Body, void, void> {
    const call = { type: 'tool', call_id: toolCallId ?? name, tool_name: name } as const
    if (event === 'on_tool_start') {
      const args = typeof input === 'string' ? (parsedArguments(input) ?? input) : plain(input)
      yield { ...call, stage: 'started', arguments: args }
    } else if (event === 'on_tool_event') yield { ...call, stage: 'started', result: plain(data) }
    else if (event === 'on_tool_end') {
      const message = output as Message | undefined
      yield* toolEnd(call.call_id, name, message?.tool_call_id === undefined ? { content: output } : message)
    } else if (event === 'on_tool_error') {
      const why = error instanceof Error ? error.message : String(error)
      yield* toolEnd(call.call_id, name, { status: 'error', content: why })
    }
  }

  function* toolEnd(
    call_id: string,
    tool_name: string,
    { status, content }: Pick<Message, 'status' | 'content'>,
  ): Generator<Body, void, void> {
    ended.add(call_id)
    const result = plain(content)
    if (status === 'error') {
      const error = typeof result === 'string' ? result : JSON.stringify(result)
      yield { type: 'tool', call_id, tool_name, stage: 'failed', error }
    } else yield { type: 'tool', call_id, tool_name, stage: 'completed', result }
  }

  /** The answers that a node's task got are whole when the task is: only then are all their chunks read. */
  function* taskEnd(task: string, ok: boolean): Generator<Body, void, void> {
    for (const id of byTask.get(task) ?? []) {
      const request = requests.get(id)
      const reason = reasons.get(id)
      if (request && reason) yield { ...token(request, ''), finish_reason: finishReasonOf(reason) }
      else if (request?.finishes && ok) yield cutOff(id)
      requests.delete(id)
      reasons.delete(id)
    }
    byTask.delete(task)
  }

  function requestOf(
    { id = '', tool_call_chunks, response_metadata: told }: Message,
    { ls_model_name: model, langgraph_checkpoint_ns }: MessageMetadata,
  ): Request {
    let request = requests.get(id)
    if (!request) {
      const finishes = tool_call_chunks !== undefined && told?.['model_provider'] === 'openai'
      request = { request: id, model, finishes, calls: new Map(), tokens: 0 }
      requests.set(id, request)
      const task = langgraph_checkpoint_ns?.split(/[:|]/).at(-1) ?? ''
      byTask.set(task, (byTask.get(task) ?? new Set()).add(id))
    }
    return request
  }

  /**
   * A LangChain callback: the `messages` stream leaves out why an answer ended. Awaited, so that the reason is here
   * before the node's end is read.
   */
  const callbacks = {
    name: 'runcast',
    awaitHandlers: true,
    handleLLMEnd(output: LLMOutput): void {
      const { message, generationInfo } = output.generations?.[0]?.[0] ?? {}
      const reason = message && reasonOf(message, generationInfo)
      if (message?.id && reason) reasons.set(message.id, reason)
    },
  }

  return { message, tool, taskEnd, callbacks }
}

interface LLMOutput {
  readonly generations?: readonly (readonly {
    readonly message?: Message
    readonly generationInfo?: Record<string, unknown>
  }[])[]
}

/** Chat completions and others tell a reason; the responses API a status, and why it is not `completed`. */
function reasonOf({ response_metadata, tool_calls = [] }: Message, info?: Record<string, unknown>): string | undefined {
  const told: Record<string, unknown> = { ...response_metadata, ...info }
  const reason = told['finish_reason'] ?? told['stop_reason']
  if (typeof reason === 'string') return reason
  if (told['status'] === 'completed') return tool_calls.length > 0 ? 'tool_calls' : 'stop'
  const { reason: why } = (told['incomplete_details'] ?? {}) as { reason?: string }
  return told['status'] === 'incomplete' ? (why ?? 'length') : undefined
}

/** LangChain takes a stream that broke off for a whole answer, and the graph goes on with it. */
function cutOff(request: string): Body {
  const message = `the answer ${request} ended without a finish reason: it may be cut off`
  return { type: 'warning', code: 'incomplete_stream', message, severity: 'error', recoverable: true }
}

function token(request: Request, content: string, channel?: 'reasoning'): Body & { type: 'token' } {
  return {
    type: 'token',
    content,
    llm_request_id: request.request,
    index: request.tokens++,
    ...(request.model !== undefined && { model: request.model }),
    ...(channel && { channel }),
  }
}

interface Piece {
  readonly content: string
  readonly channel?: 'reasoning'
}

/** The text of a message and what the model thought, in the three ways in which providers' packages put it. */
function* contentOf({ content, additional_kwargs: extra }: Message): Generator<Piece, void, void> {
  const blocks = Array.isArray(content) ? (content as readonly Block[]) : []
  const thoughts = blocks.map(block => block.reasoning ?? block.thinking).filter(Boolean)
  if (thoughts.length === 0) {
    // Some put it beside the content; some in both places, and then it counts once.
    if (typeof extra?.reasoning_content === 'string') thoughts.push(extra.reasoning_content)
    for (const { text } of extra?.reasoning?.summary ?? []) thoughts.push(text)
  }
  for (const thought of thoughts) yield* piece(thought, 'reasoning')
  if (typeof content === 'string') yield* piece(content)
  for (const block of blocks) if (block.type === 'text') yield* piece(block.text)
}

interface Block {
  readonly type?: string
  readonly text?: string
  readonly reasoning?: string
  readonly thinking?: string
}

function* piece(content: string | undefined, channel?: 'reasoning'): Generator<Piece, void, void> {
  if (content) yield channel ? { content, channel } : { content }
}
