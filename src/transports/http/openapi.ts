// The OpenAPI document, from the very schemas that validate.
import { z } from 'zod'
import type { Agent } from '../../agent/define.ts'
import { jsonSchemaOf } from '../../agent/schema.ts'
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
  'x-output': agents.map(({ name, output }) => ({ title: name, ...jsonSchemaOf(output, 'output') })),
})
export const directSchema = (agents: readonly Agent[]) => ({
  summary: 'Runs an agent and streams its events over this connection.',
  tags: ['invoke'],
  querystring: invokeQuery,
  ...inputOf(agents),
})
export const startSchema = (agents: readonly Agent[]) => ({
  summary: 'Starts a run; with Accept: text/event-stream also streams it.',
  tags: ['runs'],
  querystring: startQuery,
  ...inputOf(agents),
  'x-status': 202,
})

/** The agents check the body themselves; OpenAPI shows what they take. */
function inputOf(agents: readonly Agent[]) {
  return { 'x-input': agents.map(agent => ({ title: agent.name, ...jsonSchemaOf(agent.input) })) }
}

/** zod to JSON Schema for OpenAPI, from the very schemas that validate. */
export function openapiSchemas({ schema, url }: { schema: unknown; url: string }): { schema: never; url: string } {
  const {
    querystring,
    body,
    'x-input': input,
    'x-output': output,
    'x-status': status = 200,
    ...rest
  } = (schema ?? {}) as Record<string, unknown>
  const shown: Record<string, unknown> = rest
  if (querystring)
    shown['querystring'] = z.toJSONSchema(querystring as z.ZodType, { io: 'input', unrepresentable: 'any' })
  if (body) shown['body'] = z.toJSONSchema(body as z.ZodType, { io: 'input', unrepresentable: 'any' })
  else if (Array.isArray(input)) shown['body'] = anyOf(input)
  // Shown only: with a `response` of its own, Fastify would leave out what the schema does not name.
  const done = Array.isArray(output) ? success(anyOf(output)) : { type: 'null', description: 'Done.' }
  shown['response'] = { [status as number]: done, default: failure }
  return { schema: shown as never, url }
}

function anyOf(schemas: readonly unknown[]): unknown {
  return schemas.length === 1 ? schemas[0] : { anyOf: schemas }
}

function success(output: unknown) {
  const properties = { success: { type: 'boolean', const: true }, output, metadata: { type: 'object' } }
  return { description: 'What the agent returned.', type: 'object', required: Object.keys(properties), properties }
}

const failure = {
  description: 'What went wrong, by its code.',
  type: 'object',
  required: ['success', 'error', 'code', 'details'],
  properties: {
    success: { type: 'boolean', const: false },
    error: { type: 'string' },
    code: { type: 'string' },
    details: { type: 'object' },
  },
}
