// Quantities as people write them: "30s", "64KiB", "60/m". One parser each, used by the files, the CLI and the URL
// alike, so that one spelling means one thing everywhere. They must never guess: what is not clear is refused.

import { RuncastError } from '../error.ts'

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const unitBytes: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1000,
  mb: 1000 ** 2,
  gb: 1000 ** 3,
  tb: 1000 ** 4,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
}

const windowMs: Readonly<Record<string, number>> = {
  s: 1000,
  sec: 1000,
  second: 1000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
}

/** So many calls in a window of time. */
export interface RateLimit {
  readonly calls: number
  readonly windowMs: number
}

/** `15` (seconds), "500ms", "30s", "5m", "1h", "7d" in ms; anything else throws `invalid_request`, naming `field`. */
export function parseDuration(value: string | number, field = 'duration'): number {
  const ms = durationMs(value)
  if (ms !== undefined) return ms
  throw new RuncastError(
    'invalid_request',
    `${field}: ${JSON.stringify(value)} is not a duration; give one such as 30s`,
    {
      details: { field },
    },
  )
}

/** A duration in whole ms, or undefined. A bare number is seconds, unless `bare` is 'refused' (the key does not say so). */
export function durationMs(value: string | number, bare: 'seconds' | 'refused' = 'seconds'): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)?$/.exec(typeof value === 'number' ? decimal(value) : value.trim())
  if (match === null || (match[2] === undefined && bare === 'refused')) return undefined
  return whole(Number(match[1]) * (unitMs[match[2] ?? 's'] ?? Number.NaN))
}

/** A size in bytes ("64KiB" is 65,536; "10MB" is ten million; a bare number is bytes), or undefined. */
export function sizeBytes(value: string | number): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b)?$/i.exec(typeof value === 'number' ? decimal(value) : value.trim())
  return match === null
    ? undefined
    : whole(Number(match[1]) * (unitBytes[(match[2] ?? 'b').toLowerCase()] ?? Number.NaN))
}

/** `60/m`, `1000/minute`, `500/hour`, `10/s`, `5000/d`, or undefined. */
export function rateLimit(value: string): RateLimit | undefined {
  const match = /^(\d+) ?\/ ?(?:([smhd])|(sec|second|min|minute|hour|day)s?)$/.exec(value.trim())
  const calls = whole(Number(match?.[1]))
  const window = windowMs[match?.[2] ?? match?.[3] ?? '']
  return calls === undefined || calls === 0 || window === undefined ? undefined : { calls, windowMs: window }
}

/** A duration for humans, in the largest unit that divides it: 300000 is "5m". */
export function showDuration(ms: number): string {
  const unit = Object.keys(unitMs).findLast(name => ms % (unitMs[name] ?? 1) === 0) ?? 'ms'
  return ms === 0 ? '0s' : `${ms / (unitMs[unit] ?? 1)}${unit}`
}

/** A size for humans, in the largest binary unit that divides it. */
export function showBytes(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const size = unitBytes[unit.toLowerCase()] ?? 1
    if (bytes > 0 && bytes % size === 0) return `${bytes / size} ${unit}`
  }
  return `${bytes} bytes`
}

// Exponents, signs, NaN and infinity stay in the text, so that the pattern refuses them.
function decimal(value: number): string {
  return String(value)
}

// 1.005 s is 1004.9999999999999 ms in floating point: within a millionth it is meant whole, beyond it is refused.
function whole(value: number): number | undefined {
  const rounded = Math.round(value)
  return Number.isSafeInteger(rounded) && Math.abs(value - rounded) < 1e-6 ? rounded : undefined
}
