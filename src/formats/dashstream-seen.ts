// Which messages were here lately: their ids, and the numbers that were taken, of all lanes together. Two generations of
// open hash tables over plain words, because a Map of strings costs more per message than reading it does.
// It must never hold more than its bound, nor walk far for ids that somebody chose so that they collide.

export interface Seen {
  /** Whether the id of 16 bytes that stands at this place was here before in its lane. */
  hasId(lane: number, bytes: Uint8Array, at: number): boolean
  /** Whether a message with this number was taken before. */
  hasNumber(lane: number, epoch: number, position: number | bigint): boolean
  rememberId(lane: number, bytes: Uint8Array, at: number): void
  /** Remembers the id; false when it was here before. */
  takeId(lane: number, bytes: Uint8Array, at: number): boolean
  rememberNumber(lane: number, epoch: number, position: number | bigint): void
}

/** `max` messages: when the younger generation holds half of them, the older goes as a whole. */
export function createSeen(max: number): Seen {
  const half = Math.ceil(max / 2)
  let young = createTable(slotsMin)
  let old = createTable(slotsMin)

  const has = (): boolean => young.has() || old.has()
  /** The key that was asked for last. */
  const put = () => {
    const full = young.count >= half * entriesPerMessage
    if (!full && young.put()) return
    old = young
    young = createTable(full ? old.slots : slotsMin)
    young.has()
    young.put()
  }
  return {
    hasId(lane, bytes, at) {
      keyOfId(lane, bytes, at)
      return has()
    },
    hasNumber(lane, epoch, position) {
      keyOfNumber(lane, epoch, position)
      return has()
    },
    rememberId(lane, bytes, at) {
      keyOfId(lane, bytes, at)
      young.has()
      put()
    },
    takeId(lane, bytes, at) {
      keyOfId(lane, bytes, at)
      if (has()) return false
      put()
      return true
    },
    rememberNumber(lane, epoch, position) {
      keyOfNumber(lane, epoch, position)
      young.has()
      put()
    },
  }
}

/** Its id, and its number in its lane. */
const entriesPerMessage = 2

// The key that is looked for: four words of it, and whose it is, which is never 0.
const key = new Uint32Array(5)

function keyOfId(lane: number, bytes: Uint8Array, from: number): void {
  for (let word = 0, at = from; word < 4; word++, at += 4) {
    const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]] as [number, number, number, number]
    key[word] = (a << 24) | (b << 16) | (c << 8) | d
  }
  key[4] = lane * 2 + 1
}

function keyOfNumber(lane: number, epoch: number, position: number | bigint): void {
  const big = typeof position === 'bigint'
  key[0] = epoch
  key[1] = 0
  key[2] = big ? Number(position >> 32n) : Math.floor(position / 2 ** 32)
  key[3] = big ? Number(position & 0xffff_ffffn) : position
  key[4] = lane * 2 + 2
}

const words = 5
/** Most decoders see few messages; a table grows when half of it is used, by this much, for each entry moves then. */
const slotsMin = 256
const growth = 8
/** Ids that fall into place take two or three steps. Who makes them collide only shortens what is remembered. */
const stepsMax = 64

function createTable(slotsAtFirst: number) {
  let slots = slotsAtFirst
  let table = new Uint32Array(slots * words)
  let count = 0
  /** Where the key that was asked for last is, or would be. */
  let place = 0

  /** Where the key is, or the place for it; -1: too far. */
  const find = (): number => {
    const [a, b, c, d, whose] = [key[0], key[1], key[2], key[3], key[4]] as [number, number, number, number, number]
    let hash = Math.imul(a ^ Math.imul(b, 0x85eb_ca6b) ^ Math.imul(c, 0xc2b2_ae35), 0x9e37_79b1)
    hash = Math.imul((hash ^ (hash >>> 15)) + Math.imul(d >>> 4, 0x27d4_eb2f) + whose, 0x1656_67b1)
    // Keys that count on lie side by side, sixteen of them: most are, and memory is read by the line.
    let slot = ((hash ^ (hash >>> 13)) & ~15) | (d & 15)
    for (let step = 0; step < stepsMax; step++) {
      slot += step * 16
      const at = (slot & (slots - 1)) * words
      const there = table[at + 4]
      if (there === 0) return at
      if (there === whose && table[at] === a && table[at + 1] === b && table[at + 2] === c && table[at + 3] === d)
        return at
    }
    return -1
  }

  const grow = () => {
    const before = table
    const wanted = key.slice()
    slots *= growth
    table = new Uint32Array(slots * words)
    for (let at = 0; at < before.length; at += words) {
      if (before[at + 4] === 0) continue
      key.set(before.subarray(at, at + words))
      const to = find()
      if (to !== -1) table.set(key, to)
    }
    key.set(wanted)
  }

  return {
    get count() {
      return count
    },
    get slots() {
      return slots
    },
    has(): boolean {
      place = find()
      return place !== -1 && table[place + 4] !== 0
    },
    /** The key that was asked for last; false when there is no place near enough. */
    put(): boolean {
      if (count * 2 >= slots) {
        grow()
        place = find()
      }
      if (place === -1) return false
      if (table[place + 4] === 0) {
        for (let word = 0; word < words; word++) table[place + word] = key[word] as number
        count++
      }
      return true
    },
  }
}
