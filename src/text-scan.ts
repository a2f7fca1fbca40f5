// Follows one text that arrives in pieces and says how far it is decided what in it is secret. Apart from redact.ts,
// which knows events and their order, while this knows only characters and where they stand in the text.
// It must never look at more of the text than what is undecided, what a secret under way has, and a little before.

/** A pattern, with `g`, and the one that also matches where more text could make it match (open-match.ts). */
export interface SecretPattern {
  readonly full: RegExp
  readonly open: RegExp
  /** Text that every match contains; may be empty. */
  readonly needs: string
}

export interface TextScan {
  /** How many characters have arrived. */
  readonly end: number
  /** Up to here more text changes nothing. */
  readonly decided: number
  add(piece: string): void
  /** Decides, as if the text ended here, what is open since longest: at the bound. */
  decideMore(): void
  decideAll(): void
  /** A decided piece, masked. Pieces must be asked for in order, each once. */
  render(from: number, piece: string): string
}

/** Kept before the part that is scanned, for `\b` and lookbehinds; longer lookbehinds see only so much. */
const contextCharsMax = 256
/** The text is cut when so much of it is no longer needed: often enough, but not with every token. */
const trimChars = 1024
/**
 * A match under way is followed for so many times the held text, for each new piece is a scan of all of it. Then it is
 * given up, unless it is whole already and goes on: that keeps its beginning, and loses what follows on that.
 */
const followedFactor = 4
const beginningChars = 1024
/** Less is not worth cutting, whatever the bound of the held text. */
const followedCharsMin = 4 * beginningChars
/**
 * A long piece is scanned in steps of this, and a long whole text as a piece: each start of a match may be followed to
 * the end of what is there, so that without steps a base64 image would cost its length squared.
 */
const stepChars = 1024
/** Whole texts up to this are masked in one go. */
const wholeCharsMax = 16 * 1024

/** A match, in characters of the whole text. */
interface Range {
  readonly start: number
  readonly end: number
}

export function createTextScan(
  patterns: readonly SecretPattern[],
  options: { readonly mask: string; readonly holdCharsMax: number },
): TextScan {
  const { mask, holdCharsMax } = options
  const followedCharsMax = Math.max(followedCharsMin, followedFactor * holdCharsMax)
  let text = ''
  /** Where `text` begins in the whole text. */
  let base = 0
  let decided = 0
  /** Per pattern: all before it is scanned; an open match begins here, or this is the end. */
  const scanned = patterns.map(() => 0)
  let ranges: Range[] = []
  /** Up to here the text is masked and its mask was written. */
  let hidden = 0

  const end = () => base + text.length

  const scan = () => {
    // Half a character decides nothing, and must not be sent apart from its other half.
    const whole = endsInHalf(text) ? text.slice(0, -1) : text
    let open = base + whole.length
    for (const [index, pattern] of patterns.entries()) {
      const at = openFrom(pattern.open, whole, (scanned[index] ?? 0) - base)
      scanned[index] = base + at
      open = Math.min(open, base + at)
    }
    decided = Math.max(decided, open)
  }

  const shorten = () => {
    const goOn: { index: number; start: number }[] = []
    for (const [index, pattern] of patterns.entries()) {
      const at = scanned[index] ?? 0
      if (end() - at <= followedCharsMax) continue
      const last = recordMatches(pattern, at)
      if (last?.end === end()) goOn.push({ index, start: last.start })
      else scanned[index] = end() - holdCharsMax
    }
    if (goOn.length === 0) return
    const others = scanned.filter((_, index) => goOn.every(match => match.index !== index))
    const from = Math.max(...goOn.map(match => match.start)) + beginningChars
    const gone = Math.min(end(), ...others) - contextCharsMax - from
    // Another match under way needs it; that one is given up or shortened soon.
    if (gone <= 0) return
    text = text.slice(0, from - base) + text.slice(from + gone - base)
    base += gone
    for (const { index, start } of goOn) scanned[index] = start + gone
  }

  /** Matches as if the text ended here. The last of them. */
  const recordMatches = (pattern: SecretPattern, from: number): Range | undefined => {
    const found = matches(pattern, text, from - base).map(range => ({
      start: base + range.start,
      end: base + range.end,
    }))
    ranges.push(...found)
    return found.at(-1)
  }

  /** Where the open match begins; what matched before it is final. The pattern matches at the latest at the end. */
  const openFrom = (pattern: RegExp, whole: string, from: number): number => {
    pattern.lastIndex = Math.min(from, whole.length)
    for (let match = pattern.exec(whole); match; match = pattern.exec(whole)) {
      const matchEnd = match.index + match[0].length
      if (matchEnd === whole.length) return match.index
      ranges.push({ start: base + match.index, end: base + matchEnd })
    }
    return whole.length
  }

  const decideMore = () => {
    const later = scanned.filter(at => at > decided)
    for (const [index, pattern] of patterns.entries()) {
      const at = scanned[index] ?? 0
      if (at > decided) continue
      // It stays where it is, so that the match is still found when it is complete.
      recordMatches(pattern, at)
    }
    decided = Math.min(end(), ...later)
  }

  const trim = () => {
    const cut = Math.min(decided, ...scanned) - contextCharsMax - base
    if (cut < trimChars) return
    text = text.slice(cut)
    base += cut
  }

  return {
    get end() {
      return end()
    },
    get decided() {
      return decided
    },
    add(piece) {
      for (let at = 0; at < piece.length || at === 0; at += stepChars) {
        shorten()
        trim()
        text += piece.slice(at, at + stepChars)
        scan()
      }
    },
    decideMore,
    decideAll() {
      while (decided < end()) decideMore()
    },
    render(from, piece) {
      const to = from + piece.length
      if (ranges.length === 0 && hidden <= from) return piece
      const now = ranges.filter(range => range.start < to)
      ranges = ranges.filter(range => range.start >= to)
      const written = write({ text: piece, from, ranges: now, hidden, mask })
      hidden = written.hidden
      return written.text
    },
  }
}

/** A whole text, masked. */
export function maskedText(text: string, patterns: readonly SecretPattern[], mask: string): string {
  const possible = patterns.filter(
    ({ needs, full }) => text.includes(needs) && (text.length > wholeCharsMax || has(full, text)),
  )
  if (possible.length === 0) return text
  if (text.length > wholeCharsMax) return maskedLongText(text, possible, mask)
  const ranges = possible.flatMap(pattern => matches(pattern, text, 0))
  return write({ text, from: 0, ranges, hidden: 0, mask }).text
}

function maskedLongText(text: string, patterns: readonly SecretPattern[], mask: string): string {
  const scan = createTextScan(patterns, { mask, holdCharsMax: wholeCharsMax / followedFactor })
  scan.add(text)
  scan.decideAll()
  return scan.render(0, text)
}

function has(pattern: RegExp, text: string): boolean {
  pattern.lastIndex = 0
  return pattern.test(text)
}

function matches(pattern: SecretPattern, text: string, from: number): Range[] {
  const { full, needs } = pattern
  const found: Range[] = []
  if (text.indexOf(needs, from) === -1) return found
  full.lastIndex = from
  for (let match = full.exec(text); match; match = full.exec(text)) {
    const end = match.index + match[0].length
    if (end > match.index) found.push({ start: match.index, end })
    // Only a pattern that nobody could read gets here with an empty match.
    else full.lastIndex++
  }
  return found
}

/** Overlapping matches are one secret with one mask, which stands where the secret begins. */
function write(part: { text: string; from: number; ranges: Range[]; hidden: number; mask: string }) {
  const { text, from, ranges, mask } = part
  let { hidden } = part
  let written = ''
  let cursor = Math.max(from, hidden)
  for (const { start, end } of ranges.sort((a, b) => a.start - b.start)) {
    if (end <= cursor) continue
    // Found too late, its beginning already went out: the mask stands for the rest, unless it follows its own mask.
    if (start >= hidden || hidden < from) {
      written += text.slice(cursor - from, Math.max(start, from) - from) + mask
    }
    hidden = Math.max(hidden, end)
    cursor = hidden
  }
  return { text: written + text.slice(cursor - from), hidden }
}

function endsInHalf(text: string): boolean {
  const code = text.charCodeAt(text.length - 1)
  return code >= 0xd800 && code < 0xdc00
}
