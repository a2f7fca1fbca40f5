// Frames between the log's entries, memory and the rows of the file: encoded together, copied to a segment at once,
// stored with the length and the type of each. Pure functions, but for the slabs that they fill.
import { type Entry, type Shape, Slab } from '../batch.ts'

/** Entries with their frames. */
export interface Frames {
  readonly slab: Slab
  readonly entries: readonly Entry[]
}

/** Consecutive entries of one log. */
export interface Segment {
  /** The sequence of its first entry. */
  readonly first: number
  readonly slab: Slab
  /** Bytes of the log's frames from its very first entry to the end of this segment. */
  total: number
}

/** Sending stored events in slices of 64 KiB measured 21 times faster than event by event; larger slices won nothing. */
export const segmentBytesMax = 64 * 1024

/** Encodes entries behind `last`, cut so that no part but a single large entry has more than 64 KiB. */
export function framesOf(shape: Shape, entries: readonly Entry[], last: number): Frames[] {
  const parts: Frames[] = []
  for (let from = 0; from < entries.length; ) {
    let to = from
    let bytes = 0
    do bytes += shape.room(entries[to++] as Entry)
    while (to < entries.length && bytes + shape.room(entries[to] as Entry) <= segmentBytesMax)
    const slab = new Slab(bytes)
    for (let index = from; index < to; index++) slab.push(shape, entries[index] as Entry, last + index + 1)
    parts.push({ slab, entries: to - from === entries.length ? entries : entries.slice(from, to) })
    from = to
  }
  return parts
}

/** Batches that readers hold look at the slab through its offsets, which stay. */
export function makeRoom(slab: Slab, bytes: number): void {
  const needed = slab.end + bytes
  if (needed <= slab.bytes.length) return
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(slab.bytes.length * 2, segmentBytesMax)))
  larger.set(slab.used)
  slab.bytes = larger
}

export function lastOf(segment: Segment): number {
  return segment.first + segment.slab.count - 1
}

/** Per entry the length of its frame (4 bytes) and its code (1 byte). */
const markBytes = 5

export function marksOf(slab: Slab): Buffer {
  const marks = Buffer.allocUnsafe(slab.count * markBytes)
  for (let index = 0; index < slab.count; index++) {
    marks.writeUInt32LE(slab.startOf(index + 1) - slab.startOf(index), index * markBytes)
    marks[index * markBytes + 4] = slab.codes[index] ?? 0
  }
  return marks
}

/** A slab as it was stored. */
export function slabOf(marks: Uint8Array, frames: Uint8Array): Slab {
  const slab = new Slab(0)
  slab.bytes = Buffer.from(frames.buffer, frames.byteOffset, frames.byteLength)
  const view = new DataView(marks.buffer, marks.byteOffset, marks.byteLength)
  for (let at = 0; at < marks.length; at += markBytes) {
    slab.starts.push(slab.end)
    slab.codes.push(view.getUint8(at + 4))
    slab.end += view.getUint32(at, true)
  }
  return slab
}

export function joined(segments: readonly Segment[]): Segment {
  const [{ first }, newest] = [segments[0] as Segment, segments.at(-1) as Segment]
  if (segments.length === 1) return newest
  return { first, slab: Slab.joined(segments.map(({ slab }) => slab)), total: newest.total }
}
