// What the page and the worker that reads a run say to each other. Only what is shown crosses: a run may have a hundred
// thousand events, and each message is copied.
import type { Event } from '../../../src/client/index.ts'
import type { Step, ViewState } from '../../../src/state/view.ts'
import type { SchemaVersion } from './schema.ts'

export type Ask =
  | { readonly kind: 'open'; readonly base: string; readonly apiKey?: string | undefined; readonly run: string }
  | {
      readonly kind: 'rows'
      readonly id: number
      readonly from: number
      readonly count: number
      readonly filter: Filter
    }
  | { readonly kind: 'moment'; readonly id: number; readonly at: number }
  | { readonly kind: 'export'; readonly id: number }

export type Tell =
  | ({ readonly kind: 'progress' } & Reading)
  | { readonly kind: 'answer'; readonly id: number; readonly value: Rows | Moment | Blob }

/** How far the worker is. */
export interface Reading {
  /** Events read. */
  readonly count: number
  readonly ended: boolean
  readonly failed?: string
}

export type Filter = 'all' | 'no tokens' | 'state'

export interface Rows {
  /** How many rows pass the filter. */
  readonly total: number
  readonly rows: readonly Row[]
}

export interface Row {
  readonly sequence: number
  readonly type: string
  /** ms since the run's first event. */
  readonly atMs: number
  readonly words: string
}

/** A run at one of its events. */
export interface Moment {
  readonly at: number
  readonly status: string
  readonly agent?: string
  readonly event?: Event
  readonly startMs: number
  readonly nowMs: number
  readonly steps: readonly Step[]
  readonly spans: readonly Span[]
  readonly state: ViewState
  /** How the state's schema changed, over the whole run as far as it is read. */
  readonly schema: readonly SchemaVersion[]
  /** The newest change of the state up to here. */
  readonly change?: { readonly sequence: number; readonly paths: readonly string[] }
  /** Token events up to here. */
  readonly tokens: number
  readonly usage?: {
    readonly input_tokens?: number
    readonly output_tokens?: number
    readonly total_tokens?: number
    readonly cost_usd?: number
  }
  /** What the run had said up to here; of a long text the end. */
  readonly text: string
  readonly error?: string
}

/** Something of a run that took time: a step, a tool call, text that was written. */
export interface Span {
  readonly key: string
  readonly lane: 'step' | 'tool' | 'text' | 'reasoning' | 'other'
  readonly name: string
  readonly fromMs: number
  readonly toMs: number
  readonly open: boolean
  readonly failed: boolean
  readonly depth: number
}
