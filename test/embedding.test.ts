// Vectors in the four encodings of the Embedding message, and as the data of an event.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { defineAgent } from '../src/agent/define.ts'
import { stream } from '../src/direct.ts'
import { dashstreamDecoder, dashstreamEncoder } from '../src/formats/dashstream.ts'
import { decodeDashStream } from '../src/formats/dashstream-codec.ts'
import {
  decodeVector,
  embedding,
  type EmbeddingData,
  embeddingBytes,
  embeddingData,
  embeddingEncodings,
  encodeVector,
  vectorOf,
} from '../src/formats/embedding.ts'
import { runsOf } from '../src/formats/format.ts'
import { eventsOf } from './arbitrary-events.ts'

test('DF36 a vector in each of the four encodings is as near as its encoding promises', () => {
  const vectors = fc.array(fc.double({ min: -1000, max: 1000, noNaN: true }), { minLength: 1, maxLength: 64 })
  fc.assert(
    fc.property(vectors, values => {
      const largest = Math.max(...values.map(Math.abs))
      const bound = {
        float32: (v: number) => Math.abs(v) * 2 ** -24 + 2 ** -150,
        float16: (v: number) => Math.max(Math.abs(v) * 2 ** -11, 2 ** -25),
        int8: () => (largest / 127 / 2) * (1 + 1e-5) + 2 ** -140,
      }
      for (const encoding of ['float32', 'float16', 'int8'] as const) {
        const again = decodeVector(encodeVector(values, encoding), encoding, values.length)
        for (const [i, value] of values.entries())
          assert.ok(Math.abs((again[i] ?? 0) - value) <= bound[encoding](value), `${encoding} ${value} ${again[i]}`)
      }
      const signs = decodeVector(encodeVector(values, 'binary'), 'binary', values.length)
      assert.deepEqual(
        [...signs],
        values.map(value => (value >= 0 ? 1 : -1)),
      )
    }),
    { numRuns: 300 },
  )
})

test('DF36 every float16 is read and written as itself, and what no encoding holds is refused', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const half = Uint8Array.of(bits & 0xff, bits >> 8)
    const [value] = decodeVector(half, 'float16', 1)
    if (Number.isFinite(value)) assert.deepEqual(encodeVector([value as number], 'float16'), half)
  }
  for (const bad of [Number.NaN, Infinity, undefined as unknown as number])
    for (const encoding of embeddingEncodings) assert.throws(() => encodeVector([bad], encoding), /value 0/)
  assert.throws(() => encodeVector([65_520], 'float16'), /float16/)
  assert.throws(() => encodeVector([1e39], 'float32'), /float32/)
  assert.throws(() => decodeVector(new Uint8Array(3), 'float32', 1), /4 bytes, not 3/)
  assert.deepEqual([...decodeVector(Uint8Array.of(127, 129), 'int8', 2)].map(Math.round), [1, -1])
})

test('DF36 an agent emits a vector as an embedding, and a reader has it back', async () => {
  const values = [0.5, -0.25, 3]
  const agent = defineAgent(async function* (_input: unknown, { emit }) {
    await emit('embedding', embedding(values, { model: 'm' }))
    yield ''
  })
  const read: number[][] = []
  for await (const event of stream(agent, null)) {
    if (event.type === 'custom' && event.name === 'embedding') read.push([...vectorOf(event.data as EmbeddingData)])
  }
  assert.deepEqual(read, [values])
  const newer = { ...embedding(values), encoding: '7' as never }
  assert.throws(() => vectorOf(newer), /encoding 7 is none of float32, float16, int8, binary/)
})

test('DF36 an embedding travels as the bytes of the Embedding message, and comes back as the same event', () => {
  const values = [0.1, -0.25, 3]
  for (const encoding of embeddingEncodings) {
    const events = eventsOf([{ type: 'custom', name: 'embedding', data: embedding(values, { encoding, model: 'm' }) }])
    const [sent] = dashstreamEncoder({ run: 'r1' })(events)
    const { message } = decodeDashStream(sent?.payload ?? new Uint8Array())
    assert.ok(message.case === 'event')
    const { attributes, header } = message.value
    const bytes = attributes['embedding']?.value
    assert.ok(bytes?.case === 'bytesValue')
    assert.deepEqual(embeddingData(bytes.value), { ...embedding(values, { encoding, model: 'm' }) })
    assert.equal(header?.runcastFields.length, 0)
    assert.deepEqual(roundTrip(events), events)
  }
  for (const data of [
    { values, model: 'm' },
    { values: ['x'] },
    { data: 'not base64!', extra: 1 },
    null,
    'text',
    { encoding: 'x' },
  ]) {
    const events = eventsOf([{ type: 'custom', name: 'embedding', data }])
    assert.deepEqual(roundTrip(events), events)
  }
  assert.equal(embeddingBytes({ values: [1, 2] }).exact, false)
})

function roundTrip(events: ReturnType<typeof eventsOf>) {
  const payloads = dashstreamEncoder({ run: 'r1' })(events).map(message => message.payload)
  return runsOf(dashstreamDecoder(), payloads).runs[0]?.events
}
