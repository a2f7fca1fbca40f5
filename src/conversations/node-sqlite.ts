// node:sqlite as the database that Kysely's SQLite dialect asks for, so that the default store needs nothing installed.
// It only translates the call; it must never keep a statement, for Kysely prepares each query anew.
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { SqliteDatabase } from 'kysely'
import { makePrivate } from '../private-file.ts'

/** How long a statement waits for another process that holds the file, such as a backup; longer would stop the event loop. */
const busyMsMax = 1_000

/** `:memory:` is none, and '' is a file of SQLite's own: what is beyond a few MB goes there, and it goes with the process. */
export const isNamed = (path: string) => path !== ':memory:' && path !== ''

/** A file that has a name must be in a folder that exists. */
export function nodeSqlite(path: string): SqliteDatabase {
  if (isNamed(path)) makePrivate(path)
  const db = new DatabaseSync(path, { timeout: busyMsMax })
  // An acknowledged message survives kill -9; after a power cut the newest are folded again from the log.
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
  return {
    close: () => db.close(),
    prepare(sql) {
      const statement = db.prepare(sql)
      const values = (parameters: readonly unknown[]) => parameters as readonly SQLInputValue[]
      return {
        reader: statement.columns().length > 0,
        all: parameters => statement.all(...values(parameters)),
        run: parameters => statement.run(...values(parameters)),
        iterate: parameters => statement.iterate(...values(parameters)),
      }
    },
  }
}
