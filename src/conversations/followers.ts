// Who rings when a tenant has news: one follower of each tenant's feed. It folds nothing itself, for the fold reads from
// its own cursor; a fold that fails is tried again for ever, because nothing else would learn of those runs.
import { RuncastError } from '../error.ts'
import { follow } from '../follow.ts'
import { type Log, readLimitEntries, tenantFeed } from '../log.ts'
import type { Deps } from '../runs.ts'

/** Until a fold that failed is tried again: a database that restarts needs seconds. */
const retryMs = 1_000

export interface Followers {
  /** Follows the tenant's feed from now on. */
  readonly attend: (tenant: string) => void
  /** Resolves when no fold is under way any more. */
  readonly stop: () => Promise<void>
}

export function createFollowers(options: {
  readonly log: Log
  readonly deps: Pick<Deps, 'sleep'>
  readonly fold: (tenant: string) => Promise<void>
  readonly onError: (error: RuncastError) => void
}): Followers {
  const { log, deps, fold, onError } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const followed = new Map<string, Promise<void>>()

  const followTenant = async (tenant: string): Promise<void> => {
    const feed = tenantFeed(tenant)
    while (!signal.aborted) {
      let folding: Promise<void> | undefined
      try {
        const after = await tailOf(log, tenant)
        await fold(tenant)
        await follow(log, feed, { after, signal }, () => (folding = fold(tenant)))
        await folding // an aborted follow does not wait for it
      } catch (error) {
        onError(RuncastError.from(error, 'unavailable'))
        await deps.sleep(retryMs, signal).catch(() => {})
      }
    }
  }

  return {
    attend(tenant) {
      if (!followed.has(tenant) && !signal.aborted) followed.set(tenant, followTenant(tenant))
    },
    async stop() {
      stopping.abort()
      await Promise.all(followed.values())
    },
  }
}

/** The last sequence of the feed: what is there already is folded before it is followed. */
async function tailOf(log: Log, tenant: string): Promise<number> {
  for (let after = 0; ; ) {
    const { last } = await log.read(tenantFeed(tenant), after, readLimitEntries)
    if (last <= after) return after
    after = last
  }
}
