// The AG-UI 1.0 endpoint (wire.md §5): `POST /agui`, or `/agui/{agent}`. A runId that is new starts a run; one that exists
// is attached to, so a client that was cut off, or a second one, posts the same runId again and has the whole.
// Its posts carry half of the assistant's message and an old state: of an existing run nothing of them is believed.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { userMessageId, userText } from '../conversations/message.ts'
import { RuncastError } from '../error.ts'
import { runIdPattern } from '../event.ts'
import { aguiEncoder, type AguiMessage, interruptOf } from '../formats/agui.ts'
import { agentOf } from '../agent/define.ts'
import type { Runs } from '../runs.ts'
import { emptyView } from '../state/fold.ts'
import { stateHash } from '../state/hash.ts'
import type { RouteParts } from '../transports/http/parts.ts'
import { inputOf, isRecord } from './input.ts'
import { serveRun } from './stream.ts'
import { traceLabelsOf } from '../transports/http/request.ts'

const message = z.looseObject({ id: z.string(), role: z.string() })
const resumeEntry = z.looseObject({
  interruptId: z.string(),
  status: z.enum(['resolved', 'cancelled']),
  payload: z.unknown().optional(),
})

const runAgentInput = z.looseObject({
  threadId: z.string().min(1),
  runId: z.string().min(1),
  messages: z.array(message),
  resume: z.array(resumeEntry).nullish(),
})

type RunAgentInput = z.infer<typeof runAgentInput>

/** A run that continues another after an interrupt is known by both ids for as long as this many of them are newer. */
const aliasesMax = 10_000

export function aguiRoutes(fastify: FastifyInstance, parts: RouteParts): void {
  /** From the tenant and runId of a run that only continues another to that run. In memory: it spares nothing but a reload in mid-answer. */
  const aliases = new Map<string, string>()

  const options = {
    bodyLimit: parts.bodyLimit,
    schema: {
      summary: 'Runs an agent for an AG-UI client, or attaches to its run.',
      tags: ['faces'],
      body: runAgentInput,
      'x-responses': () => ({ 200: { description: "AG-UI's events, one a frame.", types: ['text/event-stream'] } }),
    },
  }
  fastify.post('/agui', options, post)
  fastify.post('/agui/:agent', options, post)

  async function post(request: FastifyRequest, reply: FastifyReply) {
    const input = request.body as RunAgentInput
    const runs = parts.runsOf(request)
    const alias = JSON.stringify([request.principal.tenant, input.runId])
    const answers = (input.resume ?? []).flatMap(entry => {
      const asked = interruptOf(entry.interruptId)
      return asked ? [{ ...asked, value: answerOf(entry) }] : []
    })
    const continued = answers[0]?.run ?? aliases.get(alias)
    if (continued !== undefined) remember(alias, continued)
    for (const { run, input_id, value } of answers) await answer(runs, run, input_id, value)

    const run = continued ?? runIdOf(input.runId)
    const resumed = continued !== undefined || !(await started(request, runs, run, input))
    const view = resumed ? await runs.snapshot(run) : emptyView(run)
    const told = historyOf(input.messages)
    const messages = resumed && told.length === 0 ? saidIn((await runs.get(run)).input, run) : told
    const encoder = aguiEncoder(view, {
      threadId: input.threadId,
      runId: input.runId,
      messages,
      resumed,
      answered: new Set(answers.filter(one => one.run === run).map(one => one.input_id)),
    })
    const after = resumed ? view.at : 0
    return serveRun(request, reply, parts, { runs, run, after, encoder, headers: {}, comment: ': hb\n\n', ending: '' })
  }

  function remember(alias: string, run: string): void {
    aliases.delete(alias)
    aliases.set(alias, run)
    const oldest = aliases.size > aliasesMax ? aliases.keys().next().value : undefined
    if (oldest !== undefined) aliases.delete(oldest)
  }

  /** False: the run was there already. */
  async function started(request: FastifyRequest, runs: Runs, run: string, input: RunAgentInput): Promise<boolean> {
    if (await exists(runs, run)) return false
    const agent = agentOf(parts.agents, (request.params as { agent?: string }).agent)
    const { messages, state, tools, context, forwardedProps } = input
    const chat = { messages, state, tools, context, forwardedProps }
    const known = Object.fromEntries(Object.entries(chat).filter(([, value]) => value !== undefined))
    const given = await inputOf(agent, { ...known, messages })
    try {
      await runs.start(agent.name, given, { run, thread: input.threadId, labels: traceLabelsOf(request) })
      return true
    } catch (error) {
      const { code, details } = RuncastError.from(error)
      // Two posts of one runId at once: one starts, the other attaches.
      if (code === 'conflict' && details['run_id'] === run) return false
      throw error
    }
  }
}

async function exists(runs: Runs, run: string): Promise<boolean> {
  try {
    await runs.get(run)
    return true
  } catch (error) {
    if (RuncastError.from(error).code === 'not_found') return false
    throw error
  }
}

/** An answer that comes too late is no error: the stream shows how it ended. */
async function answer(runs: Runs, run: string, input_id: string, value: unknown): Promise<void> {
  try {
    await runs.tell(run, { type: 'input', input_id, value })
  } catch (error) {
    if (RuncastError.from(error).code !== 'run_ended') throw error
  }
}

/** A plain "resolved" is a yes; a cancelled question is a no. */
function answerOf({ status, payload }: z.infer<typeof resumeEntry>): unknown {
  return status === 'cancelled' ? false : (payload ?? true)
}

/** Clients may call their runs what they like; ours have a pattern. */
function runIdOf(runId: string): string {
  return runIdPattern.test(runId) ? runId : `agui-${stateHash(runId).slice(0, 32)}`
}

/** What was said up to the user's last message: what stands behind it is this run's, and we know that better. */
function historyOf(messages: readonly AguiMessage[]): readonly AguiMessage[] {
  return messages.slice(0, messages.findLastIndex(one => one.role === 'user') + 1)
}

/** The conversation that started a run, for a client that reloaded and knows nothing of it. */
function saidIn(input: unknown, run: string): readonly AguiMessage[] {
  const messages: unknown[] = isRecord(input) && Array.isArray(input['messages']) ? input['messages'] : []
  if (messages.length > 0 && messages.every(isAgui)) return historyOf(messages)
  const words = userText(input)
  return words === undefined ? [] : [{ id: userMessageId(run), role: 'user', content: words }]
}

/** An AI SDK message has `parts` in place of `content`. */
function isAgui(one: unknown): one is AguiMessage {
  return message.safeParse(one).success && !('parts' in (one as object))
}
