// What requests may say: the schemas that validate are the ones that OpenAPI shows. Unknown parameters are refused,
// for a misspelt `form_sequence` would otherwise replay the whole run without a word.
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { fieldOf, firstOf } from '../../agent/schema.ts'
import { RuncastError, shown } from '../../error.ts'

const sequence = z.number().int().min(0) // `int` has the bound of safe integers
/** Seconds that a stream may be idle: wire.md gives 1 to 3600. */
const idleSecondsMax = 3_600
const nameCharsMax = 200

export const startQuery = z.strictObject({
  run_id: z.string().optional().describe('The id of the run; made up when absent.'),
  agent: z.string().optional().describe('Which agent; default: the first.'),
  thread_id: z
    .string()
    .min(1)
    .max(nameCharsMax)
    .optional()
    .describe('The conversation that the run belongs to: one run at a time.'),
  on_busy: z.enum(['reject', 'queue', 'interrupt']).optional().describe('What to do when the thread runs already.'),
  scenario: z.string().max(nameCharsMax).optional(),
  company_id: z.string().max(nameCharsMax).optional(),
  timeout: z
    .number()
    .min(1)
    .max(idleSecondsMax)
    .optional()
    .describe('Idle seconds until the response ends (streams only).'),
  types: z.string().optional().describe('Only these event types, separated by commas (streams only).'),
})

export const invokeQuery = z.strictObject({
  agent: z.string().optional().describe('Which agent; default: the first.'),
  timeout: startQuery.shape.timeout,
})

export const listQuery = z.strictObject({
  status: z.enum(['accepted', 'running', 'completed', 'failed', 'cancelled']).optional(),
  thread_id: z.string().optional(),
  agent: z.string().optional(),
  cursor: z.string().optional().describe('`next` of the page before.'),
  limit: z.number().int().min(1).max(500).optional(),
})

export const eventsQuery = z.strictObject({
  after: sequence.optional().describe('The last sequence seen; exclusive.'),
  from_sequence: sequence.optional().describe('The first sequence wanted; inclusive. 0 and 1: from the start.'),
  strict: z
    .enum(['0', '1', 'true', 'false'])
    .optional()
    .describe('410 instead of a gap notice, and for a cursor beyond the last event.'),
  timeout: startQuery.shape.timeout,
  types: startQuery.shape.types,
})

export const snapshotQuery = z.strictObject({ at: sequence.optional().describe('The cursor; default: now.') })
export const cancelQuery = z.strictObject({ reason: z.string().max(1_000).optional() })
export const inputBody = z.strictObject({ input_id: z.string().min(1).max(nameCharsMax), value: z.unknown() })

export type StartQuery = z.infer<typeof startQuery>
export type EventsQuery = z.infer<typeof eventsQuery>

/** Fastify's validator from a zod schema: one clear error that names every field, its value and what is wrong. */
export function validatorOf(
  part: string,
  schema: z.ZodType,
): (value: unknown) => { value: unknown } | { error: Error } {
  return value => {
    const result = schema.safeParse(part === 'querystring' ? withNumbers(value, schema) : (value ?? {}))
    if (result.success) return { value: result.data }
    const { first, more } = firstOf(result.error.issues)
    const issues = first.map(issue => {
      if (issue.code === 'unrecognized_keys') return unknownKeys(part, issue.keys, known(schema))
      const given = valueAt(value, issue.path)
      const message = given === undefined && issue.code === 'invalid_type' ? 'it is missing' : issue.message
      return { field: fieldOf(issue.path), message, ...(given !== undefined && { value: cut(given) }) }
    })
    const lines = issues.map(({ field, message, ...given }) => {
      const got = 'value' in given ? `, got ${JSON.stringify(given.value)}` : ''
      return `${field || part}: ${message}${got}`
    })
    return { error: new RuncastError('invalid_request', lines.join('; ') + more, { details: { issues } }) }
  }
}

interface Issue {
  readonly field: string
  readonly message: string
}

/** What a strict schema says of a query, for routes that take none, and for what no decoder reads as it was meant. */
export function checkQuery({ is404, method, raw, routeOptions, query }: FastifyRequest): void {
  if (is404 || method === 'OPTIONS' || (routeOptions.config as { public?: boolean }).public) return
  const search = raw.url?.split('?')[1] ?? ''
  try {
    decodeURIComponent(search)
  } catch {
    const message = `the query ${shown(search)} is no percent-encoded UTF-8; encode its values`
    throw new RuncastError('invalid_request', message)
  }
  const keys = Object.keys(query as object)
  if (routeOptions.schema?.querystring !== undefined || keys.length === 0) return
  const { field, message } = unknownKeys('querystring', keys, 'none')
  throw new RuncastError('invalid_request', `${field}: ${message}`, { details: { issues: [{ field, message }] } })
}

/** So many names of a request stand in its refusal. */
const namesMax = 5

function unknownKeys(part: string, keys: readonly string[], known: string): Issue {
  const names = keys.slice(0, namesMax).map(name => (/^[\w.-]{1,60}$/.test(name) ? name : shown(name)))
  const field = names.join(', ') + (keys.length > namesMax ? ` and ${keys.length - namesMax} more` : '')
  return { field, message: `unknown ${part} parameter; known: ${known}` }
}

/** Enough to know it by; a page of it need not come back. */
function cut(value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 140 ? `${text.slice(0, 140)}…` : value
}

/** A query is text. `Number` would take "" for 0, and replay a whole run without a word, and "0x10" for 16. */
const decimal = /^-?\d+(\.\d+)?$/

function withNumbers(query: unknown, schema: z.ZodType): unknown {
  const shape = schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : {}
  const isNumber = (field: z.ZodType | undefined) =>
    (field instanceof z.ZodOptional ? field.unwrap() : field) instanceof z.ZodNumber
  return Object.fromEntries(
    Object.entries(query ?? {}).map(([name, given]) => {
      const text = typeof given === 'string' && decimal.test(given) && isNumber(shape[name])
      return [name, text ? Number(given) : given]
    }),
  )
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value)
}

function known(schema: z.ZodType): string {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape).join(', ') : ''
}
