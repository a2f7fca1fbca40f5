// chat.v1 envelopes as the events of runs: one run per conversation and task, numbered here, so that a page can show live
// what another system published. Envelopes have no number: order is the caller's (several topics are merged by time).
// It must never let a chart's text run: an option that is not a JSON object becomes a warning that says so.
import { createHash } from 'node:crypto'
import { type Event, eventId, isTerminal } from '../event.ts'
import type { EventEnvelope } from '../gen/chat/v1/events_pb.ts'
import { type LooseBody, named } from './body.ts'
import { decodeChatEvent, encodeChatEvent, isoFromTimestamp } from './chat-codec.ts'
import { chatSeverities, textPositions } from './chat-names.ts'
import { addDecoded, type Decoded, type Decoder, type Problem, type RunBatch } from './format.ts'

/** Tasks remembered; of more, the one that was silent longest is forgotten, and begins anew if it speaks again. */
const tasksMax = 10_000
/** Envelopes remembered of each task to recognise a redelivery; a task has a few dozen. */
const seenPerTaskMax = 256

export interface ChatDecoder extends Decoder {
  /** Takes an envelope that is decoded already. */
  take(envelope: EventEnvelope): Decoded
}

interface Task {
  readonly run_id: string
  /** How many runs the task had before: ids are used again. */
  readonly epoch: number
  last: number
  ended?: bigint
  failure?: { code: string; message: string; severity: string }
  readonly seen: Set<string>
}

export function chatDecoder(options: { readonly tenant?: string } = {}): ChatDecoder {
  const tasks = new Map<string, Task>()
  const { tenant = '' } = options

  const take = (envelope: EventEnvelope): Decoded => decode(envelope, encodeChatEvent(envelope))

  const decode = (envelope: EventEnvelope, bytes: Uint8Array): Decoded => {
    const { conversationId: thread, taskId } = envelope
    const key = JSON.stringify([thread, taskId])
    const time = nanoseconds(envelope)
    const known = tasks.get(key)
    const digest = createHash('sha256').update(bytes).digest('base64')
    const about = { tenant, thread }
    const problem = (kind: Problem['kind']): Decoded => ({
      batches: [],
      problems: [{ kind, ...about, ...(known && { run_id: known.run_id }) }],
    })
    // Envelopes have no id, but a time finer than a millisecond is as good as one; two alike within one may both be meant.
    const identified = time % 1_000_000n !== 0n
    if (identified && known?.seen.has(digest)) return problem('duplicate')
    // What is not newer than the end came over another topic, too late; anything newer is the task's next run.
    if (known?.ended !== undefined && time <= known.ended) return problem('after_end')
    const read = readEnvelope(envelope, known?.ended === undefined ? known?.failure : undefined)
    const task = known !== undefined && known.ended === undefined ? known : begin(key, envelope, known)
    tasks.delete(key)
    tasks.set(key, task)
    if (identified) remember(task.seen, digest)

    const after = task.last
    const bodies = after === 0 ? [startOf(envelope), read.body] : [read.body]
    const timestamp = isoFromTimestamp(envelope.timestamp ?? zero)
    const { run_id } = task
    const events = bodies.map(({ type, ...fields }) => {
      const sequence = ++task.last
      const chartId = type === 'chart' ? { chart_id: `chart-${sequence}` } : {}
      return {
        id: eventId(run_id, sequence),
        type,
        run_id,
        sequence,
        timestamp,
        ...chartId,
        ...fields,
      } as unknown as Event
    })
    if (read.failure !== undefined) task.failure = read.failure
    const ended = isTerminal(read.body.type)
    if (ended) task.ended = time
    const state = ended ? ('sealed' as const) : ('open' as const)
    const batch: RunBatch = { ...about, run_id, task: taskId, after, last: task.last, events, state }
    return { batches: [batch], problems: read.problem === undefined ? [] : [{ kind: read.problem, ...about, run_id }] }
  }

  const begin = (key: string, { conversationId, taskId }: EventEnvelope, before: Task | undefined): Task => {
    const epoch = before === undefined ? 0 : before.epoch + 1
    const of = JSON.stringify([tenant, conversationId, taskId, epoch])
    const run_id = `c-${createHash('sha256').update(of).digest('hex').slice(0, 32)}`
    if (before === undefined && tasks.size >= tasksMax) tasks.delete(tasks.keys().next().value as string)
    return { run_id, epoch, last: 0, seen: before?.seen ?? new Set() }
  }

  return {
    waiting: 0,
    take,
    push: (payload, into) => addDecoded(into, decode(decodeChatEvent(payload), payload)),
    flush: () => ({ batches: [], problems: [] }),
  }
}

const zero = { seconds: 0n, nanos: 0 } as NonNullable<EventEnvelope['timestamp']>

function nanoseconds({ timestamp = zero }: EventEnvelope): bigint {
  return timestamp.seconds * 1_000_000_000n + BigInt(timestamp.nanos)
}

function remember(seen: Set<string>, digest: string): void {
  seen.add(digest)
  if (seen.size > seenPerTaskMax) seen.delete(seen.values().next().value as string)
}

/** What the envelopes say of the whole run. Nobody told when it began: the first envelope did. */
function startOf({ conversationId, taskId, scenario, userId, companyId }: EventEnvelope): LooseBody {
  return {
    type: 'started',
    agent_name: scenario === '' ? 'ondash' : scenario,
    framework: 'ondash',
    thread_id: conversationId,
    ...named('scenario', scenario),
    ...named('user_id', userId),
    ...named('company_id', companyId),
    ...named('task_id', taskId),
  }
}

interface Read {
  readonly body: LooseBody
  readonly failure?: Task['failure'] & object
  readonly problem?: Problem['kind']
}

function readEnvelope({ event }: EventEnvelope, failure: Task['failure']): Read {
  switch (event.case) {
    case 'status': {
      const { step, description, progressPercent, metadata } = event.value
      const progress = Math.min(Math.max(progressPercent / 100, 0), 1)
      return {
        body: { type: 'progress', step, progress, ...named('message', description), ...map('metadata', metadata) },
      }
    }
    case 'text': {
      const { content, language, position } = event.value
      return {
        body: {
          type: 'text',
          content,
          ...named('language', language),
          position: textPositions[position] ?? 'standalone',
        },
      }
    }
    case 'chart':
      return readChart(event.value)
    case 'error': {
      const { severity: number, errorCode: code, message, stepName, recoverable, retryCount, details } = event.value
      const severity = chatSeverities[number] ?? 'warning'
      const retries = retryCount === 0 ? {} : { retry_count: retryCount }
      const more = { ...named('step', stepName), recoverable, ...retries, ...map('details', details) }
      const body: LooseBody = { type: 'warning', code, message, severity, ...more }
      return severity === 'warning' ? { body } : { body, failure: { code, message, severity } }
    }
    case 'completion':
      return { body: readCompletion(event.value, failure) }
    case undefined:
      throw new TypeError('an envelope without event is refused by its codec')
  }
}

type Of<Case> = Extract<EventEnvelope['event'], { case: Case }> extends { value: infer Value } ? Value : never

function readChart({ chartType: chart_type, configJson, metadata }: Of<'chart'>): Read {
  const option = parseOption(configJson)
  if (option === undefined) {
    const details = { chart_type, config_json: configJson.slice(0, keptConfigChars).toWellFormed() }
    const message = 'a chart came with a config_json that is no JSON object'
    return {
      body: { type: 'warning', code: 'invalid_chart', message, recoverable: true, details },
      problem: 'invalid_chart',
    }
  }
  if (metadata === undefined) return { body: { type: 'chart', chart_type, option } }
  const { title, dataPoints, dataSource } = metadata
  const points = dataPoints === 0 ? {} : { data_points: dataPoints }
  const described = { ...named('title', title), ...points, ...named('data_source', dataSource) }
  // Metadata was there, and empty: an empty title says the same.
  return { body: { type: 'chart', chart_type, option, ...(Object.keys(described).length > 0 ? described : { title }) } }
}

/** Of a broken chart, what shows a developer where it came from. */
const keptConfigChars = 500

function parseOption(text: string): Record<string, unknown> | undefined {
  try {
    const option: unknown = JSON.parse(text)
    const isOption = typeof option === 'object' && option !== null && !Array.isArray(option)
    return isOption ? (option as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function readCompletion(completion: Of<'completion'>, failure: Task['failure']): LooseBody {
  const { type, summary, resultIds, executionTimeMs, metadata } = completion
  // A number of ours is a safe integer; a larger one of a stranger is only shown.
  const ms = Number(executionTimeMs)
  if ((type as number) === 2) {
    const { status, by, ...others } = metadata
    if (status === 'cancelled') {
      const who = by === undefined ? {} : { by }
      return {
        type: 'cancelled',
        ...named('reason', summary),
        ...who,
        ...map('attributes', others),
        execution_time_ms: ms,
      }
    }
    const error = failure?.message ?? (summary === '' ? 'the task failed' : summary)
    const { code = 'task_failed', severity = 'error' } = failure ?? {}
    return { type: 'error', error, code, severity, ...map('details', metadata), execution_time_ms: ms }
  }
  const told = {
    ...metadata,
    ...named('summary', summary),
    ...(resultIds.length > 0 && { result_ids: resultIds }),
    ...((type as number) === 1 && { conversation_completed: true }),
  }
  return { type: 'complete', output: null, latency_seconds: ms / 1000, ...map('metadata', told) }
}

function map(name: string, entries: Record<string, unknown>): Record<string, unknown> {
  return Object.keys(entries).length === 0 ? {} : { [name]: { ...entries } }
}
