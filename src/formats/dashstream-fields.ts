// The fields of an event on their way into a message: taken out where the message can give them back, left where it
// cannot. Protobuf has no 0, no empty text and no empty map apart from nothing, and no half of a surrogate pair.
// A field must never be taken that reading would not return as it was.
import type { Event } from '../event.ts'
import { jsonBytes, jsonSuffix } from './dashstream-names.ts'

export type Fields = Record<string, unknown>
export type Attribute = { readonly value: { readonly case: string; readonly value: unknown } }

/** Fields as attributes of an Event, `own` ones first; what no attribute says exactly is the rest. */
export function attributesOf(fields: Fields, own: Fields): { attributes: Record<string, Attribute>; rest: Fields } {
  const attributes: Record<string, Attribute> = {}
  const rest: Fields = {}
  for (const [name, field] of Object.entries(own)) {
    attributes[name] = { value: scalar(field) ?? { case: 'stringValue', value: String(field).toWellFormed() } }
  }
  for (const [name, field] of Object.entries(fields)) {
    if (field === undefined) continue
    const set = scalar(field)
    if (!isKey(name) || name.endsWith(jsonSuffix) || Object.hasOwn(own, name)) keep(rest, name, field)
    else if (set !== undefined) attributes[name] = { value: set }
    else if (typeof field === 'object') {
      attributes[name + jsonSuffix] = { value: { case: 'stringValue', value: JSON.stringify(field) } }
    } else keep(rest, name, field)
  }
  return { attributes, rest }
}

/** A string, number or boolean as it stands in AttributeValue and MetricValue; undefined for what they do not hold exactly. */
export function scalar(value: unknown): { case: string; value: unknown } | undefined {
  if (typeof value === 'string') return isText(value) ? { case: 'stringValue', value } : undefined
  if (typeof value === 'boolean') return { case: 'boolValue', value }
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
  return Number.isSafeInteger(value) ? { case: 'intValue', value: BigInt(value) } : { case: 'floatValue', value }
}

const envelope = new Set(['id', 'type', 'run_id', 'sequence', 'timestamp'])

export function fieldsOf(event: Event): Fields {
  const fields: Fields = {}
  for (const [name, value] of Object.entries(event))
    if (!envelope.has(name) && value !== undefined) keep(fields, name, value)
  return fields
}

/** Takes a text out of the fields. An empty one stays, unless the reader always makes one of this name. */
export function takeText(fields: Fields, name: string, required?: 'required'): string {
  const value = fields[name]
  if (typeof value !== 'string') return ''
  if (isText(value) && (value !== '' || required)) delete fields[name]
  return value.toWellFormed()
}

export function takeUint32(fields: Fields, name: string): number {
  const value = fields[name]
  if (!isUint32(value)) return 0
  if (value > 0) delete fields[name]
  return value
}

export function takeEnum(fields: Fields, name: string, names: { value(text: unknown): number | undefined }): number {
  const value = names.value(fields[name])
  if (value !== undefined) delete fields[name]
  return value ?? 0
}

/** A time in whole microseconds; it is taken out only if it can be had back. */
export function takeDuration(fields: Fields, name: string, usPerUnit: number): number {
  const value = fields[name]
  if (typeof value !== 'number') return 0
  const us = Math.round(value * usPerUnit)
  if (!Number.isSafeInteger(us)) return 0
  if (us !== 0 && us / usPerUnit === value) delete fields[name]
  return us
}

export function takeJson(fields: Fields, name: string): Uint8Array {
  const bytes = jsonBytes(fields[name])
  delete fields[name]
  return bytes
}

/** Of all keys the one that protobuf libraries lose. */
export const unsafeKey = '__proto__'

export function isKey(name: string): boolean {
  return name !== unsafeKey && name.isWellFormed()
}

/** Text that UTF-8 can say: half of a surrogate pair cannot be sent. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed()
}

export function isUint32(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value
}

/** Also sets `__proto__`, which an assignment would swallow. */
export function keep(fields: Fields, name: string, value: unknown): void {
  if (value === undefined) return
  if (name === unsafeKey)
    Object.defineProperty(fields, name, { value, enumerable: true, writable: true, configurable: true })
  else fields[name] = value
}

export function isEmpty(fields: object): boolean {
  for (const _ in fields) return false
  return true
}
