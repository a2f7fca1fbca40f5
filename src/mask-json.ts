// Masks the strings of JSON values and of whole events: the part of redaction that needs no memory of earlier text.
// It must never touch `type`, nor merge two keys into one, nor leave a hash over a state that it has changed.

import type { Body, PatchOperation } from './event.ts'

export interface JsonMask {
  value<T>(json: T): T
  /** `except`: the field that is masked as part of a longer text. */
  body(body: Body, except?: string): Body
}

/** Masks strings and keys wherever they are. Objects are copied only on the way to a change. */
export function createJsonMask(masked: (text: string) => string): JsonMask {
  // A masked state has another hash, and so has every later one of the run.
  let stateMasked = false

  const walk = (json: unknown): unknown => {
    if (typeof json === 'string') return masked(json)
    if (typeof json !== 'object' || json === null || ArrayBuffer.isView(json)) return json
    if (Array.isArray(json)) {
      const items = json.map(walk)
      return items.some((item, index) => item !== json[index]) ? items : json
    }
    if ('toJSON' in json && typeof json.toJSON === 'function') return same(json, json.toJSON())
    return object(json)
  }

  /** Something that says itself what it is as JSON stays as it is, unless that has to be masked. */
  const same = (original: unknown, json: unknown): unknown => {
    const result = walk(json)
    return result === json ? original : result
  }

  const object = (json: object): object => {
    let changed = false
    const entries = new Map<string, unknown>()
    for (const [key, item] of Object.entries(json)) {
      let name = masked(key)
      // Two keys that are masked must not become one, or a value would be lost.
      for (let count = 2; entries.has(name); count++) name = `${masked(key)} (${count})`
      const result = walk(item)
      changed ||= name !== key || result !== item
      entries.set(name, result)
    }
    return changed ? Object.fromEntries(entries) : json
  }

  /** The values of an object whose own keys are ours. */
  const fields = <T extends object>(record: T, kept: (key: string) => boolean): T => {
    let copy: Record<string, unknown> | undefined
    for (const [key, item] of Object.entries(record)) {
      if (kept(key)) continue
      const result = walk(item)
      if (result !== item) (copy ??= { ...record } as Record<string, unknown>)[key] = result
    }
    return (copy as T | undefined) ?? record
  }

  /** A path is masked name by name, so that it still leads to the key that was masked in the whole. */
  const pointer = (path: string): string =>
    path
      .split('/')
      .map(name => escaped(masked(unescaped(name))))
      .join('/')

  const operation = (patch: PatchOperation): PatchOperation => {
    const result = fields(patch, key => key === 'op' || key === 'path' || key === 'from')
    const path = pointer(patch.path)
    const from = 'from' in patch ? pointer(patch.from) : undefined
    if (path === patch.path && (from === undefined || !('from' in patch) || from === patch.from)) return result
    return { ...result, path, ...(from === undefined ? {} : { from }) } as PatchOperation
  }

  const state = (body: Extract<Body, { type: 'state' }>): Body => {
    let result = fields(body, key => key === 'type' || key === 'ops')
    const ops = body.ops?.map(operation)
    if (ops?.some((patch, index) => patch !== body.ops?.[index]) === true) result = { ...result, ops }
    stateMasked ||= result !== body
    if (!stateMasked || result.hash === undefined) return result
    const { hash: _, ...rest } = result
    return rest
  }

  return {
    value: json => walk(json) as typeof json,
    body(body, except) {
      if (body.type === 'state') return state(body)
      return fields(body, key => key === 'type' || key === except || isLeftAlone(body, key))
    },
  }
}

function isLeftAlone(body: Body, key: string): boolean {
  return (body.type === 'custom' && key === 'name') || (body.type === 'item' && key === 'bytes')
}

function unescaped(name: string): string {
  return name.replaceAll('~1', '/').replaceAll('~0', '~')
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
