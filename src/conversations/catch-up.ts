// Keeps the rows of the store in step with the log. A thread's feed is folded from the row's own cursor on, and the
// messages are written together with the new cursor in one transaction: a crash at any point neither loses nor doubles.
// The tenant's feed only says which threads have news. Nothing here is ever written that is not in the log first.
import type { Transaction } from 'kysely'
import {
  type FeedEntry,
  hasEntry,
  isRunEntry,
  type Key,
  type Log,
  type Numbered,
  readLimitEntries,
  tenantFeed,
  threadFeed,
} from '../log.ts'
import type { View } from '../state/fold.ts'
import { viewAt } from '../view-at.ts'
import { type Change, type Conversation, emptyConversation, foldEntry, placeOf, type RunMessages } from './entries.ts'
import { assistantMessage, userMessage } from './message.ts'
import { conversationOf, conversationRow, messageRow } from './rows.ts'
import { type Database, type Tables, toColumn } from './tables.ts'

export interface CatchUp {
  /** Folds what the thread's feed has and returns the conversation as it is then; threads wait for their own turn only. */
  thread(tenant: string, thread: string): Promise<Conversation>
  /** The same for every thread with news in the tenant's feed. */
  tenant(tenant: string): Promise<void>
  /** Makes the thread's rows again from what the log still has; what it has no more stays as it is. */
  rebuild(tenant: string, thread: string): Promise<void>
}

/** Entries of a feed folded in one transaction: enough to make its cost small, few enough to hold their runs in memory. */
const entriesPerFold = 64

type Entries = readonly Numbered<FeedEntry>[]

export function createCatchUp({ db, locksRows }: Database, log: Log): CatchUp {
  const inTurn = createTurns()

  /** Whether the cursor was read from this log. */
  const isOf = (feed: Key, { cursor, cursor_time }: Pick<Conversation, 'cursor' | 'cursor_time'>) =>
    hasEntry(log, feed, { at: cursor, time: cursor_time })

  const load = async (from: Pick<Transaction<Tables>, 'selectFrom'>, tenant: string, thread: string, lock: boolean) => {
    const query = from
      .selectFrom('runcast_conversations')
      .selectAll()
      .where('tenant', '=', toColumn(tenant))
      .where('thread', '=', toColumn(thread))
    const row = await (lock && locksRows ? query.forUpdate() : query).executeTakeFirst()
    return row ? conversationOf(row) : emptyConversation
  }

  /** Writes the outcome of a fold unless another process has folded on meanwhile. */
  const save = (
    tenant: string,
    thread: string,
    step: { before: Conversation; after: Conversation; changes: readonly Change[] },
  ): Promise<boolean> =>
    db.transaction().execute(async tx => {
      const { before, after, changes } = step
      await tx
        .insertInto('runcast_conversations')
        .values(conversationRow(tenant, thread, emptyConversation))
        .onConflict(conflict => conflict.columns(['tenant', 'thread']).doNothing())
        .execute()
      const now = await load(tx, tenant, thread, true)
      if (now.cursor !== before.cursor || now.cursor_time !== before.cursor_time || now.base !== before.base) {
        return false
      }
      for (const change of changes) await write(tx, tenant, thread, change)
      await update(tx, tenant, thread, after)
      return true
    })

  const foldThread = async (tenant: string, thread: string): Promise<Conversation> => {
    const feed = threadFeed(tenant, thread)
    for (;;) {
      const before = await load(db, tenant, thread, false)
      const start = (await isOf(feed, before)) ? before : await anew(tenant, thread, before)
      const batch = await log.read(feed, start.cursor, entriesPerFold)
      if (batch.last <= start.cursor) return start
      let after = start
      const changes: Change[] = []
      for (const entry of batch.events as unknown as Entries) {
        const folded = foldEntry(thread, after, entry, await messagesOf(log, tenant, thread, entry))
        after = folded.after
        changes.push(...folded.changes)
      }
      await save(tenant, thread, { before, after, changes })
    }
  }

  /** The log was lost and begins anew: what comes stands behind what is kept. */
  const anew = async (tenant: string, thread: string, before: Conversation): Promise<Conversation> => {
    const newest = await db
      .selectFrom('runcast_messages')
      .select(({ fn }) => fn.max('position').as('position'))
      .where('tenant', '=', toColumn(tenant))
      .where('thread', '=', toColumn(thread))
      .executeTakeFirst()
    const last = Math.max(Number(newest?.position ?? 0), placeOf(before, before.cursor))
    return { ...before, cursor: 0, cursor_time: '', base: last + (last % 2), claims: [] }
  }

  const foldTenant = async (tenant: string): Promise<void> => {
    const feed = tenantFeed(tenant)
    for (;;) {
      const row = await db
        .selectFrom('runcast_feeds')
        .selectAll()
        .where('tenant', '=', toColumn(tenant))
        .executeTakeFirst()
      const at = { cursor: Number(row?.cursor ?? 0), cursor_time: row?.cursor_time ?? '' }
      const { cursor } = (await isOf(feed, at)) ? at : { cursor: 0 }
      const batch = await log.read(feed, cursor, readLimitEntries)
      if (batch.last <= cursor) return
      const entries = batch.events as unknown as Entries
      for (const thread of await threadsOf(log, tenant, entries)) {
        await inTurn(threadFeed(tenant, thread), () => foldThread(tenant, thread))
      }
      const next = { cursor: batch.last, cursor_time: entries.at(-1)?.timestamp ?? '' }
      await db
        .insertInto('runcast_feeds')
        .values({ tenant: toColumn(tenant), ...next })
        .onConflict(conflict => conflict.column('tenant').doUpdateSet(next))
        .execute()
    }
  }

  const reset = async (tenant: string, thread: string): Promise<void> => {
    const before = await load(db, tenant, thread, false)
    const feed = threadFeed(tenant, thread)
    if (!(await isOf(feed, before))) return
    const start = await rebuildsFrom(log, feed, thread, before)
    if (start === undefined) return
    const from = placeOf(start, start.cursor) + 2
    await db.transaction().execute(async tx => {
      await tx
        .deleteFrom('runcast_messages')
        .where('tenant', '=', toColumn(tenant))
        .where('thread', '=', toColumn(thread))
        .where('position', '>=', from)
        .execute()
      await update(tx, tenant, thread, since(start, from))
    })
  }

  return {
    thread: (tenant, thread) => inTurn(threadFeed(tenant, thread), () => foldThread(tenant, thread)),
    tenant: tenant => inTurn(tenantFeed(tenant), () => foldTenant(tenant)),
    rebuild: (tenant, thread) =>
      inTurn(threadFeed(tenant, thread), async () => {
        await reset(tenant, thread)
        await foldThread(tenant, thread)
      }),
  }
}

/** The threads that the entries speak of. Runs without a thread have no conversation. */
async function threadsOf(log: Log, tenant: string, entries: Entries): Promise<Set<string>> {
  const runs = new Set<string>()
  const threads = new Set<string>()
  for (const entry of entries) {
    if (entry.type === 'thread') threads.add(entry.thread_id)
    else if (entry.type === 'started' || entry.type === 'ended') runs.add(entry.run_id)
  }
  for (const run of runs) {
    const head = await log.head(run)
    if (head?.thread_id !== undefined && head.tenant === tenant) threads.add(head.thread_id)
  }
  return threads
}

/** What the run of an entry has said; undefined when it is dropped, or another tenant's. */
async function messagesOf(
  log: Log,
  tenant: string,
  thread: string,
  entry: FeedEntry,
): Promise<RunMessages | undefined> {
  if (entry.type !== 'started' && entry.type !== 'ended') return undefined
  const head = await log.head(entry.run_id)
  if (!head || head.tenant !== tenant || head.thread_id !== thread) return undefined
  const user = userMessage(head, thread)
  if (entry.type === 'started') return { user }
  return { user, assistant: assistantMessage(await viewOf(log, entry.run_id), head, thread) }
}

/** The view of a run at its newest event. */
export function viewOf(log: Log, run: string): Promise<View> {
  return viewAt(log, run, Number.MAX_SAFE_INTEGER)
}

/**
 * Where a rebuild begins: behind the last entry of a run that is dropped, for nothing before it could be made again.
 * Undefined when the feed is empty.
 */
async function rebuildsFrom(
  log: Log,
  feed: Key,
  thread: string,
  before: Conversation,
): Promise<Conversation | undefined> {
  const entries: Numbered<FeedEntry>[] = []
  let after = 0
  for (;;) {
    const batch = await log.read(feed, after, readLimitEntries)
    if (batch.last <= after) break
    entries.push(...(batch.events as unknown as Entries))
    after = batch.last
  }
  const first = entries[0]
  if (!first) return undefined
  let kept = 0
  for (const [index, entry] of entries.entries()) {
    if (isRunEntry(entry) && entry.type === 'ended' && !(await log.head(entry.run_id))) kept = index + 1
  }
  let scratch = emptyConversation
  for (const entry of entries.slice(0, kept)) scratch = foldEntry(thread, scratch, entry, undefined).after
  const cursor = kept === 0 ? first.sequence - 1 : scratch.cursor
  return { ...before, cursor, cursor_time: scratch.cursor_time, claims: scratch.claims }
}

/** The conversation without what entries from this place on made of it: they say it again. */
function since(start: Conversation, from: number): Conversation {
  const { shown_at, title, title_at, user_id, ...rest } = start
  const shown = shown_at !== undefined && shown_at < from
  const titled = title !== undefined && title_at !== undefined && title_at < from
  return {
    ...rest,
    ...(shown && { shown_at, ...(user_id !== undefined && { user_id }) }),
    ...(titled && { title, title_at }),
  }
}

async function update(tx: Transaction<Tables>, tenant: string, thread: string, to: Conversation): Promise<void> {
  const { tenant: _tenant, thread: _thread, ...columns } = conversationRow(tenant, thread, to)
  await tx
    .updateTable('runcast_conversations')
    .set(columns)
    .where('tenant', '=', toColumn(tenant))
    .where('thread', '=', toColumn(thread))
    .execute()
}

async function write(tx: Transaction<Tables>, tenant: string, thread: string, change: Change): Promise<void> {
  if (change.type === 'clear') {
    await tx
      .deleteFrom('runcast_messages')
      .where('tenant', '=', toColumn(tenant))
      .where('thread', '=', toColumn(thread))
      .where('position', '<', change.before)
      .execute()
    return
  }
  const row = messageRow(tenant, thread, change.message, change.position)
  await tx
    .insertInto('runcast_messages')
    .values(row)
    .onConflict(conflict => conflict.columns(['tenant', 'id']).doUpdateSet(row))
    .execute()
}

/** Work on the same key waits for the work before it. */
function createTurns(): <T>(key: Key, work: () => Promise<T>) => Promise<T> {
  const turns = new Map<Key, Promise<unknown>>()
  return (key, work) => {
    const turn = (turns.get(key) ?? Promise.resolve()).then(work, work)
    const settled = turn
      .catch(() => {})
      .finally(() => {
        if (turns.get(key) === settled) turns.delete(key)
      })
    turns.set(key, settled)
    return turn
  }
}
