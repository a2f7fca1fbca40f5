// `--types` of the commands that show events. A name that no event has must be refused: it would only show nothing, as a run
// without such events does.
import { nearest, oneOf } from '../config/nearest.ts'
import { RuncastError } from '../error.ts'
import { eventTypes, isTypeName } from '../event.ts'

/** `token,custom:fraud`; throws `invalid_request` that says what there is. */
export function typesOf(types: string | undefined): ReadonlySet<string> | undefined {
  if (types === undefined) return undefined
  const names = types.split(',').map(name => name.trim())
  for (const name of names) {
    if (isTypeName(name)) continue
    const fix = `give ${oneOf([...eventTypes, 'custom:NAME'])}, with commas between them${nearest(name, eventTypes)}`
    throw new RuncastError('invalid_request', `--types: there is no event type ${JSON.stringify(name)}; ${fix}`)
  }
  return new Set(names)
}
