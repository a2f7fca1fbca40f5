// The endpoints of the AI SDK's useChat (wire.md §6): `POST /api/chat` starts a run on the chat's thread and streams its
// message, `GET /api/chat/{id}/stream` goes on with whatever runs there, `DELETE /api/chat/{id}` stops it. It must never
// answer 204 while somebody may still lack the end of a message.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { RuncastError } from '../error.ts'
import { aisdkEncoder, type AisdkOptions, aisdkRunOf, askOf } from '../formats/aisdk.ts'
import { isEnded } from '../log.ts'
import { agentOf } from '../agent/define.ts'
import type { RunInfo, Runs } from '../runs.ts'
import { emptyView, type View } from '../state/fold.ts'
import type { RouteParts } from '../transports/http/parts.ts'
import { inputOf, isRecord } from './input.ts'
import { serveRun } from './stream.ts'
import { traceLabelsOf } from '../transports/http/request.ts'

/** How long an ended run is still replayed: who was cut off just before its end comes back within seconds. */
const replayMsAfterEnd = 20_000
/** How many of a thread's newest runs are looked at for one that is not over. */
const runsLookedAt = 50

const message = z.looseObject({ id: z.string().optional(), role: z.string() })

const chatBody = z.looseObject({
  id: z.string().min(1).describe('The chat; the thread of its runs.'),
  messages: z.array(message),
  trigger: z.enum(['submit-message', 'regenerate-message']).optional(),
  messageId: z.string().nullish(),
  agent: z.string().optional().describe('Which agent; default: the first. Set it by `body` of the transport.'),
})

type ChatBody = z.infer<typeof chatBody>

const headers = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache',
  'x-vercel-ai-ui-message-stream': 'v1',
} as const

export function aisdkRoutes(fastify: FastifyInstance, parts: RouteParts): void {
  const { bodyLimit, deps, runsOf } = parts
  const tags = ['faces']
  const message = { description: 'A UI message stream.', types: ['text/event-stream'] }
  const startSchema = {
    summary: 'Starts a run for an AI SDK chat and streams its message.',
    tags,
    body: chatBody,
    'x-responses': () => ({ 200: message }),
  }
  fastify.post('/api/chat', { bodyLimit, schema: startSchema }, async (request, reply) => {
    const body = request.body as ChatBody
    const runs = runsOf(request)
    const answers = answersOf(body)
    if (answers) return goOn(request, reply, runs, answers)
    const { id: thread, trigger: _trigger, messageId: _message, agent: name, ...chat } = body
    const agent = agentOf(parts.agents, name)
    const { run_id } = await runs.start(agent.name, await inputOf(agent, chat), {
      thread,
      labels: traceLabelsOf(request),
    })
    return stream(request, reply, runs, run_id, emptyView(run_id), { from: 'replay' })
  })

  const resumeSchema = {
    summary: "Goes on with a chat's active run; 204 when there is none.",
    tags,
    'x-responses': () => ({ 200: message, 204: { description: 'Nothing runs, or ended just now.' } }),
  }
  fastify.get('/api/chat/:id/stream', { schema: resumeSchema }, async (request, reply) => {
    const runs = runsOf(request)
    const active = await activeRun(runs, chatOf(request), deps.now())
    if (!active) return reply.code(204).send()
    const view = await upToQuestion(runs, await runs.snapshot(active.run_id))
    return stream(request, reply, runs, active.run_id, view, { from: 'replay' })
  })

  const stopSchema = {
    summary: "Stops a chat's runs.",
    tags,
    'x-responses': () => ({
      200: {
        description: 'The runs that were stopped.',
        schema: z.object({ success: z.literal(true), cancelled: z.array(z.string()) }),
      },
    }),
  }
  fastify.delete('/api/chat/:id', { schema: stopSchema }, async request => {
    const runs = runsOf(request)
    const { runs: known } = await runs.list({ thread: chatOf(request), limit: runsLookedAt })
    const open = known.filter(({ status }) => !isEnded(status))
    const told = await Promise.all(open.map(({ run_id }) => cancel(runs, run_id)))
    return { success: true, cancelled: told.filter(run => run !== undefined) }
  })

  /** Tells the run what the person answered, and streams what follows the question. */
  async function goOn(request: FastifyRequest, reply: FastifyReply, runs: Runs, { run, given }: Answers) {
    const { questions } = await runs.snapshot(run)
    for (const { input_id, value } of given) {
      if (!questions.some(question => question.input_id === input_id)) continue // answered before, or too late
      await runs.tell(run, { type: 'input', input_id, value })
    }
    const after = Math.max(...given.map(({ sequence }) => sequence))
    const answered = new Set(given.map(({ input_id }) => input_id))
    return stream(request, reply, runs, run, await runs.snapshot(run, after), { from: 'rest', answered })
  }

  function stream(
    request: FastifyRequest,
    reply: FastifyReply,
    runs: Runs,
    run: string,
    view: View,
    options: AisdkOptions,
  ) {
    const after = view.at
    const encoder = aisdkEncoder(view, options)
    const ends = { comment: ': keep-alive\n\n', ending: 'data: [DONE]\n\n' }
    return serveRun(request, reply, parts, { runs, run, after, encoder, headers, ...ends })
  }
}

/** What runs on a thread, or what did until just now. */
async function activeRun(runs: Runs, thread: string, now: number): Promise<RunInfo | undefined> {
  const { runs: known } = await runs.list({ thread, limit: runsLookedAt })
  const running = known.find(({ status }) => status === 'running')
  const next = known.findLast(({ status }) => status === 'accepted')
  const latest = known[0]
  const isFresh = latest?.completed_at !== undefined && now - Date.parse(latest.completed_at) <= replayMsAfterEnd
  return running ?? next ?? (isFresh ? latest : undefined)
}

/** The view at the first open question: what the agent does beside it is told after the answer, to everyone at the same place. */
async function upToQuestion(runs: Runs, view: View): Promise<View> {
  const [question] = view.questions
  return question ? runs.snapshot(view.run_id, Number(question.part_id.slice(1))) : view
}

interface Answers {
  readonly run: string
  readonly given: readonly { input_id: string; sequence: number; value: unknown }[]
}

/** The answers in the last message, when that is one of ours: the client sends it again with them in it. */
function answersOf({ messages, trigger }: ChatBody): Answers | undefined {
  const last = messages.at(-1)
  const run = last?.role === 'assistant' && last.id !== undefined ? aisdkRunOf(last.id) : undefined
  if (run === undefined || trigger === 'regenerate-message' || !Array.isArray(last?.['parts'])) return undefined
  const given = (last['parts'] as unknown[]).flatMap(part => {
    if (!isRecord(part)) return []
    const asked = askOf(String(part['toolCallId']))
    if (!asked) return []
    const { state, approval, output, errorText } = part
    if (state === 'approval-responded' && isRecord(approval))
      return [{ ...asked, value: approval['approved'] === true }]
    if (state === 'output-available') return [{ ...asked, value: output ?? null }]
    return state === 'output-error' ? [{ ...asked, value: { error: errorText } }] : []
  })
  return given.length > 0 ? { run, given } : undefined
}

async function cancel(runs: Runs, run: string): Promise<string | undefined> {
  try {
    await runs.cancel(run, 'stopped in the chat')
    return run
  } catch (error) {
    if (RuncastError.from(error).code === 'run_ended') return undefined
    throw error
  }
}

function chatOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}
