// Where the command writes: results to stdout, everything else to stderr, colours only on a terminal. What comes from
// agents must never reach a terminal as control sequences.
import pc from 'picocolors'

export type Colours = ReturnType<typeof pc.createColors>

/** Results: what a script would read. */
export function say(text = ''): void {
  process.stdout.write(`${text}\n`)
}

/** Progress, hints and problems: for people. */
export function note(text = ''): void {
  process.stderr.write(`${text}\n`)
}

/** Not what picocolors finds by itself: it also colours where CI is set and nobody looks. */
export function coloursOf(stream: { readonly isTTY?: boolean }): Colours {
  const { NO_COLOR, TERM } = process.env
  return pc.createColors(stream.isTTY === true && !NO_COLOR && TERM !== 'dumb')
}

// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Text of others without what would move the cursor, retitle the window or worse; line breaks and tabs stay. */
export function harmless(text: string): string {
  return text.replace(controls, control => (control === '\r' ? '' : '·'))
}

/** Long enough for any message of ours, short enough to stay readable. */
const lineCharsMax = 300

/** The same on one line, of a bounded length. */
export function oneLine(text: string, charsMax = lineCharsMax): string {
  const line = harmless(text.length > charsMax ? text.slice(0, charsMax) : text).replace(/\s+/g, ' ')
  return text.length > charsMax ? `${line}…` : line
}

/** `1 run`, `2 runs`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
