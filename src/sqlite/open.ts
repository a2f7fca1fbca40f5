// Opens a file of ours: the lock that makes one server its only writer, the schema's version, and how durable a commit is.
// It must never touch a file that another program or a newer Runcast wrote.
import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { RuncastError } from '../error.ts'
import { makePrivate } from '../private-file.ts'

/** What a commit survives: the end of the process (kill -9 too), or the end of the power as well. */
export type Durability = 'process' | 'power'

export interface FileSchema {
  /** SQLite's application_id: tells our files from those of other programs. */
  readonly application: number
  readonly version: number
  readonly sql: string
}

export interface OpenOptions {
  readonly path: string
  readonly durability: Durability
  readonly readOnly: boolean
  readonly bytesMax: number
  readonly schema: FileSchema
}

export interface OpenFile extends Disposable {
  readonly db: DatabaseSync
  readonly path: string
}

/** How long a statement waits for another process that holds the file, such as a backup; longer would stop the event loop. */
const busyMsMax = 1_000
/** Pages kept in memory: the inner pages of all indexes of some 10 GB, and the newest leaves. */
const cacheKib = 16 * 1024
/** Rows here are batches of some kilobytes: pages of 8 KiB took 0.8 of the time of SQLite's 4 KiB, 16 KiB no less. */
const pageBytes = 8 * 1024
/** A write-ahead log that grew behind a slow backup is cut back to this. */
const walBytesMax = 16 * 1024 * 1024

export function openFile(options: OpenOptions): OpenFile {
  const { readOnly, schema } = options
  if (!readOnly) mkdirSync(dirname(options.path), { recursive: true })
  // The same file under two names must meet the same lock.
  const path = existsSync(options.path) ? realpathSync(options.path) : options.path
  if (readOnly && !existsSync(path)) throw absent(path)
  // A database in memory is nobody else's.
  const lock = readOnly || path === ':memory:' ? undefined : takeLock(path)
  let db: DatabaseSync | undefined
  try {
    if (!readOnly && path !== ':memory:') makePrivate(path) // SQLite gives its other files the same mode
    db = new DatabaseSync(path, { readOnly, timeout: busyMsMax })
    prepareFile(db, path, options)
  } catch (error) {
    db?.close()
    lock?.close()
    throw refusal(error, path)
  }
  const opened = db
  return {
    db: opened,
    path,
    [Symbol.dispose]() {
      opened.close()
      lock?.close()
    },
  }

  function prepareFile(file: DatabaseSync, name: string, { durability, bytesMax }: OpenOptions): void {
    const fresh = checkVersion(file, name, schema)
    file.exec(`PRAGMA cache_size = -${cacheKib}`)
    if (readOnly) {
      if (fresh) throw absent(name)
      return
    }
    if (fresh) file.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA auto_vacuum = INCREMENTAL`)
    // NORMAL: a commit is in the system's hands, which outlive the process. FULL: it is on the disk.
    file.exec(
      `PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = ${walBytesMax};
       PRAGMA synchronous = ${durability === 'power' ? 'FULL' : 'NORMAL'}; PRAGMA fullfsync = ${durability === 'power' ? 1 : 0}`,
    )
    const pages = Math.floor(bytesMax / pageBytes)
    if (Number.isFinite(pages)) file.exec(`PRAGMA max_page_count = ${pages}`)
    if (!fresh) return
    file.exec(
      `BEGIN; ${schema.sql}; PRAGMA application_id = ${schema.application}; PRAGMA user_version = ${schema.version}; COMMIT`,
    )
  }
}

/**
 * An open transaction on a file beside ours: the system releases it however the process ends. A lock on the file itself
 * would keep out the readers of other processes.
 */
function takeLock(path: string): DatabaseSync {
  const file = `${path}.lock`
  let lock: DatabaseSync | undefined
  try {
    lock = new DatabaseSync(file, { timeout: 0 })
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return lock
  } catch (error) {
    lock?.close()
    if (sqliteCode(error) !== busyCode) throw refusal(error, file)
    throw new RuncastError(
      'conflict',
      `${path} is in use by another server (it holds ${file}): stop that server, give this one a file of its own, or open it with readOnly`,
      { details: { path }, cause: error },
    )
  }
}

/** True when the file is new. */
function checkVersion(db: DatabaseSync, path: string, schema: FileSchema): boolean {
  const pragma = (name: string) => Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])
  const application = pragma('application_id')
  const version = pragma('user_version')
  if (application === schema.application) {
    if (version === schema.version) return false
    throw new RuncastError(
      'invalid_request',
      `${path} has schema ${version}, this Runcast knows ${schema.version}: open it with the version that wrote it, or choose another file`,
      { details: { path, version } },
    )
  }
  const objects = db.prepare('SELECT count(*) AS count FROM sqlite_master').get()?.['count']
  if (application === 0 && version === 0 && objects === 0) return true
  throw new RuncastError('invalid_request', `${path} is a database of another program: choose another file`, {
    details: { path },
  })
}

function absent(path: string): RuncastError {
  return new RuncastError('unavailable', `there is no log in ${path} yet: start the server that writes it first`, {
    details: { path },
  })
}

const busyCode = 5
const notADatabaseCode = 26

function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined
}

function refusal(error: unknown, path: string): RuncastError {
  if (error instanceof RuncastError) return error
  const why = error instanceof Error ? error.message : String(error)
  if (sqliteCode(error) === notADatabaseCode) {
    return new RuncastError('invalid_request', `${path} is not a SQLite file: choose another`, { cause: error })
  }
  return new RuncastError('unavailable', `cannot open ${path}: ${why}`, { details: { path }, cause: error })
}
