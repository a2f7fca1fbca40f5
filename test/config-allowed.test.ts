// The filter of events as it is written: what each preset and each entry means, and what is refused.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAllowed } from '../src/config/allowed.ts'
import { parseConfig } from '../src/config/load.ts'
import { RuncastError } from '../src/error.ts'
import { eventTypes } from '../src/event.ts'

test('minimal allows nothing optional, chat what a chat shows, debug and all everything', () => {
  assert.deepEqual(parseAllowed('minimal'), { types: new Set(), heartbeat: false })
  assert.deepEqual(parseAllowed('chat'), { types: new Set(['token', 'step', 'text', 'chart']), heartbeat: true })
  assert.deepEqual(parseAllowed('debug'), { types: 'all', heartbeat: true })
  assert.deepEqual(parseAllowed('all'), { types: 'all', heartbeat: true })
})

test('a list allows what it names, every event type can be named, and an empty list is legal', () => {
  assert.deepEqual(parseAllowed(['token', 'custom:fraud_check', 'heartbeat']), {
    types: new Set(['token', 'custom:fraud_check']),
    heartbeat: true,
  })
  assert.deepEqual(parseAllowed(['custom']), { types: new Set(['custom']), heartbeat: false })
  assert.deepEqual(parseAllowed([...eventTypes]), { types: new Set(eventTypes), heartbeat: false })
  assert.deepEqual(parseAllowed([]), { types: new Set(), heartbeat: false })
})

const refused: [unknown, RegExp][] = [
  ['chatt', /"chatt" is not a preset; .*did you mean chat\?/],
  ['token', /"token" is not a preset; .*write \[token\]/],
  ['', /"" is not a preset/],
  ['toString', /"toString" is not a preset/],
  ['token,step', /"token,step" is not a preset; .*or a list/],
  [['tokn'], /"tokn" is not an event type; .*did you mean token\?/],
  [['chta'], /"chta" is not an event type; .*did you mean chat\?/],
  [['chat'], /"chat" is a preset/],
  [[''], /"" is an empty entry/],
  [['  '], /"  " is an empty entry/],
  [['custom:'], /"custom:" does not name a custom event/],
  [['custom:9x'], /"custom:9x" does not name/],
  [['custom:a-b'], /"custom:a-b" does not name/],
  [['custom:a b'], /"custom:a b" does not name/],
  [['custom:token'], /"custom:token" names a reserved word/],
  [['Token'], /"Token" is not an event type; .*did you mean token\?/],
  [[7], /7 is not an event type/],
  [['token', 'x', 'step', 'y'], /"x" is not an event type[^]*"y" is not an event type/],
]

for (const [value, message] of refused) {
  test(`DK57 allowed: ${JSON.stringify(value)} is refused by name, by the parser and in a Dockfile`, () => {
    const isRefused = (thrown: unknown) =>
      thrown instanceof RuncastError && thrown.code === 'invalid_request' && message.test(thrown.message)
    assert.throws(() => parseAllowed(value), isRefused)
    const text = `version: "1.0"\nagent: {name: a, handler: "a:b"}\nstreaming:\n  events:\n    allowed: ${JSON.stringify(value)}\n`
    assert.throws(
      () => parseConfig(text, { file: 'Dockfile.yaml', format: 'yaml', env: {} }),
      (thrown: unknown) =>
        isRefused(thrown) && /Dockfile\.yaml:5 streaming\.events\.allowed/.test((thrown as Error).message),
    )
  })
}

test('DK57 what is neither a preset nor a list is refused', () => {
  for (const value of [undefined, null, 7, true, {}]) assert.throws(() => parseAllowed(value), /is not a preset/)
})
