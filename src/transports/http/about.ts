// What the server says of itself: health, readiness, metrics, schemas, documentation.
import type { FastifyInstance } from 'fastify'
import { jsonSchemaOf } from '../../agent/schema.ts'
import { RuncastError } from '../../error.ts'
import { eventTypes } from '../../event.ts'
import type { AppOptions } from './parts.ts'
import { docsPage } from './docs.ts'
import { createMetrics } from './metrics.ts'
import { responses } from './responses.ts'
import type { Streams } from './streams.ts'
import { healthOf } from './vitals.ts'

/** Needs no key: for load balancers, and for who reads how to send one. */
const open = { config: { public: true } }

/** Health, readiness, metrics, and what the server says of itself. */
export function aboutRoutes(fastify: FastifyInstance, options: AppOptions, streams: Streams): void {
  const { runs, deps, service = 'runcast', version } = options
  const metrics = options.metrics ?? createMetrics()
  /** A server that only shows has none. */
  const [first] = runs.agents
  const tags = ['server']
  fastify.get(
    '/health',
    {
      ...open,
      schema: { summary: 'Whether the process lives.', tags, 'x-responses': () => responses().about.health },
    },
    async () => {
      const now = deps.now()
      const timestamp = new Date(now).toISOString()
      // Where keys are asked for, whoever has none learns that something is wrong, and not where the brokers are.
      const vitals = await healthOf(options, { now, tells: options.authenticate === undefined })
      const named = first && { agent: first.name, framework: first.framework }
      return { status: 'ok', service, version, timestamp, ...named, ...vitals }
    },
  )
  fastify.get(
    '/ready',
    { ...open, schema: { summary: 'Whether it takes work.', tags, 'x-responses': () => responses().about.ready } },
    async () => {
      if (options.ready?.() === false) throw new RuncastError('not_ready', 'the agents are still loading')
      return { success: true, status: 'ready', ...(first && { agent: first.name }) }
    },
  )
  fastify.get(
    '/metrics',
    { schema: { summary: 'Prometheus metrics.', tags, 'x-responses': () => responses().about.metrics } },
    async (_request, reply) => {
      metrics.streamsOpen(streams.open)
      return reply.type(metrics.contentType).send(await metrics.text(options, deps.now()))
    },
  )
  fastify.get(
    '/schema',
    {
      schema: {
        summary: 'Input and output schemas of the agents.',
        tags,
        'x-responses': () => responses().about.schema,
      },
    },
    async () => ({
      agents: runs.agents.map(agent => ({
        name: agent.name,
        input: jsonSchemaOf(agent.input),
        output: jsonSchemaOf(agent.output, 'output'),
      })),
    }),
  )
  fastify.get(
    '/info',
    { schema: { summary: 'What this server offers.', tags, 'x-responses': () => responses().about.info } },
    async () => ({
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
      // Nobody could answer: what is here was run elsewhere.
      read_only: first === undefined,
      event_types: eventTypes,
    }),
  )
  fastify.get('/openapi.json', { ...open, schema: { hide: true } }, async () => fastify.swagger())
  fastify.get('/docs', { ...open, schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(docsPage(fastify.swagger() as never)),
  )
}
