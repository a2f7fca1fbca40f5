// The entries of all logs in one file. What a commit appends goes as one row into `recent`, for a row and an index entry
// per token would write a page per run and turn. Its frames are kept in memory; when they have grown to packBytes they are
// packed into `entries`, a row of up to 64 KiB per log, which also makes replay fast, and `recent` begins anew.
// Writes must stand inside the caller's transaction; after a rollback the caller must refresh.
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { type Shape, Slab } from '../batch.ts'
import { type Key, shapeOf } from '../log.ts'
import {
  type Frames,
  framesOf,
  joined,
  lastOf,
  makeRoom,
  marksOf,
  type Segment,
  segmentBytesMax,
  slabOf,
} from './frames.ts'
import { createJournal, journalSql } from './journal.ts'

export interface Segments {
  /** Reads what `recent` holds: all of it when memory knows nothing, else what another process has added. */
  refresh(from: 'start' | 'last'): void
  /** Where a log with entries ends, though some may be forgotten and wait for the sweep. */
  end(log: number): End | undefined
  /** Appends behind `at`, where the log ends; returns where it ends now. */
  add(log: number, at: End, frames: readonly Frames[]): End
  /** To be called at the end of each transaction that added. */
  flush(): void
  /** A segment that contains `after + 1`, which must be kept. */
  segmentAt(log: number, after: number): Segment
  /** Forgets entries up to `upTo`; returns their bytes since the log's first. */
  trim(log: number, upTo: number): number
  /** Deletes one piece of what was forgotten; true = there is more to do. */
  sweep(): boolean
}

/** Where a log ends: its newest sequence and the bytes of all frames so far. */
export interface End {
  readonly last: number
  readonly total: number
}

export const segmentsSql = `
  CREATE TABLE entries (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, last INTEGER NOT NULL, total INTEGER NOT NULL,
    marks BLOB NOT NULL, frames BLOB NOT NULL);
  CREATE UNIQUE INDEX entries_by_log ON entries (log, last);
  ${journalSql};
  CREATE TABLE packs (count INTEGER NOT NULL);
  INSERT INTO packs VALUES (0);
  CREATE TABLE trash (log INTEGER NOT NULL, upto INTEGER NOT NULL)`

/** Most logs are short: 2 KiB holds about ten tokens. */
const segmentBytesMin = 2 * 1024
/** From here on an append is worth a row and an index entry of its own; below, it goes into the row of its commit. */
const directBytesMin = 8 * 1024
/** Packing 2 MiB takes about as long as one of SQLite's checkpoints, 10 to 20 ms, and comes after thousands of events. */
const packBytes = 2 * 1024 * 1024
/** What an entry takes beside its frame, in memory and in the row of its commit. */
const entryBytes = 64
/** Segments of old entries in memory, 4 MiB as a rule: readers that replay the same run together read the file once. */
const cachedMax = 64
/** Rows deleted per turn of the event loop: at most 2 MiB. */
const sweepRows = 32
/** Pages given back to the file system per turn: 2 MiB. */
const vacuumPages = 256
/** The file shrinks when more than one in four of its pages is free; fewer will be used again soon. */
const freeShareMax = 0.25

export function createSegments(db: DatabaseSync): Segments {
  const insert = db.prepare('INSERT INTO entries (log, last, total, marks, frames) VALUES (?, ?, ?, ?, ?)')
  const selectEnd = db.prepare('SELECT last, total FROM entries WHERE log = ? ORDER BY last DESC LIMIT 1')
  const selectFrom = db.prepare(
    'SELECT last, total, marks, frames FROM entries WHERE log = ? AND last > ? ORDER BY last',
  )
  const selectCut = db.prepare('SELECT key, first - 1 AS last, dropped AS total FROM logs WHERE id = ?')
  const selectPacks = db.prepare('SELECT count FROM packs')
  const addPack = db.prepare('UPDATE packs SET count = count + 1')
  const insertTrash = db.prepare('INSERT INTO trash VALUES (?, ?)')
  const selectTrash = db.prepare('SELECT rowid AS id, log, upto FROM trash LIMIT 1')
  const deleteTrash = db.prepare('DELETE FROM trash WHERE rowid = ?')
  const deleteEntries = db.prepare(
    'DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE log = ? AND last <= ? ORDER BY last LIMIT ?)',
  )
  const journal = createJournal(db)
  /** The entries of `recent`, by log. */
  const recent = new Map<number, Segment[]>()
  let recentBytes = 0
  /** Tells a process that only reads that `recent` began anew. */
  let packs = -1
  const cached = new Map<number, Segment[]>()
  let cachedCount = 0

  /** The segment of memory that takes so many bytes more. */
  const open = (log: number, at: End, bytes: number): Segment => {
    const segments = recent.get(log)
    const newest = segments?.at(-1)
    // What lies between was packed before its time by the process that writes.
    const follows = newest !== undefined && lastOf(newest) === at.last
    if (follows && newest.slab.end + bytes <= segmentBytesMax) {
      makeRoom(newest.slab, bytes)
      return newest
    }
    const segment = { first: at.last + 1, slab: new Slab(Math.max(segmentBytesMin, bytes)), total: at.total }
    if (segments && follows) segments.push(segment)
    else recent.set(log, [segment])
    return segment
  }

  const remember = (log: number, at: End, frames: Frames): End => {
    const bytes = frames.slab.end
    const segment = open(log, at, bytes)
    segment.slab.append(frames.slab)
    segment.total = at.total + bytes
    recentBytes += bytes + entryBytes * frames.entries.length
    return { last: at.last + frames.entries.length, total: segment.total }
  }

  const store = (log: number, segment: Segment) => {
    const { slab, total } = segment
    insert.run(log, lastOf(segment), total, marksOf(slab), slab.used)
  }

  const addPart = (log: number, at: End, frames: Frames): End => {
    if (frames.slab.end < directBytesMin) {
      journal.add(log, at.last + 1, frames.entries)
      return remember(log, at, frames)
    }
    for (const segment of recent.get(log) ?? []) store(log, segment)
    recent.delete(log)
    const segment = { first: at.last + 1, slab: frames.slab, total: at.total + frames.slab.end }
    store(log, segment)
    return { last: lastOf(segment), total: segment.total }
  }

  const end = (log: number): End | undefined => {
    const newest = recent.get(log)?.at(-1)
    const row = selectEnd.get(log)
    const stored = row && { last: numberOf(row, 'last'), total: numberOf(row, 'total') }
    return newest && lastOf(newest) > (stored?.last ?? 0) ? { last: lastOf(newest), total: newest.total } : stored
  }

  const fetch = (log: number, after: number): Segment => {
    const segment = joined(readRows(selectFrom, log, after))
    if (++cachedCount > cachedMax) {
      cached.clear()
      cachedCount = 1
    }
    const known = cached.get(log)
    if (known) known.push(segment)
    else cached.set(log, [segment])
    return segment
  }

  const segmentAt = (log: number, after: number): Segment =>
    containing(recent.get(log), after) ?? containing(cached.get(log), after) ?? fetch(log, after)

  return {
    refresh(from) {
      const count = numberOf(selectPacks.get(), 'count')
      const again = from === 'start' || count !== packs
      if (again) {
        recent.clear()
        recentBytes = 0
      }
      if (from === 'start') cached.clear() // they may have been read in a transaction that was rolled back
      packs = count
      const known = new Map<number, (End & { shape: Shape }) | undefined>()
      journal.read(again ? 'start' : 'last', (log, sequence, entry) => {
        if (!known.has(log)) known.set(log, placeOf(selectCut.get(log), end(log)))
        const place = known.get(log)
        // Of a log that was dropped, or packed before its time, or forgotten.
        if (!place || sequence <= place.last) return
        for (const frames of framesOf(place.shape, [entry], place.last)) {
          known.set(log, { ...place, ...remember(log, place, frames) })
        }
      })
    },

    end,

    add(log, at, frames) {
      let ended = at
      for (const part of frames) ended = addPart(log, ended, part)
      return ended
    },

    flush() {
      journal.flush()
      if (recentBytes < packBytes) return
      for (const [log, segments] of recent) for (const segment of segments) store(log, segment)
      journal.clear()
      addPack.run()
      recent.clear()
      recentBytes = 0
    },

    segmentAt,

    trim(log, upTo) {
      const { first, slab, total } = segmentAt(log, upTo - 1)
      const kept = (recent.get(log) ?? []).filter(segment => lastOf(segment) > upTo)
      if (kept.length > 0) recent.set(log, kept)
      else recent.delete(log)
      insertTrash.run(log, upTo)
      return total - slab.end + slab.startOf(upTo - first + 1)
    },

    sweep() {
      const row = selectTrash.get()
      if (!row) return shrink(db)
      const { changes } = deleteEntries.run(numberOf(row, 'log'), numberOf(row, 'upto'), sweepRows)
      if (Number(changes) < sweepRows) deleteTrash.run(numberOf(row, 'id'))
      return true
    },
  }
}

function containing(segments: readonly Segment[] | undefined, after: number): Segment | undefined {
  return segments?.findLast(segment => segment.first <= after + 1 && after < lastOf(segment))
}

type Row = Record<string, SQLOutputValue>

/** Where the lines of the journal that were not read yet continue a log; undefined when it was dropped. */
function placeOf(row: Row | undefined, end: End | undefined): (End & { shape: Shape }) | undefined {
  if (!row) return undefined
  const cut = { last: numberOf(row, 'last'), total: numberOf(row, 'total') }
  return { ...(end && end.last > cut.last ? end : cut), shape: shapeOf(row['key'] as Key) }
}

/** Neighbours up to 64 KiB, the first of them whatever its size. */
function readRows(select: StatementSync, log: number, after: number): Segment[] {
  const found: Segment[] = []
  let bytes = 0
  for (const row of select.iterate(log, after)) {
    const slab = slabOf(row['marks'] as Uint8Array, row['frames'] as Uint8Array)
    bytes += slab.end
    if (found.length > 0 && bytes > segmentBytesMax) break
    found.push({ first: numberOf(row, 'last') - slab.count + 1, slab, total: numberOf(row, 'total') })
  }
  if (found.length === 0) throw new Error(`the file is damaged: log ${log} has nothing behind ${after}`)
  return found
}

export function numberOf(row: Row | undefined, column: string): number {
  return Number(row?.[column])
}

function shrink(db: DatabaseSync): boolean {
  const pragma = (name: string) => Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])
  const excess = () => pragma('freelist_count') - pragma('page_count') * freeShareMax
  if (excess() <= 0) return false
  db.exec(`PRAGMA incremental_vacuum(${vacuumPages})`)
  return excess() > 0
}
