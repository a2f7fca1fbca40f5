// One event as one line of a log: its number, when it happened, what it is. Every kind, and nothing of an agent's that a
// terminal would obey.
import type { Event } from '../client/index.ts'
import { describe } from './print-events.ts'
import { oneLine } from './terminal.ts'

const numberWidth = 7

export function eventLine(event: Event): string {
  return `${String(event.sequence).padStart(numberWidth)}  ${event.timestamp}  ${oneLine(describe(event) ?? spoken(event))}`
}

/** What the printer of `tail` says on lines of their own. */
function spoken(event: Event): string {
  switch (event.type) {
    case 'token':
      return `${event.channel === 'reasoning' ? 'reasoning' : 'token'} ${JSON.stringify(event.content)}`
    case 'text':
      return `text ${JSON.stringify(event.content)}`
    case 'item':
      return `item ${'data' in event ? JSON.stringify(event.data) : event.media_type}`
    case 'warning':
      return `warning ${event.code}: ${event.message}`
    case 'input':
      return `${event.kind} ${event.input_id}: ${event.prompt ?? ''}`
    case 'complete':
      return `complete in ${event.latency_seconds} s ${JSON.stringify(event.output) ?? ''}`
    case 'error':
      return `error ${event.code}: ${event.error}`
    case 'cancelled':
      return `cancelled${event.reason === undefined ? '' : `: ${event.reason}`}`
    default:
      return event.type
  }
}
