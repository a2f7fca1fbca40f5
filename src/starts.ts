// How runs begin, are executed, and are ended when nobody executes them: claims first, then the run, then its owner. Every
// step may fail or stay unanswered, and may be asked for again; no run may be begun twice, and none may stay open for ever.
import { type Agent, agentOf } from './agent/define.ts'
import { checked } from './agent/schema.ts'
import { atMost } from './deps.ts'
import { RuncastError } from './error.ts'
import type { Json } from './event.ts'
import { createFeeds, threadOf } from './feeds.ts'
import { checkRunId, checkThread, type Head, isEnded, type NewHead, runKey, tenantFeed, threadFeed } from './log.ts'
import { type Owner, own, shutDown } from './owner.ts'
import { persist } from './persist.ts'
import { acceptedOf, createRecovery, isOrphan, orphan, type Resumed } from './recovery.ts'
import { createRedactor, maskOf } from './redact.ts'
import { type Replay, replayOf } from './replay.ts'
import { createRetention } from './retention.ts'
import { infoOf, type RunInfo } from './run-info.ts'
import type { Principal, RunsOptions, StartOptions } from './runs.ts'
import { stateHash } from './state/hash.ts'

/** How long a start that failed half-way waits for its client to come back: some tries of an HTTP client. */
const abandonMs = 5_000
/** How long who wants the thread of a run that has ended waits until it has left: one append, or some tries of it. */
const leaveMsMax = 2_000
/** How long a server that stops waits for a log that is away. */
const sealMsMax = 10_000

export interface Starts {
  start(who: Principal, agent: string | undefined, input: unknown, opts?: StartOptions): Promise<RunInfo>
  /** Stops a run that this process executes. */
  cancel(run: string, reason: string): void
  /** Seals or resumes what a dead process left open; returns how many runs that were. */
  recover(): Promise<number>
  stop(graceMs: number): Promise<void>
  /** Runs that this process executes now. */
  readonly running: number
}

/** `interrupt` asks a run to stop because a newer one takes its thread. */
export function createStarts(options: RunsOptions, interrupt: (run: string) => Promise<void>): Starts {
  const { log, agents, deps } = options
  const { maxRunDurationMs = 3_600_000, cancelGraceMs = 1_000 } = options
  const owner = deps.id()
  const owners = new Map<string, { owner: Owner; done: Promise<void> }>()
  const mask = maskOf(options.redactPatterns)
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
    left,
    interrupt,
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
  /** What begins now is over at once. */
  let interrupting = false

  async function start(
    who: Principal,
    name: string | undefined,
    raw: unknown,
    opts: StartOptions = {},
  ): Promise<RunInfo> {
    if (stopping) throw new RuncastError('not_ready', 'the server is shutting down; try again')
    const agent = agentOf(agents, name)
    const input = await checked(agent.input, raw, 'input', 'invalid_input')
    if (opts.thread !== undefined) checkThread(opts.thread, 'thread_id')
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
    const labels = opts.labels && checkedLabels(opts.labels)
    const given = { input, labels }
    const keptInput = asJson(raw)
    const shownInput = mask(keptInput)
    const isExecuted = owners.has(run_id) // asked first: what the log says may be old when it arrives
    const known = await log.head(run_id)
    if (known) {
      const info = repeated(known, input_hash)
      // Created by a start whose acknowledgement was lost: nobody executes it yet.
      if (known.owner === owner && known.status === 'accepted' && !isExecuted) execute(agent, given, known)
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
      ...(labels && { labels: mask(labels) }),
      input: shownInput,
      ...(shownInput !== keptInput && { input_redacted: true }),
      ...(input_hash !== undefined && { input_hash }),
      owner,
      created_at: deps.now(),
    }
    options.observer?.accepted?.(who.tenant)
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
    execute(agent, given, head)
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

  /** A run's thread learns of its end behind the run's own log. */
  async function left(run: string): Promise<boolean> {
    const head = await log.head(run)
    if (head && !isEnded(head.status)) return false
    const executed = owners.get(run)
    if (!executed) return !isOurs(run) // it has just left, or nobody executes it and it is to be settled
    const patience = new AbortController()
    const tooLong = deps.sleep(leaveMsMax, patience.signal).then(() => false, nothing)
    const isGone = await Promise.race([executed.done.then(() => true), tooLong])
    patience.abort()
    return isGone === true
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
  async function resume(open: Head): Promise<Resumed> {
    const agent = agents.find(one => one.name === open.agent)
    if (agent?.restart !== 'replay') return { goesOn: false }
    if (open.input_redacted) return { goesOn: false, why: 'its input had secrets, which are not kept to run it again' }
    const replay = await replayOf(log, open.run_id)
    if (!replay) return { goesOn: false }
    const { first: _first, last: _last, bytes: _bytes, ...head } = open
    try {
      const input = await checked(agent.input, head.input, 'input', 'invalid_input')
      execute(agent, { input, labels: head.labels }, { ...head, owner }, replay)
      return { goesOn: true }
    } catch {
      return { goesOn: false, why: 'its agent takes its input no more' }
    }
  }

  /** `given` is what was asked for, of which the head has what may be shown. */
  function execute(
    agent: Agent,
    given: { readonly input: unknown; readonly labels: StartOptions['labels'] },
    head: NewHead,
    replay?: Replay,
  ): void {
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
      input: given.input,
      head: { ...head, ...(given.labels && { labels: given.labels }) },
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
    if (interrupting) started.stop(shutDown)
  }

  async function recover(): Promise<number> {
    const count = await recovery.recover()
    await persist(() => retention.load(), { sleep: deps.sleep, signal: leaving.signal })
    return count
  }

  async function stop(graceMs: number): Promise<void> {
    stopping = true
    await settled(graceMs)
    interrupting = true
    for (const { owner: one } of owners.values()) one.stop(shutDown)
    await settled(cancelGraceMs + sealMsMax)
    leaving.abort() // what the log did not take by now is for the recovery of the next process
    retention.stop()
  }

  /** Waits, but no longer than this, until nothing starts, runs, or is ended any more: an end may itself wait for a run. */
  async function settled(msMax: number): Promise<void> {
    const all = async () => {
      while (starting.size + owners.size > 0) {
        await Promise.all([...starting.values(), ...[...owners.values()].map(({ done }) => done)])
      }
    }
    await atMost(msMax, all(), deps)
  }

  return {
    start,
    cancel: (run, reason) => owners.get(run)?.owner.stop({ kind: 'cancelled', reason }),
    recover,
    stop,
    get running() {
      return owners.size
    },
  }

  function runIdOf(who: Principal, { run, idempotencyKey }: StartOptions): string {
    if (run !== undefined) {
      if (options.allowClientIds === false)
        throw new RuncastError('forbidden', 'this server chooses the run ids; leave run_id out')
      checkRunId(run, 'run_id')
      return run
    }
    return idempotencyKey === undefined ? deps.id() : `k${stateHash([who.tenant, idempotencyKey]).slice(0, 32)}`
  }
}

/** An input as every backend keeps it, and as it was when it came: the agent may change the one that it is given. */
function asJson(input: unknown): Json {
  let text: string | undefined
  let why = `it is a ${typeof input}`
  try {
    text = JSON.stringify(input)
  } catch (error) {
    why = (error as Error).message
  }
  if (text !== undefined) return JSON.parse(text) as Json
  if (input === undefined) return input as unknown as Json
  throw new RuncastError('invalid_input', `the input is no JSON: ${why}; give text, numbers, lists and plain objects`)
}

function checkedLabels(labels: Readonly<Record<string, string>>): Record<string, string> {
  for (const [name, value] of Object.entries<unknown>(labels)) {
    if (typeof value === 'string') continue
    throw new RuncastError('invalid_request', `labels.${name} is a ${typeof value}; give text`)
  }
  return { ...labels }
}

function nothing(): void {}
