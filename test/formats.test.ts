// Every format, one row each; tidy.test.ts demands a row for each of them.
import { chat, chatJson } from '../src/formats/chat.ts'
import { dashstream } from '../src/formats/dashstream.ts'
import { ndjson } from '../src/formats/json.ts'
import { type FormatRow, formatSuite } from './suites/format.suite.ts'

const sameEvents = 'decode(encode(run)) is the very same events'
const sameBytes = 'encode(decode(bytes)) is the very same bytes'
const zeros = 'H126 zeros, empty texts, false and null survive'
const refuses = 'a payload that is not of this format is refused with a reason, and changes nothing'
const projection = 'chat.v1 has a place for what a page shows, not for every event'
const oneWay = 'it is written only: the protobuf form is what is read'

export const formats: readonly FormatRow[] = [
  { format: ndjson },
  {
    format: dashstream,
    skip: [{ test: sameBytes, reason: 'tenant and thread base are of the encoder, and the events are the same' }],
  },
  {
    format: chat,
    skip: [
      { test: sameEvents, reason: projection },
      { test: zeros, reason: projection },
    ],
  },
  {
    format: chatJson,
    skip: [sameEvents, sameBytes, zeros, refuses].map(test => ({ test, reason: oneWay })),
  },
]

for (const row of formats) formatSuite(row)
