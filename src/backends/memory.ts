// The log in memory: the default, with no dependency. Frames lie in slabs that start small and double, so that a short
// run costs little and a long one replays in large slices. Everything is synchronous; nothing survives the process.
import { emptyBatch, type Entry, type Gap, type Shape, Slab, type SlabBatch, sliceOf, type State } from '../batch.ts'
import { createBells } from '../bells.ts'
import {
  admit,
  everyTenant,
  type Head,
  type HeadChange,
  type HeadFilter,
  type Key,
  type Log,
  type NewHead,
  seals,
  shapeOf,
} from '../log.ts'

/** Most runs are short: 2 KiB holds about ten tokens. */
const slabBytesMin = 2 * 1024
/** Sending stored events in slices of 64 KiB measured 21 times faster than event by event; larger slices won nothing. */
const slabBytesMax = 64 * 1024

/** One log. `slabs[i]` holds the sequences from `firsts[i]` on. */
interface Kept {
  readonly shape: Shape
  readonly slabs: Slab[]
  readonly firsts: number[]
  /** The oldest kept sequence. */
  first: number
  last: number
  bytes: number
  state: State
  head: NewHead | undefined
  snapshot: Uint8Array | undefined
  /** The newest read at the tail: a thousand readers at the same cursor share one batch. */
  shared: SlabBatch | undefined
}

export function memory(): Log {
  const logs = new Map<Key, Kept>()
  const bells = createBells()

  return {
    append(key, after, entries, change) {
      const kept = logs.get(key)
      admit(key, kept, after, change)
      const log = kept ?? newLog(key)
      if (!kept) logs.set(key, log)
      for (const entry of entries) push(log, entry)
      if (change) changeHead(log, change)
      const end = entries.at(-1)
      if (end && seals(key, end)) seal(log)
      log.shared = undefined
      bells.soon(key)
      return log.last
    },

    read(key, after, limit) {
      const log = logs.get(key)
      if (!log) return emptyBatch(after, 'absent')
      if (log.shared?.after === after && log.shared.count <= limit) return log.shared
      return readFrom(log, after, limit)
    },

    watch: (key, ring) => bells.watch(key, ring),

    head: run => {
      const log = logs.get(`run/${run}`)
      return log?.head && withCounts(log, log.head)
    },

    list: filter => listHeads(logs.values(), filter),

    drop(key, upTo, snapshot) {
      const log = logs.get(key)
      if (!log) return
      if (upTo === undefined) {
        bells.now(key)
        logs.delete(key)
      } else trim(log, Math.min(upTo, log.last), snapshot)
      bells.soon(key)
    },

    async [Symbol.asyncDispose]() {
      bells.clear()
      logs.clear()
    },
  }
}

function newLog(key: Key): Kept {
  return {
    shape: shapeOf(key),
    slabs: [],
    firsts: [],
    first: 1,
    last: 0,
    bytes: 0,
    state: 'open',
    head: undefined,
    snapshot: undefined,
    shared: undefined,
  }
}

function push(log: Kept, entry: Entry): void {
  const sequence = log.last + 1
  let slab = log.slabs.at(-1)
  const before = slab?.end ?? 0
  if (!slab?.push(log.shape, entry, sequence)) {
    slab = new Slab(slab ? Math.min(slab.bytes.length * 2, slabBytesMax) : slabBytesMin)
    slab.push(log.shape, entry, sequence)
    log.slabs.push(slab)
    log.firsts.push(sequence)
    log.bytes += slab.end
  } else log.bytes += slab.end - before
  log.last = sequence
}

function changeHead(log: Kept, change: NewHead | HeadChange): void {
  log.head = { ...log.head, ...change } as NewHead
  if (log.head.cancel_requested_at !== undefined) log.state = 'cancelling'
}

/** A sealed log keeps what it holds and no more, in slices as large as they replay best. */
function seal(log: Kept): void {
  log.state = 'sealed'
  const { slabs, firsts } = log
  for (let at = 0; at < slabs.length; at++) {
    let bytes = slabs[at]?.end ?? 0
    let end = at + 1
    while (end < slabs.length && bytes + (slabs[end]?.end ?? 0) <= slabBytesMax) bytes += slabs[end++]?.end ?? 0
    slabs.splice(at, end - at, Slab.joined(slabs.slice(at, end)))
    firsts.splice(at + 1, end - at - 1)
  }
}

function readFrom(log: Kept, requested: number, limit: number): SlabBatch {
  let after = requested
  let gap: Gap | undefined
  if (after < log.first - 1) {
    gap = { requested: after + 1, oldest: log.first, ...(log.snapshot && { snapshot: log.snapshot }) }
    after = log.first - 1
  }
  if (after >= log.last) return emptyBatch(after, log.state, gap)
  let at = log.slabs.length - 1
  while ((log.firsts[at] ?? 0) > after + 1) at--
  const batch = sliceOf(log, { slab: log.slabs[at] as Slab, first: log.firsts[at] ?? 0 }, { after, limit, gap })
  if (batch.atTail && !gap) log.shared = batch
  return batch
}

function trim(log: Kept, upTo: number, snapshot: Uint8Array | undefined): void {
  if (upTo < log.first) return
  log.first = upTo + 1
  log.snapshot = snapshot
  log.shared = undefined
  while (log.slabs.length > 0 && (log.firsts[1] ?? log.last + 1) <= log.first) {
    log.bytes -= log.slabs.shift()?.end ?? 0
    log.firsts.shift()
  }
}

function withCounts(log: Kept, head: NewHead): Head {
  return { ...head, first: log.first, last: log.last, bytes: log.bytes }
}

function listHeads(logs: Iterable<Kept>, filter: HeadFilter): Head[] {
  const { tenant, status, thread_id, agent, before, limit } = filter
  const found: Kept[] = []
  for (const log of logs) {
    const head = log.head
    if (!head || (tenant !== everyTenant && head.tenant !== tenant)) continue
    if (status && head.status !== status) continue
    if (thread_id && head.thread_id !== thread_id) continue
    if (agent && head.agent !== agent) continue
    if (before && newestFirst(head, before) <= 0) continue
    found.push(log)
  }
  found.sort((a, b) => newestFirst(a.head as NewHead, b.head as NewHead))
  return found.slice(0, limit).map(log => withCounts(log, log.head as NewHead))
}

type Place = Pick<Head, 'created_at' | 'run_id'>

function newestFirst(a: Place, b: Place): number {
  return b.created_at - a.created_at || (a.run_id < b.run_id ? 1 : a.run_id > b.run_id ? -1 : 0)
}
