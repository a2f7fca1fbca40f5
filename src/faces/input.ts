// From a chat client's request to an agent's input. Agents of every kind are to be reachable from every chat front end,
// so an agent that wants the whole conversation gets it, and one that wants a question gets the last one asked.
import { checked } from '../agent/schema.ts'
import type { Agent } from '../agent/define.ts'
import { RuncastError } from '../error.ts'

/** What a chat client sent: its messages, and whatever else its protocol carries. */
export interface ChatRequest {
  readonly messages: readonly unknown[]
  readonly [field: string]: unknown
}

/** The fields in which agents take what a user said, the likely ones first. */
const textFields = ['question', 'text', 'message', 'prompt', 'query', 'input'] as const

/**
 * The first of these that the agent's schema accepts: the request with the last user's words as `question` and `text`
 * beside it; those words alone under one of the usual names; the words themselves. No schema: the first.
 */
export async function inputOf(agent: Agent, request: ChatRequest): Promise<unknown> {
  const words = lastWords(request.messages)
  const whole = { ...request, ...(words !== undefined && { question: words, text: words }) }
  const candidates = words === undefined ? [whole] : [whole, ...textFields.map(name => ({ [name]: words })), words]
  let refusal: unknown
  for (const candidate of candidates) {
    try {
      await checked(agent.input, candidate, 'input', 'invalid_input')
      return candidate
    } catch (error) {
      if (RuncastError.from(error).code !== 'invalid_input') throw error
      refusal ??= error
    }
  }
  throw refusal
}

/** The text of the last message of the user: a string, or the text parts of `content` (AG-UI) or `parts` (AI SDK). */
export function lastWords(messages: readonly unknown[]): string | undefined {
  const said = messages.findLast(message => isRecord(message) && message['role'] === 'user')
  if (!isRecord(said)) return undefined
  const content = said['content'] ?? said['parts']
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const texts = content.flatMap(part => (isRecord(part) && typeof part['text'] === 'string' ? [part['text']] : []))
  return texts.length > 0 ? texts.join('\n') : undefined
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
