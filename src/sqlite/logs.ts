// Which logs the file holds: a row per log with its state and its head, the head's fields that lists filter by as columns.
// What an append changes is not here but in the newest segment, so that a token costs one insert and no update.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { type Shape, type SlabBatch, type State } from '../batch.ts'
import { type Head, type HeadFilter, type Key, type NewHead, shapeOf } from '../log.ts'
import { numberOf, type Segments } from './segments.ts'

/** What is known of a log without its entries. */
export interface Kept {
  readonly id: number
  readonly key: Key
  readonly shape: Shape
  first: number
  last: number
  /** Bytes of all entries since the first, and of those that were forgotten. */
  total: number
  dropped: number
  state: State
  head: NewHead | undefined
  /** The newest read at the tail: a thousand readers at the same cursor share one batch. */
  shared: SlabBatch | undefined
  /** Used since memory last looked for room. */
  busy: boolean
}

export interface Logs {
  load(key: Key): Kept | undefined
  create(key: Key, head: NewHead | undefined): Kept
  /** Writes head and state. */
  save(kept: Kept): void
  /** Writes what `drop` changed. */
  saveCut(kept: Kept, snapshot: Uint8Array | undefined): void
  remove(kept: Kept): void
  snapshot(kept: Kept): Uint8Array | undefined
  /** Keys of runs, newest first by (created_at, run_id). */
  list(filter: HeadFilter): Key[]
}

export const logsSql = `
  CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL DEFAULT 1, dropped INTEGER NOT NULL DEFAULT 0, sealed INTEGER NOT NULL DEFAULT 0,
    tenant TEXT, status TEXT, thread_id TEXT, agent TEXT, created_at INTEGER, run_id TEXT, head TEXT, snapshot BLOB);
  CREATE INDEX logs_by_time ON logs (created_at, run_id) WHERE run_id IS NOT NULL;
  CREATE INDEX logs_by_tenant ON logs (tenant, created_at, run_id, agent) WHERE tenant IS NOT NULL;
  CREATE INDEX logs_by_status ON logs (status, tenant, created_at, run_id) WHERE status IS NOT NULL;
  CREATE INDEX logs_by_thread ON logs (tenant, thread_id, created_at, run_id) WHERE thread_id IS NOT NULL`

export function createLogs(db: DatabaseSync, segments: Segments): Logs {
  const select = db.prepare('SELECT id, first, dropped, sealed, head FROM logs WHERE key = ?')
  const insert = db.prepare(`
    INSERT INTO logs (key, tenant, status, thread_id, agent, created_at, run_id, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
  const update = db.prepare(`
    UPDATE logs SET sealed = ?, tenant = ?, status = ?, thread_id = ?, agent = ?, created_at = ?, run_id = ?, head = ? WHERE id = ?`)
  const updateCut = db.prepare('UPDATE logs SET first = ?, dropped = ?, snapshot = ? WHERE id = ?')
  const deleteLog = db.prepare('DELETE FROM logs WHERE id = ?')
  const selectSnapshot = db.prepare('SELECT snapshot FROM logs WHERE id = ?')
  const lists = new Map<string, StatementSync>()

  return {
    load(key) {
      const row = select.get(key)
      if (!row) return undefined
      const id = numberOf(row, 'id')
      const first = numberOf(row, 'first')
      const dropped = numberOf(row, 'dropped')
      const { last, total } = segments.end(id) ?? { last: first - 1, total: dropped }
      const head = typeof row['head'] === 'string' ? (JSON.parse(row['head']) as NewHead) : undefined
      const state = stateOf(row['sealed'] === 1, head)
      return { id, key, shape: shapeOf(key), first, last, total, dropped, state, head, shared: undefined, busy: true }
    },

    create(key, head) {
      const id = Number(insert.run(key, ...columnsOf(head)).lastInsertRowid)
      const shape = shapeOf(key)
      return {
        id,
        key,
        shape,
        first: 1,
        last: 0,
        total: 0,
        dropped: 0,
        state: stateOf(false, head),
        head,
        shared: undefined,
        busy: true,
      }
    },

    save({ id, state, head }) {
      update.run(state === 'sealed' ? 1 : 0, ...columnsOf(head), id)
    },

    saveCut({ id, first, dropped }, snapshot) {
      updateCut.run(first, dropped, snapshot ?? null, id)
    },

    remove({ id }) {
      deleteLog.run(id)
    },

    snapshot({ id }) {
      const snapshot = selectSnapshot.get(id)?.['snapshot']
      return snapshot instanceof Uint8Array ? snapshot : undefined
    },

    list(filter) {
      const { sql, values } = listQuery(filter)
      const statement = lists.get(sql) ?? db.prepare(sql)
      lists.set(sql, statement)
      return statement.all(...values).map(row => keyOf(row['key']))
    },
  }
}

export function stateOf(sealed: boolean, head: NewHead | undefined): State {
  if (sealed) return 'sealed'
  return head?.cancel_requested_at === undefined ? 'open' : 'cancelling'
}

export function headOf(kept: Kept): Head | undefined {
  const { head, first, last, total, dropped } = kept
  return head && { ...head, first, last, bytes: total - dropped }
}

function columnsOf(head: NewHead | undefined): SQLInputValue[] {
  if (!head) return [null, null, null, null, null, null, null]
  const { tenant, status, thread_id = null, agent, created_at, run_id } = head
  return [tenant, status, thread_id, agent, created_at, run_id, JSON.stringify(head)]
}

/** At most 32 texts, one per combination of filters. A filter that is null, as of all tenants, filters nothing. */
function listQuery(filter: HeadFilter): { sql: string; values: SQLInputValue[] } {
  const conditions = ['run_id IS NOT NULL']
  const values: SQLInputValue[] = []
  for (const column of ['tenant', 'status', 'thread_id', 'agent'] as const) {
    const value = filter[column]
    if (value === null || value === undefined) continue
    conditions.push(`${column} = ?`)
    values.push(value)
  }
  if (filter.before) {
    conditions.push('(created_at, run_id) < (?, ?)')
    values.push(filter.before.created_at, filter.before.run_id)
  }
  values.push(filter.limit)
  const where = conditions.join(' AND ')
  return { sql: `SELECT key FROM logs WHERE ${where} ORDER BY created_at DESC, run_id DESC LIMIT ?`, values }
}

function keyOf(value: SQLOutputValue | undefined): Key {
  return value as Key
}
