// The port: where events are kept. A backend is one file that implements Log and passes test/suites/log.suite.ts.
// Only one thing is atomic: an append to one log. Nothing ever needs two logs to change together.
import type { Entry, SlabBatch, State } from './batch.ts'
import { RuncastError, shown } from './error.ts'
import { type Event, isTerminal, type Json, runIdPattern } from './event.ts'
import { directShape, plainShape, runShape, type Shape } from './shape.ts'

/** Which log: the events of a run, what a run is told, or which runs exist. */
export type Key = `run/${string}` | `inbox/${string}` | `direct/${string}` | `feed/${string}`

export const runKey = (run: string): Key => `run/${run}`
export const inboxKey = (run: string): Key => `inbox/${run}`
export const tenantFeed = (tenant: string): Key => `feed/tenant/${tenant}`
/** The tenant is encoded, so that no tenant's name can reach into another's threads. */
export const threadFeed = (tenant: string, thread: string): Key => `feed/thread/${encodeURIComponent(tenant)}/${thread}`

/** Refuses what cannot name a run: it stands in paths, and as it is in every frame. */
export function checkRunId(run: string, field: string): void {
  if (runIdPattern.test(run)) return
  throw new RuncastError(
    'invalid_run_id',
    `${field} ${shown(run)} must be 1 to 128 letters, digits, _ and -, and begin with a letter or digit`,
  )
}

/** As much as a part of a path may hold, percent-encoding aside. */
const threadCharsMax = 200

/** Refuses what cannot name a thread: it is a part of paths, and all blank ones would be one thread of strangers. */
export function checkThread(thread: string, field: string): void {
  const says = faultOf(thread)
  if (says === undefined) return
  throw new RuncastError('invalid_request', `${field} ${shown(thread)} ${says}`, { details: { field } })
}

function faultOf(thread: string): string | undefined {
  if (thread.trim() === '') return 'is blank; name a thread, or leave it out'
  if (thread.length > threadCharsMax) return `has ${thread.length} characters; give at most ${threadCharsMax}`
  return thread.isWellFormed() ? undefined : 'has half a surrogate pair, which no URL can say; give whole characters'
}

export type Status = 'accepted' | 'running' | 'completed' | 'failed' | 'cancelled'

/** The small record of a run, changed in the same step as its log. Times are ms since the epoch. */
export interface Head {
  readonly run_id: string
  readonly status: Status
  readonly agent: string
  readonly framework: string
  readonly tenant: string
  readonly thread_id?: string
  readonly user_id?: string
  /** As it may be shown: secrets are masked. */
  readonly input: Json
  /** The agent was given more than `input` says, and cannot be given it again. */
  readonly input_redacted?: true
  /** Hash of idempotency key, agent and input: the same again is the same request. */
  readonly input_hash?: string
  readonly labels?: Record<string, string>
  /** Events of earlier runs of the thread: `thread_base + sequence` numbers a whole thread densely. */
  readonly thread_base?: number
  /** The process that executes the run: its only appender. */
  readonly owner: string
  readonly created_at: number
  readonly started_at?: number
  readonly cancel_requested_at?: number
  readonly completed_at?: number
  /** Oldest kept and newest sequence; kept by the backend. */
  readonly first: number
  readonly last: number
  /** Bytes of the kept events; kept by the backend. */
  readonly bytes: number
}

/** What creates a run: the head without what the backend counts itself. */
export type NewHead = Omit<Head, 'first' | 'last' | 'bytes'>
/** What an append changes in the head of a run that exists. */
export type HeadChange = Partial<Omit<NewHead, 'run_id'>>

export function creates(head: NewHead | HeadChange | undefined): head is NewHead {
  return head !== undefined && 'run_id' in head
}

/** How the entries of a log look on the wire. */
export function shapeOf(key: Key): Shape {
  const id = key.slice(key.indexOf('/') + 1)
  if (key.startsWith('run/')) return runShape(id)
  return key.startsWith('direct/') ? directShape(id) : plainShape()
}

/** What a backend asks before it appends: throws when the contract of {@link Log.append} refuses. No `kept` = no such log yet. */
export function admit(
  key: Key,
  kept: { readonly last: number; readonly state: State; readonly head?: NewHead | undefined } | undefined,
  after: number,
  change: NewHead | HeadChange | undefined,
): void {
  const last = kept?.last ?? 0
  if (kept?.state === 'sealed') throw new RuncastError('run_ended', `${key} ended at ${last}`, { details: { last } })
  if (kept?.head && creates(change)) throw new RuncastError('conflict', `${key} exists already`, { details: { last } })
  if (last !== after) throw new RuncastError('conflict', `${key} is at ${last}, not at ${after}`, { details: { last } })
}

/** Only logs of events seal; their end is their last event. */
export function seals(key: Key, entry: Entry): boolean {
  return isTerminal(entry.type) && (key.startsWith('run/') || key.startsWith('direct/'))
}

export function isEnded(status: Status | undefined): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** For what serves all tenants alike: recovery and retention. Never reachable from a request. */
export const everyTenant = null

export interface HeadFilter {
  readonly tenant: string | typeof everyTenant
  readonly status?: Status
  readonly thread_id?: string
  readonly agent?: string
  /** Continue behind this head of the page before. */
  readonly before?: { readonly created_at: number; readonly run_id: string }
  readonly limit: number
}

/** What a run is told. `closed` is the owner's own last word: nothing is accepted behind it. */
export type Told =
  | { type: 'cancel'; reason?: string; by?: string }
  | { type: 'input'; input_id: string; value: unknown; by?: string }
  | { type: 'closed' }

/** What a feed says of a run. */
export type RunEntry =
  | { type: 'accepted'; run_id: string; owner: string; thread_id?: string }
  | { type: 'started'; run_id: string; thread_base: number }
  | { type: 'ended'; run_id: string; status: Status; last: number; thread_base: number }

/** What a thread's feed says of its conversation besides its runs. */
export type ConversationEntry =
  | { type: 'created'; title?: string; user_id?: string }
  | { type: 'titled'; title: string; by?: string }
  | { type: 'appended'; message_id: string; role: 'user' | 'assistant'; content: Json[]; user_id?: string }
  | { type: 'deleted'; by?: string }

/** A tenant's feed points to the thread whose own feed has news that are no run's. */
export type ThreadEntry = { type: 'thread'; thread_id: string }

/** An entry of a tenant's or thread's feed. */
export type FeedEntry = RunEntry | ConversationEntry | ThreadEntry

export function isRunEntry(entry: FeedEntry): entry is RunEntry {
  return 'run_id' in entry
}

export type Numbered<T> = T & { readonly sequence: number; readonly timestamp: string }

/** Rings for nothing at will, but always after an append or a drop that follows, from whichever process. */
export type Ring = () => void

export interface Log extends AsyncDisposable {
  /**
   * Compare and append, all or nothing; returns the new last sequence. Throws `conflict` (details.last) when the log's
   * last is not `after`, `run_ended` when it is sealed. Writes the head's change in the same step and keeps it durable
   * before it returns. `append(run, 0, [], newHead)` creates a run and throws `conflict` when it exists: repeated run
   * ids and idempotency keys meet here. A terminal event seals the log of a run.
   */
  append(key: Key, after: number, entries: readonly Entry[], head?: NewHead | HeadChange): number | Promise<number>
  /** Entries with sequence > after, oldest first, at most `limit`, fewer at will. Empty and open = at the tail. */
  read(key: Key, after: number, limit: number): SlabBatch | Promise<SlabBatch>
  watch(key: Key, ring: Ring): Disposable
  head(run: string): Head | undefined | Promise<Head | undefined>
  /** Heads, newest first by (created_at, run_id). */
  list(filter: HeadFilter): readonly Head[] | Promise<readonly Head[]>
  /** Forgets entries up to `upTo`, keeping the view at the cut for late readers; without `upTo` the whole log with its head. */
  drop(key: Key, upTo?: number, snapshot?: Uint8Array): void | Promise<void>
}

export type { Entry, Event, State }

/** Entries that one read returns at most: enough to fill a socket's buffer, few enough to share a turn of the event loop. */
export const readLimitEntries = 1_000

/**
 * Whether this is still the log that a reader's place in a feed was taken from: the entry at it stands there as it did, or is
 * forgotten.
 */
export async function hasEntry(log: Log, feed: Key, { at, time }: { at: number; time: string }): Promise<boolean> {
  if (at === 0) return true
  const batch = await log.read(feed, at - 1, 1)
  if (batch.gap) return true
  const [entry] = batch.events as unknown as readonly Numbered<FeedEntry>[]
  return entry?.sequence === at && entry.timestamp === time
}
