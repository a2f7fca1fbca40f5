// What is read from the store's tables: lists and pages. It reads what catch-up.ts wrote and must never write itself.
import { pageSizeMax } from './content.ts'
import type { Kysely } from 'kysely'
import { RuncastError } from '../error.ts'
import type { Conversation } from './entries.ts'
import type { Message } from './message.ts'
import { conversationOf, messageOf } from './rows.ts'
import { fromColumn, type Tables, toColumn } from './tables.ts'

/** A page that nobody sized: a screen or two of a list or a chat. */
const pageSize = 50

export interface Listed {
  readonly thread: string
  readonly conversation: Conversation
}

export function createQueries(db: Kysely<Tables>) {
  return {
    /** Newest change first. */
    async conversations(filter: {
      readonly tenant: string
      readonly user?: string | undefined
      readonly cursor?: string | undefined
      readonly limit: number
    }): Promise<Listed[]> {
      const { tenant, user, cursor, limit } = filter
      let query = db
        .selectFrom('runcast_conversations')
        .selectAll()
        .where('tenant', '=', toColumn(tenant))
        .where('shown_at', 'is not', null)
        .orderBy('updated_at', 'desc')
        .orderBy('thread', 'desc')
        .limit(limit)
      if (user !== undefined) query = query.where('user_id', '=', toColumn(user))
      if (cursor !== undefined) {
        const { updated_at, thread } = placeInList(cursor)
        query = query.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('updated_at', 'thread'), '<', tuple(updated_at, thread)),
        )
      }
      const rows = await query.execute()
      return rows.map(row => ({ thread: fromColumn(row.thread), conversation: conversationOf(row) }))
    },

    /** The newest, or those next to a position; always oldest first. */
    async messages(
      { tenant, thread }: { readonly tenant: string; readonly thread: string },
      { before, after, limit }: { before?: number | undefined; after?: number | undefined; limit: number },
    ): Promise<Message[]> {
      const query = db
        .selectFrom('runcast_messages')
        .selectAll()
        .where('tenant', '=', toColumn(tenant))
        .where('thread', '=', toColumn(thread))
        .limit(limit)
      if (after !== undefined) {
        return (await query.where('position', '>', after).orderBy('position', 'asc').execute()).map(messageOf)
      }
      const older = before === undefined ? query : query.where('position', '<', before)
      return (await older.orderBy('position', 'desc').execute()).map(messageOf).reverse()
    },

    async message(tenant: string, id: string): Promise<Message | undefined> {
      const row = await db
        .selectFrom('runcast_messages')
        .selectAll()
        .where('tenant', '=', toColumn(tenant))
        .where('id', '=', toColumn(id))
        .executeTakeFirst()
      return row && messageOf(row)
    },

    /** Whose feeds the store has read. */
    async tenants(): Promise<string[]> {
      const rows = await db.selectFrom('runcast_feeds').select('tenant').execute()
      return rows.map(row => fromColumn(row.tenant))
    },

    async threads(tenant: string): Promise<string[]> {
      const rows = await db
        .selectFrom('runcast_conversations')
        .select('thread')
        .where('tenant', '=', toColumn(tenant))
        .execute()
      return rows.map(row => fromColumn(row.thread))
    },
  }
}

export function sizeOf(limit: number | undefined): number {
  if (limit === undefined) return pageSize
  if (Number.isInteger(limit) && limit >= 1 && limit <= pageSizeMax) return limit
  throw new RuncastError('invalid_request', `limit is ${limit}; it must be a whole number from 1 to ${pageSizeMax}`, {
    details: { field: 'limit', limit: pageSizeMax },
  })
}

/** Where the page behind this conversation begins. */
export function listCursor({ thread, conversation }: Listed): string {
  return `${conversation.updated_at}.${toColumn(thread)}`
}

function placeInList(cursor: string): { updated_at: number; thread: string } {
  const dot = cursor.indexOf('.')
  const updated_at = Number(cursor.slice(0, dot))
  const thread = cursor.slice(dot + 1)
  if (!/^\d+\./.test(cursor) || !Number.isSafeInteger(updated_at) || thread.includes('\0')) {
    const message = `cursor ${JSON.stringify(cursor.slice(0, 140))} is not one of ours; use the "next" of the page before`
    throw new RuncastError('invalid_request', message, { details: { field: 'cursor' } })
  }
  return { updated_at, thread }
}
