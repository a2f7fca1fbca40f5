// An agent out of a stream of the `openai` package: chat completions or responses, told apart by their chunks. The
// package is the user's: only the shapes that are read stand here. It must never leave a model writing for a run that
// was cancelled.
import type { Body } from '../../event.ts'
import { type Agent, defineAgent } from '../define.ts'
import { incompleteStream, modelError } from './model-error.ts'
import { type ChatChunk, chatReader } from './openai-chat.ts'
import { type ResponseEvent, responsesReader } from './openai-responses.ts'
import { type AdapterOptions, agentOptions, type Opened, opener, readAhead } from './source.ts'

export type OpenAIChunk = ChatChunk | ResponseEvent

/** What `client.chat.completions.create` and `client.responses.create` give with `stream: true`. */
export interface OpenAIStream extends AsyncIterable<OpenAIChunk> {
  readonly controller?: { abort(): void }
}

/**
 * `fromOpenAI((input, context) => client.chat.completions.create({ …, stream: true }, { signal: context.signal }))`.
 * The output is the text. Usage of chat completions needs `stream_options: { include_usage: true }`.
 */
export function fromOpenAI<I = unknown>(
  stream: Opened<I, OpenAIStream>,
  options: AdapterOptions<I, string> = {},
): Agent<I, string> {
  const open = opener('fromOpenAI', stream)
  return defineAgent<I, string>(agentOptions('openai', stream, options), async function* (input, context) {
    try {
      return yield* openAIEvents(await open(input, context), context.signal)
    } catch (error) {
      throw modelError(error)
    }
  })
}

/** The events of one stream, for agents that call the model in a loop of their own: `yield*` them; returns the text. */
export async function* openAIEvents(stream: OpenAIStream, signal: AbortSignal): AsyncGenerator<Body, string, void> {
  // Reaches the model call even where the agent did not pass the signal on.
  const abort = () => stream.controller?.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const chat = chatReader()
  const responses = responsesReader()
  let used: typeof chat | typeof responses | undefined
  try {
    for await (const chunk of readAhead(stream, signal)) {
      if ('choices' in chunk) {
        used = chat
        yield* chat.read(chunk)
      } else {
        used = responses
        yield* responses.read(chunk)
      }
    }
    if (!used) throw incompleteStream('a single chunk')
    yield* used.end()
    return used.text()
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
