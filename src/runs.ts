// The product: start, get, list, follow, tell, cancel. `createRuns` in local-runs.ts and `connect(url)` in the client are both
// Runs, and one suite judges both. Nothing but types: whoever carries runs needs no more of them.
import type { Agent } from './agent/define.ts'
import type { Batch, Types } from './batch.ts'
import type { Event } from './event.ts'
import type { OnBusy } from './feeds.ts'
import type { Deliver } from './follow.ts'
import type { Log, Status } from './log.ts'
import type { RetentionLimits } from './retention.ts'
import type { RunInfo } from './run-info.ts'
import type { View } from './state/fold.ts'

export interface StartOptions {
  /** The run's id; made up when absent. */
  readonly run?: string | undefined
  readonly thread?: string | undefined
  readonly onBusy?: OnBusy | undefined
  /** Repeating a start with the same key and input gives the same run. */
  readonly idempotencyKey?: string | undefined
  /** `scenario` and `company_id` also appear in `started`. */
  readonly labels?: Record<string, string> | undefined
}

export interface FollowRunOptions {
  /** The last sequence seen; 0 = from the start. */
  readonly after?: number | undefined
  readonly types?: Types | undefined
  /** Fail with `cursor_gone` instead of continuing behind a gap, or waiting for what lies beyond the next event. */
  readonly strict?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Called once the run is found and the reader has its place: what fails later fails in mid-stream. */
  readonly opened?: (() => void) | undefined
}

export interface ListFilter {
  readonly status?: Status | undefined
  readonly thread?: string | undefined
  readonly agent?: string | undefined
  /** `next` of the page before. */
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

export interface Page {
  readonly runs: readonly RunInfo[]
  readonly next?: string
}

/** What one may tell a run. */
export type Message =
  | { readonly type: 'cancel'; readonly reason?: string | undefined }
  | { readonly type: 'input'; readonly input_id: string; readonly value: unknown }

/** A run by its id, or the feed of a thread, whose entries say which runs it has. */
export type Target = string | { readonly thread: string }

/** The product; local and remote alike. */
export interface Runs extends AsyncDisposable {
  /** Starts an agent; `undefined` names the only, or first, one. */
  start(agent: string | undefined, input: unknown, options?: StartOptions): Promise<RunInfo>
  get(run: string): Promise<RunInfo>
  list(filter?: ListFilter): Promise<Page>
  /** Delivers batches from the cursor on until the end; `deliver` returns a promise to be asked for patience. */
  follow(target: Target, options: FollowRunOptions, deliver: Deliver): Promise<void>
  /** The same for humans. */
  tail(target: Target, options?: FollowRunOptions): AsyncIterable<Batch>
  /** The view at a cursor, default: now. */
  snapshot(run: string, at?: number): Promise<View>
  /** Appends to the inbox; throws `run_ended` when nobody listens any more. */
  tell(run: string, message: Message): Promise<void>
  /** Tells the run to stop and resolves when it is sealed. */
  cancel(run: string, reason?: string): Promise<RunInfo>
}

/** Clock, dice and ids are arguments: a simulation drives them from one seed. */
export interface Deps {
  /** ms since the epoch. */
  readonly now: () => number
  readonly id: () => string
  readonly random: () => number
  /** Rejects when the signal aborts. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}

export interface RunsOptions {
  readonly log: Log
  readonly agents: readonly Agent[]
  readonly deps: Deps
  readonly allowed?: 'all' | ReadonlySet<string>
  readonly redactPatterns?: readonly RegExp[]
  readonly outputCharsMax?: number | undefined
  readonly pendingBytesMax?: number | undefined
  readonly eventBytesMax?: number | undefined
  readonly maxRunDurationMs?: number
  readonly cancelGraceMs?: number
  readonly cancelWhenUnwatchedMs?: number | undefined
  readonly readersPerRunMax?: number
  readonly onBusy?: OnBusy
  readonly allowClientIds?: boolean
  readonly retention?: RetentionLimits
  readonly observer?: Observer
}

/** Told of every run that this process starts and ends. */
export interface Observer {
  /** Before anything of the run is written; a direct run belongs to its reader, and is not told. */
  accepted?(tenant: string): void
  started(agent: string): void
  ended(agent: string, status: Status): void
}

/** Who asks. */
export interface Principal {
  readonly tenant: string
  readonly user?: string | undefined
}

/** The local Runs: it owns the runs that it starts. */
export interface LocalRuns extends Runs {
  readonly agents: readonly Agent[]
  /** The same runs as somebody sees them: only those of their tenant. */
  as(who: Principal): Runs
  /** Seals what a dead process left open. Once, before the first start. */
  recover(): Promise<number>
  /** Refuses new runs, gives the running ones time to end, then seals them as `interrupted`. */
  stop(graceMs: number): Promise<void>
  /** Runs that this process executes now. */
  readonly running: number
}

export type { Event, OnBusy, RunInfo, Status, View }
