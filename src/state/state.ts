// The state container behind `ctx.state`, and the reader's side of its events. It exists so that writer and reader hold
// the same frozen JSON at every version, told by patches that never reach a wrong base.
// It must never run ahead of what was accepted for the log, nor hand out anything a caller could change.

import { create } from 'mutative'
import { RuncastError } from '../error.ts'
import type { Bodies } from '../event.ts'
import { type Change, stateChange } from './diff.ts'
import { applyPatch, checkDepth, depthMax, isObject, pointerToken, setOwn, tooDeep } from './patch.ts'

export type StateBody = { readonly type: 'state' } & Bodies['state']

/** A state at a version. */
export interface StateView<T = unknown> {
  readonly value: T
  readonly version: number
}

export interface State<T = unknown> extends StateView<T> {
  /** Edits a draft: `update(d => { d.count++ })`. What the recipe returns is ignored; it must not be async. */
  update(recipe: (draft: T) => void): PromiseLike<void>
  /** Replaces the state; what is equal to the old one is shared, so only the difference is sent. */
  set(value: T): PromiseLike<void>
}

export interface StateOptions {
  /** Put a hash into every n-th version. Unset: none. */
  readonly hashEvery?: number
  /** `stateHash` of hash.ts; an argument, because it needs node:crypto and this file is browser-clean. */
  readonly hash?: (value: unknown) => string
}

/** A container at version 0, of which readers know nothing: the first change, or the first `set`, sends the whole. */
export function createState<T>(
  initial: T,
  emit: (body: StateBody) => PromiseLike<void>,
  options: StateOptions = {},
): State<T> {
  let value = adopt(undefined, initial === undefined ? {} : initial, '', 0)
  let version = 0
  // Whether readers have this version: not at first, and not after an emit that was lost on its way (H79).
  let known = false
  let busy = false

  function publish(next: unknown): PromiseLike<void> {
    const change = known ? stateChange(value, next) : { snapshot: next }
    if (change === undefined) return Promise.resolve()
    refuseTooDeep(change)
    const body: StateBody = { type: 'state', version: version + 1, base_version: version, ...change }
    if (options.hash !== undefined && options.hashEvery !== undefined && body.version % options.hashEvery === 0) {
      body.hash = options.hash(next)
    }
    const sent = emit(body)
    value = next
    version = body.version
    known = true
    return watched(sent, () => {
      known = false
    })
  }

  /** A recipe or an emit that calls back would take this version's number for another change. */
  function alone<R>(work: () => R): R {
    if (busy)
      throw new RuncastError('invalid_request', 'the state is being changed; do not call it inside its own recipe')
    busy = true
    try {
      return work()
    } finally {
      busy = false
    }
  }

  return {
    get value() {
      return value as T
    },
    get version() {
      return version
    },
    update: recipe =>
      alone(() => {
        const next = adopt(value, draftOf(value, recipe as (draft: unknown) => unknown), '', 0)
        return next === value ? Promise.resolve() : publish(next)
      }),
    set: next =>
      alone(() => {
        const adopted = adopt(value, next, '', 0)
        return adopted === value && known ? Promise.resolve() : publish(adopted)
      }),
  }
}

/** Whether a state may be the one that an event's hash is of: `notContradicted` of hash.ts, where there is node:crypto. */
export type HashCheck = (value: unknown, hash: string) => boolean

/**
 * What a reader at `current` holds after `event`. `uncertain`: the event is not for this version, its patch fails or
 * (when `matches` is given) its hash differs; then keep what you have and wait for a snapshot, which always applies.
 */
export function applyState(
  current: StateView | undefined,
  event: Readonly<Bodies['state']>,
  matches?: HashCheck,
): StateView | 'uncertain' {
  let value: unknown
  try {
    if (event.ops === undefined) value = applyPatch(null, [{ op: 'replace', path: '', value: event.snapshot }])
    else if (current?.version !== event.base_version) return 'uncertain'
    else value = applyPatch(current.value, event.ops)
  } catch (thrown) {
    if (thrown instanceof RuncastError) return 'uncertain'
    throw thrown
  }
  // Only after it was applied: the hash of a patch that was held back says nothing about what we have (H87).
  if (event.hash !== undefined && matches !== undefined && !matches(value, event.hash)) return 'uncertain'
  return { value, version: event.version }
}

function draftOf(base: unknown, recipe: (draft: unknown) => unknown): unknown {
  if (!isObject(base)) {
    const is = base === null ? 'null' : `a ${typeof base}`
    throw new RuncastError('invalid_request', `the state is ${is}, and update edits objects and arrays; use set`)
  }
  return create(base, draft => {
    const returned = recipe(draft)
    // `d => d.list.push(x)` returns a number nobody meant; only a promise shows a real mistake.
    if (isObject(returned) && typeof returned['then'] === 'function') {
      // Its draft is closed by the time it goes on, so it will reject; this error already tells.
      void Promise.resolve(returned).catch(() => {})
      throw new RuncastError('invalid_request', 'the recipe of update must not be async; await before, then update')
    }
  })
}

/** Reports a rejection only to whoever awaits: calling `then` here would make every emit an awaited one. */
function watched(sent: PromiseLike<void>, failed: () => void): PromiseLike<void> {
  return {
    // oxlint-disable-next-line unicorn/no-thenable -- a PromiseLike is what it is; an extra `then` is what it avoids
    then: (onDone, onFailed) =>
      sent.then(onDone, (reason: unknown) => {
        failed()
        if (onFailed) return onFailed(reason)
        throw reason
      }),
  }
}

/** Parts of old states are not walked again when they are adopted; put deeper each time, they would grow past the limit. */
function refuseTooDeep(change: Change): void {
  if ('snapshot' in change) return checkDepth(change.snapshot, 0)
  for (const operation of change.ops) {
    if ('value' in operation) checkDepth(operation.value, operation.path.split('/').length - 1)
  }
}

/** Containers made by `adopt`: JSON and frozen all through. */
const adopted = new WeakSet<object>()

/**
 * The value as frozen JSON, sharing with `before` whatever is equal; `before` itself when all is. It copies, so the
 * caller's own objects are neither frozen nor watched. As JSON.stringify it drops undefined members and calls toJSON;
 * what would silently become null or {} (NaN, a Map, a bigint) is refused, and half an emoji becomes U+FFFD.
 */
function adopt(before: unknown, value: unknown, path: string, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? value : value.toWellFormed()
    case 'boolean':
      return value
    case 'number':
      if (!Number.isFinite(value)) notJson(path, String(value), 'use null or a string')
      return value === 0 ? 0 : value
    case 'object':
      if (value === null || value === before || adopted.has(value)) return value
      if (depth >= depthMax) throw tooDeep()
      if (Array.isArray(value)) return adoptArray(before, value, path, depth)
      if ('toJSON' in value && typeof value.toJSON === 'function') {
        return adopt(before, (value.toJSON as () => unknown)(), path, depth + 1)
      }
      // A class instance is its own fields, as for JSON.stringify; a Map, a Promise or bytes would silently become {}.
      if (Object.prototype.toString.call(value) !== '[object Object]') {
        return notJson(path, Object.prototype.toString.call(value), 'use a plain object or an array')
      }
      return adoptObject(before, value as Record<string, unknown>, path, depth)
    case 'bigint':
      return notJson(path, 'a bigint', 'use a decimal string')
    default:
      return notJson(path, `a value of type ${typeof value}`, 'use null, or leave it out')
  }
}

function adoptArray(before: unknown, value: readonly unknown[], path: string, depth: number): unknown {
  // Spread, because V8 reads a frozen array several times slower than its copy.
  const old: unknown[] = Array.isArray(before) ? [...(before as unknown[])] : []
  let same = Array.isArray(before) && old.length === value.length
  const copy: unknown[] = []
  for (let i = 0; i < value.length; i++) {
    const child = value[i]
    const own = child === old[i] && i < old.length ? child : adopt(old[i], child ?? null, `${path}/${i}`, depth + 1)
    if (own !== old[i]) same = false
    copy.push(own)
  }
  return same ? before : seal(copy)
}

function adoptObject(before: unknown, value: Record<string, unknown>, path: string, depth: number): unknown {
  const old = isObject(before) && !Array.isArray(before) ? before : {}
  const copy: Record<string, unknown> = {}
  let same = old === before
  let kept = 0
  for (const name of Object.keys(value)) {
    const child = value[name]
    if (child === undefined) continue
    const key = name.isWellFormed() ? name : name.toWellFormed()
    const has = Object.hasOwn(old, key)
    const earlier = has ? old[key] : undefined
    const own = child === earlier ? child : adopt(earlier, child, `${path}/${pointerToken(key)}`, depth + 1)
    if (!has || own !== earlier) same = false
    kept++
    setOwn(copy, key, own)
  }
  return same && kept === Object.keys(old).length ? before : seal(copy)
}

function seal(container: object): object {
  adopted.add(container)
  return Object.freeze(container)
}

function notJson(path: string, what: string, fix: string): never {
  const at = path.slice(0, 100)
  throw new RuncastError('invalid_request', `the state at "${at}" is ${what}, which JSON cannot carry; ${fix}`, {
    details: { path: at },
  })
}
