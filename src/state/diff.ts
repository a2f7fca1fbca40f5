// The difference of two JSON values as RFC 6902 operations. It exists because states here share structure: what is
// identical is skipped at once, so a small change in a large state costs microseconds.
// It must never make a patch that applyPatch refuses, nor treat -0 and 0 as two values.

import type { PatchOperation } from '../event.ts'
import { depthMax, equal, isObject, operationsMax, pathCharsMax, pointerToken, tooDeep } from './patch.ts'

/** A patch longer than this many times its state is sent as a snapshot instead (DF12). */
export const snapshotRatio = 1.1

/** Operations that turn `before` into `after`; empty when they are equal. Their values are parts of `after`, not copies. */
export function diff(before: unknown, after: unknown): PatchOperation[] {
  const patch: Patch = { ops: [], unaddressable: false }
  compare(patch, before, after, '', 0)
  return patch.ops.length > operationsMax ? [{ op: 'replace', path: '', value: after }] : patch.ops
}

export type Change = { ops: PatchOperation[] } | { snapshot: unknown }

/** How to tell a reader who has `before` about `after`: by operations, by the whole, or (undefined) not at all. */
export function stateChange(before: unknown, after: unknown): Change | undefined {
  const ops = diff(before, after)
  if (ops.length === 0) return undefined
  const opsChars = JSON.stringify(ops).length
  // The state is walked only as far as the patch is long: a tiny patch never pays for a large state.
  return charsLeft(after, opsChars / snapshotRatio) > 0 ? { snapshot: after } : { ops }
}

interface Patch {
  readonly ops: PatchOperation[]
  /** An operation came out with a path longer than applyPatch reads: its container must be replaced instead. */
  unaddressable: boolean
}

function compare(patch: Patch, before: unknown, after: unknown, path: string, depth: number): void {
  if (before === after) return
  if (!isObject(before) || !isObject(after) || Array.isArray(before) !== Array.isArray(after)) {
    return push(patch, { op: 'replace', path, value: after })
  }
  if (depth >= depthMax) throw tooDeep()
  const mark = patch.ops.length
  if (Array.isArray(after)) compareArrays(patch, before as unknown as unknown[], after, path, depth)
  else compareObjects(patch, before, after, path, depth)
  const made = patch.ops.length - mark
  if (made > 0 && (patch.unaddressable || (Array.isArray(after) && shorterWhole(after, made)))) {
    patch.ops.length = mark
    patch.unaddressable = false
    push(patch, { op: 'replace', path, value: after })
  }
}

function compareObjects(
  patch: Patch,
  before: Record<string, unknown>,
  after: Record<string, unknown>,
  path: string,
  depth: number,
): void {
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(after, key)) push(patch, { op: 'remove', path: `${path}/${pointerToken(key)}` })
  }
  for (const key of Object.keys(after)) {
    const value = after[key]
    if (!Object.hasOwn(before, key)) push(patch, { op: 'add', path: `${path}/${pointerToken(key)}`, value })
    else if (before[key] !== value) compare(patch, before[key], value, `${path}/${pointerToken(key)}`, depth + 1)
  }
}

/** Equal ends are trimmed; in the middle, elements that are found again cut it into stretches of the others. */
function compareArrays(
  patch: Patch,
  frozenBefore: readonly unknown[],
  frozenAfter: readonly unknown[],
  path: string,
  depth: number,
): void {
  // V8 reads frozen arrays slowly and spreads them fast: copying first halves the time of the comparison.
  const before = [...frozenBefore]
  const after = [...frozenAfter]
  const shorter = Math.min(before.length, after.length)
  let start = 0
  while (start < shorter && (before[start] === after[start] || equal(before[start], after[start], depth))) start++
  let beforeEnd = before.length
  let afterEnd = after.length
  while (beforeEnd > start && afterEnd > start && equal(before[beforeEnd - 1], after[afterEnd - 1], depth)) {
    beforeEnd--
    afterEnd--
  }
  const middleBefore = before.slice(start, beforeEnd)
  const middleAfter = after.slice(start, afterEnd)
  let i = 0
  let j = 0
  for (const [foundBefore, foundAfter] of foundAgain(middleBefore, middleAfter, depth)) {
    compareStretch(patch, middleBefore.slice(i, foundBefore), middleAfter.slice(j, foundAfter), path, start + j, depth)
    i = foundBefore + 1
    j = foundAfter + 1
  }
  compareStretch(patch, middleBefore.slice(i), middleAfter.slice(j), path, start + j, depth)
}

/** Index pairs of equal elements, rising in both. By identity; where nothing is shared (a parsed copy), by content. */
function foundAgain(before: readonly unknown[], after: readonly unknown[], depth: number): [number, number][] {
  // One element on each side at most is an edit, an insert or a remove: nothing to find, and this is the hot case.
  if (before.length < 2 && after.length < 2) return []
  const shared = pairs(before, after, element => element, depth)
  return shared.length > 0 ? shared : pairs(before, after, outline, depth)
}

/** Greedy, so quick; a reordered array may get more operations than needed, never wrong ones. */
function pairs(
  before: readonly unknown[],
  after: readonly unknown[],
  keyOf: (element: unknown) => unknown,
  depth: number,
): [number, number][] {
  const places = new Map<unknown, number[]>()
  for (let i = before.length - 1; i >= 0; i--) {
    const key = keyOf(before[i])
    const list = places.get(key)
    if (list === undefined) places.set(key, [i])
    else list.push(i)
  }
  const found: [number, number][] = []
  let from = 0
  for (let j = 0; j < after.length; j++) {
    const list = places.get(keyOf(after[j]))
    let place = list?.pop()
    while (place !== undefined && place < from) place = list?.pop()
    if (place === undefined || !equal(before[place], after[j], depth)) continue
    found.push([place, j])
    from = place + 1
  }
  return found
}

/** A cheap text that equal elements share, and that others seldom do. */
function outline(element: unknown): unknown {
  if (!isObject(element)) return element
  let text = ''
  for (const key of Object.keys(element).sort()) {
    const member = element[key]
    text += `${key}:${isObject(member) ? Object.keys(member).length : String(member)},`
  }
  return text
}

/** Elements without a counterpart: as many as possible are edited in place, the rest is removed or inserted. */
function compareStretch(
  patch: Patch,
  before: readonly unknown[],
  after: readonly unknown[],
  path: string,
  first: number,
  depth: number,
): void {
  const edited = Math.min(before.length, after.length)
  for (let k = 0; k < edited; k++) compare(patch, before[k], after[k], `${path}/${first + k}`, depth + 1)
  for (let k = edited; k < before.length; k++) push(patch, { op: 'remove', path: `${path}/${first + edited}` })
  for (let k = edited; k < after.length; k++) push(patch, { op: 'add', path: `${path}/${first + k}`, value: after[k] })
}

/** An array emptied, or one of short values (an embedding) mostly rewritten: one replace says it in fewer bytes. */
function shorterWhole(after: readonly unknown[], made: number): boolean {
  if (made === 1 || made < after.length / 2) return false
  return after.every(value => typeof value === 'number' || typeof value === 'boolean' || value === null)
}

function push(patch: Patch, operation: PatchOperation): void {
  if (operation.path.length > pathCharsMax) patch.unaddressable = true
  patch.ops.push(operation)
}

/** `limit` minus the length of the value's JSON; it stops, at or below zero, as soon as that is known to be too long. */
function charsLeft(value: unknown, limit: number): number {
  if (typeof value === 'string') {
    const left = limit - value.length - 2
    return left <= 0 ? left : limit - JSON.stringify(value).length
  }
  if (!isObject(value)) return limit - String(value).length
  let left = limit - 2
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left > 0; i++) left = charsLeft(value[i], left - (i === 0 ? 0 : 1))
    return left
  }
  let comma = 0
  for (const key of Object.keys(value)) {
    if (left <= 0) return left
    left = charsLeft(value[key], charsLeft(key, left) - 1 - comma)
    comma = 1
  }
  return left
}
