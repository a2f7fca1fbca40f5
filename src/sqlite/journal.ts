// The table `recent`: one row per commit, a line per entry, in the order of the commits, whatever logs they belong to.
// A line holds the entry and not its frame, which can be made again and is three times as long.
// Nothing here knows which lines still count.
import type { DatabaseSync } from 'node:sqlite'
import { codeOf, type Entry } from '../batch.ts'

export interface Journal {
  /** Adds the entries of a log whose first gets this sequence. */
  add(log: number, first: number, entries: readonly Entry[]): void
  /** Writes what was added: to be called at the end of the transaction. */
  flush(): void
  clear(): void
  /** Reads all lines, or those that another process wrote since the last reading. */
  read(from: 'start' | 'last', take: (log: number, sequence: number, entry: Entry) => void): void
}

export const journalSql = 'CREATE TABLE recent (id INTEGER PRIMARY KEY, lines TEXT NOT NULL)'

export function createJournal(db: DatabaseSync): Journal {
  const insert = db.prepare('INSERT INTO recent (lines) VALUES (?)')
  const select = db.prepare('SELECT id, lines FROM recent WHERE id > ? ORDER BY id')
  const deleteAll = db.prepare('DELETE FROM recent')
  let lines = ''
  let lastRead = 0

  return {
    add(log, first, entries) {
      let sequence = first
      for (const { time, type, body } of entries) lines += `${log}\t${sequence++}\t${time}\t${type}\t${body}\n`
    },

    flush() {
      if (lines === '') return
      insert.run(lines)
      lines = ''
    },

    clear() {
      deleteAll.run()
    },

    read(from, take) {
      lines = '' // of a transaction that was rolled back
      if (from === 'start') lastRead = 0
      for (const row of select.iterate(lastRead)) {
        lastRead = Number(row['id'])
        for (const line of String(row['lines']).split('\n')) if (line !== '') takeLine(line, take)
      }
    },
  }
}

/** Neither a type nor a body, which is JSON in one line, holds a tab or a line break. */
function takeLine(line: string, take: (log: number, sequence: number, entry: Entry) => void): void {
  const [log, sequence, time, type, body] = line.split('\t')
  if (type === undefined || body === undefined) throw new Error(`the file is damaged: ${line.slice(0, 100)}`)
  take(Number(log), Number(sequence), { type, code: codeOf(type), time: Number(time), body })
}
