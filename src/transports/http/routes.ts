// The routes of runs: `/invoke`, `/invoke/stream`, `/runs` and what stands below. Each reads its request, asks Runs, and
// answers; streams are handed on. None of them knows a log.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { agentOf } from '../../agent/define.ts'
import { type DirectLimits, direct, failureOf, invoke } from '../../direct.ts'
import { isEnded } from '../../log.ts'
import type { FollowRunOptions, Target } from '../../runs.ts'
import type { RouteParts } from './parts.ts'
import type { Subject } from './frames.ts'
import { directSchema, invokeSchema, startSchema } from './openapi.ts'
import { baseOf, cursorOf, idOf, leavingOf, reasonOf, traceLabelsOf, typesOf, wantsStream, wireOf } from './request.ts'
import { responses } from './responses.ts'
import {
  cancelQuery,
  type EventsQuery,
  eventsQuery,
  inputBody,
  type invokeQuery,
  listQuery,
  snapshotQuery,
  type StartQuery,
} from './schemas.ts'

export interface InvokeOptions {
  readonly rest?: boolean
  readonly streaming?: boolean
  readonly direct: DirectLimits
}

/** Runs that belong to their request. */
export function invokeRoutes(fastify: FastifyInstance, parts: RouteParts, options: InvokeOptions): void {
  const { agents, streams, deps, idleMs, bodyLimit } = parts
  if (options.rest !== false) fastify.post('/invoke', { bodyLimit, schema: invokeSchema(agents) }, runOnce)
  if (options.streaming !== false) {
    fastify.post('/invoke/stream', { bodyLimit, schema: directSchema(agents) }, streamOnce)
  }

  /** What a run that is not kept takes from its request. */
  const onceOf = (request: FastifyRequest) => ({
    ...options.direct,
    agent: agentOf(agents, (request.query as z.infer<typeof invokeQuery>).agent),
    input: bodyOf(request),
    deps,
    principal: request.principal,
    labels: traceLabelsOf(request),
  })

  async function runOnce(request: FastifyRequest, reply: FastifyReply) {
    const asked = onceOf(request)
    const { agent } = asked
    const { signal } = leavingOf(reply)
    const end = await invoke({ ...asked, signal })
    if (end.type === 'complete') {
      const { output, latency_seconds, metadata } = end
      return {
        success: true,
        output,
        metadata: { ...metadata, agent: agent.name, framework: agent.framework, latency_seconds },
      }
    }
    const failure = failureOf(end)
    return reply.code(failure.http).send(failure.toJSON())
  }

  async function streamOnce(request: FastifyRequest, reply: FastifyReply) {
    const { timeout } = request.query as z.infer<typeof invokeQuery>
    const asked = { ...onceOf(request), requestId: deps.id() }
    const work = {
      subject: { request_id: asked.requestId },
      wire: wireOf(request),
      idleMs: timeout === undefined ? idleMs : timeout * 1000,
      resumable: false,
    }
    return streams.serve(reply, work, async ({ signal, opened }, deliver) => {
      const stream = await direct(asked)
      opened()
      return stream.follow({ signal }, deliver)
    })
  }
}

/** Runs that are kept. */
export function runRoutes(fastify: FastifyInstance, parts: RouteParts): void {
  const { agents, runsOf, streams, deps, idleMs, bodyLimit } = parts

  fastify.post('/runs', { bodyLimit, schema: startSchema(agents) }, async (request, reply) => {
    const query = request.query as StartQuery
    const { run_id: run, thread_id: thread, on_busy: onBusy, scenario, company_id } = query
    typesOf(query.types) // refused before anything runs
    const key = request.headers['idempotency-key']
    const labels = {
      ...traceLabelsOf(request),
      ...(scenario !== undefined && { scenario }),
      ...(company_id !== undefined && { company_id }),
    }
    const info = await runsOf(request).start(query.agent, bodyOf(request), {
      run,
      thread,
      onBusy,
      idempotencyKey: typeof key === 'string' && key !== '' ? key : undefined,
      labels: Object.keys(labels).length > 0 ? labels : undefined,
    })
    const location = `${baseOf(request)}${fastify.prefix}/runs/${info.run_id}`
    // On a refusal too: the run goes on where the server has no place for one more stream.
    reply.headers({ location, 'x-runcast-run-id': info.run_id })
    if (wantsStream(request)) return streamEvents(request, reply, info.run_id, query)
    reply.code(202)
    return { run_id: info.run_id, status: info.status, events_url: `${location}/events`, created_at: info.created_at }
  })

  fastify.get(
    '/runs',
    {
      schema: {
        summary: 'Lists runs, newest first.',
        tags: ['runs'],
        querystring: listQuery,
        'x-responses': () => responses().runs.list,
      },
    },
    async request => {
      const { thread_id: thread, ...filter } = request.query as z.infer<typeof listQuery>
      return runsOf(request).list({ ...filter, thread })
    },
  )

  fastify.get(
    '/runs/:id',
    {
      schema: {
        summary: 'A run, with its output or error once it ended.',
        tags: ['runs'],
        'x-responses': () => responses().runs.show,
      },
    },
    async request => runsOf(request).get(idOf(request)),
  )

  const isBehindEnd = async (request: FastifyRequest, after: number) => {
    const { status, last_sequence } = await runsOf(request).get(idOf(request))
    if (isStrict(request.query as EventsQuery) && after > last_sequence) return false // to be refused
    return isEnded(status) && after >= last_sequence
  }
  const eventsSchema = {
    summary: "A run's events: replay, live, late, resumed, all the same.",
    tags: ['runs'],
    querystring: eventsQuery,
    'x-responses': () => responses().runs.events,
  }
  fastify.get('/runs/:id/events', { schema: eventsSchema }, async (request, reply) => {
    const query = request.query as EventsQuery
    const after = cursorOf(request, query)
    if (after > 0 && (await isBehindEnd(request, after))) return reply.code(204).send()
    return streamEvents(request, reply, idOf(request), { ...query, after })
  })

  fastify.get(
    '/runs/:id/snapshot',
    {
      schema: {
        summary: 'The view of a run at a cursor.',
        tags: ['runs'],
        querystring: snapshotQuery,
        'x-responses': () => responses().runs.snapshot,
      },
    },
    async request => {
      const { at } = request.query as z.infer<typeof snapshotQuery>
      const view = await runsOf(request).snapshot(idOf(request), at)
      return { run_id: idOf(request), at: view.at, view }
    },
  )

  fastify.post(
    '/runs/:id/input',
    {
      schema: {
        summary: 'Answers a question of the agent.',
        tags: ['runs'],
        body: inputBody,
        'x-responses': () => responses().runs.input,
      },
    },
    async (request, reply) => {
      const { input_id, value } = request.body as z.infer<typeof inputBody>
      await runsOf(request).tell(idOf(request), { type: 'input', input_id, value })
      return reply.code(202).send({ run_id: idOf(request), input_id })
    },
  )

  const cancelSchema = { tags: ['runs'], querystring: cancelQuery }
  fastify.delete(
    '/runs/:id',
    {
      schema: {
        ...cancelSchema,
        summary: 'Cancels a run; answers when it is sealed.',
        'x-responses': () => responses().runs.stop,
      },
    },
    async request => {
      const { run_id, status, reason } = await runsOf(request).cancel(idOf(request), reasonOf(request))
      return { run_id, status, ...(reason !== undefined && { reason }) }
    },
  )

  fastify.post(
    '/runs/:id/cancel',
    {
      schema: {
        ...cancelSchema,
        summary: 'Requests a cancel; answers at once.',
        'x-responses': () => responses().runs.cancel,
      },
    },
    async (request, reply) => {
      const reason = reasonOf(request)
      await runsOf(request).tell(idOf(request), { type: 'cancel', ...(reason !== undefined && { reason }) })
      return reply.code(202).send({ run_id: idOf(request), cancel_requested_at: new Date(deps.now()).toISOString() })
    },
  )

  const feedSchema = {
    summary: "A thread's feed: which runs it has, as they come.",
    tags: ['threads'],
    querystring: eventsQuery.pick({ after: true, timeout: true }),
    'x-responses': () => responses().runs.feed,
  }
  fastify.get('/threads/:id/events', { schema: feedSchema }, async (request, reply) => {
    const query = request.query as EventsQuery
    const after = cursorOf(request, query)
    return serveTarget(
      request,
      reply,
      { thread_id: idOf(request) },
      { thread: idOf(request) },
      { after },
      query.timeout,
    )
  })

  function streamEvents(request: FastifyRequest, reply: FastifyReply, run: string, query: EventsQuery) {
    const opts = { after: query.after ?? 0, types: typesOf(query.types), strict: isStrict(query) }
    return serveTarget(request, reply, { run_id: run }, run, opts, query.timeout)
  }

  function serveTarget(
    request: FastifyRequest,
    reply: FastifyReply,
    subject: Subject,
    target: Target,
    opts: FollowRunOptions,
    timeout: number | undefined,
  ) {
    const work = {
      subject,
      wire: wireOf(request),
      idleMs: timeout === undefined ? idleMs : timeout * 1000,
      resumable: true,
      resumed: (opts.after ?? 0) > 0,
    }
    const runs = runsOf(request)
    return streams.serve(reply, work, (more, deliver) => runs.follow(target, { ...opts, ...more }, deliver))
  }
}

/** The agent's input; no body is null, as it is kept (PROTOCOL.md §5.1). */
function bodyOf({ body }: FastifyRequest): unknown {
  return body === undefined ? null : body
}

function isStrict({ strict }: EventsQuery): boolean {
  return strict === '1' || strict === 'true'
}
