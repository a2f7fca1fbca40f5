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

export const invokeSchema = (summary: string, agents: readonly Agent[]) => ({
  summary,
  tags: ['invoke'],
  querystring: invokeQuery,
  ...inputOf(agents),
})
export const startSchema = (agents: readonly Agent[]) => ({
  summary: 'Starts a run; with Accept: text/event-stream also streams it.',
  tags: ['runs'],
  querystring: startQuery,
  ...inputOf(agents),
})

/** The agents check the body themselves; OpenAPI shows what they take. */
function inputOf(agents: readonly Agent[]) {
  return { 'x-input': agents.map(agent => ({ title: agent.name, ...jsonSchemaOf(agent.input) })) }
}

/** zod to JSON Schema for OpenAPI, from the very schemas that validate. */
export function openapiSchemas({ schema, url }: { schema: unknown; url: string }): { schema: never; url: string } {
  const { querystring, body, 'x-input': input, ...rest } = (schema ?? {}) as Record<string, unknown>
  const shown: Record<string, unknown> = rest
  if (querystring)
    shown['querystring'] = z.toJSONSchema(querystring as z.ZodType, { io: 'input', unrepresentable: 'any' })
  if (body) shown['body'] = z.toJSONSchema(body as z.ZodType, { io: 'input', unrepresentable: 'any' })
  else if (Array.isArray(input)) shown['body'] = input.length === 1 ? input[0] : { anyOf: input }
  return { schema: shown as never, url }
}
