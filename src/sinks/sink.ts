// What a server asks of whoever exports its log, and what it may ask how it goes. Types alone, without the client of
// any broker: whoever serves without one has not installed it.
import type { RuncastError } from '../error.ts'
import type { RunPlace } from '../retention.ts'

export interface Sink extends AsyncDisposable {
  /** Follows this tenant too, from its first run on. */
  attend(tenant: string): void
  /** For `retention.hold`: whether the run is not sent yet. */
  readonly holds: (run: RunPlace) => Promise<boolean>
  status(): Promise<SinkStatus>
}

export interface Lag {
  readonly events: number
  readonly runs: number
  /** When the oldest of them happened, ms since the epoch; absent when there is none. */
  readonly oldest?: number
}

/** Messages of one kind: `created = sent + failed + pending`, at any time. */
export interface KindCounts {
  created: number
  /** Committed. */
  sent: number
  /** No record can hold them. */
  failed: number
  /** In a transaction that is not decided yet. */
  pending: number
}

export interface SinkCounters {
  readonly kinds: Readonly<Record<string, KindCounts>>
  /**
   * Events without a message, by reason: `forgotten` by the log before they were sent, `undecodable` in this format.
   * `unlisted` are not events but entries of a feed that was forgotten with runs that nobody had read.
   */
  readonly dropped: Readonly<Record<string, number>>
  readonly transactions: number
}

/** `fenced`: another sink took over. `refused`: Kafka or its topics are not as they must be; see `failure`. */
export type SinkState = 'starting' | 'sending' | 'retrying' | 'fenced' | 'refused' | 'stopped'

export interface SinkStatus extends SinkCounters {
  readonly state: SinkState
  readonly lag: Lag | undefined
  /** What the sink itself holds in memory, however much waits in the log: runs that it has begun, and their next events. */
  readonly buffered: { readonly runs: number; readonly events: number; readonly bytes: number }
  /** Tenants whose topics cannot be used, and why: their runs are not sent, and those of the others are. */
  readonly refused: ReadonlyMap<string, RuncastError>
  /** Why it does not send, and since when that was tried last, ms since the epoch. */
  readonly failure?: { readonly error: RuncastError; readonly at: number }
}
