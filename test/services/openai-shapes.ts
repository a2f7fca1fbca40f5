// What an OpenAI-compatible model streams, recorded frame by frame: chat completions and responses, with reasoning,
// parallel tool calls in pieces, usage, every finish, errors and cuts. Data only: openai-server.ts sends it.
// The fields stand as providers send them, useless ones too; an adapter that reads only what it likes must still work.

/** One thing that the server does: send a frame, wait, or break the connection. */
export type Act = { readonly data: unknown } | { readonly waitMs: number } | 'cut' | 'silence'
export interface Answer {
  /** An HTTP refusal instead of a stream. */
  readonly refuse?: { readonly status: number; readonly body: unknown }
  readonly acts: readonly Act[]
  /** All in one write, so that the end arrives with the last token. */
  readonly burst?: boolean
  /** The stream ends without the `[DONE]` that says that it is whole. */
  readonly quiet?: boolean
}
export interface Asked {
  readonly id: number
  readonly model: string
  readonly usage: boolean
  /** The results of tools are in the request: the answer is the text that follows them. */
  readonly afterTools: boolean
}

export const words = ['Grüße', ' aus', ' Zürich', ' 😀', ', two', ' lines:\n', '\n', 'end', '.']
export const text = words.join('')
export const thoughts = ['The user', ' greets', ' me.']
export const afterToolsWords = ['It is 21 °C in Paris', ' and 18 °C in Rome.']
export const toolCalls = [
  { id: 'call_a1', name: 'weather', pieces: ['{"ci', 'ty":"Pa', 'ris"}'] },
  { id: 'call_b2', name: 'weather', pieces: ['{"city"', ':"Ro', 'me"}'] },
] as const
/** Arguments of one call in `count` pieces of one character. */
export const longArguments = (count: number): string[] => `{"text":"${'x'.repeat(count - 11)}"}`.split('')
const dripTokens = 2_000
const dripMs = 10
export const longPieces = 4_000

const rateLimit = {
  error: {
    message: 'Rate limit reached for requests',
    type: 'requests',
    param: null,
    code: 'rate_limit_exceeded',
  },
}
const serverError = {
  error: {
    message: 'The server had an error while processing your request',
    type: 'server_error',
    param: null,
    code: null,
  },
}
const overloaded = {
  message: 'The engine is currently overloaded',
  type: 'server_error',
  param: null,
  code: 'overloaded',
}

const refusals: Record<string, Answer> = {
  limited: { refuse: { status: 429, body: rateLimit }, acts: [] },
  broken: { refuse: { status: 500, body: serverError }, acts: [] },
  silent: { acts: ['silence'] },
}

export function chatAnswer(scenario: string, asked: Asked): Answer | undefined {
  const base = {
    id: `chatcmpl-${asked.id}`,
    object: 'chat.completion.chunk',
    created: 1_760_000_000,
    model: `${asked.model}-2026-01-01`,
    service_tier: 'default',
    system_fingerprint: 'fp_44709d6fcb',
  }
  const chunk = (delta: object, finish_reason: string | null = null, index = 0): Act => ({
    data: {
      ...base,
      choices: [{ index, delta, logprobs: null, finish_reason }],
      ...(asked.usage && { usage: null }),
      obfuscation: 'x1y2',
    },
  })
  const first = chunk({ role: 'assistant', content: '', refusal: null })
  const said = (pieces: readonly string[], index = 0) => pieces.map(content => chunk({ content }, null, index))
  const usage: Act[] = asked.usage
    ? [
        {
          data: {
            ...base,
            choices: [],
            usage: {
              prompt_tokens: 11,
              completion_tokens: 9,
              total_tokens: 20,
              prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0 },
              completion_tokens_details: { reasoning_tokens: 3, audio_tokens: 0 },
            },
          },
        },
      ]
    : []
  const whole = (acts: Act[], finish: string): Answer => ({ acts: [first, ...acts, chunk({}, finish), ...usage] })
  const call = (index: number, id: string, name: string, pieces: readonly string[]): Act[] => [
    chunk({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] }),
    ...pieces.map(piece => chunk({ tool_calls: [{ index, function: { arguments: piece } }] })),
  ]
  if (asked.afterTools) return whole(said(afterToolsWords), 'stop')
  const calls = () => toolCalls.flatMap(({ id, name, pieces }, index) => call(index, id, name, pieces))
  const answers: Record<string, () => Answer> = {
    text: () => whole(said(words), 'stop'),
    reasoning: () => whole([...thoughts.map(piece => chunk({ reasoning_content: piece })), ...said(words)], 'stop'),
    tools: () => whole(calls(), 'tool_calls'),
    badtool: () => whole(call(0, 'call_bad', 'weather', ['{"city":"Atlantis"}']), 'tool_calls'),
    long: () => whole(call(0, 'call_long', 'write', longArguments(longPieces)), 'tool_calls'),
    length: () => whole(said(words), 'length'),
    filtered: () => whole(said(words.slice(0, 3)), 'content_filter'),
    choices: () => ({
      acts: [first, ...said(['a', 'b']), ...said(['c', 'd'], 1), chunk({}, 'stop'), chunk({}, 'length', 1), ...usage],
    }),
    error: () => ({ acts: [first, ...said(words), { data: { error: overloaded } }] }),
    errorburst: () => ({ acts: [first, ...said(words), { data: { error: overloaded } }], burst: true }),
    cut: () => ({ acts: [first, ...said(words), { waitMs: 30 }, 'cut'] }),
    quiet: () => ({ acts: [first, ...said(words)], quiet: true }),
    drip: () =>
      whole(
        drip(n => chunk({ content: `t${n} ` })),
        'stop',
      ),
  }
  return refusals[scenario] ?? answers[scenario]?.()
}

export function responsesAnswer(scenario: string, asked: Asked): Answer | undefined {
  let sequence_number = 0
  const event = (type: string, fields: object): Act => ({
    data: { type, sequence_number: sequence_number++, ...fields },
  })
  const response = (status: string, fields: object = {}) => ({
    response: {
      id: `resp_${asked.id}`,
      object: 'response',
      created_at: 1_760_000_000,
      status,
      error: null,
      incomplete_details: null,
      model: `${asked.model}-2026-01-01`,
      output: [],
      usage: null,
      ...fields,
    },
  })
  const usage = {
    usage: {
      input_tokens: 11,
      input_tokens_details: { cached_tokens: 4 },
      output_tokens: 9,
      output_tokens_details: { reasoning_tokens: 3 },
      total_tokens: 20,
    },
  }
  const begin = () => [
    event('response.created', response('in_progress')),
    event('response.in_progress', response('in_progress')),
  ]
  const message = (pieces: readonly string[], output_index = 0) => {
    const at = { item_id: `msg_${asked.id}`, output_index, content_index: 0 }
    const item = { id: at.item_id, type: 'message', status: 'in_progress', role: 'assistant', content: [] }
    const part = { type: 'output_text', annotations: [], logprobs: [], text: '' }
    return [
      event('response.output_item.added', { output_index, item }),
      event('response.content_part.added', { ...at, part }),
      ...pieces.map(delta => event('response.output_text.delta', { ...at, delta, logprobs: [], obfuscation: 'q' })),
      event('response.output_text.done', { ...at, text: pieces.join(''), logprobs: [] }),
      event('response.content_part.done', { ...at, part: { ...part, text: pieces.join('') } }),
      event('response.output_item.done', { output_index, item: { ...item, status: 'completed' } }),
    ]
  }
  const reasoning = () => {
    const item = { id: `rs_${asked.id}`, type: 'reasoning', summary: [] }
    const at = { item_id: item.id, output_index: 0, summary_index: 0 }
    return [
      event('response.output_item.added', { output_index: 0, item }),
      event('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } }),
      ...thoughts.map(delta => event('response.reasoning_summary_text.delta', { ...at, delta, obfuscation: 'w' })),
      event('response.reasoning_summary_text.done', { ...at, text: thoughts.join('') }),
      event('response.output_item.done', { output_index: 0, item }),
    ]
  }
  const call = (output_index: number, call_id: string, name: string, pieces: readonly string[]) => {
    const id = `fc_${call_id}`
    const item = { id, type: 'function_call', status: 'in_progress', arguments: '', call_id, name }
    const whole = pieces.join('')
    return [
      event('response.output_item.added', { output_index, item }),
      ...pieces.map(delta => event('response.function_call_arguments.delta', { item_id: id, output_index, delta })),
      event('response.function_call_arguments.done', { item_id: id, output_index, arguments: whole }),
      event('response.output_item.done', { output_index, item: { ...item, status: 'completed', arguments: whole } }),
    ]
  }
  const search = () => {
    const item = { id: 'ws_1', type: 'web_search_call', status: 'in_progress', action: { type: 'search', query: 'x' } }
    return [
      event('response.output_item.added', { output_index: 0, item }),
      event('response.web_search_call.in_progress', { output_index: 0, item_id: 'ws_1' }),
      event('response.web_search_call.searching', { output_index: 0, item_id: 'ws_1' }),
      event('response.web_search_call.completed', { output_index: 0, item_id: 'ws_1' }),
      event('response.output_item.done', { output_index: 0, item: { ...item, status: 'completed' } }),
    ]
  }
  const completed = () => event('response.completed', response('completed', usage))
  const incomplete = (reason: string) =>
    event('response.incomplete', response('incomplete', { ...usage, incomplete_details: { reason } }))
  const whole = (...acts: Act[]): Answer => ({ acts: [...begin(), ...acts, completed()] })
  const withError = () => [
    ...begin(),
    ...message(words),
    event('error', { code: 'overloaded', message: overloaded.message, param: null }),
  ]
  if (asked.afterTools) return whole(...message(afterToolsWords))
  const calls = () => toolCalls.flatMap(({ id, name, pieces }, index) => call(index, id, name, pieces))
  const answers: Record<string, () => Answer> = {
    text: () => whole(...message(words)),
    reasoning: () => whole(...reasoning(), ...message(words, 1)),
    tools: () => whole(...calls()),
    search: () => whole(...search(), ...message(words, 1)),
    long: () => whole(...call(0, 'call_long', 'write', longArguments(longPieces))),
    length: () => ({ acts: [...begin(), ...message(words), incomplete('max_output_tokens')] }),
    filtered: () => ({ acts: [...begin(), ...message(words.slice(0, 3)), incomplete('content_filter')] }),
    error: () => ({ acts: withError() }),
    errorburst: () => ({ acts: withError(), burst: true }),
    failed: () => {
      const error = { code: 'server_error', message: serverError.error.message }
      return { acts: [...begin(), ...message(words), event('response.failed', response('failed', { error }))] }
    },
    cut: () => ({ acts: [...begin(), ...message(words), { waitMs: 30 }, 'cut'] }),
    quiet: () => ({ acts: [...begin(), ...message(words)], quiet: true }),
    drip: () =>
      whole(
        ...drip(n =>
          event('response.output_text.delta', { item_id: 'msg', output_index: 0, content_index: 0, delta: `t${n} ` }),
        ),
      ),
  }
  return refusals[scenario] ?? answers[scenario]?.()
}

function drip(token: (n: number) => Act): Act[] {
  return Array.from({ length: dripTokens }, (_, n): Act[] => [token(n), { waitMs: dripMs }]).flat()
}
