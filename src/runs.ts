// The product: start, get, list, follow, tell, cancel. `createRuns` here and `connect(url)` in the client are both Runs,
// and one suite judges both. It works over any Log, and must never need two logs to change together.
import type { Agent } from './agent/define.ts'
import { checked } from './agent/schema.ts'
import { type Batch, plainEntry, type Types } from './batch.ts'
import { RuncastError } from './error.ts'
import type { Event, Json } from './event.ts'
import { createFeeds, type OnBusy, threadOf } from './feeds.ts'
import { type Deliver, follow, iterate } from './follow.ts'
import {
  type Head,
  inboxKey,
  isEnded,
  type Log,
  type NewHead,
  type Numbered,
  runKey,
  type Status,
  tenantFeed,
  threadFeed,
  type Told,
} from './log.ts'
import { type Owner, own } from './owner.ts'
import { persist } from './persist.ts'
import { acceptedOf, createRecovery, isOrphan, orphan } from './recovery.ts'
import { createRedactor } from './redact.ts'
import { type Replay, replayOf } from './replay.ts'
import { createRetention, type RetentionLimits } from './retention.ts'
import { infoOf, infoWithEnd, type RunInfo } from './run-info.ts'
import type { View } from './state/fold.ts'
import { stateHash } from './state/hash.ts'
import { goneError, viewAt } from './view-at.ts'

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
  /** Fail with `cursor_gone` instead of continuing behind a gap. */
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
  /** Told of every run that this process starts and ends; for metrics. */
  readonly observer?: { started(agent: string): void; ended(agent: string, status: Status): void }
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

const runIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/
/** A page of `list`: fits a screen or two, and one read of every backend. */
const pageRuns = 50
const pageRunsMax = 500
const defaultTenant = 'default'
/** How long a start that failed half-way waits for its client to come back: some tries of an HTTP client. */
const abandonMs = 5_000
/** How long a server that stops waits for a log that is away. */
const sealMsMax = 10_000

export function createRuns(options: RunsOptions): LocalRuns {
  const { log, agents, deps } = options
  const { maxRunDurationMs = 3_600_000, cancelGraceMs = 1_000, readersPerRunMax = 100 } = options
  const owner = deps.id()
  const owners = new Map<string, { owner: Owner; done: Promise<void> }>()
  const readers = new Map<string, number>()
  const retention = createRetention(log, options.retention ?? {}, deps)
  const feeds = createFeeds({
    log,
    owner,
    now: deps.now,
    settle: async (feed, { run_id, owner: claimant }) => {
      if (isOurs(run_id)) return false
      const head = orphan({ run_id, owner: claimant, ...threadOf(feed), created_at: deps.now() })
      await finish(head, () => feeds.holds(feed, run_id)) // it may have ended since the claim was read
      return true
    },
    interrupt: run => interrupt(run),
  })
  const leaving = new AbortController()
  const { now, sleep } = deps
  const recovery = createRecovery({ log, feeds, now, sleep, leaving: leaving.signal, resume, alone })
  /** Runs that are about to start, or to be ended: of two that want the same one, the second waits. */
  const starting = new Map<string, Promise<unknown>>()
  /** Starts that failed half-way. */
  const halfway = new Set<string>()
  const isOurs = (run: string) => owners.has(run) || starting.has(run) || halfway.has(run)
  let stopping = false

  async function headOf(run: string, who: Principal): Promise<Head> {
    const head = await log.head(run)
    if (!head || head.tenant !== who.tenant) throw new RuncastError('not_found', `there is no run ${shown(run)}`)
    return head
  }

  async function start(
    who: Principal,
    name: string | undefined,
    raw: unknown,
    opts: StartOptions = {},
  ): Promise<RunInfo> {
    if (stopping) throw new RuncastError('not_ready', 'the server is shutting down; try again')
    const agent = agentOf(agents, name)
    const input = await checked(agent.input, raw, 'input', 'invalid_input')
    if (opts.thread?.trim() === '') {
      throw new RuncastError(
        'invalid_request',
        `thread_id ${shown(opts.thread)} is blank; name a thread, or leave it out`,
      )
    }
    const run_id = runIdOf(who, opts)
    return alone(run_id, () => begin(who, agent, input, raw, run_id, opts))
  }

  /** Does something with a run while nobody else of this process does. */
  async function alone<T>(run: string, act: () => Promise<T>): Promise<T> {
    while (starting.has(run)) await starting.get(run)
    const work = act()
    const over = () => starting.delete(run)
    starting.set(run, work.then(over, over))
    return work
  }

  async function begin(
    who: Principal,
    agent: Agent,
    input: unknown,
    raw: unknown,
    run_id: string,
    opts: StartOptions,
  ): Promise<RunInfo> {
    const key = opts.idempotencyKey
    const input_hash = key === undefined ? undefined : stateHash([key, agent.name, raw])
    const isExecuted = owners.has(run_id) // asked first: what the log says may be old when it arrives
    const known = await log.head(run_id)
    if (known) {
      const info = repeated(known, input_hash)
      // Created by a start whose acknowledgement was lost: nobody executes it yet.
      if (known.owner === owner && known.status === 'accepted' && !isExecuted) execute(agent, input, known)
      return info
    }

    const head: NewHead = {
      run_id,
      status: 'accepted',
      agent: agent.name,
      framework: agent.framework,
      tenant: who.tenant,
      ...(opts.thread !== undefined && { thread_id: opts.thread }),
      ...(who.user !== undefined && { user_id: who.user }),
      ...(opts.labels && { labels: opts.labels }),
      input: raw as Json,
      ...(input_hash !== undefined && { input_hash }),
      owner,
      created_at: deps.now(),
    }
    try {
      if (opts.thread !== undefined) {
        await feeds.claim(threadFeed(who.tenant, opts.thread), run_id, opts.onBusy ?? options.onBusy ?? 'reject')
      }
      await feeds.announce(tenantFeed(who.tenant), acceptedOf(head))
      const other = await created(head)
      if (other) return repeated(other, input_hash)
    } catch (error) {
      if (RuncastError.from(error, 'unavailable').code === 'unavailable') abandon(head)
      throw error
    }
    execute(agent, input, head)
    return infoOf({ ...head, first: 1, last: 0, bytes: 0 })
  }

  /** Creates a run; returns what stands in its place when somebody else was faster. */
  async function created(head: NewHead): Promise<Head | undefined> {
    try {
      await log.append(runKey(head.run_id), 0, [], head)
      return undefined
    } catch (error) {
      const found = await log.head(head.run_id)
      if (!found) throw error
      return found.owner === owner ? undefined : found // ours: only the acknowledgement was lost
    }
  }

  /**
   * A start that failed may have claimed a thread, or even created its run. Whoever asked may ask again and goes on with
   * it; when nobody does, it is ended, so that the thread is not blocked for ever.
   */
  function abandon(head: NewHead): void {
    const { run_id } = head
    if (halfway.has(run_id)) return
    halfway.add(run_id)
    const leftTraces = async () => {
      const { thread_id, tenant } = head
      if (await log.head(run_id)) return true
      return thread_id !== undefined && (await feeds.holds(threadFeed(tenant, thread_id), run_id))
    }
    const settled = async () => {
      await deps.sleep(abandonMs, leaving.signal)
      await finish(head, async () => halfway.has(run_id) && (await leftTraces()))
    }
    settled().catch(nothing) // the process leaves: the next one recovers
  }

  /** The run that an idempotency key already has, or a refusal. */
  function repeated(head: Head, input_hash: string | undefined): RunInfo {
    // A key's run that was claimed and never created ended without a hash: asking again cannot begin it any more.
    if (input_hash !== undefined && (head.input_hash === input_hash || isOrphan(head))) return infoOf(head)
    const message = `the run ${head.run_id} exists, from another request; choose another run_id or idempotency key`
    throw new RuncastError('conflict', message, { details: { run_id: head.run_id } })
  }

  /** Ends a run that nobody executes, if that is needed; whoever wants to start it waits. */
  async function finish(head: NewHead, isNeeded: () => Promise<boolean>): Promise<void> {
    const { run_id } = head
    const finishing = async () => {
      if (await persist(isNeeded, { sleep: deps.sleep, signal: leaving.signal })) {
        await recovery.finish(head)
        retention.ended(run_id)
      }
      halfway.delete(run_id)
    }
    await alone(run_id, finishing)
  }

  /** Runs a deterministic agent again whose process is gone; its log goes on where it ends. */
  async function resume(open: Head): Promise<boolean> {
    const agent = agents.find(one => one.name === open.agent)
    if (agent?.restart !== 'replay') return false
    const replay = await replayOf(log, open.run_id)
    if (!replay) return false
    const { first: _first, last: _last, bytes: _bytes, ...head } = open
    try {
      execute(agent, await checked(agent.input, head.input, 'input', 'invalid_input'), { ...head, owner }, replay)
      return true
    } catch {
      return false // the agent takes this input no more
    }
  }

  function execute(agent: Agent, input: unknown, head: NewHead, replay?: Replay): void {
    const { run_id, tenant, thread_id } = head
    halfway.delete(run_id)
    const thread = thread_id === undefined ? undefined : threadFeed(tenant, thread_id)
    const redactor = options.redactPatterns?.length ? createRedactor(options.redactPatterns) : undefined
    const keep = <T>(act: () => Promise<T>) => persist(act, { sleep: deps.sleep, signal: leaving.signal })
    let base: number | undefined
    const announceStart = async (thread_base: number) => {
      await keep(() => feeds.announce(tenantFeed(tenant), { type: 'started', run_id, thread_base }))
      base = thread_base
    }
    const started = own({
      log,
      key: runKey(run_id),
      agent,
      input,
      head,
      exit: {
        allowed: options.allowed,
        redactor,
        outputCharsMax: options.outputCharsMax,
        pendingBytesMax: options.pendingBytesMax,
        eventBytesMax: options.eventBytesMax,
        onStored: (events, bytes) => retention.grown(run_id, events, bytes),
        replay,
      },
      now: deps.now,
      sleep: deps.sleep,
      cancelGraceMs,
      maxRunDurationMs,
      inbox: true,
      turn: thread && (signal => keep(() => feeds.turn(thread, run_id, signal))),
      onStarted: announceStart,
    })
    options.observer?.started(agent.name)
    const done = started.sealed
      .then(
        async ended => {
          options.observer?.ended(agent.name, ended.status)
          await recovery.conclude(head, ended, base)
        },
        async () => {
          // The log was away for too long, or another owner took over: the run is ended as it is.
          await recovery.finish(head)
          options.observer?.ended(agent.name, 'failed')
        },
      )
      .then(() => retention.ended(run_id))
      .catch(nothing) // the process leaves: the next one recovers
      .finally(() => owners.delete(run_id))
    owners.set(run_id, { owner: started, done })
  }

  /** Asks a run to stop because a newer one takes its thread. It may have ended by itself, or not be created yet. */
  async function interrupt(run: string): Promise<void> {
    try {
      await told(run, { type: 'cancel', reason: 'interrupted by a newer run' }, 'absent too')
    } catch (error) {
      if (!(error instanceof RuncastError && error.code === 'run_ended')) throw error
    }
  }

  /** Appends to the inbox, behind whatever is there. */
  async function told(run: string, message: Told, which?: 'absent too'): Promise<void> {
    const key = inboxKey(run)
    for (let after = 0; ; ) {
      const batch = await log.read(key, after, 1_000)
      const entries = batch.events as unknown as readonly Numbered<Told>[]
      const head = await log.head(run)
      const isGone = head ? isEnded(head.status) : which !== 'absent too'
      if (isGone || entries.some(entry => entry.type === 'closed')) {
        throw new RuncastError('run_ended', `the run ${run} has ended${head ? ` (${head.status})` : ''}`, {
          details: { run_id: run },
        })
      }
      after = batch.last
      if (batch.count > 0) continue
      try {
        await log.append(key, after, [plainEntry(message, deps.now())])
        return
      } catch (error) {
        if (RuncastError.from(error).code !== 'conflict') throw error
      }
    }
  }

  async function tell(who: Principal, run: string, message: Message): Promise<void> {
    await headOf(run, who)
    const by = who.user
    await told(run, { ...message, ...(by !== undefined && { by }) } as Told)
  }

  async function cancel(who: Principal, run: string, reason?: string): Promise<RunInfo> {
    await tell(who, run, { type: 'cancel', ...(reason !== undefined && { reason }) })
    await follow(log, runKey(run), { after: Number.MAX_SAFE_INTEGER }, () => {})
    return get(who, run)
  }

  async function get(who: Principal, run: string): Promise<RunInfo> {
    return infoWithEnd(log, await headOf(run, who))
  }

  async function list(who: Principal, filter: ListFilter = {}): Promise<Page> {
    const limit = Math.min(filter.limit ?? pageRuns, pageRunsMax)
    const heads = await log.list({
      tenant: who.tenant,
      limit: limit + 1,
      ...(filter.status && { status: filter.status }),
      ...(filter.agent !== undefined && { agent: filter.agent }),
      ...(filter.thread !== undefined && { thread_id: filter.thread }),
      ...(filter.cursor !== undefined && { before: placeOf(filter.cursor) }),
    })
    const page = heads.slice(0, limit)
    const last = page.at(-1)
    return {
      runs: page.map(infoOf),
      ...(heads.length > limit && last && { next: `${last.created_at}.${last.run_id}` }),
    }
  }

  async function followRun(who: Principal, target: Target, opts: FollowRunOptions, deliver: Deliver): Promise<void> {
    const { after = 0, types, strict, signal } = opts
    if (typeof target !== 'string') {
      opts.opened?.()
      return follow(log, threadFeed(who.tenant, target.thread), { after, signal }, deliver)
    }
    const { first } = await headOf(target, who)
    if (strict && after < first - 1) throw goneError(target, { requested: after + 1, oldest: first })
    const watching = (readers.get(target) ?? 0) + 1
    if (watching > readersPerRunMax) {
      throw new RuncastError('too_many_readers', `the run ${target} has ${readersPerRunMax} readers, its limit`, {
        details: { limit: readersPerRunMax },
      })
    }
    readers.set(target, watching)
    opts.opened?.()
    try {
      await follow(log, runKey(target), { after, types, signal }, batch => {
        if (strict && batch.gap) throw goneError(target, batch.gap)
        return deliver(batch)
      })
    } finally {
      left(target)
    }
  }

  function left(run: string): void {
    const watching = (readers.get(run) ?? 1) - 1
    if (watching > 0) readers.set(run, watching)
    else readers.delete(run)
    const ms = options.cancelWhenUnwatchedMs
    if (watching > 0 || ms === undefined) return
    void deps.sleep(ms).then(() => {
      if (!readers.has(run)) owners.get(run)?.owner.stop({ kind: 'cancelled', reason: `nobody watched for ${ms} ms` })
    })
  }

  async function snapshot(who: Principal, run: string, at = Number.MAX_SAFE_INTEGER): Promise<View> {
    const head = await headOf(run, who)
    return viewAt(log, run, Math.min(at, head.last))
  }

  async function recover(): Promise<number> {
    const count = await recovery.recover()
    await persist(() => retention.load(), { sleep: deps.sleep, signal: leaving.signal })
    return count
  }

  async function stop(graceMs: number): Promise<void> {
    stopping = true
    await Promise.all(starting.values())
    const all = () => Promise.allSettled([...owners.values()].map(({ done }) => done))
    const patience = new AbortController()
    await Promise.race([all(), deps.sleep(graceMs, patience.signal).catch(() => {})])
    patience.abort()
    for (const { owner: one } of owners.values())
      one.stop({ kind: 'interrupted', error: 'the server is shutting down' })
    const lastWords = new AbortController()
    await Promise.race([all(), deps.sleep(cancelGraceMs + sealMsMax, lastWords.signal).catch(nothing)])
    lastWords.abort()
    leaving.abort() // what the log did not take by now is for the recovery of the next process
    retention.stop()
  }

  const as = (who: Principal): Runs => ({
    start: (agent, input, opts) => start(who, agent, input, opts),
    get: run => get(who, run),
    list: filter => list(who, filter),
    follow: (target, opts, deliver) => followRun(who, target, opts, deliver),
    tail: (target, opts = {}) =>
      iterate((signal, deliver) => followRun(who, target, { ...opts, signal }, deliver), opts.signal),
    snapshot: (run, at) => snapshot(who, run, at),
    tell: (run, message) => tell(who, run, message),
    cancel: (run, reason) => cancel(who, run, reason),
    async [Symbol.asyncDispose]() {},
  })

  return {
    ...as({ tenant: defaultTenant }),
    agents,
    as,
    recover,
    stop,
    get running() {
      return owners.size
    },
    [Symbol.asyncDispose]: () => stop(0),
  }

  function runIdOf(who: Principal, { run, idempotencyKey }: StartOptions): string {
    if (run !== undefined) {
      if (options.allowClientIds === false)
        throw new RuncastError('forbidden', 'this server chooses the run ids; leave run_id out')
      if (!runIdPattern.test(run)) {
        throw new RuncastError(
          'invalid_run_id',
          `run_id ${shown(run)} must be 1 to 128 letters, digits, _ and -, and begin with a letter or digit`,
        )
      }
      return run
    }
    return idempotencyKey === undefined ? deps.id() : `k${stateHash([who.tenant, idempotencyKey]).slice(0, 32)}`
  }
}

export function agentOf(agents: readonly Agent[], name: string | undefined): Agent {
  const agent = name === undefined ? agents[0] : agents.find(one => one.name === name)
  if (agent) return agent
  const known = agents.map(one => one.name).join(', ') || 'none'
  throw new RuncastError('not_found', `there is no agent ${shown(name ?? '')}; there is: ${known}`)
}

function placeOf(cursor: string): { created_at: number; run_id: string } {
  const dot = cursor.indexOf('.')
  const created_at = Number(cursor.slice(0, dot))
  const run_id = cursor.slice(dot + 1)
  if (dot < 1 || !Number.isSafeInteger(created_at) || !runIdPattern.test(run_id)) {
    throw new RuncastError(
      'invalid_request',
      `cursor ${shown(cursor)} is not one of ours; use the "next" of the page before`,
    )
  }
  return { created_at, run_id }
}

function nothing(): void {}

function shown(text: string): string {
  return JSON.stringify(text.length > 140 ? `${text.slice(0, 140)}…` : text)
}

export type { Event, OnBusy, RunInfo, Status, View }
