// RFC 8785 canonical JSON: one text per value, so that a hash over it means the same in every language.
// Browser-clean (the hash itself is in hash.ts). It must never guess: what has no canonical text is refused, typed.

import { RuncastError } from '../error.ts'
import { depthMax, isObject, isPlain, pointerToken, tooDeep } from './patch.ts'

/** The RFC 8785 text of a JSON value. Refusals are `invalid_request` with `details.reason` `unverifiable` and the path. */
export function canonicalJson(value: unknown): string {
  return print(value, '', 0)
}

function print(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'string':
      return printString(value, path)
    case 'number':
      // ECMAScript's own spelling is the RFC's; -0 prints as 0 by it.
      return Number.isFinite(value) ? JSON.stringify(value) : refuse(path, `${value} is not a JSON number`)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'bigint':
      return refuse(path, 'a bigint has no RFC 8785 spelling, since other languages read it as a double')
    case 'object':
      return printContainer(value, path, depth)
    default:
      return refuse(path, `${typeof value} is not JSON`)
  }
}

function printContainer(value: object | null, path: string, depth: number): string {
  if (value === null) return 'null'
  if (depth >= depthMax) throw tooDeep()
  let text = ''
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) text += (i === 0 ? '' : ',') + print(value[i], `${path}/${i}`, depth + 1)
    return `[${text}]`
  }
  if (!isPlain(value)) return refuse(path, 'only plain objects and arrays are JSON')
  // Default sort compares UTF-16 code units, as the RFC demands (so U+1F600 comes before U+FF61).
  for (const key of Object.keys(value).sort()) {
    const member = value[key]
    // As JSON.stringify: a member that is undefined is not there.
    if (member === undefined) continue
    const place = `${path}/${pointerToken(key)}`
    text += `${text === '' ? '' : ','}${printString(key, place)}:${print(member, place, depth + 1)}`
  }
  return `{${text}}`
}

function printString(text: string, path: string): string {
  return text.isWellFormed() ? JSON.stringify(text) : refuse(path, 'the text holds half of a surrogate pair')
}

function refuse(path: string, why: string): never {
  throw new RuncastError('invalid_request', `no canonical JSON for the value at "${path.slice(0, 100)}": ${why}`, {
    details: { reason: 'unverifiable', path: path.slice(0, 100), why },
  })
}

/** True when a number is anywhere in the value: other libraries may spell it in another way (1.0, 1e+16). */
export function holdsNumber(value: unknown, depth = 0): boolean {
  if (typeof value === 'number') return true
  if (!isObject(value)) return false
  if (depth >= depthMax) throw tooDeep()
  return Object.values(value).some(member => holdsNumber(member, depth + 1))
}
