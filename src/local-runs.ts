// The runs of this process: what `Runs` promises, over any Log. It must never need two logs to change together: what one
// append cannot say is a log of its own, repaired on read.
import { checkAgents } from './agent/define.ts'
import { plainEntry } from './batch.ts'
import { RuncastError, shown } from './error.ts'
import { runIdPattern } from './event.ts'
import { encoded } from './exit.ts'
import { type Deliver, follow, iterate } from './follow.ts'
import { type Head, inboxKey, isEnded, type Numbered, runKey, threadFeed, type Told } from './log.ts'
import { maskOf } from './redact.ts'
import { infoOf, infoWithEnd, type RunInfo } from './run-info.ts'
import type {
  FollowRunOptions,
  ListFilter,
  LocalRuns,
  Message,
  Page,
  Principal,
  Runs,
  RunsOptions,
  Target,
} from './runs.ts'
import { createStarts } from './starts.ts'
import type { View } from './state/fold.ts'
import { foreignError, goneError, viewAt } from './view-at.ts'

/** A page of `list`: fits a screen or two, and one read of every backend. */
const pageRuns = 50
const pageRunsMax = 500
const defaultTenant = 'default'

export function createRuns(options: RunsOptions): LocalRuns {
  const { log, agents, deps } = options
  const { readersPerRunMax = 100 } = options
  checkAgents(agents)
  const starts = createStarts(options, interrupt)
  const readers = new Map<string, number>()
  /** Runs whose readers have all left: aborted when one comes. */
  const unwatched = new Map<string, AbortController>()
  const mask = maskOf(options.redactPatterns)

  async function headOf(run: string, who: Principal): Promise<Head> {
    const head = await log.head(run)
    if (!head || head.tenant !== who.tenant) throw new RuncastError('not_found', `there is no run ${shown(run)}`)
    return head
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
    // A reason is for readers: recovery may be who hands it on. An answer is for the agent, and masked at its exit.
    const given = message.type === 'cancel' ? { ...message, reason: mask(message.reason) } : message
    if (given.type === 'input') {
      // What the run's log cannot take is refused here: to the run it would be the loss of its log.
      const { input_id, value } = given
      const answer = {
        type: 'input',
        input_id,
        kind: 'answer',
        value: mask(value),
        ...(by !== undefined && { by }),
      } as const
      encoded(answer, deps.now(), options.eventBytesMax)
    }
    await told(run, { ...given, ...(by !== undefined && { by }) } as Told)
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
    const { first, last } = await headOf(target, who)
    if (strict && after < first - 1) throw goneError(target, { requested: after + 1, oldest: first })
    if (strict && after > last) throw foreignError(target, { requested: after + 1, oldest: first, last })
    const watching = (readers.get(target) ?? 0) + 1
    if (watching > readersPerRunMax) {
      throw new RuncastError('too_many_readers', `the run ${target} has ${readersPerRunMax} readers, its limit`, {
        details: { limit: readersPerRunMax },
      })
    }
    readers.set(target, watching)
    unwatched.get(target)?.abort()
    opts.opened?.()
    const take = strict ? strictly(target, deliver) : deliver
    return follow(log, runKey(target), { after, types, signal }, take).finally(() => left(target))
  }

  function left(run: string): void {
    const watching = (readers.get(run) ?? 1) - 1
    if (watching > 0) readers.set(run, watching)
    else readers.delete(run)
    if (watching === 0 && options.cancelWhenUnwatchedMs !== undefined) forsaken(run, options.cancelWhenUnwatchedMs)
  }

  /** Cancels a run unless a reader comes in time; the wait ends with its coming, and begins anew when the last one leaves. */
  function forsaken(run: string, ms: number): void {
    const waiting = new AbortController()
    unwatched.set(run, waiting)
    const over = () => {
      if (unwatched.get(run) === waiting) unwatched.delete(run)
    }
    deps.sleep(ms, waiting.signal).then(() => {
      over()
      starts.cancel(run, `nobody watched for ${ms} ms`)
    }, over)
  }

  async function snapshot(who: Principal, run: string, at = Number.MAX_SAFE_INTEGER): Promise<View> {
    const head = await headOf(run, who)
    return viewAt(log, run, Math.min(at, head.last))
  }

  const as = (who: Principal): Runs => ({
    start: (agent, input, opts) => starts.start(who, agent, input, opts),
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
    recover: () => starts.recover(),
    stop: graceMs => starts.stop(graceMs),
    get running() {
      return starts.running
    },
    [Symbol.asyncDispose]: () => starts.stop(0),
  }
}

function strictly(run: string, deliver: Deliver): Deliver {
  return batch => {
    if (batch.gap) throw goneError(run, batch.gap)
    return deliver(batch)
  }
}

function placeOf(cursor: string): { created_at: number; run_id: string } {
  const dot = cursor.indexOf('.')
  const created_at = Number(cursor.slice(0, dot))
  const run_id = cursor.slice(dot + 1)
  if (!/^\d+\./.test(cursor) || !Number.isSafeInteger(created_at) || !runIdPattern.test(run_id)) {
    throw new RuncastError(
      'invalid_request',
      `cursor ${shown(cursor)} is not one of ours; use the "next" of the page before`,
    )
  }
  return { created_at, run_id }
}
