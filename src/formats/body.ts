// What the readers and writers of foreign protocols share about an event's body: fields whose types nobody has checked,
// and the maps of texts that protobuf has in place of JSON. It must never let a key through that changes a prototype.
import type { Event } from '../event.ts'

/** The body of an event that was read from bytes: its type is known, its fields are what was written. */
export type LooseBody = { readonly type: Event['type'] } & Record<string, unknown>

/** Text under a name, unless it is empty: protobuf has no empty text apart from none. */
export function named(name: string, value: string): Record<string, unknown> {
  return value === '' ? {} : { [name]: value }
}

/** A map of texts: other values as JSON, half emoji as U+FFFD, and no key that protobuf libraries lose. */
export function texts(fields: object): Record<string, string> {
  const entries = Object.entries(fields).filter(([name, value]) => name !== '__proto__' && value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [name.toWellFormed(), text(value)]))
}

export function text(value: unknown): string {
  if (value === undefined) return ''
  return (typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()
}
