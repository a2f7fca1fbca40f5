// A conversation as it happens: every run of a thread in its order, each from start to end, whoever began it, so that a
// page shows an answer that another tab asked for. A free function over Runs, local or remote. One connection at a time.
import type { Batch, Types } from '../batch.ts'
import { RuncastError } from '../error.ts'
import type { Runs } from '../runs.ts'

/** Where a reader of a thread is: the feed's entries behind it, and how far it is in the run after them. */
export interface ThreadCursor {
  readonly feed: number
  readonly run_id?: string
  readonly after?: number
}

export interface FollowThreadOptions {
  /** What the last delivery said; absent = from the first run. */
  readonly cursor?: ThreadCursor | undefined
  readonly types?: Types | undefined
  readonly strict?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ThreadBatch {
  readonly run_id: string
  /** Events of the thread before this run: `thread_base + sequence` numbers the whole thread. */
  readonly thread_base: number
  readonly batch: Batch
  /** Continues behind this batch. Keep it only once the batch is applied. */
  readonly cursor: ThreadCursor
}

/**
 * Delivers the runs of a thread, one after the other, and waits for the next; resolves when the signal aborts or `runs`
 * is closed, and only then. A run that retention has dropped meanwhile is passed over.
 */
export async function followThread(
  runs: Runs,
  thread: string,
  options: FollowThreadOptions,
  deliver: (next: ThreadBatch) => void | Promise<void>,
): Promise<void> {
  const { types, strict, signal } = options
  let cursor = options.cursor ?? { feed: 0 }

  /** False when the reading ended before the run did. */
  const followOne = async ({ run_id, sequence, thread_base }: Started): Promise<boolean> => {
    const after = cursor.run_id === run_id ? cursor.after : undefined
    let sealed = false
    let refused = false
    const take = async (batch: Batch) => {
      sealed = batch.state === 'sealed'
      cursor = sealed ? { feed: sequence } : { feed: cursor.feed, run_id, after: batch.last }
      try {
        await deliver({ run_id, thread_base, batch, cursor })
      } catch (error) {
        refused = true
        throw error
      }
    }
    try {
      await runs.follow(run_id, { after, types, strict, signal }, take)
    } catch (error) {
      // Its feed entries outlive a dropped run.
      if (refused || !(error instanceof RuncastError) || error.code !== 'not_found') throw error
      sealed = true
    }
    if (sealed) cursor = { feed: sequence }
    return sealed
  }

  for (;;) {
    const started = await startedAfter(runs, thread, cursor.feed, signal)
    if (started.length === 0) return
    for (const run of started) if (signal?.aborted || !(await followOne(run))) return
  }
}

interface Started {
  readonly run_id: string
  readonly sequence: number
  readonly thread_base: number
}

/** Waits for the next runs of a thread; empty when the reading ended. */
async function startedAfter(runs: Runs, thread: string, after: number, signal?: AbortSignal): Promise<Started[]> {
  for await (const batch of runs.tail({ thread }, { after, signal })) {
    const entries = batch.events as unknown as readonly (Started & { readonly type: string })[]
    const started = entries.filter(entry => entry.type === 'started')
    if (started.length > 0) return started
  }
  return []
}
