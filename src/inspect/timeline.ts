// Which events of a run are looked at, and when each of them happened in a replay. Pure: whoever waits has the clock.
import { RuncastError } from '../error.ts'
import type { Event } from '../event.ts'

export interface Window {
  /** Inclusive, both. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  /** As a reader's filter: `token`, `custom`, `custom:NAME`. Unlike one, it also hides the end. */
  readonly types?: ReadonlySet<string> | undefined
}

export function inWindow({ from = 1, to = Infinity, types }: Window, event: Event): boolean {
  if (event.sequence < from || event.sequence > to) return false
  if (types === undefined || types.has(event.type)) return true
  return event.type === 'custom' && types.has(`custom:${event.name}`)
}

/** How long after the first event a replay shows one, in ms. A clock that went back holds nothing up. */
export function dueMs(first: Event, event: Event, speed: number): number {
  const passed = Date.parse(event.timestamp) - Date.parse(first.timestamp)
  return passed > 0 && speed !== Infinity ? passed / speed : 0
}

/** `max`, or how many times as fast as it was. */
export function speedOf(text: string): number {
  const speed = text === 'max' ? Infinity : Number(text)
  if (text.trim() !== '' && speed > 0) return speed
  throw new RuncastError('invalid_request', `--speed: ${JSON.stringify(text)} is neither max nor a number above 0`)
}
