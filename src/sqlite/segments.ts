// The entries of all logs in one file. Small appends go into `recent`, a table without an index, in the order they come:
// an index entry per token would write a page per run and turn, seven times the cost. When `recent` has grown to
// packBytes it is packed into `entries`, one row of some 20 KiB per log, which also makes replay fast.
// `recent` is mirrored in memory, so no read searches it. Writes must stand inside the caller's transaction.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { type Entry, type Shape, Slab } from '../batch.ts'

/** Consecutive entries of one log, the newest of them `last`. */
export interface Segment {
  readonly last: number
  /** Bytes of the log's frames from its first event to the end of this segment. */
  readonly total: number
  readonly slab: Slab
}

/** Frames with the sequence of the first of them. */
export interface Page {
  readonly first: number
  readonly slab: Slab
}

export interface Segments {
  /** The mirror of `recent` as the file has it now: after opening, after a rollback, and when another process wrote. */
  refresh(from: 'start' | 'last'): void
  /** The newest of a log, kept or waiting to be swept. */
  newest(log: number): { readonly last: number; readonly total: number } | undefined
  add(log: number, segment: Segment): void
  /** Frames that contain `after + 1`, which must be kept; with more behind them as they lie at hand. */
  pageAt(log: number, after: number): Page
  packIfDue(): void
  /** Forgets rows up to `upTo`; returns the `total` of the newest forgotten row, undefined when none was. */
  trim(log: number, upTo: number): number | undefined
  /** Deletes one piece of what was forgotten; true = there is more to do. */
  sweep(): boolean
}

export const segmentsSql = `
  CREATE TABLE entries (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, last INTEGER NOT NULL, total INTEGER NOT NULL, marks NOT NULL, frames BLOB NOT NULL);
  CREATE UNIQUE INDEX entries_by_log ON entries (log, last);
  CREATE TABLE recent (id INTEGER PRIMARY KEY, log INTEGER NOT NULL, last INTEGER NOT NULL, total INTEGER NOT NULL, marks NOT NULL, frames BLOB NOT NULL);
  CREATE TABLE packs (count INTEGER NOT NULL);
  INSERT INTO packs VALUES (0);
  CREATE TABLE trash (log INTEGER NOT NULL, upto INTEGER NOT NULL)`

/** Sending stored events in slices of 64 KiB measured 21 times faster than event by event; larger slices won nothing. */
const segmentBytesMax = 64 * 1024
/** From here on an append pays for its own index entry. */
const directBytesMin = 8 * 1024
/** Packing 2 MiB takes about as long as one of SQLite's checkpoints, 10 to 20 ms, and comes after thousands of events. */
const packBytes = 2 * 1024 * 1024
/** What a row costs beside its frames; counted so that many tiny appends are packed too. */
const rowBytes = 64
/** Pages of old events in memory, 4 MiB at most: readers that replay the same run together read the file once. */
const pagesMax = 64
/** Rows deleted per turn of the event loop: at most 2 MiB. */
const sweepRows = 32
/** Pages given back to the file system per turn: 1 MiB. */
const vacuumPages = 256
/** The file shrinks when more than one in four of its pages is free; fewer will be used again soon. */
const freeShareMax = 0.25

export function createSegments(db: DatabaseSync): Segments {
  const statement = (sql: string) => db.prepare(sql)
  const insertRecent = statement('INSERT INTO recent (log, last, total, marks, frames) VALUES (?, ?, ?, ?, ?)')
  const insertEntries = statement('INSERT INTO entries (log, last, total, marks, frames) VALUES (?, ?, ?, ?, ?)')
  const selectNewest = statement('SELECT last, total FROM entries WHERE log = ? ORDER BY last DESC LIMIT 1')
  const selectFrom = statement(
    'SELECT last, total, marks, frames FROM entries WHERE log = ? AND last > ? ORDER BY last',
  )
  const selectTotal = statement('SELECT total FROM entries WHERE log = ? AND last <= ? ORDER BY last DESC LIMIT 1')
  const selectPacks = statement('SELECT count FROM packs')
  // A row that was packed early or forgotten stays in `recent` until all of it is packed.
  const selectRecent = statement(`
    SELECT recent.id, log, last, total, marks, frames FROM recent JOIN logs ON logs.id = log
    WHERE recent.id > ? AND last >= logs.first
      AND last > coalesce((SELECT max(last) FROM entries WHERE entries.log = recent.log), 0)
    ORDER BY recent.id`)
  const selectRecentBytes = statement('SELECT coalesce(sum(length(frames) + ?), 0) AS bytes FROM recent')
  const selectTrash = statement('SELECT rowid AS id, log, upto FROM trash LIMIT 1')
  const deleteTrash = statement('DELETE FROM trash WHERE rowid = ?')
  const deleteEntries = statement(
    'DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE log = ? AND last <= ? ORDER BY last LIMIT ?)',
  )
  const insertTrash = statement('INSERT INTO trash VALUES (?, ?)')

  const mirror = new Map<number, Segment[]>()
  let recentBytes = 0
  let packs = -1
  let lastRecent = 0
  const pages = new Map<number, Page[]>()
  let pagesHeld = 0

  const mirrored = (log: number, segment: Segment) => {
    const segments = mirror.get(log)
    if (segments) segments.push(segment)
    else mirror.set(log, [segment])
  }

  /** Writes a log's segments into `entries`, joined to rows of up to 64 KiB. */
  const settle = (log: number, segments: readonly Segment[]) => {
    for (const row of joined(segments)) {
      insertEntries.run(log, row.last, row.total, marksOf(row.slab), usedBytes(row.slab))
    }
  }

  return {
    refresh(from) {
      const count = numberOf(selectPacks.get(), 'count')
      if (from === 'start' || count !== packs) {
        mirror.clear()
        recentBytes = numberOf(selectRecentBytes.get(rowBytes), 'bytes')
        lastRecent = 0
        packs = count
      }
      for (const row of selectRecent.iterate(lastRecent)) {
        lastRecent = numberOf(row, 'id')
        mirrored(numberOf(row, 'log'), segmentOf(row))
      }
    },

    newest(log) {
      const recent = mirror.get(log)?.at(-1)
      const row = selectNewest.get(log)
      if (!row) return recent
      const last = numberOf(row, 'last')
      return recent && recent.last > last ? recent : { last, total: numberOf(row, 'total') }
    },

    add(log, segment) {
      const { last, total, slab } = segment
      if (slab.end < directBytesMin) {
        insertRecent.run(log, last, total, marksOf(slab), usedBytes(slab))
        mirrored(log, segment)
        recentBytes += slab.end + rowBytes
      } else {
        settle(log, [...(mirror.get(log) ?? []), segment])
        mirror.delete(log)
      }
    },

    pageAt(log, after) {
      const recent = recentPage(mirror.get(log), after)
      if (recent) return recent
      const known = pages.get(log) ?? []
      const found = known.find(page => page.first <= after + 1 && after < lastOf(page))
      if (found) return found
      const page = pageOf(storedFrom(selectFrom, log, after))
      if (++pagesHeld > pagesMax) {
        pages.clear()
        pagesHeld = 1
      }
      const held = pages.get(log)
      if (held) held.push(page)
      else pages.set(log, [page])
      return page
    },

    packIfDue() {
      if (recentBytes < packBytes) return
      for (const [log, segments] of mirror) settle(log, segments)
      db.exec('DELETE FROM recent; UPDATE packs SET count = count + 1')
      packs++
      mirror.clear()
      recentBytes = 0
    },

    trim(log, upTo) {
      const segments = mirror.get(log) ?? []
      const kept = segments.filter(segment => segment.last > upTo)
      const forgotten = segments[segments.length - kept.length - 1]
      if (kept.length > 0) mirror.set(log, kept)
      else mirror.delete(log)
      const row = selectTotal.get(log, upTo)
      if (row) insertTrash.run(log, upTo)
      return forgotten?.total ?? (row && numberOf(row, 'total'))
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

/** Encodes entries behind `last` into segments of at most 64 KiB, larger only for one larger entry. */
export function encode(shape: Shape, entries: readonly Entry[], at: { last: number; total: number }): Segment[] {
  const segments: Segment[] = []
  let { last, total } = at
  let frames: string[] = []
  let codes: number[] = []
  let length = 0
  const cut = () => {
    const slab = slabOfFrames(frames, codes, length)
    total += slab.end
    segments.push({ last, total, slab })
    frames = []
    codes = []
    length = 0
  }
  for (const entry of entries) {
    const frame = shape(entry, last + 1)
    if (length > 0 && length + frame.length > segmentBytesMax) cut()
    last++
    frames.push(frame)
    codes.push(entry.code)
    length += frame.length
  }
  if (frames.length > 0) cut()
  return segments
}

function slabOfFrames(frames: readonly string[], codes: readonly number[], length: number): Slab {
  const slab = new Slab(0)
  slab.bytes = Buffer.from(frames.length === 1 ? (frames[0] as string) : frames.join(''))
  const ascii = slab.bytes.length === length
  for (let index = 0; index < frames.length; index++) {
    const frame = frames[index] as string
    slab.starts.push(slab.end)
    slab.codes.push(codes[index] as number)
    slab.end += ascii ? frame.length : Buffer.byteLength(frame)
  }
  return slab
}

/** Of one entry its code; of more, per entry the length of its frame (4 bytes) and its code (1 byte). */
const markBytes = 5

function marksOf(slab: Slab): SQLInputValue {
  if (slab.count === 1) return slab.codes[0] ?? 0
  const marks = Buffer.allocUnsafe(slab.count * markBytes)
  for (let index = 0; index < slab.count; index++) {
    marks.writeUInt32LE(slab.startOf(index + 1) - slab.startOf(index), index * markBytes)
    marks[index * markBytes + 4] = slab.codes[index] ?? 0
  }
  return marks
}

function usedBytes(slab: Slab): Uint8Array {
  return slab.end === slab.bytes.length ? slab.bytes : slab.bytes.subarray(0, slab.end)
}

type Row = Record<string, SQLOutputValue>

function segmentOf(row: Row): Segment {
  const slab = new Slab(0)
  slab.bytes = bufferOf(row['frames'])
  const marks = row['marks']
  if (typeof marks === 'number') {
    slab.starts.push(0)
    slab.codes.push(marks)
    slab.end = slab.bytes.length
  } else {
    const view = bufferOf(marks)
    for (let at = 0; at < view.length; at += markBytes) {
      slab.starts.push(slab.end)
      slab.codes.push(view[at + 4] ?? 0)
      slab.end += view.readUInt32LE(at)
    }
  }
  return { last: numberOf(row, 'last'), total: numberOf(row, 'total'), slab }
}

function bufferOf(value: SQLOutputValue | undefined): Buffer {
  if (!(value instanceof Uint8Array)) throw new Error('the log file is damaged: a row without frames')
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

export function numberOf(row: Row | undefined, column: string): number {
  return Number(row?.[column])
}

function firstOf(segment: Segment): number {
  return segment.last - segment.slab.count + 1
}

function lastOf(page: Page): number {
  return page.first + page.slab.count - 1
}

/** The frames of `recent` from `after + 1` on, up to 64 KiB; undefined when they lie in `entries`. */
function recentPage(segments: readonly Segment[] | undefined, after: number): Page | undefined {
  if (!segments) return undefined
  let at = segments.length - 1
  while (at > 0 && firstOf(segments[at] as Segment) > after + 1) at--
  const first = segments[at] as Segment
  if (firstOf(first) > after + 1 || first.last <= after) return undefined
  const found = [first]
  let bytes = first.slab.end
  for (let next = segments[++at]; next && bytes + next.slab.end <= segmentBytesMax; next = segments[++at]) {
    // In a reader's mirror rows may be missing that were packed early.
    if (firstOf(next) !== (found.at(-1) as Segment).last + 1) break
    found.push(next)
    bytes += next.slab.end
  }
  return pageOf(found)
}

function storedFrom(select: StatementSync, log: number, after: number): Segment[] {
  const found: Segment[] = []
  let bytes = 0
  for (const row of select.iterate(log, after)) {
    const segment = segmentOf(row)
    if (found.length > 0 && bytes + segment.slab.end > segmentBytesMax) break
    found.push(segment)
    bytes += segment.slab.end
  }
  if (found.length === 0) throw new Error(`the log file is damaged: nothing behind ${after} in log ${log}`)
  return found
}

function* joined(segments: readonly Segment[]): Generator<Segment> {
  let from = 0
  let bytes = 0
  for (const [index, { slab }] of segments.entries()) {
    if (index > from && bytes + slab.end > segmentBytesMax) {
      yield join(segments.slice(from, index))
      from = index
      bytes = 0
    }
    bytes += slab.end
  }
  if (from < segments.length) yield join(segments.slice(from))
}

function pageOf(segments: readonly Segment[]): Page {
  const segment = join(segments)
  return { first: firstOf(segment), slab: segment.slab }
}

function join(segments: readonly Segment[]): Segment {
  const newest = segments.at(-1) as Segment
  if (segments.length === 1) return newest
  const slab = new Slab(segments.reduce((sum, one) => sum + one.slab.end, 0))
  for (const { slab: part } of segments) {
    slab.bytes.set(usedBytes(part), slab.end)
    for (let index = 0; index < part.count; index++) {
      slab.starts.push(slab.end + part.startOf(index))
      slab.codes.push(part.codes[index] ?? 0)
    }
    slab.end += part.end
  }
  return { last: newest.last, total: newest.total, slab }
}

function shrink(db: DatabaseSync): boolean {
  const pragma = (name: string) => Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])
  const excess = () => pragma('freelist_count') - pragma('page_count') * freeShareMax
  if (excess() <= 0) return false
  db.exec(`PRAGMA incremental_vacuum(${vacuumPages})`)
  return excess() > 0
}
