// Server-sent events from text, however it was cut. Ours, because the libraries drop what a cursor needs: an `id:` without
// data, which moves a filtered reader on. Pure. It must never give out a frame whose blank line has not come.
import { RuncastError } from '../../error.ts'

export interface Frame {
  readonly event?: string
  /** Lines joined by newlines; absent when the frame has none. */
  readonly data?: string
  readonly id?: string
}

/** `retry:` acts when its line is read: no blank line follows it on our wire. */
export type Parsed = Frame | { readonly retryMs: number }

/** Far more than a server takes for an event, far less than a page can hold. */
const frameCharsMax = 64 * 1024 * 1024

/** Takes the text of one connection piece by piece, and returns what each piece completed. */
export function createSseParser(): (text: string) => Parsed[] {
  let pieces: string[] = [] // of a line that has not ended
  let chars = 0
  let afterCr = false
  let frame: { event?: string; data?: string; id?: string } = {}

  const line = (text: string, parsed: Parsed[]) => {
    if (text === '') {
      if (frame.data !== undefined || frame.id !== undefined) parsed.push(frame)
      frame = {}
      chars = 0
      return
    }
    const colon = text.indexOf(':')
    if (colon === 0) return // a comment
    const field = colon < 0 ? text : text.slice(0, colon)
    const value = colon < 0 ? '' : text.slice(text.charCodeAt(colon + 1) === space ? colon + 2 : colon + 1)
    if (field === 'data') frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`
    else if (field === 'event') frame.event = value
    else if (field === 'id' && !value.includes('\0')) frame.id = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) parsed.push({ retryMs: Number(value) })
  }

  return given => {
    if (given === '') return []
    let text = afterCr && given.startsWith('\n') ? given.slice(1) : given
    afterCr = given.endsWith('\r')
    if (text.includes('\r')) text = text.replace(/\r\n?/g, '\n')
    const parsed: Parsed[] = []
    let start = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      const rest = text.slice(start, end)
      start = end + 1
      chars += rest.length
      if (pieces.length === 0) line(rest, parsed)
      else {
        const whole = pieces.join('') + rest
        pieces = []
        line(whole, parsed)
      }
    }
    if (start < text.length) {
      pieces.push(text.slice(start))
      chars += text.length - start
    }
    if (chars > frameCharsMax) {
      throw new RuncastError('too_large', `a frame has more than ${frameCharsMax} characters; is this an event stream?`)
    }
    return parsed
  }
}

const space = 32
