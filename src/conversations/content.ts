// What people put into a conversation themselves: titles and appended messages, checked. The schema refuses fields that
// it does not know, so that what is stored is what every format can show.
import { z } from 'zod'
import { checked } from '../agent/schema.ts'
import type { Block } from './message.ts'

/** What one may append: text, or blocks, whose ids may be left out. */
export type Content = string | readonly (Omit<Block, 'id'> & { readonly id?: string })[]

/** The blocks of what a caller sent, checked. A block without an id gets its place as one. */
export async function blocksOf(content: unknown): Promise<Block[]> {
  const given = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  const blocks = await checked(contentSchema, given, 'content of the message', 'invalid_request')
  return blocks.map(({ id: named, ...block }, index) => ({ id: named ?? `p${index + 1}`, ...block }) as Block)
}

/** So many characters of the first text are a title: what a list of conversations shows in a line. */
const titleCharsAuto = 60

/** The largest page: as many runs as a page of their list. */
export const pageSizeMax = 500
/** A title that somebody gives: long enough for a sentence, short enough for a row of a list. */
export const titleCharsMax = 200

/** The title of a conversation that nobody named: its first text in one line, cut between two code points. */
export function titleFrom(content: readonly Block[]): string | undefined {
  const block = content.find(one => one.type === 'text' || one.type === 'item')
  const text = block?.type === 'text' ? block.text : block && 'data' in block ? JSON.stringify(block.data) : ''
  return titleOf(text, titleCharsAuto)
}

/** A text as a title: one line without control characters, at most so many code points. Undefined when nothing is left. */
export function titleOf(text: string, charsMax: number): string | undefined {
  // Cut roughly first: a page must not be split into code points for a line of them.
  const line = text
    .trimStart()
    .slice(0, charsMax * 20)
    .toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return Array.from(line).slice(0, charsMax).join('').trim() || undefined
}

const id = z.string().min(1).max(128).optional()
const record = z.record(z.string(), z.unknown())

const textSchema = z.strictObject({
  id,
  type: z.literal('text'),
  text: z.string(),
  language: z.string().optional(),
  position: z.enum(['before', 'after', 'standalone']).optional(),
  channel: z.literal('reasoning').optional(),
})
const chartSchema = z.strictObject({
  id,
  type: z.literal('chart'),
  chart_id: z.string(),
  chart_type: z.string(),
  option: record,
  title: z.string().optional(),
  data_points: z.number().optional(),
  data_source: z.string().optional(),
})
const toolSchema = z.strictObject({
  id,
  type: z.literal('tool'),
  call_id: z.string(),
  tool_name: z.string(),
  stage: z.enum(['requested', 'arguments', 'started', 'completed', 'failed', 'retrying']),
  arguments: z.unknown().optional(),
  arguments_text: z.string().optional(),
  result: z.unknown().optional(),
  error: z.string().optional(),
  duration_ms: z.number().optional(),
  retry_count: z.number().optional(),
})
const itemSchema = z
  .strictObject({
    id,
    type: z.literal('item'),
    data: z.unknown().optional(),
    bytes: z.base64().optional(),
    media_type: z.string().optional(),
  })
  .refine(item => (item.data === undefined) !== (item.bytes === undefined), 'has either data or bytes')
const customSchema = z.strictObject({
  id,
  type: z.literal('custom'),
  name: z.string(),
  data: z.unknown(),
  other: record.optional(),
})

const contentSchema = z
  .array(z.discriminatedUnion('type', [textSchema, chartSchema, toolSchema, itemSchema, customSchema]))
  .min(1)
