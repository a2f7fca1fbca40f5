// The filter of events (`streaming.events.allowed`): which optional types a run may put into its log.
// One parse for the Dockfile, the CLI and the API, so that a name refused here is refused everywhere.
// It must never drop an entry that it does not know: a typo would silence an event without a word (DK57).

import { RuncastError } from '../error.ts'
import { customNamePattern, eventTypes, reservedNames } from '../event.ts'
import { nearest, oneOf } from './nearest.ts'

/** What the source may emit beside what always passes. `types` holds type names, `custom` (all) and `custom:NAME`. */
export interface AllowedEvents {
  readonly types: 'all' | ReadonlySet<string>
  readonly heartbeat: boolean
}

/** What is wrong with one entry; `%v` in `message` stands for the entry, so that a caller may hide it. */
export interface AllowedFault {
  /** Position in the list; undefined when the whole value is at fault. */
  readonly index: number | undefined
  readonly entry: unknown
  readonly message: string
  readonly fix: string
}

export const presets: Readonly<Record<string, AllowedEvents>> = {
  minimal: { types: new Set(), heartbeat: false },
  chat: { types: new Set(['token', 'step', 'text', 'chart']), heartbeat: true },
  debug: { types: 'all', heartbeat: true },
  all: { types: 'all', heartbeat: true },
}

const presetNames = Object.keys(presets)
const entryNames: readonly string[] = [...eventTypes, 'heartbeat']

/** A preset's name or a list of entries; throws `invalid_request` that names every entry at fault. */
export function parseAllowed(value: unknown): AllowedEvents {
  const faults = allowedFaults(value)
  if (faults.length === 0) return allowedOf(value as string | readonly string[])
  const lines = faults.map(({ entry, message, fix }) => `${message.replace('%v', () => JSON.stringify(entry))}; ${fix}`)
  throw new RuncastError('invalid_request', lines.join('\n'), {
    details: { entries: faults.map(({ entry }) => entry) },
  })
}

/** Everything that is wrong with a filter; empty when {@link parseAllowed} will take it. */
export function allowedFaults(value: unknown): AllowedFault[] {
  if (Array.isArray(value)) return value.flatMap((entry: unknown, index) => entryFault(entry, index) ?? [])
  if (typeof value === 'string' && Object.hasOwn(presets, value)) return []
  const hint = typeof value === 'string' && entryFault(value, 0) === undefined ? `; for one type write [${value}]` : ''
  return [
    {
      index: undefined,
      entry: value,
      message: '%v is not a preset',
      fix: `give ${oneOf(presetNames)}, or a list of event types${nearest(value, presetNames)}${hint}`,
    },
  ]
}

function allowedOf(value: string | readonly string[]): AllowedEvents {
  if (typeof value === 'string') return presets[value] ?? { types: 'all', heartbeat: true }
  return { types: new Set(value.filter(entry => entry !== 'heartbeat')), heartbeat: value.includes('heartbeat') }
}

function entryFault(entry: unknown, index: number): AllowedFault | undefined {
  const fault = (message: string, fix: string) => ({ index, entry, message, fix })
  if (typeof entry !== 'string') return fault('%v is not an event type', 'give its name')
  if (entry.trim() === '') return fault('%v is an empty entry', 'give an event type or delete it')
  if (entryNames.includes(entry)) return undefined
  if (!entry.startsWith('custom:')) {
    if (presetNames.includes(entry))
      return fault('%v is a preset, not an event type', `write allowed: ${entry}, without a list`)
    const known = `give ${oneOf([...entryNames, 'custom:NAME'])}, or ${oneOf(presetNames)} alone`
    return fault('%v is not an event type', `${known}${nearest(entry, [...entryNames, ...presetNames])}`)
  }
  const name = entry.slice('custom:'.length)
  if (!customNamePattern.test(name)) {
    return fault('%v does not name a custom event', 'after custom: give letters, digits and _, not a digit first')
  }
  return reservedNames.has(name)
    ? fault('%v names a reserved word that no custom event can have', 'rename it')
    : undefined
}
