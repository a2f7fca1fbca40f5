// Which runs a command over many looks at: those that are named, or those of a list that fit, newest first.
import type { RunInfo, Runs } from '../client/index.ts'
import { parseDuration } from '../config/duration.ts'
import { RuncastError } from '../error.ts'

export interface Selection {
  readonly thread?: string | undefined
  readonly agent?: string | undefined
  /** A duration back from now, or a time in ISO 8601. */
  readonly since?: string | undefined
}

export async function* selectRuns(runs: Runs, named: readonly string[], selection: Selection): AsyncGenerator<RunInfo> {
  const { thread, agent, since } = selection
  const oldest = since === undefined ? -Infinity : sinceMs(since, Date.now())
  if (named.length > 0) {
    for (const run of named) yield await runs.get(run)
    return
  }
  let cursor: string | undefined
  do {
    const page = await runs.list({ thread, agent, cursor })
    for (const info of page.runs) {
      if (Date.parse(info.created_at) < oldest) return
      yield info
    }
    cursor = page.next
  } while (cursor !== undefined)
}

function sinceMs(since: string, now: number): number {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(since)) return now - parseDuration(since, '--since')
  const time = Date.parse(since)
  if (/^\d{4}-/.test(since) && !Number.isNaN(time)) return time
  throw new RuncastError('invalid_request', `--since: ${JSON.stringify(since)} is neither 24h nor 2026-01-31T12:00:00Z`)
}
