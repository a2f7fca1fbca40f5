// The wire of protobuf for what travels by the thousand: one cursor over a payload, numbers without bigint up to 2^53, and
// a small cache of the strings that come again. It throws nothing: what is unusual sets a flag, and the caller drops all.
// It must never read past the end, nor answer for a payload whose flag is set.
import { isUtf8 } from 'node:buffer'

export const nothing = new Uint8Array(0)

let bytes: Uint8Array = nothing
let at = 0
/** The end of the innermost message. */
let end = 0
/** Set instead of thrown. Every loop ends because `at` only grows. */
let failed = false

/** From `from` on, where the length of all the rest stands. False when it does not. */
export function begin(payload: Uint8Array, from: number): boolean {
  bytes = payload
  at = from
  end = payload.length
  failed = false
  return readLength() === end - at && !failed
}

/** Whether all was read, and all was usual. */
export function finish(): boolean {
  bytes = nothing
  return !failed && at === end
}

export function more(): boolean {
  return at < end && !failed
}

/** The next byte, mostly a tag. */
export function next(): number | undefined {
  return bytes[at++]
}

export function fail(): void {
  failed = true
}

/** Into a nested message; gives the outer end for `leave`. */
export function enter(): number {
  const outer = end
  const length = readLength()
  end = at + length
  return outer
}

export function leave(outer: number): void {
  if (at !== end) failed = true
  end = outer
}

/** A length that fits into what is left. */
export function readLength(): number {
  const first = bytes[at] as number
  let length = first
  if (first < 0x80) at++
  else length = readUint32()
  if (!(length <= end - at)) {
    failed = true
    return 0
  }
  return length
}

export function readBool(): boolean {
  const value = bytes[at++] as number
  if (!(value <= 1)) failed = true
  return value === 1
}

export function readUint31(): number {
  const value = readUint32()
  if (value > 0x7fff_ffff) failed = true
  return value
}

export function readUint32(): number {
  const value = readNumber()
  if (!(value <= 0xffff_ffff)) failed = true
  return value
}

export function readUint64(): bigint {
  return BigInt(readSafe())
}

export function readSafe(): number {
  const value = readNumber()
  if (value <= Number.MAX_SAFE_INTEGER) return value
  failed = true
  return 0
}

/** A varint of up to eight bytes; past the end of the message, or longer, it fails. */
function readNumber(): number {
  let byte = bytes[at++] as number
  if (byte < 0x80) return byte
  let low = byte & 0x7f
  for (let shift = 7; shift < 28; shift += 7) {
    byte = bytes[at++] as number
    low |= (byte & 0x7f) << shift
    if (byte < 0x80) return low
  }
  let high = 0
  for (let shift = 0; shift < 28; shift += 7) {
    byte = bytes[at++] as number
    high |= (byte & 0x7f) << shift
    if (byte < 0x80) return high * 0x1000_0000 + low
  }
  failed = true
  return 0
}

export function readBytes(): Uint8Array {
  const length = readLength()
  at += length
  // A plain view, also of a Buffer: its JSON and equality differ.
  return length === 0 ? nothing : new Uint8Array(bytes.buffer, bytes.byteOffset + at - length, length)
}

export function readDouble(): number {
  if (at + 8 > end) {
    failed = true
    return 0
  }
  for (let i = 0; i < 8; i++) scratchBytes[i] = bytes[at++] as number
  return scratch.getFloat64(0, true)
}

export function readFloats(into: number[]): void {
  const length = readLength()
  if (length % 4 !== 0) failed = true
  for (const until = at + length; at < until && !failed; ) {
    for (let i = 0; i < 4; i++) scratchBytes[i] = bytes[at++] as number
    into.push(scratch.getFloat32(0, true))
  }
}

const scratchBytes = new Uint8Array(8)
const scratch = new DataView(scratchBytes.buffer)

export function readUint32s(into: number[]): void {
  const outer = enter()
  while (at < end && !failed) into.push(readUint32())
  leave(outer)
}

/** Strings that come again in the next message: ids, names, keys. Sized for the runs of one busy partition. */
const cacheSlots = 1024
/** Longer strings are not kept: 1,024 of 96 bytes are 100 kB at most. */
const cachedBytesMax = 96
const cachedBytes: (Uint8Array | undefined)[] = Array.from({ length: cacheSlots }, () => undefined)
const cachedText: string[] = Array.from({ length: cacheSlots }, () => '')

export function readRepeating(): string {
  const length = readLength()
  if (length === 0) return ''
  if (length > cachedBytesMax) return readText(length)
  const first = bytes[at] as number
  const last = bytes[at + length - 1] as number
  const middle = bytes[at + (length >> 1)] as number
  const slot = (length + first * 5 + last * 37 + middle * 67) & (cacheSlots - 1)
  const known = cachedBytes[slot]
  if (known !== undefined && known.length === length) {
    let i = 0
    while (i < length && known[i] === bytes[at + i]) i++
    if (i === length) {
      at += length
      return cachedText[slot] as string
    }
  }
  const from = at
  const text = readText(length)
  if (!failed) {
    cachedBytes[slot] = Uint8Array.from(bytes.subarray(from, at))
    cachedText[slot] = text
  }
  return text
}

/** Texts up to this length are built from their codes when they are ASCII: a native call costs more. */
const builtBytesMax = 16

export function readText(length: number): string {
  const from = at
  at += length
  if (length <= builtBytesMax) {
    let high = 0
    for (let i = from; i < at; i++) high |= bytes[i] as number
    if (high < 0x80) return length <= 8 ? built(from, length) : built(from, 8) + built(from + 8, length - 8)
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + from, length)
  if (!isUtf8(view)) failed = true
  return view.toString()
}

/** At most eight codes in one call: as fast as it gets, and a call with an array is not. */
function built(i: number, length: number): string {
  switch (length) {
    case 0:
      return ''
    case 1:
      return String.fromCharCode(code(i))
    case 2:
      return String.fromCharCode(code(i), code(i + 1))
    case 3:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2))
    case 4:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3))
    case 5:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3), code(i + 4))
    case 6:
      return String.fromCharCode(code(i), code(i + 1), code(i + 2), code(i + 3), code(i + 4), code(i + 5))
    case 7:
      return built(i, 4) + built(i + 4, 3)
    default:
      return String.fromCharCode(
        code(i),
        code(i + 1),
        code(i + 2),
        code(i + 3),
        code(i + 4),
        code(i + 5),
        code(i + 6),
        code(i + 7),
      )
  }
}

function code(i: number): number {
  return bytes[i] as number
}

/** Steps over bytes of this length; where they begin. */
export function skipBytes(length: number): number {
  if (readLength() !== length) failed = true
  at += length
  return at - length
}
