// A command on a conversation, written where all that happens to it is written: into the feed of its thread. The tenant's
// feed gets a pointer behind it. The order matters: a pointer that a crash lost is mended by the next read of the thread.
import { plainEntry } from '../batch.ts'
import { RuncastError } from '../error.ts'
import { type ConversationEntry, type Key, type Log, tenantFeed, threadFeed, type ThreadEntry } from '../log.ts'

/** False when the thread's feed has moved on: look again at what the command would meet now. */
export type Append = (
  place: { readonly tenant: string; readonly thread: string },
  after: number,
  entry: ConversationEntry,
) => Promise<boolean>

export function createAppend(options: {
  readonly log: Log
  readonly now: () => number
  readonly onError: (error: RuncastError) => void
}): Append {
  const { log, now, onError } = options

  const appended = async (feed: Key, after: number, entry: ConversationEntry | ThreadEntry): Promise<true | number> => {
    try {
      await log.append(feed, after, [plainEntry(entry, now())])
      return true
    } catch (error) {
      const { code, details } = RuncastError.from(error)
      const last = details['last']
      if (code !== 'conflict' || typeof last !== 'number' || last === after) throw error
      return last
    }
  }

  return async ({ tenant, thread }, after, entry) => {
    if ((await appended(threadFeed(tenant, thread), after, entry)) !== true) return false
    try {
      let last: true | number = 0
      while (last !== true) last = await appended(tenantFeed(tenant), last, { type: 'thread', thread_id: thread })
    } catch (error) {
      onError(RuncastError.from(error)) // the command is done all the same
    }
    return true
  }
}
