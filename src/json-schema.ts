// JSON Schemas made into checks, the same for whoever judges a configuration and for whoever runs its agents: what the one
// accepts the other must be able to use. Ajv is loaded by the first schema, for it is a tenth of a cold start and most have none.
import { createRequire } from 'node:module'
import type { ValidateFunction } from 'ajv'

const require = createRequire(import.meta.url)

/** Draft 2020-12, as OpenAPI 3.1 has it, or what `$schema` says: draft-07 is what most schemas in the wild are. */
function ajvFor({ $schema: dialect }: Readonly<Record<string, unknown>>) {
  const named = dialect === undefined ? '' : JSON.stringify(dialect)
  const isDraft7 = /\/draft-07\/schema#?"$/.test(named)
  if (named !== '' && !isDraft7 && !/\/draft\/2020-12\/schema#?"$/.test(named)) {
    throw new Error(`$schema ${named} is not read here; write it for draft 2020-12 or draft-07`)
  }
  // `format` is what 2020-12 says of it: a remark, which checks nothing. Else each unknown one is a line on the console.
  const options = { allErrors: true, strict: false, allowUnionTypes: true, validateFormats: false }
  if (isDraft7) return new (require('ajv') as typeof import('ajv')).Ajv(options)
  return new (require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')).Ajv2020(options)
}

/** Throws an Error that says what is wrong with the schema. */
export function compileSchema(schema: Readonly<Record<string, unknown>>): ValidateFunction {
  const ajv = ajvFor(schema) // one for each: two schemas may have the same `$id`
  if (ajv.validateSchema(schema) !== true) {
    const { instancePath = '', message = '' } = ajv.errors?.[0] ?? {}
    throw new Error(`${instancePath || 'it'} ${message}`)
  }
  return ajv.compile(schema)
}
