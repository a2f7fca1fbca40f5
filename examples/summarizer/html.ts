// HTML to plain text, simply: blocks become paragraphs, scripts and navigation fall away, entities become characters.
// It reads in one pass from left to right, because pages are chosen by strangers and must not cost more than their length.
// It must never be used to make HTML safe to show: its result is text.

/** The readable text of a page, paragraphs divided by an empty line. */
export function textOf(html: string): string {
  // ASCII only: toLowerCase() can change the length of other letters, and positions must stay the same.
  const lower = html.replace(/[A-Z]+/g, letters => letters.toLowerCase())
  const parts: string[] = []
  let at = 0
  while (at < html.length) {
    const open = html.indexOf('<', at)
    if (open === -1) break
    parts.push(html.slice(at, open))
    if (lower.startsWith('<!--', open)) {
      at = after(html, '-->', open + 4)
      continue
    }
    const name = tagName(lower, open)
    if (name === undefined) {
      parts.push('<')
      at = open + 1
      continue
    }
    at = after(html, '>', open)
    if (silent.has(name)) at = after(lower, '>', after(lower, `</${name}`, at))
    if (!inline.has(name)) parts.push('\n\n')
  }
  parts.push(html.slice(at))
  return decode(parts.join(''))
    .split(/\n[ \t\r]*\n/)
    .map(paragraph => paragraph.replace(/\s+/g, ' ').trim())
    .filter(paragraph => paragraph !== '')
    .join('\n\n')
}

/** Where `mark` ends, or the end of the text: what is not closed swallows the rest, as in a browser. */
function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from)
  return found === -1 ? text.length : found + mark.length
}

/** `p` of `<p …>` and `</p>`, `!` of a declaration; undefined when the sign is not a tag ("a < b"). */
function tagName(lower: string, open: number): string | undefined {
  namePattern.lastIndex = open
  return namePattern.exec(lower)?.[1]
}

const namePattern = /<\/?([a-z][a-z0-9]{0,30}|[!?])/y

/** Elements whose text is not prose. */
const silent: ReadonlySet<string> = new Set(
  'script style noscript template svg head nav footer select textarea iframe'.split(' '),
)

/** Elements within a sentence; every other one ends it. */
const inline: ReadonlySet<string> = new Set(
  'a abbr b bdi bdo cite code data del dfn em font i ins kbd label mark q s samp small span strong sub sup time u var wbr'.split(
    ' ',
  ),
)

function decode(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|([a-z]{2,8}));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return named[name.toLowerCase()] ?? whole
      const point = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
      return point > 0 && point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff)
        ? String.fromCodePoint(point)
        : '\ufffd'
    },
  )
}

const named: Record<string, string | undefined> = {
  __proto__: null as never,
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  ndash: '–',
  mdash: '—',
  hellip: '…',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  copy: '©',
}
