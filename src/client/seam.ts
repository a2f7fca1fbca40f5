// Where two connections meet: what arrives becomes batches that go on exactly where the last one ended, whatever was
// cut, repeated or lost in between. Pure. It must never deliver an event twice, out of order, or behind a hole.
import type { Batch, Gap, State } from '../batch.ts'
import { type Event, isTerminal } from '../event.ts'

/** What a connection brings, in its order. */
export type Arrival =
  | { readonly kind: 'event'; readonly event: Event }
  /** The filter of the reader skipped up to here. */
  | { readonly kind: 'passed'; readonly sequence: number }
  | { readonly kind: 'gap'; readonly gap: Gap }
  | { readonly kind: 'cancelling' }
  /** The server is going away and wants us to come back. */
  | { readonly kind: 'leave' }
  /** How long the server wants us to wait before we come back. */
  | { readonly kind: 'retry'; readonly ms: number }
  /** Something that is not ours. */
  | { readonly kind: 'garbled'; readonly reason: string }

export interface Joined {
  readonly batches: readonly Batch[]
  /** Nothing of this connection can be believed any more. */
  readonly broken?: string
  readonly leave?: boolean
}

export interface Seam {
  /** The last sequence that was joined. It only grows. */
  readonly cursor: number
  readonly sealed: boolean
  join(arrivals: readonly Arrival[]): Joined
}

export interface SeamOptions {
  readonly after: number
  /** The reader has a filter, so that missing numbers mean nothing. */
  readonly filtered: boolean
  /** Runs end; feeds do not. */
  readonly ends: boolean
}

export function createSeam({ after, filtered, ends }: SeamOptions): Seam {
  let cursor = after
  let state: State = 'open'

  const join = (arrivals: readonly Arrival[]): Joined => {
    const batches: Batch[] = []
    let from = cursor
    let events: Event[] = []
    let gap: Gap | undefined
    let told = state
    const cut = (): readonly Batch[] => {
      if (cursor > from || gap || state !== told)
        batches.push({ after: from, last: cursor, events, state, ...(gap && { gap }) })
      from = cursor
      events = []
      gap = undefined
      told = state
      return batches
    }
    const hole = (sequence: number) => !filtered && sequence > cursor + 1

    for (const arrival of arrivals) {
      if (state === 'sealed') break
      switch (arrival.kind) {
        case 'event': {
          const { event } = arrival
          if (event.sequence <= cursor) break
          if (hole(event.sequence)) return { batches: cut(), broken: missing(cursor, event.sequence) }
          events.push(event)
          cursor = event.sequence
          if (ends && isTerminal(event.type)) state = 'sealed'
          break
        }
        case 'passed':
          if (arrival.sequence <= cursor) break
          if (!filtered) return { batches: cut(), broken: missing(cursor, arrival.sequence + 1) }
          cursor = arrival.sequence
          break
        case 'gap':
          if (arrival.gap.oldest <= cursor + 1) break
          cut()
          from = cursor = arrival.gap.oldest - 1
          gap = arrival.gap
          break
        case 'cancelling':
          state = 'cancelling'
          break
        case 'leave':
          return { batches: cut(), leave: true }
        case 'garbled':
          return { batches: cut(), broken: arrival.reason }
        case 'retry':
          break
        default:
          arrival satisfies never
      }
    }
    return { batches: cut() }
  }

  return {
    get cursor() {
      return cursor
    },
    get sealed() {
      return state === 'sealed'
    },
    join,
  }
}

function missing(cursor: number, next: number): string {
  return `events ${cursor + 1} to ${next - 1} are missing, and no gap was told`
}
