// Timestamps as text and back, as Date does it and many times as fast: most of a run's events are of the same second.
// A leaf: it must never answer anything but what Date would.

// The second that was written last, as its 20 characters and in ms: toISOString costs as much as the rest of a frame.
let secondMs = Number.NaN
let secondText = ''
const millis = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`)

/** What `Date.toISOString` gives. */
export function isoTime(ms: number): string {
  const within = ms - secondMs
  if (within >= 0 && within < 1000 && Number.isInteger(within)) return secondText + (millis[within] as string)
  const text = new Date(ms).toISOString()
  if (text.length === isoChars && Number.isSafeInteger(ms)) {
    secondMs = Math.floor(ms / 1000) * 1000
    secondText = text.slice(0, secondChars)
  }
  return text
}

/** What `Date.parse` gives. */
export function msOfIso(text: string): number {
  if (text.length === isoChars && text.startsWith(secondText) && secondText !== '' && text.charCodeAt(23) === zulu) {
    const [a, b, c] = [text.charCodeAt(20) - zero, text.charCodeAt(21) - zero, text.charCodeAt(22) - zero]
    if (a >= 0 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9) return secondMs + a * 100 + b * 10 + c
  }
  const ms = Date.parse(text)
  // The next ones are mostly of the same second.
  if (text.length === isoChars && ms >= 0) isoTime(ms)
  return ms
}

/** `2026-01-31T12:34:56.789Z`; the years 0 to 9999. */
const isoChars = 24
const secondChars = 20
const zero = 48
const zulu = 90
