// The frames of a log, byte for byte, against the template that PROTOCOL.md §4.1 describes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { directShape, type Entry, plainShape, runShape, type Shape } from '../src/shape.ts'

const run = 'r-1'
const shapes: [string, Shape, (json: string, entry: Entry, n: number) => string][] = [
  [
    'run',
    runShape(run),
    (rest, { type }, n) => `{"id":"${run}:${n}","type":"${type}","run_id":"${run}","sequence":${n},${rest}`,
  ],
  ['direct', directShape(run), (rest, { type }) => `{"request_id":"${run}","type":"${type}",${rest}`],
  ['plain', plainShape(), (rest, { type }, n) => `{"type":"${type}","sequence":${n},${rest}`],
]

const entries = fc.record({
  type: fc.constantFrom('token', 'step', 'fraud_check', 'müde'),
  code: fc.constant(0),
  // Many are of one second.
  time: fc.oneof(fc.integer({ min: -8.64e15, max: 8.64e15 }), fc.integer({ min: -2_000, max: 2_000 })),
  body: fc
    .dictionary(fc.constantFrom('content', 'größe', 'a'), fc.string({ unit: 'binary', maxLength: 2_000 }))
    .map(fields => JSON.stringify(fields)),
})
const sequences = fc.oneof(fc.integer({ min: 1, max: 1_200 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))

for (const [name, shape, head] of shapes) {
  test(`DK37 a frame of a ${name} log is its template, whatever the type, number, time and fields`, () => {
    fc.assert(
      fc.property(entries, sequences, fc.nat(9), (entry, n, at) => {
        const room = shape.room(entry)
        const into = Buffer.alloc(at + room, '#')
        const end = shape.write(entry, n, into, at)
        const stamp = `"timestamp":"${new Date(entry.time).toISOString()}"`
        const fields = entry.body === '{}' ? '}' : `,${entry.body.slice(1)}`
        const id = name === 'direct' ? '' : `id: ${n}\n`
        const expected = `event: ${entry.type}\ndata: ${head(stamp, entry, n)}${fields}\n${id}\n`
        assert.equal(into.toString('utf8', at, end), expected)
        assert.equal(into.toString('latin1', 0, at), '#'.repeat(at))
        assert.ok(end - at <= room)
      }),
      { numRuns: 2_000 },
    )
  })
}
