// The HTTP API of the runs, as a Fastify application: routes, validation, errors, OpenAPI. wire.md's table is its
// contract (PROTOCOL.md §5). It composes; framing is in frames.ts, bytes are in pipe.ts, and it must never buffer a stream.
import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import { z } from 'zod'
import { jsonSchemaOf } from '../../agent/schema.ts'
import { type Code, codes, RuncastError } from '../../error.ts'
import { eventTypes } from '../../event.ts'
import { type DirectLimits, direct, invoke } from '../../direct.ts'
import {
  agentOf,
  type Deps,
  type FollowRunOptions,
  type LocalRuns,
  type Principal,
  type Runs,
  type Target,
} from '../../runs.ts'
import { isEnded } from '../../log.ts'
import { anonymous, type Authenticate } from './auth.ts'
import { docsPage } from './docs.ts'
import type { Subject, Wire } from './frames.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import {
  cancelQuery,
  type EventsQuery,
  eventsQuery,
  inputBody,
  invokeQuery,
  listQuery,
  snapshotQuery,
  type StartQuery,
  startQuery,
  validatorOf,
} from './schemas.ts'
import { createStreams, type Streams } from './streams.ts'

export interface AppOptions {
  readonly runs: LocalRuns
  readonly deps: Deps
  readonly authenticate?: Authenticate | undefined
  readonly metrics?: Metrics | undefined
  readonly service?: string
  readonly version: string
  /** 503 on /ready until it says true. */
  readonly ready?: () => boolean
  /** The endpoints /invoke and /invoke/stream, and /runs. */
  readonly rest?: boolean
  readonly streaming?: boolean
  readonly asyncRuns?: boolean
  readonly heartbeatMs?: number
  readonly heartbeatEvents?: boolean
  readonly retryMs?: number
  /** Default of `?timeout=`. */
  readonly idleMs?: number
  readonly connectionsMax?: number
  readonly bodyBytesMax?: number
  readonly cors?: { readonly origins: readonly string[]; readonly methods: readonly string[] } | undefined
  readonly direct: DirectLimits
  readonly logger?: FastifyServerOptions['logger']
}

export interface App {
  readonly fastify: FastifyInstance
  readonly streams: Streams
}

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal
  }
}

const open = { config: { public: true } }

/** A server of its own; `registerApi` puts the same routes into somebody else's. */
export async function createApp(options: AppOptions): Promise<App> {
  const fastify = Fastify({
    logger: options.logger ?? false,
    forceCloseConnections: 'idle',
    // Streams outlive any limit on requests; a request's own head and body have a minute.
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: 256 },
    frameworkErrors: (error, request, reply) => sendError(request as never, reply as never, error),
  })
  const streams = createStreams({
    deps: options.deps,
    heartbeatMs: options.heartbeatMs ?? 15_000,
    heartbeatEvents: options.heartbeatEvents ?? true,
    retryMs: options.retryMs ?? 1_000,
    connectionsMax: options.connectionsMax ?? 10_000,
  })
  await registerApi(fastify, options, streams)
  return { fastify, streams }
}

/** The routes of the API in a Fastify scope, with their own parsers, validation and errors. */
export async function registerApi(fastify: FastifyInstance, options: AppOptions, streams: Streams): Promise<void> {
  const { deps, authenticate = anonymous, runs: core, bodyBytesMax: bodyLimit = 1024 * 1024 } = options
  const idleMs = options.idleMs ?? 300_000
  const runsOf = (request: FastifyRequest): Runs => core.as(request.principal)

  fastify.decorateRequest('principal', null as unknown as Principal)
  fastify.setValidatorCompiler(({ schema, httpPart }) => validatorOf(httpPart ?? 'body', schema as z.ZodType) as never)
  fastify.setSerializerCompiler(() => JSON.stringify)
  fastify.setErrorHandler((thrown, request, reply) => sendError(request, reply, thrown))
  fastify.setNotFoundHandler((request, reply) =>
    sendError(
      request,
      reply,
      new RuncastError('not_found', `there is no ${request.method} ${pathOf(request)}; see /docs`),
    ),
  )
  parseBodies(fastify)
  fastify.addHook('onRequest', async request => {
    if ((request.routeOptions.config as { public?: boolean }).public) request.principal = { tenant: 'default' }
    else request.principal = await authenticate(request.headers)
  })
  await fastify.register(swagger, { openapi: openapiHead(options), transform: openapiSchemas })
  if (options.cors) {
    const { origins, methods } = options.cors
    await fastify.register(cors, {
      origin: origins.includes('*') ? '*' : [...origins],
      methods: [...methods],
      exposedHeaders: ['location', 'x-runcast-heartbeat-ms'],
    })
  }
  aboutRoutes(fastify, options, streams)
  const invokeOptions = (summary: string) => ({ bodyLimit, schema: invokeSchema(summary, core) })
  if (options.rest !== false) {
    fastify.post('/invoke', invokeOptions('Runs an agent and answers with its output.'), runOnce)
  }
  if (options.streaming !== false) {
    fastify.post(
      '/invoke/stream',
      invokeOptions('Runs an agent and streams its events over this connection.'),
      streamOnce,
    )
  }
  if (options.asyncRuns !== false) runRoutes()

  async function runOnce(request: FastifyRequest, reply: FastifyReply) {
    const { agent: name } = request.query as z.infer<typeof invokeQuery>
    const agent = agentOf(core.agents, name)
    const leaving = leavingOf(reply)
    const end = await invoke({
      ...options.direct,
      agent,
      input: request.body,
      deps,
      principal: request.principal,
      signal: leaving,
    })
    if (end.type === 'complete') {
      const { output, latency_seconds, metadata } = end
      return {
        success: true,
        output,
        metadata: { ...metadata, agent: agent.name, framework: agent.framework, latency_seconds },
      }
    }
    const [code, error] =
      end.type === 'error' ? [end.code, end.error] : ['cancelled', end.reason ?? 'the run was cancelled']
    reply.code(codes[code as Code]?.http ?? 500)
    return { success: false, error, code, details: end.type === 'error' ? (end.details ?? {}) : {} }
  }

  async function streamOnce(request: FastifyRequest, reply: FastifyReply) {
    const { agent: name, timeout } = request.query as z.infer<typeof invokeQuery>
    const agent = agentOf(core.agents, name)
    const stream = await direct({ ...options.direct, agent, input: request.body, deps, principal: request.principal })
    return streams.serve(request, reply, {
      subject: { request_id: stream.request_id },
      wire: wireOf(request),
      idleMs: timeout === undefined ? idleMs : timeout * 1000,
      resumable: false,
      follow: ({ signal, opened }, deliver) => {
        opened()
        return stream.follow({ signal }, deliver)
      },
    })
  }

  function runRoutes(): void {
    fastify.post('/runs', { bodyLimit, schema: startSchema(core) }, async (request, reply) => {
      const query = request.query as StartQuery
      const { run_id: run, thread_id: thread, on_busy: onBusy, scenario, company_id } = query
      const key = request.headers['idempotency-key']
      const labels = { ...(scenario !== undefined && { scenario }), ...(company_id !== undefined && { company_id }) }
      const info = await runsOf(request).start(query.agent, request.body, {
        run,
        thread,
        onBusy,
        idempotencyKey: typeof key === 'string' && key !== '' ? key : undefined,
        labels: Object.keys(labels).length > 0 ? labels : undefined,
      })
      const location = `${fastify.prefix}/runs/${info.run_id}`
      if (wantsStream(request)) {
        return streamEvents(request, reply, info.run_id, query, { location, 'x-runcast-run-id': info.run_id })
      }
      reply.code(202).header('location', location)
      return { run_id: info.run_id, status: info.status, events_url: `${location}/events`, created_at: info.created_at }
    })

    fastify.get(
      '/runs',
      { schema: { summary: 'Lists runs, newest first.', tags: ['runs'], querystring: listQuery } },
      async request => {
        const { thread_id: thread, ...filter } = request.query as z.infer<typeof listQuery>
        return runsOf(request).list({ ...filter, thread })
      },
    )

    fastify.get(
      '/runs/:id',
      { schema: { summary: 'A run, with its output or error once it ended.', tags: ['runs'] } },
      async request => runsOf(request).get(idOf(request)),
    )

    const eventsSchema = {
      summary: "A run's events: replay, live, late, resumed, all the same.",
      tags: ['runs'],
      querystring: eventsQuery,
    }
    fastify.get('/runs/:id/events', { schema: eventsSchema }, async (request, reply) => {
      const query = request.query as EventsQuery
      const after = cursorOf(request, query)
      const { status, last_sequence } = await runsOf(request).get(idOf(request))
      if (isEnded(status) && after >= last_sequence) return reply.code(204).send()
      return streamEvents(request, reply, idOf(request), { ...query, after }, {})
    })

    fastify.get(
      '/runs/:id/snapshot',
      { schema: { summary: 'The view of a run at a cursor.', tags: ['runs'], querystring: snapshotQuery } },
      async request => {
        const { at } = request.query as z.infer<typeof snapshotQuery>
        const view = await runsOf(request).snapshot(idOf(request), at)
        return { run_id: idOf(request), at: view.at, view }
      },
    )

    fastify.post(
      '/runs/:id/input',
      { schema: { summary: 'Answers a question of the agent.', tags: ['runs'], body: inputBody } },
      async (request, reply) => {
        const { input_id, value } = request.body as z.infer<typeof inputBody>
        await runsOf(request).tell(idOf(request), { type: 'input', input_id, value })
        return reply.code(202).send({ run_id: idOf(request), input_id })
      },
    )

    const cancelSchema = { tags: ['runs'], querystring: cancelQuery }
    fastify.delete(
      '/runs/:id',
      { schema: { ...cancelSchema, summary: 'Cancels a run; answers when it is sealed.' } },
      async request => {
        const { run_id, status, reason } = await runsOf(request).cancel(idOf(request), reasonOf(request))
        return { run_id, status, ...(reason !== undefined && { reason }) }
      },
    )

    fastify.post(
      '/runs/:id/cancel',
      { schema: { ...cancelSchema, summary: 'Requests a cancel; answers at once.' } },
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
        {},
      )
    })
  }

  function streamEvents(
    request: FastifyRequest,
    reply: FastifyReply,
    run: string,
    query: EventsQuery,
    headers: Record<string, string>,
  ) {
    const strict = query.strict === '1' || query.strict === 'true'
    const opts = { after: query.after ?? 0, types: typesOf(query.types), strict }
    return serveTarget(request, reply, { run_id: run }, run, opts, query.timeout, headers)
  }

  function serveTarget(
    request: FastifyRequest,
    reply: FastifyReply,
    subject: Subject,
    target: Target,
    opts: FollowRunOptions,
    timeout: number | undefined,
    extraHeaders: Record<string, string>,
  ) {
    return streams.serve(request, reply, {
      subject,
      wire: wireOf(request),
      idleMs: timeout === undefined ? idleMs : timeout * 1000,
      resumable: true,
      extraHeaders,
      follow: (more, deliver) => runsOf(request).follow(target, { ...opts, ...more }, deliver),
    })
  }
}

/** Health, readiness, metrics, and what the server says of itself. */
function aboutRoutes(fastify: FastifyInstance, options: AppOptions, streams: Streams): void {
  const { runs, deps, service = 'runcast', version } = options
  const metrics = options.metrics ?? createMetrics()
  const first = () => agentOf(runs.agents, undefined)
  const tags = ['server']
  fastify.get('/health', { ...open, schema: { summary: 'Whether the process lives.', tags } }, async () => {
    const { name: agent, framework } = first()
    return { status: 'ok', service, version, timestamp: new Date(deps.now()).toISOString(), agent, framework }
  })
  fastify.get('/ready', { ...open, schema: { summary: 'Whether it takes work.', tags } }, async () => {
    if (options.ready?.() === false) throw new RuncastError('not_ready', 'the agents are still loading')
    return { success: true, status: 'ready', agent: first().name }
  })
  fastify.get('/metrics', { schema: { summary: 'Prometheus metrics.', tags } }, async (_request, reply) => {
    metrics.streamsOpen(streams.open)
    return reply.type(metrics.contentType).send(await metrics.text())
  })
  fastify.get('/schema', { schema: { summary: 'Input and output schemas of the agents.', tags } }, async () => ({
    agents: runs.agents.map(agent => ({
      name: agent.name,
      input: jsonSchemaOf(agent.input),
      output: jsonSchemaOf(agent.output),
    })),
  }))
  fastify.get('/info', { schema: { summary: 'What this server offers.', tags } }, async () => ({
    service,
    version,
    agents: runs.agents.map(({ name, framework, description }) => ({
      name,
      framework,
      ...(description !== undefined && { description }),
    })),
    rest: options.rest !== false,
    streaming: options.streaming !== false ? 'sse' : 'none',
    async_runs: options.asyncRuns !== false,
    event_types: eventTypes,
  }))
  fastify.get('/openapi.json', { ...open, schema: { hide: true } }, async () => fastify.swagger())
  fastify.get('/docs', { ...open, schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(docsPage(fastify.swagger() as never)),
  )
}

/** The raw body is the agent's input: JSON, or text as it is; nothing at all is null. */
function parseBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, null)
    try {
      done(null, JSON.parse(body as string))
    } catch (error) {
      done(new RuncastError('invalid_request', `the body is no JSON: ${(error as Error).message}`), undefined)
    }
  })
  fastify.addContentTypeParser(/^text\//, { parseAs: 'string' }, (_request, body, done) => done(null, body))
}

const fastifyCodes: Readonly<Record<string, Code>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'invalid_request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_BAD_URL: 'invalid_request',
}

function sendError(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const { code: own = '', statusCode = 500 } = thrown as { code?: string; statusCode?: number }
  const error = RuncastError.from(thrown, fastifyCodes[own] ?? (statusCode < 500 ? 'invalid_request' : 'internal'))
  if (error.code === 'internal') {
    request.log.error({ err: thrown }, 'unexpected')
    const hidden = new RuncastError('internal', 'something went wrong here; the server log says what')
    return reply.code(500).send(hidden.toJSON())
  }
  if (error.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  return reply.code(error.http).send(error.toJSON())
}

/** Several ways to say one cursor; an EventSource repeats its URL, so the header it adds wins. */
function cursorOf(request: FastifyRequest, query: EventsQuery): number {
  const header = request.headers['last-event-id']
  if (typeof header === 'string' && header !== '') {
    const id = Number(header)
    if (Number.isSafeInteger(id) && id >= 0) return id
    throw new RuncastError(
      'invalid_request',
      `Last-Event-ID must be a sequence, got ${JSON.stringify(header.slice(0, 80))}`,
    )
  }
  return query.after ?? Math.max(0, (query.from_sequence ?? 1) - 1)
}

function typesOf(types: string | undefined): ReadonlySet<string> | undefined {
  if (types === undefined) return undefined
  const names = types.split(',').map(name => name.trim())
  for (const name of names) {
    if (
      !/^(custom:)?[A-Za-z_][A-Za-z0-9_]*$/.test(name) ||
      !(eventTypes.includes(name as never) || name.startsWith('custom:'))
    ) {
      throw new RuncastError(
        'invalid_request',
        `types: there is no event type ${JSON.stringify(name)}; there are ${eventTypes.join(', ')} and custom:NAME`,
      )
    }
  }
  return new Set(names)
}

function wantsStream(request: FastifyRequest): boolean {
  return /text\/event-stream|application\/x-ndjson/.test(request.headers.accept ?? '')
}

function wireOf(request: FastifyRequest): Wire {
  return request.headers.accept?.includes('application/x-ndjson') ? 'ndjson' : 'sse'
}

function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

function reasonOf(request: FastifyRequest): string | undefined {
  return (request.query as z.infer<typeof cancelQuery>).reason
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? ''
}

function leavingOf(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) leaving.abort()
  })
  return leaving.signal
}

function openapiHead({ service = 'Runcast', version }: AppOptions) {
  return {
    openapi: '3.1.0',
    info: { title: service, version, description: 'Every run is an append-only log of numbered events.' },
  } as const
}

const invokeSchema = (summary: string, runs: LocalRuns) => ({
  summary,
  tags: ['invoke'],
  querystring: invokeQuery,
  ...inputOf(runs),
})
const startSchema = (runs: LocalRuns) => ({
  summary: 'Starts a run; with Accept: text/event-stream also streams it.',
  tags: ['runs'],
  querystring: startQuery,
  ...inputOf(runs),
})

/** The agents check the body themselves; OpenAPI shows what they take. */
function inputOf(runs: LocalRuns) {
  return { 'x-input': runs.agents.map(agent => ({ title: agent.name, ...jsonSchemaOf(agent.input) })) }
}

/** zod to JSON Schema for OpenAPI, from the very schemas that validate. */
function openapiSchemas({ schema, url }: { schema: unknown; url: string }): { schema: never; url: string } {
  const { querystring, body, 'x-input': input, ...rest } = (schema ?? {}) as Record<string, unknown>
  const shown: Record<string, unknown> = rest
  if (querystring)
    shown['querystring'] = z.toJSONSchema(querystring as z.ZodType, { io: 'input', unrepresentable: 'any' })
  if (body) shown['body'] = z.toJSONSchema(body as z.ZodType, { io: 'input', unrepresentable: 'any' })
  else if (Array.isArray(input)) shown['body'] = input.length === 1 ? input[0] : { anyOf: input }
  return { schema: shown as never, url }
}
