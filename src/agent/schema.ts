// One way to check a value against what an agent declares: a Standard Schema (zod, valibot, arktype, …) or a JSON
// Schema from a Dockfile. It must name every field at fault, and never let the agent see what did not pass.
import type { ValidateFunction } from 'ajv'
import { type Code, RuncastError } from '../error.ts'
import { compileSchema } from '../json-schema.ts'

/** The part of https://standardschema.dev that we need; zod, valibot and others implement it. */
export interface StandardSchema<T = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    validate(value: unknown): Validated<T> | Promise<Validated<T>>
    readonly types?: { readonly input: unknown; readonly output: T } | undefined
    /** https://standardschema.dev/json-schema; zod and arktype have it, valibot with `toStandardJsonSchema`. */
    readonly jsonSchema?: Readonly<Record<Side, (options: { target: string }) => Record<string, unknown>>>
  }
}

/** What a schema takes, or what it gives back. */
type Side = 'input' | 'output'

type Validated<T> = { readonly value: T; readonly issues?: undefined } | { readonly issues: readonly Issue[] }
interface Issue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

export type JsonSchema = Readonly<Record<string, unknown>>
export type Schema<T = unknown> = StandardSchema<T> | JsonSchema

/** The value as the schema gives it back; throws `code` with `details.issues`, one for each field at fault up to {@link faultsMax}. */
export async function checked<T>(schema: Schema<T> | undefined, value: unknown, what: string, code: Code): Promise<T> {
  if (!schema) return value as T
  const result = await (isStandard(schema) ? schema['~standard'].validate(value) : validated<T>(schema, value))
  if (!result.issues) return result.value
  const { first, more } = firstOf(result.issues)
  const issues = first.map(({ path, message }) => ({ field: fieldOf(path), message: cut(message, messageCharsMax) }))
  const lines = issues.map(({ field, message }) => (field ? `${field}: ${message}` : message))
  throw new RuncastError(code, `the ${what} does not fit its schema: ${lines.join('; ')}${more}`, {
    details: { issues },
  })
}

/** What a JSON Schema says of a value, in the words of a Standard Schema. */
function validated<T>(schema: JsonSchema, value: unknown): Validated<T> {
  const validate = compiled(schema)
  if (validate(value)) return { value: value as T }
  const issues = (validate.errors ?? []).map(({ instancePath, params, message, keyword }) => {
    const missing = (params as { missingProperty?: string }).missingProperty
    const path = [...instancePath.split('/').slice(1), ...(missing === undefined ? [] : [missing])]
    return { path, message: message ?? keyword }
  })
  return { issues }
}

/** So many faults stand in a refusal: a body may have one for every two of its bytes, each as a line of the answer. */
const faultsMax = 10
/** Enough of a field's path to find it: its names are the caller's. */
const fieldCharsMax = 140
/** A schema lists what it knows, which is short, or what it does not, which the caller wrote. */
const messageCharsMax = 500

/** The faults that a refusal tells, and how many it leaves out, in words. */
export function firstOf<T>(faults: readonly T[]): { readonly first: readonly T[]; readonly more: string } {
  const more = faults.length > faultsMax ? `; and ${faults.length - faultsMax} more` : ''
  return { first: faults.slice(0, faultsMax), more }
}

/** Refuses a JSON Schema that checks nothing: every request would meet it. A Standard Schema was made by its library. */
export function checkSchema(schema: Schema | undefined, what: string): void {
  if (!schema || isStandard(schema)) return
  try {
    compiled(schema)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new RuncastError('invalid_request', `${what} is not a JSON Schema; mend it: ${why}`, { cause })
  }
}

/** The schema as JSON Schema, for OpenAPI. One whose library cannot say is described in words: it checks all the same. */
export function jsonSchemaOf(schema: Schema | undefined, side: Side = 'input'): JsonSchema {
  if (!schema) return {}
  if (!isStandard(schema)) return schema
  const { jsonSchema, vendor } = schema['~standard']
  if (!jsonSchema)
    return { description: `Checked by a schema of ${vendor} that tells no JSON Schema. ${fixOf(vendor)}` }
  try {
    return jsonSchema[side]({ target: 'draft-2020-12' })
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { description: `Checked by a schema of ${vendor} that is no JSON Schema: ${why}` }
  }
}

/** For whoever wrote the agent. */
function fixOf(vendor: string): string {
  if (vendor === 'valibot')
    return 'To show it here, give the agent toStandardJsonSchema(schema) of @valibot/to-json-schema.'
  return 'To show it here, give the agent a schema with ~standard.jsonSchema (https://standardschema.dev/json-schema).'
}

function isStandard<T>(schema: Schema<T>): schema is StandardSchema<T> {
  return '~standard' in schema
}

/** Where a fault is, as its reader would write it. */
export function fieldOf(path: Issue['path']): string {
  const names = (path ?? []).map(part => String(typeof part === 'object' ? part.key : part))
  return cut(names.join('.'), fieldCharsMax)
}

function cut(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text
}

const validators = new WeakMap<JsonSchema, ValidateFunction>()

function compiled(schema: JsonSchema): ValidateFunction {
  let validate = validators.get(schema)
  if (!validate) validators.set(schema, (validate = compileSchema(schema)))
  return validate
}
