// RFC 4180 text into records: quoted fields, doubled quotes, line breaks within quotes, LF or CRLF.
// Own and small, because the only CSV file of the examples does not justify a dependency.
// It must never guess: a quote that is not closed, or text behind a closing quote, is an error with its line.

import { RuncastError } from '../../src/error.ts'

/** The records of a CSV text, header included. One pass; an empty last line is not a record. */
export function* parseCsv(text: string): Generator<string[], void> {
  let position = text.charCodeAt(0) === 0xfeff ? 1 : 0
  let line = 1
  let record: string[] = []
  while (position < text.length) {
    const field = text[position] === '"' ? readQuoted(text, position, line) : readPlain(text, position)
    record.push(field.value)
    line += field.lines
    position = field.end
    if (text[position] === ',') {
      position++
      // A comma as the very last character opens one more, empty field.
      if (position === text.length) record.push('')
      else continue
    }
    if (text[position] === '\r') position++
    position++
    line++
    yield record
    record = []
  }
}

interface Field {
  value: string
  /** Where the comma or the line end behind the field is. */
  end: number
  /** Line breaks within the field. */
  lines: number
}

function readPlain(text: string, start: number): Field {
  let end = start
  while (end < text.length && text[end] !== ',' && text[end] !== '\n' && !atCrlf(text, end)) end++
  return { value: text.slice(start, end), end, lines: 0 }
}

function readQuoted(text: string, start: number, line: number): Field {
  let close = text.indexOf('"', start + 1)
  let doubled = false
  while (close !== -1 && text[close + 1] === '"') {
    doubled = true
    close = text.indexOf('"', close + 2)
  }
  if (close === -1) {
    throw new RuncastError('invalid_input', `CSV line ${line}: the quote is never closed; close it or double it`)
  }
  const raw = text.slice(start + 1, close)
  const end = close + 1
  if (end < text.length && text[end] !== ',' && text[end] !== '\n' && !atCrlf(text, end)) {
    throw new RuncastError('invalid_input', `CSV line ${line}: text follows a closing quote; double the quote within`)
  }
  return { value: doubled ? raw.replaceAll('""', '"') : raw, end, lines: raw.split('\n').length - 1 }
}

function atCrlf(text: string, at: number): boolean {
  return text[at] === '\r' && text[at + 1] === '\n'
}
