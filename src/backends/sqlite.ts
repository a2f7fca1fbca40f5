// The log in one SQLite file, in the process. All appends of one turn of the event loop share a commit, and nobody sees
// an event before its commit: readers look only between commits. One process writes; others may read (readOnly).
// It must never answer from memory what a failed commit took back.
import { emptyBatch, type Entry, type Gap, SlabBatch } from '../batch.ts'
import { createBells } from '../bells.ts'
import { RuncastError } from '../error.ts'
import { admit, creates, type HeadChange, type Key, type Log, type NewHead, seals, shapeOf } from '../log.ts'
import { createLogs, headOf, type Kept, logsSql, stateOf } from '../sqlite/logs.ts'
import { type Durability, openFile } from '../sqlite/open.ts'
import { createSegments, encode, segmentsSql } from '../sqlite/segments.ts'

export interface SqliteOptions {
  readonly path: string
  /**
   * `process` (the default): an acknowledged event survives kill -9 at any moment; a power cut may take the newest ones,
   * but never damages the file. `power`: it survives a power cut too, and each commit waits for the disk.
   */
  readonly durability?: Durability
  /** Reads the file of a server in another process, while that one writes. */
  readonly readOnly?: boolean
  /** How often a reader in another process looks for news. */
  readonly pollMs?: number
}

/** A person does not notice a twentieth of a second, and one look costs 3 µs. */
const pollMsDefault = 50
/** Logs whose counts and heads stay in memory: more than run at once, some 16 MiB with usual inputs. */
const keptMax = 16_384
const schema = { application: 0x52756e63 /* Runc */, version: 1, sql: `${logsSql}; ${segmentsSql}` }

interface Job {
  act(): unknown
  resolve(value: unknown): void
  reject(error: RuncastError): void
}

export function sqlite(options: SqliteOptions): Log {
  const { durability = 'process', readOnly = false, pollMs = pollMsDefault } = options
  const file = openFile({ path: options.path, durability, readOnly, schema })
  const { db, path } = file
  const begin = db.prepare(readOnly ? 'BEGIN' : 'BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const dataVersion = db.prepare('PRAGMA data_version')
  const segments = createSegments(db)
  const table = createLogs(db, segments)
  const logs = new Map<Key, Kept>()
  const bells = createBells(readOnly ? poll : undefined)
  const touched = new Set<Key>()
  let queue: Job[] = []
  let polling: NodeJS.Timeout | undefined
  let sweeping = false
  let closed = false
  /** The version of the file that memory agrees with; undefined = none. */
  let version: unknown

  function enqueue<T>(act: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    if (closed) reject(closedError())
    else if (readOnly) reject(new RuncastError('forbidden', `${path} is open with readOnly: write through its server`))
    else if (queue.push({ act, resolve, reject }) === 1) setImmediate(flush)
    return promise as Promise<T>
  }

  /** Commits what this turn queued. A refused job leaves the others alone; a failed commit fails them all. */
  function flush(): void {
    const jobs = queue
    queue = []
    if (jobs.length === 0) return
    const answers: (() => void)[] = []
    try {
      begin.run()
      agree()
      for (const job of jobs) answers.push(answerOf(job))
      segments.packIfDue()
      commit.run()
    } catch (error) {
      // Only the file knows now what is true.
      version = undefined
      touched.clear()
      if (db.isTransaction) db.exec('ROLLBACK')
      for (const job of jobs) job.reject(unavailable('write to', error))
      return
    }
    for (const answer of answers) answer()
    for (const key of touched) bells.soon(key)
    touched.clear()
  }

  /** Brings memory to the state of the file, inside a transaction when another process may write. */
  function agree(): void {
    const now = readOnly ? versionNow() : 'ours alone'
    if (now === version) return
    logs.clear()
    segments.refresh(version === undefined ? 'start' : 'last')
    version = now
  }

  const versionNow = () => dataVersion.get()?.['data_version']

  function consistent<T>(read: () => T): T {
    if (closed) throw closedError()
    try {
      if (readOnly) begin.run()
      agree()
      return read()
    } catch (error) {
      throw unavailable('read', error)
    } finally {
      if (readOnly && db.isTransaction) commit.run()
    }
  }

  function unavailable(verb: string, error: unknown): RuncastError {
    if (error instanceof RuncastError) return error
    const why = error instanceof Error ? error.message : String(error)
    return new RuncastError('unavailable', `cannot ${verb} ${path}: ${why}`, { details: { path }, cause: error })
  }
  const closedError = () => new RuncastError('unavailable', `the log in ${path} is closed`)

  function keptOf(key: Key): Kept | undefined {
    return logs.get(key) ?? keep(table.load(key))
  }

  /** As the newest; the log that had no append for the longest time makes room. */
  function keep(kept: Kept | undefined): Kept | undefined {
    if (!kept) return undefined
    logs.delete(kept.key)
    logs.set(kept.key, kept)
    if (logs.size > keptMax) logs.delete(logs.keys().next().value as Key)
    return kept
  }

  function write(key: Key, after: number, entries: readonly Entry[], change?: NewHead | HeadChange): number {
    const known = keptOf(key)
    admit(key, known, after, change)
    const added = encode(known?.shape ?? shapeOf(key), entries, known ?? { last: 0, total: 0 })
    const log = known ?? table.create(key, creates(change) ? change : undefined)
    for (const segment of added) segments.add(log.id, segment)
    const newest = added.at(-1)
    if (newest) {
      log.last = newest.last
      log.total = newest.total
    }
    const end = entries.at(-1)
    const sealed = end !== undefined && seals(key, end)
    if (sealed || (change && known)) {
      log.head = change ? ({ ...log.head, ...change } as NewHead) : log.head
      log.state = stateOf(sealed, log.head)
      table.save(log)
    }
    log.shared = undefined
    keep(log)
    touched.add(key)
    return log.last
  }

  function forget(key: Key, upTo: number | undefined, snapshot: Uint8Array | undefined): void {
    const log = keptOf(key)
    if (!log) return
    if (upTo === undefined) {
      segments.trim(log.id, Number.MAX_SAFE_INTEGER)
      table.remove(log)
      logs.delete(key)
    } else {
      const cut = Math.min(upTo, log.last)
      if (cut < log.first) return
      log.first = cut + 1
      log.dropped = segments.trim(log.id, cut) ?? log.dropped
      log.shared = undefined
      table.saveCut(log, snapshot)
    }
    touched.add(key)
    sweep()
  }

  /** Deletes what was forgotten piece by piece, each with the next turn's commit. A failure leaves the rest to the next drop or start. */
  function sweep(): void {
    if (sweeping) return
    sweeping = true
    const again = (more: boolean) => {
      sweeping = false
      if (more && !closed) sweep()
    }
    enqueue(() => segments.sweep()).then(again, () => again(false))
  }

  function readFrom(log: Kept, requested: number, limit: number): SlabBatch {
    let after = requested
    let gap: Gap | undefined
    if (after < log.first - 1) {
      const snapshot = table.snapshot(log)
      gap = { requested: after + 1, oldest: log.first, ...(snapshot && { snapshot }) }
      after = log.first - 1
    }
    if (after >= log.last) return emptyBatch(after, log.state, gap)
    const { slab, first } = segments.pageAt(log.id, after)
    const from = after + 1 - first
    const to = Math.min(slab.count, from + limit)
    const last = after + to - from
    const state = last < log.last ? 'open' : log.state
    const batch = new SlabBatch({ after, last, state, gap, slab, from, to })
    if (last === log.last && !gap) log.shared = batch
    return batch
  }

  /** Another process has no way to ring here: while somebody watches, look whether the file has changed. */
  function poll(watched: number): void {
    if (watched === 0) {
      clearInterval(polling)
      polling = undefined
      return
    }
    if (polling) return
    let seen = attempt(versionNow)
    const look = () => {
      const now = attempt(versionNow)
      // A failure is for the readers to report: they are rung and read.
      if (now === seen && now !== undefined) return
      seen = now
      for (const key of bells.keys()) bells.soon(key)
    }
    polling = setInterval(look, pollMs).unref()
  }

  if (!readOnly) sweep()
  return {
    append: (key, after, entries, change) => enqueue(() => write(key, after, entries, change)),

    read: (key, after, limit) =>
      consistent(() => {
        const log = keptOf(key)
        if (!log) return emptyBatch(after, 'absent')
        if (log.shared?.after === after && log.shared.count <= limit) return log.shared
        return readFrom(log, after, limit)
      }),

    watch: (key, ring) => bells.watch(key, ring),

    head: run =>
      consistent(() => {
        const log = keptOf(`run/${run}`)
        return log && headOf(log)
      }),

    // Logs that only a list asks for do not push those out that run.
    list: filter =>
      consistent(() =>
        table.list(filter).flatMap(key => {
          const log = logs.get(key) ?? table.load(key)
          return (log && headOf(log)) ?? []
        }),
      ),

    drop: (key, upTo, snapshot) => enqueue(() => forget(key, upTo, snapshot)),

    async [Symbol.asyncDispose]() {
      if (closed) return
      flush()
      closed = true
      bells.clear()
      file[Symbol.dispose]()
    },
  }
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}

/** Runs a job; what it answers is said only after the commit. */
function answerOf(job: Job): () => void {
  try {
    const value = job.act()
    return () => job.resolve(value)
  } catch (error) {
    if (!(error instanceof RuncastError)) throw error
    return () => job.reject(error)
  }
}
