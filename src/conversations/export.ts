// A conversation to take along: JSON, Markdown, or chat.v1 protobuf. Written message by message, so that the longest
// conversation costs no more memory than a page. Pure functions of the messages; what they cannot show they name.
import type { Conversation } from './conversations.ts'
import type { Block, Message } from './message.ts'

export const exportFormats = ['json', 'markdown', 'chat.v1'] as const
export type ExportFormat = (typeof exportFormats)[number]

export interface Exported {
  readonly contentType: string
  /** The ending of a file that holds it. */
  readonly extension: string
  readonly chunks: AsyncIterable<Uint8Array>
}

export function exported(format: ExportFormat, conversation: Conversation, messages: AsyncIterable<Message>): Exported {
  switch (format) {
    case 'json':
      return { contentType: 'application/json; charset=utf-8', extension: 'json', chunks: json(conversation, messages) }
    case 'markdown':
      return {
        contentType: 'text/markdown; charset=utf-8',
        extension: 'md',
        chunks: markdown(conversation, messages),
      }
    case 'chat.v1':
      return { contentType: 'application/x-protobuf', extension: 'binpb', chunks: protobuf(messages) }
    default:
      return format satisfies never
  }
}

async function* json(conversation: Conversation, messages: AsyncIterable<Message>): AsyncGenerator<Uint8Array> {
  let before = `{"conversation":${JSON.stringify(conversation)},"messages":[`
  for await (const message of messages) {
    yield Buffer.from(before + JSON.stringify(message))
    before = ','
  }
  yield Buffer.from(before === ',' ? ']}' : `${before}]}`)
}

async function* markdown(conversation: Conversation, messages: AsyncIterable<Message>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`# ${conversation.title ?? 'Conversation'}\n`)
  for await (const message of messages) yield Buffer.from(markdownOf(message))
}

function markdownOf({ role, timestamp, content, metadata }: Message): string {
  const who = role === 'user' ? 'User' : 'Assistant'
  const blocks = content.map(blockMarkdown)
  const errors = (metadata.errors ?? []).map(
    ({ severity, error_code, message }) => `**${severity}** \`${error_code}\`: ${message}`,
  )
  return ['', `## ${who}`, `*${timestamp}*`, ...blocks, ...errors.map(quoted)].join('\n\n').replace(/^\n+/, '\n') + '\n'
}

function blockMarkdown(block: Block): string {
  switch (block.type) {
    case 'text':
      return block.channel === 'reasoning' ? quoted(block.text) : block.text
    case 'chart':
      return `**Chart: ${block.title ?? block.chart_type}**\n\n${fenced('json', block.option)}`
    case 'tool': {
      const shown = block.arguments === undefined ? block.arguments_text : block.arguments
      const call = `**Tool: ${block.tool_name}** (${block.stage})`
      const parts = [shown, block.result, block.error].filter(part => part !== undefined)
      return [call, ...parts.map(part => fenced('json', part))].join('\n\n')
    }
    case 'item':
      if ('bytes' in block) return `*${block.media_type ?? 'application/octet-stream'}, ${sizeOf(block.bytes)} bytes*`
      return fenced('json', block.data)
    case 'custom':
      return `**${block.name}**\n\n${fenced('json', block.data)}`
    default:
      return block satisfies never
  }
}

function quoted(text: string): string {
  return text.replace(/^/gm, '> ')
}

/** The fence is longer than any in the text, which therefore cannot end it. */
function fenced(language: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}${typeof value === 'string' ? '' : language}\n${text}\n${fence}`
}

function sizeOf(base64: string): number {
  return Buffer.byteLength(base64, 'base64')
}

/** Loaded when it is asked for: a server that nobody asks need not know protobuf. */
async function* protobuf(messages: AsyncIterable<Message>): AsyncGenerator<Uint8Array> {
  const { delimited } = await import('./export-protobuf.ts')
  yield* delimited(messages)
}
