// Puts the messages of many threads back into the order of their numbers: duplicates and conflicts out, neighbours that
// changed places back in place, and what never comes told as a hole. One lane per run or thread, one window each.
// It must never hold more than its bounds, whatever arrives, nor let number 0 (not a position) touch a cursor.

/** How far ahead a message may arrive before the ones in between count as lost: what parallel senders mix up. */
export const reorderWindow = 32
/** Ids remembered, over all lanes. A redelivery after a reconnect is a few thousand messages; 64 Ki ids are about 10 MB. */
export const seenMax = 65_536
/** Lanes remembered; of more, the one that was silent longest is forgotten. */
export const lanesMax = 10_000

export interface Arrival<T> {
  /** 1, 2, 3 … */
  readonly position: bigint
  /** Of the message; two with one id are the same message. */
  readonly id: string
  readonly item: T
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
export interface Ordered<T> {
  readonly lane: string
  readonly arrival: Arrival<T>
  readonly missing: bigint
}

export interface Order<T> {
  /** Takes one in; what can go on is appended to `out`. */
  arrive(lane: string, arrival: Arrival<T>, out: Ordered<T>[]): Verdict
  /** Of messages without number: whether this id was here before. */
  known(id: string): boolean
  /** Lets everything go that waits, holes included. */
  flush(out: Ordered<T>[]): void
  readonly waiting: number
}

interface Lane<T> {
  /** The last number that went on. */
  position: bigint
  /** Something went on: from then on what is missing is a hole. */
  begun: boolean
  /** Counts restarts: their numbers are others than the same ones before. */
  epoch: number
  readonly ahead: Map<bigint, Arrival<T>>
}

export interface OrderOptions<T> {
  /** Called when a lane is forgotten, after what waited in it was let go into `out`. */
  readonly forget: (lane: string) => void
  /** What to do with what a forgotten lane held. */
  readonly release: (ordered: Ordered<T>) => void
  /** Whether the reader asked from number 1 on, so that what is missing in front of the first one is a hole as well. */
  readonly fromBeginning?: boolean
  readonly lanesMax?: number
  readonly seenMax?: number
}

export function createOrder<T>(options: OrderOptions<T>): Order<T> {
  const lanes = new Map<string, Lane<T>>()
  const seen = createSeen(options.seenMax ?? seenMax)
  let waiting = 0

  const laneOf = (key: string, first: bigint): Lane<T> => {
    const known = lanes.get(key)
    if (known !== undefined) {
      lanes.delete(key)
      lanes.set(key, known)
      return known
    }
    if (lanes.size >= (options.lanesMax ?? lanesMax)) forgetOldest()
    // Near the beginning the first ones may only be late; further on, this is where one joined (not a gap).
    const begun = options.fromBeginning ?? false
    const position = begun || first <= BigInt(reorderWindow) ? 0n : first - 1n
    const lane = { position, begun, epoch: 0, ahead: new Map<bigint, Arrival<T>>() }
    lanes.set(key, lane)
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
      const next = lane.ahead.get(lane.position + 1n)
      const arrival = next ?? (lane.ahead.size > most ? first(lane.ahead) : undefined)
      if (arrival === undefined) return
      lane.ahead.delete(arrival.position)
      waiting--
      out.push({ lane: key, arrival, missing: lane.begun ? arrival.position - lane.position - 1n : 0n })
      lane.position = arrival.position
      lane.begun = true
    }
  }

  return {
    get waiting() {
      return waiting
    },
    known: id => seen.id(id),
    arrive(key, arrival, out) {
      const lane = laneOf(key, arrival.position)
      const { position, id } = arrival
      const verdict = seen.at(`${position} ${lane.epoch} ${key}`, id)
      if (verdict !== 'new' && !(verdict === 'conflict' && arrival.restart)) return verdict
      if (position <= lane.position) {
        if (!arrival.restart) return 'late'
        letGo(key, lane, out, 0)
        lane.position = position - 1n
        lane.epoch++
      }
      seen.remember(`${position} ${lane.epoch} ${key}`, id)
      const after = [...lane.ahead.keys()].some(other => other > position)
      lane.ahead.set(position, arrival)
      waiting++
      letGo(key, lane, out, reorderWindow)
      return after ? 'reordered' : 'taken'
    },
    flush(out) {
      if (waiting > 0) for (const [key, lane] of lanes) letGo(key, lane, out, 0)
    },
  }
}

function first<T>(ahead: Map<bigint, Arrival<T>>): Arrival<T> | undefined {
  let least: Arrival<T> | undefined
  for (const arrival of ahead.values()) if (least === undefined || arrival.position < least.position) least = arrival
  return least
}

/** The last ids, and which id had which number: constant time, and a bound on both. */
function createSeen(max: number) {
  const ids = new Set<string>()
  const numbers = new Map<string, string>()
  const bound = (kept: Set<string> | Map<string, string>) => {
    if (kept.size > max) kept.delete(kept.keys().next().value as string)
  }
  const id = (one: string): boolean => {
    if (ids.has(one)) return true
    ids.add(one)
    bound(ids)
    return false
  }
  return {
    id,
    at(number: string, one: string): 'new' | 'duplicate' | 'conflict' {
      if (ids.has(one)) return 'duplicate'
      const other = numbers.get(number)
      return other === undefined || other === one ? 'new' : 'conflict'
    },
    remember(number: string, one: string) {
      id(one)
      numbers.set(number, one)
      bound(numbers)
    },
  }
}
