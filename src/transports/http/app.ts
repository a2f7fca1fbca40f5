// The HTTP API of the runs, as a Fastify application: it composes routes, validation, errors, OpenAPI. wire.md's table
// is its contract (PROTOCOL.md §5). Framing is in frames.ts, bytes are in pipe.ts; it must never buffer a stream.
import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  type FastifySchemaCompiler,
} from 'fastify'
import type { z } from 'zod'
import { RuncastError } from '../../error.ts'
import type { Principal, Runs } from '../../runs.ts'
import { aboutRoutes } from './about.ts'
import { anonymous } from './auth.ts'
import { parseBodies } from './body.ts'
import { pathPartCharsMax, refuseConnection, refuseExpectation, sendError } from './errors.ts'
import { openapiHead, openapiSchemas } from './openapi.ts'
import type { AppOptions, RouteParts } from './parts.ts'
import { type Mounted, mounted, pathOf } from './request.ts'
import { invokeRoutes, runRoutes } from './routes.ts'
import { checkQuery, validatorOf } from './schemas.ts'
import { createStreams, type Streams } from './streams.ts'

export interface App {
  readonly fastify: FastifyInstance
  readonly streams: Streams
}

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal
    mounted: Mounted | null
  }
}

const compileValidator: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) =>
  validatorOf(httpPart ?? 'body', schema) as never
const compileSerializer = () => JSON.stringify

/** A server of its own; `registerApi` puts the same routes into somebody else's. */
export async function createApp(options: AppOptions): Promise<App> {
  const fastify = Fastify({
    logger: options.logger ?? false,
    // Said here as well: else Fastify loads its own compilers, a sixth of a cold start, which nobody ever calls.
    schemaController: {
      compilersFactory: { buildValidator: () => compileValidator as never, buildSerializer: () => compileSerializer },
    },
    forceCloseConnections: 'idle',
    // Streams outlive any limit on requests; a request's own head and body have a minute.
    requestTimeout: 60_000,
    routerOptions: { maxParamLength: pathPartCharsMax },
    clientErrorHandler: refuseConnection,
    http: { requireHostHeader: false }, // Node refuses without a body; the hook below says why
    frameworkErrors: (error, request, reply) => void sendError(request as never, reply as never, error),
  })
  fastify.server.on('checkExpectation', refuseExpectation)
  const streams = streamsOf(options, fastify.log)
  await registerApi(fastify, options, streams)
  return { fastify, streams }
}

/** The open streams of a server, with what its options leave out. */
export function streamsOf(options: AppOptions, log: FastifyBaseLogger): Streams {
  return createStreams({
    log,
    deps: options.deps,
    heartbeatMs: options.heartbeatMs ?? 15_000,
    heartbeatEvents: options.heartbeatEvents ?? true,
    retryMs: options.retryMs ?? 1_000,
    connectionsMax: options.connectionsMax ?? 10_000,
  })
}

/** The routes of the API in a Fastify scope, with their own parsers, validation and errors. */
export async function registerApi(fastify: FastifyInstance, options: AppOptions, streams: Streams): Promise<void> {
  const { deps, authenticate = anonymous, runs: core, bodyBytesMax: bodyLimit = 1024 * 1024 } = options
  const idleMs = options.idleMs ?? 300_000
  const runsOf = (request: FastifyRequest): Runs => core.as(request.principal)

  fastify.decorateRequest('principal', null as unknown as Principal)
  fastify.decorateRequest('mounted', null)
  fastify.setValidatorCompiler(compileValidator)
  fastify.setSerializerCompiler(compileSerializer)
  fastify.setErrorHandler((thrown, request, reply) => sendError(request, reply, thrown))
  fastify.setNotFoundHandler((request, reply) =>
    sendError(
      request,
      reply,
      new RuncastError('not_found', `there is no ${request.method} ${pathOf(request).slice(0, 140)}; see /docs`),
    ),
  )
  parseBodies(fastify)
  // Before anybody is asked who they are: a browser asks first whether it may send a key, and cannot read a refusal without
  // these headers.
  if (options.cors) {
    const { origins, methods } = options.cors
    await fastify.register(cors, {
      origin: origins.includes('*') ? '*' : [...origins],
      methods: [...methods],
      strictPreflight: false, // who asks what there is gets an answer, and not a refusal in another shape
      exposedHeaders: ['location', 'x-runcast-heartbeat-ms', 'x-runcast-run-id'],
    })
  }
  fastify.addHook('onRequest', async request => {
    request.mounted = mounted.getStore() ?? null
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      throw new RuncastError('invalid_request', 'the header Host is missing; HTTP/1.1 wants it')
    }
    if ((request.routeOptions.config as { public?: boolean }).public) request.principal = { tenant: 'default' }
    else request.principal = await authenticate(request.headers)
  })
  fastify.addHook('preValidation', async request => checkQuery(request))
  await fastify.register(swagger, { openapi: openapiHead(options), transform: openapiSchemas })
  aboutRoutes(fastify, options, streams)
  const parts: RouteParts = { agents: core.agents, runsOf, streams, deps, idleMs, bodyLimit }
  invokeRoutes(fastify, parts, options)
  if (options.asyncRuns !== false) {
    runRoutes(fastify, parts)
    for (const face of options.faces ?? []) face(fastify, parts)
  }
}
