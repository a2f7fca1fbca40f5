// The chat.v1 format: a run as the envelopes that ONDASH front ends read, protobuf or its JSON. Text goes out in whole
// parts, as their pages expect, so an envelope may come from an event that merely ended a part.
// It must never show what the view would not: which tokens are one text is decided by the fold alone.
import { toJson } from '@bufbuild/protobuf'
import type { Event, EventOf } from '../event.ts'
import { type EventEnvelope, EventEnvelopeSchema } from '../gen/chat/v1/events_pb.ts'
import { emptyView, type Folded, foldBatch, foldInto, type View } from '../state/fold.ts'
import { text, texts } from './body.ts'
import { decodeChatEvent, encodeChatEvent, timestampFromIso } from './chat-codec.ts'
import { chatDecoder } from './chat-decoder.ts'
import { alreadyTold, chatSeverity, executionTimeMs, textPositions } from './chat-names.ts'
import { type Encoder, type Format, type Identity, type Message, threadOf } from './format.ts'

export { type ChatDecoder, chatDecoder } from './chat-decoder.ts'

/** `ondash.llm.{topic}`. */
export const chatTopics = ['status', 'text', 'chart', 'error', 'complete'] as const
export type ChatTopic = (typeof chatTopics)[number]

export const chat: Format = {
  name: 'chat',
  contentType: 'application/x-protobuf; messageType="chat.v1.EventEnvelope"',
  encoder: (identity, view) => chatEncoder(identity, view),
  decoder: () => chatDecoder(),
}

/** The same envelopes in the JSON that protobuf defines for them, one a line. */
export const chatJson: Format = {
  name: 'chat-json',
  contentType: 'application/x-ndjson',
  encoder(identity, view) {
    const encode = chatEncoder(identity, view)
    return events =>
      encode(events).map(message => {
        const json = toJson(EventEnvelopeSchema, decodeChatEvent(message.payload))
        return { ...message, payload: Buffer.from(`${JSON.stringify(json)}\n`) }
      })
  },
}

/** The topic that an envelope belongs to. */
export function topicOf(envelope: Pick<EventEnvelope, 'event'>): ChatTopic {
  const { case: kind } = envelope.event
  return kind === 'completion' || kind === undefined ? 'complete' : kind
}

type Envelope = Parameters<typeof encodeChatEvent>[0]
type ChatEvent = Exclude<NonNullable<Envelope['event']>, { case?: undefined }>

export function chatEncoder(identity: Identity, from?: View): Encoder {
  const { run } = identity
  const conversationId = threadOf(identity)
  // A copy of one's own: folding changes its lists.
  const view = foldBatch(from ?? emptyView(run), { after: 0, last: 0, events: [] })

  const messagesOf = (event: Event): Message[] => {
    if (event.sequence <= view.at || view.terminal !== undefined) return []
    const told = alreadyTold(view, event)
    const folded = foldInto(view, event)
    const base = {
      timestamp: timestampFromIso(event.timestamp),
      conversationId,
      taskId: identity.task ?? run,
      scenario: (view.scenario ?? identity.scenario ?? '').toWellFormed(),
      userId: (view.user_id ?? identity.user ?? '').toWellFormed(),
      companyId: (view.company_id ?? identity.company ?? '').toWellFormed(),
    }
    return project(event, view, folded, told).map((one, index) => {
      const payload = encodeChatEvent({ ...base, event: one })
      const topic = topicOf({ event: one as EventEnvelope['event'] })
      return {
        kind: one.case,
        topic,
        key: conversationId,
        id: `${event.id}:${index}`,
        sequence: event.sequence,
        payload,
      }
    })
  }
  return events => events.flatMap(messagesOf)
}

/** The envelopes of one event, the parts that it ended first; `told`: its error was an envelope before. */
function project(event: Event, view: View, folded: Folded, told: boolean): ChatEvent[] {
  return [...finished(event, folded), ...own(event, view, told)]
}

/** Texts that came to their end. An output that nothing else showed is one too, as it is in the view. */
function finished(event: Event, { closed, part, began }: Folded): ChatEvent[] {
  const output = event.type === 'complete' && began && part !== undefined ? [part] : []
  return [...closed, ...output].flatMap(one =>
    one.kind === 'text' && one.content !== '' ? [textEvent(one.content, 0)] : [],
  )
}

function textEvent(content: string, position: number, language = ''): ChatEvent {
  return as('text', { content: content.toWellFormed(), language: language.toWellFormed(), position })
}

function own(event: Event, view: View, told: boolean): ChatEvent[] {
  switch (event.type) {
    case 'progress':
      return [status(event)]
    case 'text':
      return [
        textEvent(event.content, Math.max(0, textPositions.indexOf(event.position ?? 'standalone')), event.language),
      ]
    case 'chart':
      return [chart(event)]
    case 'warning':
      return [errorEvent(event, event.message, chatSeverity(event.severity ?? 'warning'))]
    case 'error':
      return [
        ...(told ? [] : [errorEvent(event, event.error, Math.max(1, chatSeverity(event.severity ?? 'error')))]),
        completion(failed, { summary: event.error, ms: executionTimeMs(event, view), metadata: event.details }),
      ]
    case 'cancelled': {
      const { reason = '', by } = event
      const metadata = { ...(by !== undefined && { by }), status: 'cancelled' }
      return [completion(failed, { summary: reason, ms: executionTimeMs(event, view), metadata })]
    }
    case 'complete':
      return [completed(event)]
    default:
      // The others have no place in a chat.
      return []
  }
}

/** Enum numbers are numbers here; the codec checks them. */
function as(kind: ChatEvent['case'], value: object): ChatEvent {
  return { case: kind, value } as ChatEvent
}

function status(event: EventOf<'progress'>): ChatEvent {
  const { step, message = '', progress, metadata = {} } = event
  const value = {
    step: step.toWellFormed(),
    description: message.toWellFormed(),
    progressPercent: int32(Math.round(progress * 100)),
    metadata: texts(metadata),
  }
  return as('status', value)
}

function chart(event: EventOf<'chart'>): ChatEvent {
  const { chart_type, option, title, data_points, data_source } = event
  const described = title !== undefined || data_points !== undefined || data_source !== undefined
  const metadata = {
    title: (title ?? '').toWellFormed(),
    dataPoints: int32(data_points ?? 0),
    dataSource: (data_source ?? '').toWellFormed(),
  }
  const value = { chartType: chart_type.toWellFormed(), configJson: JSON.stringify(option).toWellFormed() }
  return as('chart', described ? { ...value, metadata } : value)
}

function errorEvent(event: EventOf<'warning'> | EventOf<'error'>, message: string, severity: number): ChatEvent {
  const more =
    event.type === 'warning'
      ? {
          stepName: event.step ?? '',
          recoverable: event.recoverable ?? false,
          retryCount: int32(event.retry_count ?? 0),
        }
      : {}
  const value = {
    severity,
    errorCode: event.code.toWellFormed(),
    message: message.toWellFormed(),
    details: texts(event.details ?? {}),
    ...more,
  }
  return as('error', value)
}

/** CompletionType. */
const [taskCompleted, conversationCompleted, failed] = [0, 1, 2] as const

function completed(event: EventOf<'complete'>): ChatEvent {
  const { latency_seconds, usage } = event
  const { conversation_completed, summary, result_ids, ...more } = event.metadata ?? {}
  const tokens = usage?.total_tokens === undefined ? {} : { tokens_used: usage.total_tokens }
  return completion(conversation_completed === true ? conversationCompleted : taskCompleted, {
    summary: typeof summary === 'string' ? summary : '',
    ms: Math.round(latency_seconds * 1000),
    metadata: { ...tokens, ...more },
    resultIds: Array.isArray(result_ids) ? result_ids.map(text) : [],
  })
}

function completion(
  type: number,
  {
    summary,
    ms,
    metadata = {},
    resultIds = [],
  }: {
    summary: string
    ms: number
    metadata?: Readonly<Record<string, unknown>> | undefined
    resultIds?: string[]
  },
): ChatEvent {
  const executionTimeMs = BigInt(Number.isSafeInteger(ms) ? ms : 0)
  const value = { type, summary: summary.toWellFormed(), resultIds, executionTimeMs, metadata: texts(metadata) }
  return as('completion', value)
}

/** The nearest whole number that the field holds. */
function int32(value: number): number {
  return Number.isFinite(value) ? Math.min(Math.max(Math.trunc(value), -(2 ** 31)), 2 ** 31 - 1) : 0
}
