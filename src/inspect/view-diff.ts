// What changed between two views, of one run at two points or of two runs: the state as RFC 6902 operations, the text, the
// steps and tools, the usage. Pure. Values stand beside each operation as they were, so that nobody has to look them up.
import type { PatchOperation } from '../event.ts'
import { diff } from '../state/diff.ts'
import { textOf, usageOf } from '../state/fold.ts'
import { applyPatch } from '../state/patch.ts'
import type { UsageSum, View } from '../state/view.ts'

export interface Changed<T> {
  readonly before: T
  readonly after: T
}

/** One operation on the state; `before` is what stood there, absent where nothing did. */
export type StateChange = PatchOperation & { readonly before?: unknown }

export interface CountChange extends Changed<number> {
  readonly name: string
}

/** What did not change is absent. */
export interface ViewDiff {
  readonly status?: Changed<string>
  readonly state?: { readonly version: Changed<number>; readonly ops: readonly StateChange[] }
  /** `kept` characters are the same at the start; then `removed` gave way to `added`. */
  readonly text?: { readonly kept: number; readonly removed: string; readonly added: string }
  /** Calls by name. */
  readonly steps?: readonly CountChange[]
  readonly tools?: readonly CountChange[]
  readonly warnings?: Changed<number>
  readonly checkpoints?: Changed<readonly string[]>
  /** null = it was not told. */
  readonly usage?: Readonly<Record<string, Changed<number | null>>>
}

export function viewDiff(before: View, after: View): ViewDiff {
  const text = textChange(textOf(before), textOf(after))
  const state = stateChange(before, after)
  const steps = countChanges(countOf(before.steps, 'node_name'), countOf(after.steps, 'node_name'))
  const tools = countChanges(toolsOf(before), toolsOf(after))
  const usage = usageChange(usageOf(before), usageOf(after))
  const names = changed(namesOf(before), namesOf(after))
  const warnings = changed(warningsOf(before), warningsOf(after))
  return {
    ...(before.status !== after.status && { status: { before: before.status, after: after.status } }),
    ...(state && { state }),
    ...(text && { text }),
    ...(steps.length > 0 && { steps }),
    ...(tools.length > 0 && { tools }),
    ...(warnings && { warnings }),
    ...(names && { checkpoints: names }),
    ...(usage && { usage }),
  }
}

function stateChange(before: View, after: View): ViewDiff['state'] {
  const ops = diff(before.state.value, after.state.value)
  if (ops.length === 0) return undefined
  let value = before.state.value
  const told = ops.map((op): StateChange => {
    const old = valueAt(value, op.path)
    value = applyPatch(value, [op])
    return old === undefined || op.op === 'add' ? op : { ...op, before: old }
  })
  return { version: { before: before.state.version, after: after.state.version }, ops: told }
}

function valueAt(document: unknown, pointer: string): unknown {
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

/** Cut between characters, never inside one. */
function textChange(before: string, after: string): ViewDiff['text'] {
  if (before === after) return undefined
  let kept = 0
  while (kept < before.length && before[kept] === after[kept]) kept++
  if (kept > 0 && /[\ud800-\udbff]/.test(before[kept - 1] ?? '')) kept--
  return { kept, removed: before.slice(kept), added: after.slice(kept) }
}

function toolsOf(view: View): Map<string, number> {
  return countOf(
    view.parts.filter(part => part.kind === 'tool'),
    'tool_name',
  )
}

function countOf<K extends string>(list: readonly { readonly [N in K]: string }[], key: K): Map<string, number> {
  const counts = new Map<string, number>()
  for (const one of list) counts.set(one[key], (counts.get(one[key]) ?? 0) + 1)
  return counts
}

function countChanges(before: Map<string, number>, after: Map<string, number>): CountChange[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .map(name => ({ name, before: before.get(name) ?? 0, after: after.get(name) ?? 0 }))
    .filter(change => change.before !== change.after)
}

/** What the bound of the view forgot counts too. */
function warningsOf({ warnings, dropped }: View): number {
  return warnings.length + dropped.warnings
}

function namesOf(view: View): readonly string[] {
  return view.checkpoints.map(one => one.name)
}

function changed<T>(before: T, after: T): Changed<T> | undefined {
  return JSON.stringify(before) === JSON.stringify(after) ? undefined : { before, after }
}

function usageChange(before: UsageSum, after: UsageSum): ViewDiff['usage'] {
  const names = ['input_tokens', 'output_tokens', 'total_tokens', 'cost_usd'] as const
  const changes = names
    .filter(name => before[name] !== after[name])
    .map(name => [name, { before: before[name] ?? null, after: after[name] ?? null }] as const)
  return changes.length > 0 ? Object.fromEntries(changes) : undefined
}
