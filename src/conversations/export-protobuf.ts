// A conversation's messages as chat.v1 protobuf: the last step of an export, in a file of its own because it brings the
// whole of protobuf with it.
import { create } from '@bufbuild/protobuf'
import { sizeDelimitedEncode } from '@bufbuild/protobuf/wire'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromIso } from '../formats/chat-codec.ts'
import {
  type ContentBlockSchema,
  MessageError_Severity,
  type MessageMetadataSchema,
  MessageSchema,
  TextBlock_Position,
} from '../gen/chat/v1/chat_pb.ts'
import type { Block, Message, MessageMetadata } from './message.ts'

/** chat.v1 messages one after another, each with its size before it as a varint, as protobuf's own tools delimit them. */
export async function* delimited(messages: AsyncIterable<Message>): AsyncGenerator<Uint8Array> {
  for await (const message of messages) {
    yield sizeDelimitedEncode(MessageSchema, create(MessageSchema, chatMessageOf(message)))
  }
}

/** A message as chat.v1 has it. JSON stands in strings there; a count that does not fit its field becomes the nearest. */
export function chatMessageOf(message: Message): MessageInitShape<typeof MessageSchema> {
  return {
    id: message.id.toWellFormed(),
    conversationId: message.conversation_id.toWellFormed(),
    role: message.role,
    timestamp: timestampFromIso(message.timestamp),
    content: message.content.map(chatBlockOf),
    metadata: chatMetadataOf(message.metadata),
    userId: message.user_id?.toWellFormed() ?? '',
    companyId: message.company_id?.toWellFormed() ?? '',
    runId: message.run_id ?? '',
  }
}

const positions = {
  standalone: TextBlock_Position.STANDALONE,
  before: TextBlock_Position.BEFORE,
  after: TextBlock_Position.AFTER,
} as const

function chatBlockOf(block: Block): MessageInitShape<typeof ContentBlockSchema> {
  const { id } = block
  switch (block.type) {
    case 'text': {
      const { text, language = '', position = 'standalone', channel = 'text' } = block
      const value = { text: text.toWellFormed(), language, position: positions[position], channel }
      return { id, block: { case: 'text', value } }
    }
    case 'chart': {
      const value = {
        chartType: block.chart_type.toWellFormed(),
        configJson: JSON.stringify(block.option),
        title: block.title?.toWellFormed() ?? '',
        dataPoints: int32(block.data_points),
        dataSource: block.data_source?.toWellFormed() ?? '',
        chartId: block.chart_id.toWellFormed(),
      }
      return { id, block: { case: 'chart', value } }
    }
    case 'tool': {
      const value = {
        callId: block.call_id.toWellFormed(),
        toolName: block.tool_name.toWellFormed(),
        stage: block.stage,
        argumentsJson: jsonOf(block.arguments) || (block.arguments_text?.toWellFormed() ?? ''),
        resultJson: jsonOf(block.result),
        error: block.error?.toWellFormed() ?? '',
        durationMs: int64(block.duration_ms),
        retryCount: int32(block.retry_count),
      }
      return { id, block: { case: 'tool', value } }
    }
    case 'item': {
      if (!('bytes' in block)) {
        return { id, block: { case: 'item', value: { value: { case: 'dataJson', value: jsonOf(block.data) } } } }
      }
      const data = Uint8Array.from(Buffer.from(block.bytes, 'base64'))
      const value = { value: { case: 'data', value: data }, mediaType: block.media_type?.toWellFormed() ?? '' } as const
      return { id, block: { case: 'item', value } }
    }
    case 'custom':
      return {
        id,
        block: { case: 'custom', value: { name: block.name.toWellFormed(), dataJson: jsonOf(block.data) } },
      }
    default:
      return block satisfies never
  }
}

const severities = {
  warning: MessageError_Severity.WARNING,
  error: MessageError_Severity.ERROR,
  critical: MessageError_Severity.CRITICAL,
} as const

function chatMetadataOf(metadata: MessageMetadata): MessageInitShape<typeof MessageMetadataSchema> {
  return {
    tasks: (metadata.tasks ?? []).map(({ task_id, scenario = '', state }) => ({
      taskId: task_id,
      scenario: scenario.toWellFormed(),
      state,
    })),
    executionTimeMs: int64(metadata.execution_time_ms),
    tokensUsed: int64(metadata.tokens_used),
    errors: (metadata.errors ?? []).map(error => ({
      severity: severities[error.severity],
      errorCode: error.error_code.toWellFormed(),
      message: error.message.toWellFormed(),
      stepName: error.step_name?.toWellFormed() ?? '',
      recoverable: error.recoverable,
      retryCount: int32(error.retry_count),
    })),
    model: metadata.model?.toWellFormed() ?? '',
    inputTokens: int64(metadata.input_tokens),
    outputTokens: int64(metadata.output_tokens),
  }
}

function jsonOf(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value)
}

function int32(value = 0): number {
  return Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.round(value) || 0))
}

function int64(value = 0): bigint {
  return BigInt(Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.round(value) || 0)))
}
