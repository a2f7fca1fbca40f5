// The log in one SQLite file, in the process. All appends of one turn of the event loop share a commit, and nobody sees
// an event before its commit: readers look only between commits. One process writes; others may read (readOnly).
// It must never answer from memory what a failed commit took back.
import { emptyBatch, type Entry, type Gap, type Shape, type SlabBatch, sliceOf } from '../batch.ts'
import { createBells } from '../bells.ts'
import { RuncastError } from '../error.ts'
import { admit, creates, type HeadChange, type Key, type Log, type NewHead, seals, shapeOf } from '../log.ts'
import { type Frames, framesOf } from '../sqlite/frames.ts'
import { createLogs, headOf, type Kept, logsSql, stateOf } from '../sqlite/logs.ts'
import { type Durability, openFile } from '../sqlite/open.ts'
import { createSegments, segmentsSql } from '../sqlite/segments.ts'

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
  /** How large the file may grow; at the limit appends fail with `unavailable` until something is dropped. */
  readonly bytesMax?: number
}

/** A person does not notice a twentieth of a second, and one look costs 3 µs. */
const pollMsDefault = 50
/** Logs whose counts and heads stay in memory: more than run at once, some 16 MiB with usual inputs. */
const keptMax = 16_384
const schema = { application: 0x52756e63 /* Runc */, version: 1, sql: `${logsSql}; ${segmentsSql}` }

interface Job {
  /** The log that it changes for its readers. */
  readonly key: Key | undefined
  act(): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
  /** What it answered or why it was refused; said only after the commit. */
  value: unknown
  refusal: RuncastError | undefined
}

export function sqlite(options: SqliteOptions): Log {
  const {
    durability = 'process',
    readOnly = false,
    pollMs = pollMsDefault,
    bytesMax = Number.POSITIVE_INFINITY,
  } = options
  const file = openFile({ path: options.path, durability, readOnly, bytesMax, schema })
  const { db, path } = file
  const begin = db.prepare(readOnly ? 'BEGIN' : 'BEGIN IMMEDIATE')
  const commit = db.prepare('COMMIT')
  const dataVersion = db.prepare('PRAGMA data_version')
  const segments = createSegments(db)
  const table = createLogs(db, segments)
  const logs = new Map<Key, Kept>()
  const bells = createBells(readOnly ? poll : undefined)
  let queue: Job[] = []
  let polling: NodeJS.Timeout | undefined
  let sweeping = false
  let closed = false
  /** The version of the file that memory agrees with; undefined = none. */
  let version: unknown

  function enqueue<T>(key: Key | undefined, act: () => T): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (closed) reject(closedError())
      else if (readOnly)
        reject(new RuncastError('forbidden', `${path} is open with readOnly: write through its server`))
      else {
        const job = { key, act, resolve, reject, value: undefined, refusal: undefined }
        if (queue.push(job) === 1) setImmediate(flush)
      }
    }) as Promise<T>
  }

  /** Commits what this turn queued. A refused job leaves the others alone; a failed commit fails them all. */
  function flush(): void {
    const jobs = queue
    queue = []
    if (jobs.length === 0) return
    try {
      begin.run()
      agree()
      for (const job of jobs) perform(job)
      segments.flush()
      commit.run()
    } catch (error) {
      // Only the file knows now what is true.
      version = undefined
      // SQLite rolls some failures back by itself; what cannot be rolled back fails the next commit too.
      if (db.isTransaction) attempt(() => db.exec('ROLLBACK'))
      const failure = unavailable('write to', error)
      for (const job of jobs) job.reject(failure)
      return
    }
    for (const job of jobs) {
      if (job.refusal) job.reject(job.refusal)
      else {
        job.resolve(job.value)
        if (job.key) bells.soon(job.key)
      }
    }
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

  /** Makes room by the logs that are kept longest, but for those that were appended to since one looked at them last. */
  function keep(kept: Kept | undefined): Kept | undefined {
    if (!kept) return undefined
    logs.set(kept.key, kept)
    for (const [key, oldest] of logs) {
      if (logs.size <= keptMax) break
      logs.delete(key)
      if (oldest.busy) logs.set(key, oldest)
      oldest.busy = false
    }
    return kept
  }

  function write(key: Key, after: number, entries: readonly Entry[], change?: NewHead | HeadChange): number {
    const known = keptOf(key)
    admit(key, known, after, change)
    const frames = encoded(known?.shape ?? shapeOf(key), entries, after)
    const log = known ?? (keep(table.create(key, creates(change) ? change : undefined)) as Kept)
    const { last, total } = segments.add(log.id, log, frames)
    log.last = last
    log.total = total
    const end = entries.at(-1)
    const sealed = end !== undefined && seals(key, end)
    if (sealed || (change && known)) {
      log.head = change ? ({ ...log.head, ...change } as NewHead) : log.head
      log.state = stateOf(sealed, log.head)
      table.save(log)
    }
    log.shared = undefined
    log.busy = true
    return log.last
  }

  function forget(key: Key, upTo: number | undefined, snapshot: Uint8Array | undefined): void {
    const log = keptOf(key)
    if (!log) return
    if (upTo === undefined) {
      if (log.last >= log.first) segments.trim(log.id, log.last)
      table.remove(log)
      logs.delete(key)
    } else {
      const cut = Math.min(upTo, log.last)
      if (cut < log.first) return
      log.first = cut + 1
      log.dropped = segments.trim(log.id, cut)
      log.shared = undefined
      table.saveCut(log, snapshot)
    }
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
    enqueue(undefined, () => segments.sweep()).then(again, () => again(false))
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
    const batch = sliceOf(log, segments.segmentAt(log.id, after), { after, limit, gap })
    if (batch.atTail && !gap) log.shared = batch
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
    append: (key, after, entries, change) => enqueue(key, () => write(key, after, entries, change)),

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

    drop(key, upTo, snapshot) {
      if (upTo === undefined) bells.now(key)
      return enqueue(key, () => forget(key, upTo, snapshot))
    },

    async [Symbol.asyncDispose]() {
      if (closed) return
      flush()
      bells.clear()
      flush() // what those have said who were rung
      closed = true
      file[Symbol.dispose]()
    },
  }
}

/** What cannot be encoded is refused alone, before anything of it is written. */
function encoded(shape: Shape, entries: readonly Entry[], after: number): Frames[] {
  try {
    return framesOf(shape, entries, after)
  } catch (error) {
    throw RuncastError.from(error)
  }
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}

function perform(job: Job): void {
  try {
    job.value = job.act()
  } catch (error) {
    if (!(error instanceof RuncastError)) throw error
    job.refusal = error
  }
}
