// What a run was, in a screen: how it ended, how long it took, how many events of which type, what it used. Pure, and of a
// constant size, so that a run of a million events costs no more memory than one of ten.
import { type Event, isTerminal } from '../event.ts'

export interface Summary {
  readonly run_id: string
  readonly status: string
  readonly agent?: string
  readonly framework?: string
  readonly thread_id?: string
  readonly user_id?: string
  readonly company_id?: string
  /** Of the first and of the last event that was read. */
  readonly first_at?: string
  readonly last_at?: string
  readonly duration_ms: number | null
  readonly first_sequence: number | null
  readonly last_sequence: number | null
  readonly events: number
  /** The most frequent first. */
  readonly by_type: Readonly<Record<string, number>>
  readonly error?: string
  readonly error_code?: string
  readonly reason?: string
}

export interface Summing {
  take(event: Event): void
  summary(): Summary
}

/** Custom events are counted by name; past so many names together, for an agent may make them up. */
const namesMax = 200

const statusAt = { complete: 'completed', error: 'failed', cancelled: 'cancelled' } as const

/** What the run's head says; its events, where they are kept, say it again. */
export interface Headline {
  readonly run_id: string
  readonly status: string
  readonly agent: string
  readonly framework: string
  readonly thread_id?: string
  readonly user_id?: string
}

export function createSummary({ run_id, status, agent, framework, thread_id, user_id }: Headline): Summing {
  const counts = new Map<string, number>()
  const told: Record<string, string> = { agent, framework }
  let ended = status
  let first: Event | undefined
  let last: Event | undefined
  let events = 0

  const keep = (name: string, value: string | undefined) => {
    if (value !== undefined) told[name] = value
  }
  keep('thread_id', thread_id)
  keep('user_id', user_id)
  const typeOf = (event: Event) => {
    if (event.type !== 'custom') return event.type
    const name = `custom:${event.name}`
    return counts.has(name) || counts.size < namesMax ? name : 'custom'
  }

  return {
    take(event) {
      first ??= event
      last = event
      events++
      const type = typeOf(event)
      counts.set(type, (counts.get(type) ?? 0) + 1)
      if (isTerminal(event.type)) ended = statusAt[event.type]
      if (event.type === 'started') {
        keep('agent', event.agent_name)
        for (const name of ['framework', 'thread_id', 'user_id', 'company_id'] as const) keep(name, event[name])
      } else if (event.type === 'error') {
        keep('error', event.error)
        keep('error_code', event.code)
      } else if (event.type === 'cancelled') keep('reason', event.reason)
    },
    summary() {
      const took = first && last ? Date.parse(last.timestamp) - Date.parse(first.timestamp) : Number.NaN
      return {
        run_id,
        status: ended,
        ...told,
        ...(first && last && { first_at: first.timestamp, last_at: last.timestamp }),
        // Of a clock that went back nobody knows.
        duration_ms: took >= 0 ? took : null,
        first_sequence: first?.sequence ?? null,
        last_sequence: last?.sequence ?? null,
        events,
        by_type: Object.fromEntries([...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))),
      }
    },
  }
}
