// Ends runs that nobody executes any more: a dead process left them, their log was away for too long, or their start
// failed half-way. Every step may be repeated, by anyone, after any crash. It must never touch a run that is executed.
import { plainEntry } from './batch.ts'
import { RuncastError } from './error.ts'
import type { Feeds } from './feeds.ts'
import {
  everyTenant,
  type FeedEntry,
  type Head,
  inboxKey,
  isEnded,
  isRunEntry,
  type Log,
  type NewHead,
  type Numbered,
  readLimitEntries,
  runKey,
  type Status,
  tenantFeed,
  threadFeed,
  type Told,
} from './log.ts'
import { persist } from './persist.ts'

export interface Ended {
  readonly status: Status
  readonly last: number
}

export interface Recovery {
  /** Seals a run, and creates it before when it was only claimed: that fences a slow creator. */
  seal(run: NewHead): Promise<Ended>
  /** Seals a run and tells its feeds, however long the log is away. */
  finish(run: NewHead): Promise<void>
  /** Tells the feeds of a run that is sealed. `base` = it had its turn, and both feeds say so. */
  conclude(run: NewHead, ended: Ended, base?: number): Promise<void>
  /** Ends what a dead process left open; returns how many runs that were. Before the first start. */
  recover(): Promise<number>
}

/** `why`: an agent that declares that it can be run again could not be. */
export interface Resumed {
  readonly goesOn: boolean
  readonly why?: string
}

export interface RecoveryOptions {
  readonly log: Log
  readonly feeds: Feeds
  readonly now: () => number
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  /** Aborts when the process leaves: then the next one goes on. */
  readonly leaving: AbortSignal
  /** Goes on with an open run instead of ending it, where its agent can. */
  readonly resume: (head: Head) => Promise<Resumed>
  /** Does something with a run while nobody else of this process does. */
  readonly alone: (run: string, act: () => Promise<void>) => Promise<void>
}

export function createRecovery({ log, feeds, now, sleep, leaving, resume, alone }: RecoveryOptions): Recovery {
  const keep = <T>(act: () => T | Promise<T>) => persist(act, { sleep, signal: leaving })

  const seal = async (run: NewHead, why?: string): Promise<Ended> => {
    for (;;) {
      const head = await log.head(run.run_id)
      if (head && isEnded(head.status)) return { status: head.status, last: head.last }
      try {
        if (!head) await create(run)
        const cancel = await closeInbox(run.run_id)
        const status = cancel ? 'cancelled' : 'failed'
        const end = plainEntry((cancel ? cancelledBy(cancel) : interrupted(why)) as never, now())
        const last = await log.append(runKey(run.run_id), head?.last ?? 0, [end], { status, completed_at: now() })
        return { status, last }
      } catch (error) {
        if (!isRace(error)) throw error
      }
    }
  }

  const create = async (run: NewHead) => {
    await feeds.announce(tenantFeed(run.tenant), acceptedOf(run)) // as every start does
    await log.append(runKey(run.run_id), 0, [], { ...run, status: 'accepted' })
  }

  /** Nothing is accepted for a run that has ended; a cancel that came in time decides how it ends. */
  const closeInbox = async (run: string): Promise<Cancel | undefined> => {
    let cancel: Cancel | undefined
    for (let after = 0; ; ) {
      const batch = await log.read(inboxKey(run), after, readLimitEntries)
      for (const told of batch.events as unknown as readonly Told[]) {
        if (told.type === 'closed') return cancel
        if (told.type === 'cancel') cancel ??= told
      }
      after = batch.last
      if (batch.count > 0) continue
      try {
        await log.append(inboxKey(run), after, [plainEntry({ type: 'closed' } satisfies Told, now())])
        return cancel
      } catch (error) {
        if (!isRace(error)) throw error
      }
    }
  }

  const conclude = async ({ run_id, tenant, thread_id }: NewHead, ended: Ended, base?: number): Promise<void> => {
    const feed = tenantFeed(tenant)
    const thread = thread_id === undefined ? undefined : threadFeed(tenant, thread_id)
    let thread_base = base
    // Cancelled while queued, or never begun: its place in the thread is taken and left only at its turn.
    if (thread_base === undefined) {
      const turn = thread ? await keep(() => feeds.turn(thread, run_id, leaving)) : 0
      if (turn === undefined) return // the process leaves
      thread_base = turn
      await keep(() => feeds.announce(feed, { type: 'started', run_id, thread_base: turn }))
    }
    if (thread) await keep(() => feeds.leave(thread, run_id, ended))
    const entry: FeedEntry = { type: 'ended', run_id, ...ended, thread_base }
    await keep(() => feeds.announce(feed, entry))
    unsettled.delete(run_id)
  }

  /** Runs that a recovery has to end still: one that waits for its turn ends those before it. */
  const unsettled = new Set<string>()

  const finish = async (run: NewHead, why?: string) => conclude(run, await keep(() => seal(run, why)))

  /** The tenants of all runs, and the runs that are open. */
  const survey = async () => {
    const tenants = new Set<string>()
    const open: Head[] = []
    let before: Head | undefined
    do {
      const page = await keep(() => log.list({ tenant: everyTenant, limit: pageRuns, ...(before && { before }) }))
      for (const head of page) {
        tenants.add(head.tenant)
        if (!isEnded(head.status)) open.push(head)
      }
      before = page.at(-1)
    } while (before)
    return { tenants, open }
  }

  /** Runs that a tenant's feed accepted and did not end, in their order: a crash came between two steps. */
  const unfinished = async (tenant: string): Promise<Accepted[]> => {
    const open = new Map<string, Accepted>()
    for (let after = 0; ; ) {
      const batch = await keep(() => log.read(tenantFeed(tenant), after, readLimitEntries))
      if (batch.count === 0) return [...open.values()]
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        if (!isRunEntry(entry)) continue
        if (entry.type === 'accepted') open.set(entry.run_id, entry)
        else if (entry.type === 'ended') open.delete(entry.run_id)
      }
      after = batch.last
    }
  }

  /** Ends or resumes one run. Behind a resumed one, those of its thread wait for their turn, and nobody waits for them. */
  const settle = async (run: NewHead, busy: Set<string>) => {
    const thread = JSON.stringify([run.tenant, run.thread_id])
    const end = async (why?: string) => {
      if (unsettled.has(run.run_id)) await finish(run, why)
    }
    if (busy.has(thread)) {
      alone(run.run_id, end).catch(() => {}) // the process leaves: the next one recovers
      return
    }
    await alone(run.run_id, async () => {
      const head = await keep(() => log.head(run.run_id))
      const resumed = head && !isEnded(head.status) ? await keep(() => resume(head)) : undefined
      if (!resumed?.goesOn) await end(resumed?.why)
      else if (run.thread_id !== undefined) busy.add(thread)
    })
  }

  return {
    seal,
    finish,
    conclude,
    async recover() {
      const handled = new Set<string>()
      const busy = new Set<string>()
      const { tenants, open } = await survey()
      for (const { run_id } of open) unsettled.add(run_id)
      for (const tenant of tenants) {
        const accepted = await unfinished(tenant)
        for (const { run_id } of accepted) unsettled.add(run_id)
        for (const { run_id, owner, thread_id } of accepted) {
          const head = await keep(() => log.head(run_id))
          const claim = { run_id, owner, tenant, ...(thread_id !== undefined && { thread_id }) }
          handled.add(run_id)
          await settle(head ?? orphan({ ...claim, created_at: now() }), busy)
        }
      }
      // What no feed knows any more; oldest first, as a thread wants them.
      for (const head of open.reverse()) if (!handled.has(head.run_id)) await settle(head, busy)
      return open.length
    },
  }
}

/** Heads that one page of the survey has: what retention reads at a time, too. */
const pageRuns = 1_000

type Accepted = Extract<FeedEntry, { type: 'accepted' }>

/** What a tenant's feed says of a run first. */
export function acceptedOf({ run_id, owner, thread_id }: NewHead): Accepted {
  return { type: 'accepted', run_id, owner, ...(thread_id !== undefined && { thread_id }) }
}

/** A head for a run that was claimed and never created. */
export function orphan(claim: Pick<NewHead, 'run_id' | 'owner' | 'tenant' | 'thread_id' | 'created_at'>): NewHead {
  return { ...claim, status: 'accepted', agent: 'unknown', framework: 'unknown', input: null }
}

/** Nobody knows any more what it was to do. */
export function isOrphan({ agent, framework }: Head): boolean {
  return agent === 'unknown' && framework === 'unknown'
}

type Cancel = Extract<Told, { type: 'cancel' }>

function interrupted(why: string | undefined) {
  const error = `the server stopped while the run was open${why === undefined ? '' : `; ${why}`}`
  return { type: 'error', error, code: 'interrupted' }
}

function cancelledBy({ reason, by }: Cancel) {
  return { type: 'cancelled', ...(reason !== undefined && { reason }), ...(by !== undefined && { by }) }
}

/** Somebody else did something first: look again. */
function isRace(error: unknown): boolean {
  return error instanceof RuncastError && (error.code === 'conflict' || error.code === 'run_ended')
}
