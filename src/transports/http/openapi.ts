// The OpenAPI document, from the very schemas that validate.
import type { z } from 'zod'
import type { Agent } from '../../agent/define.ts'
import { jsonSchemaOf } from '../../agent/schema.ts'
import { invokeResponses, jsonOf, type Responses, responses, shownResponses } from './responses.ts'
import { invokeQuery, startQuery } from './schemas.ts'

export function openapiHead({ service = 'Runcast', version }: { service?: string; version: string }) {
  return {
    openapi: '3.1.0',
    info: { title: service, version, description: 'Every run is an append-only log of numbered events.' },
  } as const
}

export const invokeSchema = (agents: readonly Agent[]) => ({
  summary: 'Runs an agent and answers with its output.',
  tags: ['invoke'],
  querystring: invokeQuery,
  ...inputOf(agents),
  'x-responses': () => invokeResponses(agents),
})
export const directSchema = (agents: readonly Agent[]) => ({
  summary: 'Runs an agent and streams its events over this connection.',
  tags: ['invoke'],
  querystring: invokeQuery,
  ...inputOf(agents),
  'x-responses': () => responses().runs.direct,
})
export const startSchema = (agents: readonly Agent[]) => ({
  summary: 'Starts a run; with Accept: text/event-stream also streams it.',
  tags: ['runs'],
  querystring: startQuery,
  ...inputOf(agents),
  'x-responses': () => responses().runs.start,
})

/** The agents check the body themselves; OpenAPI shows what they take. */
function inputOf(agents: readonly Agent[]) {
  return { 'x-input': agents.map(agent => ({ title: agent.name, ...jsonSchemaOf(agent.input) })) }
}

/** zod to JSON Schema for OpenAPI, from the very schemas that validate. */
export function openapiSchemas({ schema, url }: { schema: unknown; url: string }): { schema: never; url: string } {
  const { querystring, body, 'x-input': input, 'x-responses': answers, ...rest } = (schema ?? {}) as Described
  const shown: Record<string, unknown> = rest
  if (querystring) shown['querystring'] = jsonOf(querystring)
  if (body) shown['body'] = jsonOf(body)
  else if (input) shown['body'] = input.length === 1 ? input[0] : { anyOf: input }
  // Shown only: with a `response` of its own, Fastify would leave out what the schema does not name.
  shown['response'] = shownResponses(answers?.() ?? {})
  return { schema: shown as never, url }
}

/** What the routes say of themselves. */
interface Described {
  readonly querystring?: z.ZodType
  readonly body?: z.ZodType
  readonly 'x-input'?: readonly unknown[]
  readonly 'x-responses'?: () => Responses
}
