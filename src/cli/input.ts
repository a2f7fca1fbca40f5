// What an agent is given from a command line: JSON, a file of it, or an example made up from the agent's own schema.
import { readFileSync } from 'node:fs'
import type { JsonSchema } from '../agent/schema.ts'
import { RuncastError } from '../error.ts'

/** `{"a":1}`, `@input.json`, or `-` for stdin. */
export function readInput(given: string): unknown {
  const from = given === '-' ? 'stdin' : given.startsWith('@') ? given.slice(1) : undefined
  let text = given
  if (from !== undefined) {
    try {
      text = readFileSync(from === 'stdin' ? 0 : from, 'utf8')
    } catch (cause) {
      throw new RuncastError('invalid_request', `--input: ${from} cannot be read: ${(cause as Error).message}`, {
        cause,
      })
    }
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    const fix = from === undefined ? `; for a text write --input '${JSON.stringify(given.slice(0, 40))}'` : ''
    throw new RuncastError('invalid_request', `--input is no JSON: ${(cause as Error).message}${fix}`, { cause })
  }
}

/** Deeper than any input that a person would write. */
const depthMax = 8

/** An input that a schema describes: its first example or default, else the least that has everything required. */
export function exampleOf(schema: JsonSchema, depth = 0): unknown {
  const { examples, enum: choices, anyOf, oneOf, type } = schema as Record<string, unknown>
  if (Array.isArray(examples) && examples.length > 0) return examples[0]
  if ('default' in schema) return schema['default']
  if ('const' in schema) return schema['const']
  if (Array.isArray(choices) && choices.length > 0) return choices[0]
  const either = (anyOf ?? oneOf) as JsonSchema[] | undefined
  if (either?.[0] && depth < depthMax) return exampleOf(either[0], depth + 1)
  const kind: unknown = Array.isArray(type) ? type[0] : type
  if (kind === 'string') return 'example'
  if (kind === 'number' || kind === 'integer') return Number(schema['minimum'] ?? 1)
  if (kind === 'boolean') return true
  if (kind === 'null') return null
  if (kind === 'array') return []
  const { properties = {}, required = [] } = schema as { properties?: Record<string, JsonSchema>; required?: string[] }
  if (depth >= depthMax) return {}
  return Object.fromEntries(required.map(name => [name, exampleOf(properties[name] ?? {}, depth + 1)]))
}
