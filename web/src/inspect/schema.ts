// The schema of a run's state, and its history: which fields there are and of what kind, and at which event that changed.
// A log keeps no declared schema of a state; this is what the state was, read off its values. It must never guess: of a
// list, its entries are described by all that was ever seen in it, so that one that is emptied and filled changes nothing.

/** A field that came (no `before`), went (no `after`) or became another kind. */
export interface SchemaChange {
  /** `draft.sections[].title`; '' is the state itself. */
  readonly path: string
  readonly before?: string
  readonly after?: string
}

/** What one event did to the schema. */
export interface SchemaVersion {
  readonly sequence: number
  readonly changes: readonly SchemaChange[]
  /** Changes that are counted only. */
  readonly more: number
}

export interface Shape {
  /** Sorted; more than one only for the entries of a list. */
  readonly kinds: string
  readonly fields: ReadonlyMap<string, Shape>
  readonly entry?: Shape | undefined
}

/** More is a table of somebody's data, not a schema; the first fields of an object and entries of a list stand for the rest. */
const fieldsMax = 200
const entriesMax = 100
/** A state that is another one after that many changes has no schema to show. */
const versionsMax = 500
const changesMax = 100

/** Folds the states of a run, in order. Unchanged parts of a state are the same objects, so each is looked at once. */
export function createSchemaHistory() {
  const known = new WeakMap<object, Shape>()
  const versions: SchemaVersion[] = []
  let current: Shape | undefined
  return {
    versions: versions as readonly SchemaVersion[],
    take(sequence: number, value: unknown): void {
      const next = grown(current, shapeOf(value, known))
      const changes = changesBetween(current, next)
      current = next
      if (changes.length === 0 || versions.length === versionsMax) return
      versions.push({
        sequence,
        changes: changes.slice(0, changesMax),
        more: Math.max(0, changes.length - changesMax),
      })
    },
  }
}

export function shapeOf(value: unknown, known = new WeakMap<object, Shape>()): Shape {
  if (typeof value !== 'object' || value === null) return leaf(value === null ? 'null' : typeof value)
  const found = known.get(value)
  if (found) return found
  const shape: Shape = Array.isArray(value)
    ? {
        kinds: 'list',
        fields: none,
        entry: value
          .slice(0, entriesMax)
          .map(one => shapeOf(one, known))
          .reduce(either, undefined),
      }
    : {
        kinds: 'object',
        fields: new Map(
          Object.entries(value)
            .slice(0, fieldsMax)
            .map(([name, field]) => [name, shapeOf(field, known)]),
        ),
      }
  known.set(value, shape)
  return shape
}

export function changesBetween(before: Shape | undefined, after: Shape | undefined, path = ''): SchemaChange[] {
  if (before === after) return []
  const own: SchemaChange = {
    path,
    ...(before && { before: before.kinds }),
    ...(after && { after: after.kinds }),
  }
  const names = new Set([...(before?.fields.keys() ?? []), ...(after?.fields.keys() ?? [])])
  return [
    ...(before?.kinds === after?.kinds ? [] : [own]),
    ...[...names].flatMap(name =>
      changesBetween(before?.fields.get(name), after?.fields.get(name), within(path, name)),
    ),
    ...changesBetween(before?.entry, after?.entry, `${path}[]`),
  ]
}

const none: ReadonlyMap<string, Shape> = new Map()
const leaves = new Map<string, Shape>()

/** The same object for the same kind: equal things are then found by looking once. */
function leaf(kinds: string): Shape {
  const shape = leaves.get(kinds) ?? { kinds, fields: none }
  leaves.set(kinds, shape)
  return shape
}

/** What an entry of a list may be, that was the one and is the other: the first itself where the second adds nothing. */
function either(a: Shape | undefined, b: Shape | undefined): Shape | undefined {
  if (a === b || b === undefined) return a
  if (a === undefined) return b
  const kinds = a.kinds === b.kinds ? a.kinds : kindsOf(a, b)
  const entry = either(a.entry, b.entry)
  const more = [...b.fields].filter(([name, field]) => either(a.fields.get(name), field) !== a.fields.get(name))
  if (kinds === a.kinds && entry === a.entry && more.length === 0) return a
  const added = more.map(([name, field]) => [name, either(a.fields.get(name), field) as Shape] as const)
  return { kinds, entry, fields: new Map([...a.fields, ...added]) }
}

function kindsOf(a: Shape, b: Shape): string {
  return [...new Set([...a.kinds.split(' or '), ...b.kinds.split(' or ')])].sort().join(' or ')
}

/** `next`, with what was ever seen in its lists. */
function grown(before: Shape | undefined, next: Shape): Shape {
  if (before === undefined || before === next) return next
  const entry = next.kinds === 'list' ? either(before.entry, next.entry) : next.entry
  const fields = [...next.fields].map(([name, field]) => [name, grown(before.fields.get(name), field)] as const)
  const same = entry === next.entry && fields.every(([name, field]) => field === next.fields.get(name))
  return same ? next : { kinds: next.kinds, fields: new Map(fields), entry }
}

function within(path: string, name: string): string {
  if (!/^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(name)) return `${path}[${JSON.stringify(name)}]`
  return path === '' ? name : `${path}.${name}`
}
