// Puts the messages of many threads back into the order of their numbers: duplicates and conflicts out, neighbours that
// changed places back in place, and what never comes told as a hole. One lane per run or thread, one window each.
// It must never hold more than its bounds, whatever arrives, nor let number 0 (not a position) touch a cursor.
import { createSeen } from './dashstream-seen.ts'

/** How far ahead a message may arrive before the ones in between count as lost: what parallel senders mix up. */
export const reorderWindow = 32
/** Ids remembered, over all lanes. A redelivery after a reconnect is a few thousand messages; 64 Ki ids are about 5 MB. */
export const seenMax = 65_536
/** Lanes remembered; of more, the one that was silent longest is forgotten. */
export const lanesMax = 10_000

export interface Arrival {
  /** 1, 2, 3 … */
  readonly position: bigint
  /** Its 16 bytes stand in these from `idAt` on; two messages with one id are the same message. */
  readonly id: Uint8Array
  readonly idAt: number
  /** Begins anew: a producer that lost its counter starts from here. */
  readonly restart: boolean
}

export type Verdict =
  | 'taken'
  /** Taken, after one with a higher number. */
  | 'reordered'
  | 'duplicate'
  | 'conflict'
  | 'late'

/** In order: `missing` numbers in front of it never came. */
export interface Ordered<T extends Arrival> {
  readonly lane: string
  readonly arrival: T
  readonly missing: bigint
}

export interface Order<T extends Arrival> {
  /** Takes one in; what can go on is appended to `out`. */
  arrive(lane: string, arrival: T, out: Ordered<T>[]): Verdict
  /** Takes one in if it is simply the next of its lane, as nearly all are; else nothing has changed. */
  follows(lane: string, position: number, id: Uint8Array, idAt: number): boolean
  /** Of messages without number: whether this id was here before in its lane. */
  known(lane: string, arrival: Arrival): boolean
  /** Lets everything go that waits, holes included. */
  flush(out: Ordered<T>[]): void
  readonly waiting: number
}

class Lane<T extends Arrival> {
  /** Short for its key, in what is remembered. */
  readonly index: number
  /** Something went on: from then on what is missing is a hole. */
  begun: boolean
  /** Counts restarts: their numbers are others than the same ones before. */
  epoch = 0
  readonly ahead = new Map<bigint, T>()
  /** The last number that went on, unless it is safe: then the next one is a number, which costs a tenth. */
  private unsafe: bigint | undefined
  next: number | undefined

  constructor(index: number, begun: boolean) {
    this.index = index
    this.begun = begun
  }

  /** The last number that went on; absent before the first number. */
  get position(): bigint | undefined {
    return this.next === undefined ? this.unsafe : BigInt(this.next - 1)
  }

  set position(position: bigint) {
    this.unsafe = position
    this.next = position < Number.MAX_SAFE_INTEGER ? Number(position) + 1 : undefined
  }
}

export interface OrderOptions<T extends Arrival> {
  /** Called when a lane is forgotten, after what waited in it was let go into `out`. */
  readonly forget: (lane: string) => void
  /** What to do with what a forgotten lane held. */
  readonly release: (ordered: Ordered<T>) => void
  /** Whether the reader asked from number 1 on, so that what is missing in front of the first one is a hole as well. */
  readonly fromBeginning?: boolean
  readonly lanesMax?: number
  readonly seenMax?: number
}

export function createOrder<T extends Arrival>(options: OrderOptions<T>): Order<T> {
  const lanes = new Map<string, Lane<T>>()
  const seen = createSeen(options.seenMax ?? seenMax)
  let waiting = 0
  let lanesMade = 0
  let newest: { key: string; lane: Lane<T> } | undefined

  const laneOf = (key: string): Lane<T> => {
    // Neighbours are mostly of one lane, and moving it to the end costs.
    if (newest?.key === key) return newest.lane
    const known = lanes.get(key)
    if (known !== undefined) {
      lanes.delete(key)
      lanes.set(key, known)
      newest = { key, lane: known }
      return known
    }
    if (lanes.size >= (options.lanesMax ?? lanesMax)) forgetOldest()
    const lane = new Lane<T>(lanesMade++, options.fromBeginning ?? false)
    lanes.set(key, lane)
    newest = { key, lane }
    return lane
  }

  const forgetOldest = () => {
    const [key, lane] = lanes.entries().next().value as [string, Lane<T>]
    const left: Ordered<T>[] = []
    letGo(key, lane, left, 0)
    for (const ordered of left) options.release(ordered)
    lanes.delete(key)
    options.forget(key)
  }

  /** What follows without a hole; then, while more than `most` wait, over the next hole. */
  const letGo = (key: string, lane: Lane<T>, out: Ordered<T>[], most: number) => {
    for (;;) {
      const position = lane.position ?? 0n
      const next = lane.ahead.get(position + 1n)
      const arrival = next ?? (lane.ahead.size > most ? first(lane.ahead) : undefined)
      if (arrival === undefined) return
      lane.ahead.delete(arrival.position)
      waiting--
      out.push({ lane: key, arrival, missing: lane.begun ? arrival.position - position - 1n : 0n })
      lane.position = arrival.position
      lane.begun = true
    }
  }

  return {
    get waiting() {
      return waiting
    },
    known(key, { id, idAt }) {
      return !seen.takeId(laneOf(key).index, id, idAt)
    },
    arrive(key, arrival, out) {
      const lane = laneOf(key)
      const { position, id, idAt } = arrival
      // Near the beginning the first ones may only be late; further on, this is where one joined (not a gap).
      const last = lane.position ?? (lane.begun || position <= BigInt(reorderWindow) ? 0n : position - 1n)
      lane.position = last
      if (seen.hasId(lane.index, id, idAt)) return 'duplicate'
      const next = lane.ahead.size === 0 && position === last + 1n
      if (!next && !arrival.restart && seen.hasNumber(lane.index, lane.epoch, position)) return 'conflict'
      if (position <= last) {
        if (!arrival.restart) return 'late'
        letGo(key, lane, out, 0)
        lane.position = position - 1n
        lane.epoch++
      }
      seen.rememberId(lane.index, id, idAt)
      seen.rememberNumber(lane.index, lane.epoch, position)
      if (next) {
        out.push({ lane: key, arrival, missing: 0n })
        lane.position = position
        lane.begun = true
        return 'taken'
      }
      const after = lane.ahead.size > 0 && [...lane.ahead.keys()].some(other => other > position)
      lane.ahead.set(position, arrival)
      waiting++
      letGo(key, lane, out, reorderWindow)
      return after ? 'reordered' : 'taken'
    },
    follows(key, position, id, idAt) {
      const lane = laneOf(key)
      if (position !== lane.next || lane.ahead.size > 0 || !seen.takeId(lane.index, id, idAt)) return false
      seen.rememberNumber(lane.index, lane.epoch, position)
      lane.next++
      lane.begun = true
      return true
    },
    flush(out) {
      if (waiting > 0) for (const [key, lane] of lanes) letGo(key, lane, out, 0)
    },
  }
}

function first<T extends Arrival>(ahead: Map<bigint, T>): T | undefined {
  let least: T | undefined
  for (const arrival of ahead.values()) if (least === undefined || arrival.position < least.position) least = arrival
  return least
}
