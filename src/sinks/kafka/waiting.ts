// What a sink has still to send, and whether a run is among it: the load on its way, the runs that it has begun, and what
// the feeds say behind its cursors. It only reads; what it keeps in memory is a name per run that waits, never an event.
import { type FeedEntry, isRunEntry, type Log, type Numbered, readLimitEntries, runKey, tenantFeed } from '../../log.ts'
import type { RunPlace } from '../../retention.ts'
import type { Lag } from '../sink.ts'
import { atEndOfTurn } from '../../turn.ts'
import type { Load } from './backlog.ts'
import type { Cursors } from './cursors.ts'

export interface Waiting {
  /** Undefined until the cursors were read: it is unknown, not 0. */
  lag(): Promise<Lag | undefined>
  /** Whether the run is not sent yet; so it is said of all while the cursors are unknown. */
  holds(run: RunPlace): Promise<boolean>
}

/** Runs that are asked for before others have their turn: some milliseconds. Thousands wait after an outage. */
const looksPerTurn = 100

/** A run that a feed speaks of behind the sink's cursor. */
interface Unseen {
  /** Of the newest entry that speaks of it. */
  sequence: number
  /** Of the oldest. */
  readonly time: number
  /** Its events, once it has ended. */
  last?: number
}

interface Scan {
  at: number
  readonly runs: Map<string, Unseen>
}

export function createWaiting(options: {
  readonly log: Log
  readonly tenants: ReadonlySet<string>
  /** Those whose runs are not sent: nothing of them waits. */
  readonly refused: ReadonlyMap<string, unknown>
  readonly cursors: () => Cursors | undefined
  /** Taken out of the log, and not committed. */
  readonly taken: () => readonly Load[]
  /** How often the making of a load has begun or ended: odd while one is made. */
  readonly steps: () => number
}): Waiting {
  const { log, tenants, refused, cursors, taken, steps } = options
  const scans = new Map<string, Scan>()

  /** Reads each entry once; forgets what the sink has passed, and what the log has forgotten. */
  const unseen = async (tenant: string): Promise<ReadonlyMap<string, Unseen>> => {
    const passed = () => cursors()?.feeds.get(tenant)?.at ?? 0
    const from = passed()
    const scan = scans.get(tenant) ?? { at: from, runs: new Map<string, Unseen>() }
    scans.set(tenant, scan)
    if (from < scan.at && scan.runs.size === 0) scan.at = from
    for (;;) {
      const batch = await log.read(tenantFeed(tenant), scan.at, readLimitEntries)
      if (batch.last <= scan.at) break
      scan.at = batch.last
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        if (!isRunEntry(entry)) continue
        const one = scan.runs.get(entry.run_id) ?? { sequence: 0, time: Date.parse(entry.timestamp) }
        one.sequence = entry.sequence
        if (entry.type === 'ended') one.last = entry.last
        scan.runs.set(entry.run_id, one)
      }
    }
    if (scan.runs.size === 0) return scan.runs
    const { after: gone } = await log.read(tenantFeed(tenant), passed(), 1)
    for (const [run, { sequence }] of scan.runs) if (sequence <= gone) scan.runs.delete(run)
    return scan.runs
  }

  const measure = async (): Promise<Lag | undefined> => {
    const known = cursors()
    if (known === undefined) return undefined
    const loads = taken()
    const runs = new Set(loads.flatMap(load => (load.events > 0 ? load.runs.map(({ run }) => run) : [])))
    let events = loads.reduce((sum, load) => sum + load.events, 0)
    let oldest = Math.min(...loads.map(load => load.oldest))
    const count = (run: string, n: number, time: number) => {
      if (n <= 0) return
      events += n
      oldest = Math.min(oldest, time)
      runs.add(run)
    }
    let looks = 0
    for (const { run, tenant, after, done } of known.runs.values()) {
      if (++looks % looksPerTurn === 0) await new Promise<void>(atEndOfTurn)
      const head = done || refused.has(tenant) ? undefined : await log.head(run)
      if (head === undefined || head.last <= after) continue
      const [next] = (await log.read(runKey(run), after, 1)).events
      count(run, head.last - after, Date.parse(next?.timestamp ?? '') || head.created_at)
    }
    for (const tenant of tenants) {
      if (refused.has(tenant)) continue
      for (const [run, { last, time }] of await unseen(tenant)) {
        if (!known.runs.has(run)) count(run, last ?? (await log.head(run))?.last ?? 0, time)
      }
    }
    return { events, runs: runs.size, ...(events > 0 && { oldest }) }
  }

  return {
    async lag() {
      for (;;) {
        const before = steps()
        const lag = await measure()
        // An event on its way into a load is in neither place: nothing is left only if nothing moved meanwhile.
        if (lag === undefined || lag.events > 0 || (before % 2 === 0 && before === steps())) return lag
        await new Promise<void>(atEndOfTurn)
      }
    },
    async holds({ run_id, tenant }) {
      if (!tenants.has(tenant) || refused.has(tenant)) return false
      const known = cursors()
      if (known === undefined) return true
      const cursor = known.runs.get(run_id)
      if (cursor !== undefined && !cursor.done) return true
      if (taken().some(load => load.runs.some(({ run }) => run === run_id))) return true
      return cursor === undefined && (await unseen(tenant)).has(run_id)
    },
  }
}
