// The tables of the conversation store and the database that holds them: SQLite by default, Postgres by its URL.
// Every change of a table is one more migration; one that was released is never edited.
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Dialect, Kysely, PostgresDialect, type PostgresPool, SqliteDialect } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { RuncastError } from '../error.ts'
import { isNamed, nodeSqlite } from './node-sqlite.ts'

/** Where the store keeps its rows: a file, `:memory:`, or '' for a file that has no name and goes with the process. */
export type DatabasePlace = { readonly sqlite: string } | { readonly postgres: string }

/** Postgres gives a bigint as text; all of ours are safe integers. */
type Whole = number

/** One conversation, and how far the feed of its thread is folded into it. */
export interface ConversationRow {
  tenant: string
  thread: string
  /** The last sequence of the thread's feed that is folded in, and the time of that entry, by which its log is known again. */
  cursor: Whole
  cursor_time: string
  /** A place is `base + 2 × sequence`: a feed that began anew, because its log was lost, goes on behind what is kept. */
  base: Whole
  /** The place of the entry that made the conversation visible; null while there is none to see. */
  shown_at: Whole | null
  title: string | null
  title_at: Whole | null
  user_id: string | null
  created_at: Whole
  updated_at: Whole
  /** JSON: runs that were accepted and have not ended. */
  claims: string
}

export interface MessageRow {
  tenant: string
  id: string
  thread: string
  position: Whole
  role: string
  created_at: Whole
  user_id: string | null
  company_id: string | null
  run_id: string | null
  /** JSON. */
  content: string
  metadata: string
}

/** How far a tenant's feed was looked through for threads with news. */
export interface FeedRow {
  tenant: string
  cursor: Whole
  cursor_time: string
}

export interface Tables {
  runcast_conversations: ConversationRow
  runcast_messages: MessageRow
  runcast_feeds: FeedRow
}

export interface Database {
  readonly db: Kysely<Tables>
  /** Whether a row must be locked to be changed: SQLite has one writer anyway. */
  readonly locksRows: boolean
}

/** Opens the database and brings its tables up to date. */
export async function openDatabase(place: DatabasePlace): Promise<Database> {
  const dialect = 'sqlite' in place ? sqliteDialect(place.sqlite) : await postgresDialect(place.postgres)
  const db = new Kysely<Tables>({ dialect })
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    // The database may be another program's too.
    migrationTableName: 'runcast_migrations',
    migrationLockTableName: 'runcast_migrations_lock',
  })
  const { error } = await migrator.migrateToLatest().catch((thrown: unknown) => ({ error: thrown }))
  if (error === undefined) return { db, locksRows: 'postgres' in place }
  await db.destroy().catch(() => {})
  // A refused connection to several addresses has no message of its own.
  const { code, message } = error as { code?: string; message?: string }
  const why = message || code || 'it gives no reason'
  throw new RuncastError('unavailable', `the conversation store cannot open ${shown(place)}: ${why}`, { cause: error })
}

/**
 * Text that somebody else chose, such as a thread's id, as a column holds it: Postgres refuses NUL and would take two
 * lone surrogates for the same. Ordinary text stays as it is.
 */
export function toColumn(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

export function fromColumn(column: string): string {
  return JSON.parse(`"${column}"`) as string
}

function sqliteDialect(path: string): Dialect {
  return new SqliteDialect({
    async database() {
      if (isNamed(path)) mkdirSync(dirname(path), { recursive: true })
      return nodeSqlite(path)
    },
  })
}

async function postgresDialect(url: string): Promise<Dialect> {
  const { default: pg } = await import('pg').catch((cause: unknown) => {
    throw new RuncastError('unavailable', 'conversations in Postgres need the package "pg": npm install pg', { cause })
  })
  const pool = new pg.Pool({ connectionString: url })
  // The server may cut a connection, used or not: its query fails, the next one opens another, and the process goes on.
  pool.on('error', () => {})
  pool.on('connect', client => client.on('error', () => {}))
  return new PostgresDialect({ pool: pool as unknown as PostgresPool })
}

/** Without the password. */
function shown(place: DatabasePlace): string {
  if ('sqlite' in place) return place.sqlite
  const url = URL.canParse(place.postgres) ? new URL(place.postgres) : undefined
  return url ? `postgres://${url.host}${url.pathname}` : 'the Postgres URL, which is no URL'
}

const migrations: Record<string, Migration> = {
  '001-conversations': {
    async up(db: Kysely<unknown>) {
      await db.schema
        .createTable('runcast_conversations')
        .addColumn('tenant', 'text', column => column.notNull())
        .addColumn('thread', 'text', column => column.notNull())
        .addColumn('cursor', 'bigint', column => column.notNull())
        .addColumn('cursor_time', 'text', column => column.notNull())
        .addColumn('base', 'bigint', column => column.notNull())
        .addColumn('shown_at', 'bigint')
        .addColumn('title', 'text')
        .addColumn('title_at', 'bigint')
        .addColumn('user_id', 'text')
        .addColumn('created_at', 'bigint', column => column.notNull())
        .addColumn('updated_at', 'bigint', column => column.notNull())
        .addColumn('claims', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('runcast_conversations_key', ['tenant', 'thread'])
        .execute()
      await db.schema
        .createIndex('runcast_conversations_newest')
        .on('runcast_conversations')
        .columns(['tenant', 'updated_at', 'thread'])
        .execute()
      await db.schema
        .createTable('runcast_messages')
        .addColumn('tenant', 'text', column => column.notNull())
        .addColumn('id', 'text', column => column.notNull())
        .addColumn('thread', 'text', column => column.notNull())
        .addColumn('position', 'bigint', column => column.notNull())
        .addColumn('role', 'text', column => column.notNull())
        .addColumn('created_at', 'bigint', column => column.notNull())
        .addColumn('user_id', 'text')
        .addColumn('company_id', 'text')
        .addColumn('run_id', 'text')
        .addColumn('content', 'text', column => column.notNull())
        .addColumn('metadata', 'text', column => column.notNull())
        .addPrimaryKeyConstraint('runcast_messages_key', ['tenant', 'id'])
        .execute()
      await db.schema
        .createIndex('runcast_messages_in_order')
        .on('runcast_messages')
        .columns(['tenant', 'thread', 'position'])
        .execute()
      await db.schema
        .createTable('runcast_feeds')
        .addColumn('tenant', 'text', column => column.notNull().primaryKey())
        .addColumn('cursor', 'bigint', column => column.notNull())
        .addColumn('cursor_time', 'text', column => column.notNull())
        .execute()
    },
  },
}
