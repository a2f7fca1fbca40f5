// Values of a LangGraph state as plain JSON. Messages are objects of a class there, and would be written with their
// constructors. It must never throw on what JSON does not know, and never change the value.

/** The parts of a LangChain message that are read. */
export interface Message {
  readonly id?: string
  readonly type?: string
  readonly name?: string
  readonly content?: unknown
  readonly status?: string | undefined
  readonly tool_call_id?: string
  readonly tool_calls?: readonly { readonly id?: string; readonly name: string; readonly args?: unknown }[]
  readonly tool_call_chunks?: readonly {
    readonly id?: string
    readonly name?: string
    readonly args?: string
    readonly index?: number
  }[]
  readonly additional_kwargs?: {
    readonly reasoning_content?: unknown
    readonly reasoning?: { readonly summary?: readonly { readonly text?: string }[] }
  }
  readonly response_metadata?: Record<string, unknown>
  readonly usage_metadata?: {
    readonly input_tokens?: number
    readonly output_tokens?: number
    readonly total_tokens?: number
    readonly input_token_details?: { readonly cache_read?: number }
    readonly output_token_details?: { readonly reasoning?: number }
  }
  getType?(): string
}

/** `ai`, `tool`, `human`, `system`, …; undefined for what is no message. */
export function messageType(value: Message): string | undefined {
  return typeof value.getType === 'function' ? value.getType() : undefined
}

/** As JSON: messages by their content, a bigint as its digits, what JSON cannot hold as null. */
export function plain(value: unknown): unknown {
  if (typeof value === 'string') return value
  const seen: object[] = []
  const text = JSON.stringify(value, function (this: Record<string, unknown>, key: string, made: unknown) {
    // Where the writer stands: a value that contains itself would never end.
    while (seen.length > 0 && seen.at(-1) !== this) seen.pop()
    const raw = this[key]
    if (typeof made === 'bigint') return String(made)
    if (typeof raw !== 'object' || raw === null) return made
    const given = messageType(raw) === undefined ? made : plainMessage(raw)
    if (typeof given !== 'object' || given === null) return given
    if (seen.includes(given)) return null
    seen.push(given)
    return given
  })
  return text === undefined ? null : JSON.parse(text)
}

function plainMessage(message: Message): Record<string, unknown> {
  const { id, content, name, tool_calls, tool_call_id, status } = message
  return {
    type: messageType(message),
    content,
    ...(id !== undefined && { id }),
    ...(name !== undefined && { name }),
    ...(tool_calls?.length && { tool_calls }),
    ...(tool_call_id !== undefined && { tool_call_id }),
    ...(status !== undefined && { status }),
  }
}
