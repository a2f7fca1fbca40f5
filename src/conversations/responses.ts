// What the routes of conversations answer, for OpenAPI: schemas held to the types of what is written. Shown only; they
// must never decide what is sent.
import { z } from 'zod'
import type { Conversation, ConversationPage, MessagePage } from './conversations.ts'
import type { Block, Message, MessageMetadata } from './message.ts'

/** Made when the document is first asked for: a start would be the later by all of these. */
let made: ReturnType<typeof make> | undefined
export const responses = () => (made ??= make())

function make() {
  const time = z.string().describe('ISO 8601, UTC.')
  const count = z.number().int().min(0)
  const record = z.record(z.string(), z.unknown())
  const text = z.string().exactOptional()

  const conversation = z.object({
    id: z.string().describe('The thread.'),
    title: text,
    user_id: text,
    created_at: time,
    updated_at: time,
  }) satisfies z.ZodType<Conversation>

  const id = z.string().describe('Stable within the message.')
  const block = z.union([
    z.object({
      id,
      type: z.literal('text'),
      text: z.string(),
      language: text,
      position: z.enum(['before', 'after', 'standalone']).exactOptional(),
      channel: z.literal('reasoning').exactOptional(),
    }),
    z.object({
      id,
      type: z.literal('chart'),
      chart_id: z.string(),
      chart_type: z.string(),
      option: record,
      title: text,
      data_points: z.number().exactOptional(),
      data_source: text,
    }),
    z.object({
      id,
      type: z.literal('tool'),
      call_id: z.string(),
      tool_name: z.string(),
      stage: z.enum(['requested', 'arguments', 'started', 'completed', 'failed', 'retrying']),
      arguments: z.unknown().exactOptional(),
      arguments_text: text,
      result: z.unknown().exactOptional(),
      error: text,
      duration_ms: z.number().exactOptional(),
      retry_count: z.number().exactOptional(),
    }),
    z.object({ id, type: z.literal('item'), data: z.unknown() }),
    z.object({ id, type: z.literal('item'), bytes: z.string(), media_type: text }),
    z.object({ id, type: z.literal('custom'), name: z.string(), data: z.unknown(), other: record.exactOptional() }),
  ]) satisfies z.ZodType<Block>

  const metadata = z.object({
    tasks: z
      .array(
        z.object({
          task_id: z.string(),
          scenario: text,
          state: z.enum(['running', 'completed', 'failed', 'cancelled']),
        }),
      )
      .exactOptional(),
    execution_time_ms: z.number().exactOptional(),
    tokens_used: z.number().exactOptional().describe('Absent where nobody told, which is not zero.'),
    input_tokens: z.number().exactOptional(),
    output_tokens: z.number().exactOptional(),
    model: text,
    errors: z
      .array(
        z.object({
          severity: z.enum(['warning', 'error', 'critical']),
          error_code: z.string(),
          message: z.string(),
          step_name: text,
          recoverable: z.boolean(),
          retry_count: z.number().exactOptional(),
          details: record.exactOptional(),
        }),
      )
      .exactOptional(),
    completion: z
      .object({
        type: z.enum(['TASK_COMPLETED', 'CONVERSATION_COMPLETED', 'TASK_FAILED']),
        summary: text,
        result_ids: z.array(z.string()).exactOptional(),
      })
      .exactOptional(),
    conversation_completed: z.literal(true).exactOptional(),
  }) satisfies z.ZodType<MessageMetadata>

  const message = z.object({
    id: z.string(),
    conversation_id: z.string(),
    role: z.enum(['user', 'assistant']),
    timestamp: time,
    content: z.array(block),
    metadata,
    user_id: text,
    company_id: text,
    run_id: text,
    position: count.exactOptional().describe('For `before` and `after`; absent while partial.'),
    partial: z.literal(true).exactOptional(),
  }) satisfies z.ZodType<Message>

  const shown = { description: 'The conversation.', schema: conversation }

  return {
    list: {
      200: {
        description: 'A page of conversations; `next` is absent on the last.',
        schema: z.object({
          conversations: z.array(conversation),
          next: text,
        }) satisfies z.ZodType<ConversationPage>,
      },
    },
    create: { 201: shown },
    show: { 200: shown },
    delete: { 204: { description: 'It is gone.' } },
    messages: {
      200: {
        description: 'A page of messages, oldest first.',
        schema: z.object({
          messages: z.array(message),
          before: count.exactOptional().describe('Leads to older messages; absent when there are none.'),
          after: count.describe('Leads to newer messages, also to those still to come.'),
          partial: message.exactOptional().describe('What the running run has said so far.'),
        }) satisfies z.ZodType<MessagePage>,
      },
    },
    append: { 201: { description: 'The message.', schema: message } },
    export: {
      200: {
        description: 'The file.',
        types: ['application/json', 'text/markdown', 'application/x-protobuf'],
      },
    },
  } as const
}
