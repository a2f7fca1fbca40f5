// The DashStream codec: what it writes, others read (golden bytes made by protoc); what it reads, it checks. The hand
// written path for tokens and events is compared with the library on random messages and on damaged bytes.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { RuncastError } from '../src/error.ts'
import {
  acceptsVersion,
  type DashStreamInput,
  type DecodeOptions,
  decodeDashStream,
  decodeDashStreamFramed,
  encodeDashStream,
} from '../src/formats/dashstream-codec.ts'
import {
  bodyBytesMax,
  foreignBodyBytesMax,
  markCompressed,
  payloadBytesMax,
  readZstdFrame,
  unframe,
} from '../src/formats/dashstream-frame.ts'
import { decodeHot } from '../src/formats/dashstream-hot-decode.ts'
import { encodeHot } from '../src/formats/dashstream-hot-encode.ts'
import { checkWire } from '../src/formats/protobuf-check.ts'
import {
  type DashStreamMessage,
  DashStreamMessageSchema,
  EventBatchSchema,
  EventSchema,
  StateDiffSchema,
  TokenChunkSchema,
} from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { header, kinds, sample, samples } from './dashstream-samples.ts'
import { messages } from './message-arbitrary.ts'

const golden: Record<string, { hex: string }> = JSON.parse(
  readFileSync(new URL('fixtures/dashstream.json', import.meta.url), 'utf8'),
)

test('DF1 DF2 each of the nine kinds has the bytes that protoc gives it, and is read back whole', () => {
  assert.equal(kinds.length, 9)
  for (const kind of kinds) {
    const payload = encodeDashStream(sample(kind))
    assert.equal(Buffer.from(unframe(payload).body).toString('hex'), golden[kind]?.hex, kind)
    const again = decodeDashStream(payload)
    assert.equal(again.message.case, kind)
    assert.deepEqual(library(again), Buffer.from(unframe(payload).body), kind)
    assert.deepEqual(again.message.value?.header?.messageId, header(0).messageId)
    assert.deepEqual(again.message.value?.header?.parentId, header(0).parentId)
  }
})

test('DF1 any message of any kind survives encode and decode', () => {
  fc.assert(
    fc.property(messages(DashStreamMessageSchema), random => {
      fc.pre(random.message.case !== undefined)
      const message = withHeaders(random)
      const again = decodeDashStream(encodeDashStream(message))
      // Compared as bytes: the flag of the frame aside, everything must be there again.
      assert.deepEqual(
        library(unflagged(again)),
        library(unflagged(fromBinary(DashStreamMessageSchema, library(message)))),
      )
    }),
    { numRuns: 300 },
  )
})

test('DF3 H12 numbers of 64 bits are exact, and always bigint when decoded', () => {
  for (const sequence of [0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n]) {
    const timestampUs = sequence > 2n ** 63n - 1n ? -(2n ** 63n) : sequence
    for (const kind of ['tokenChunk', 'event', 'metrics'] as const) {
      const { message } = decodeDashStream(
        encodeDashStream(sample(kind, { header: header(1, { sequence, timestampUs }) })),
      )
      assert.equal(message.value?.header?.sequence, sequence)
      assert.equal(message.value?.header?.timestampUs, timestampUs)
    }
  }
})

test('DF3 a plain number is taken where a bigint stands, up to 2^53, and a larger or broken one is refused', () => {
  const numbers = { sequence: 2 ** 53 - 1, timestampUs: 1_763_733_333_123_456, runSequence: 1 }
  for (const kind of ['tokenChunk', 'event', 'metrics'] as const) {
    const { message } = decodeDashStream(encodeDashStream(sample(kind, { header: header(1, numbers) })))
    assert.equal(message.value?.header?.sequence, 2n ** 53n - 1n)
    assert.equal(message.value?.header?.timestampUs, 1_763_733_333_123_456n)
    for (const sequence of [0.5, Number.NaN, -1, 2n ** 64n])
      assert.equal(
        reasonOf(() => encodeDashStream(sample(kind, { header: header(1, { sequence }) }))),
        'schema_error',
      )
  }
})

test('DF4 H1 H2 a payload without frame byte is refused as what it is, and bare ones are taken on demand only', () => {
  const raw = encodeDashStream(sample('tokenChunk', { text: 'x' }))
  const packed = encodeDashStream(sample('tokenChunk', { text: 'x'.repeat(5_000) }))
  assert.equal(raw[0], 0x00)
  assert.equal(packed[0], 0x01)
  const cases: [string, Uint8Array][] = [
    ['unknown_byte', Buffer.of(0x02, 0x0a)],
    ['json', Buffer.from('{"a":1}')],
    ['empty', Buffer.alloc(0)],
    ['bare_zstd', packed.subarray(1)],
    ['bare_protobuf', raw.subarray(1)],
  ]
  for (const [found, payload] of cases) {
    const error = thrownBy(() => decodeDashStream(payload))
    assert.deepEqual(error.details, { reason: 'invalid_format', found })
  }
  for (const [found, payload] of cases.slice(0, 3))
    assert.equal(thrownBy(() => decodeDashStream(payload, { compatible: true })).details['found'], found)
  for (const [found, payload] of cases.slice(3)) {
    const { message, framing } = decodeDashStreamFramed(payload, { compatible: true })
    assert.equal(framing, found)
    assert.equal(message.message.case, 'tokenChunk')
  }
})

test('DF5 H8 bodies above 512 bytes are compressed, and only when that is smaller', () => {
  assert.equal(encodeDashStream(tokenOfSize(511))[0], 0x00)
  assert.equal(encodeDashStream(tokenOfSize(512))[0], 0x00)
  assert.equal(encodeDashStream(tokenOfSize(513))[0], 0x01)
  assert.equal(encodeDashStream(tokenOfSize(513, noise(513)))[0], 0x00)
})

test('DF5 H9 H146 our zstd frame carries content size and checksum, and the header says what the frame does', () => {
  for (const size of [513, 5_000, 200_000]) {
    const payload = encodeDashStream(tokenOfSize(size))
    const { body } = unframe(payload)
    assert.deepEqual(readZstdFrame(payload.subarray(1)), { contentSize: body.length, checksum: true })
    assert.equal(decodeDashStream(payload).message.value?.header?.compression, 1)
  }
  assert.equal(decodeDashStream(encodeDashStream(tokenOfSize(512))).message.value?.header?.compression, 0)
})

test('DF5 a message that came compressed goes out with the flag of its new frame', () => {
  const small = sample('tokenChunk', { header: header(3, { compression: 1 }), text: 'x' })
  assert.equal(decodeDashStream(encodeDashStream(small)).message.value?.header?.compression, 0)
  const large = decodeDashStream(encodeDashStream(tokenOfSize(2_000)))
  assert.deepEqual(decodeDashStream(encodeDashStream(large)), large)
})

test('DF5 H7 one compression for each message, and none for a small one', t => {
  const calls = t.mock.method(zlib, 'zstdCompressSync')
  syncBuiltinESMExports()
  try {
    encodeDashStream(tokenOfSize(512))
    assert.equal(calls.mock.callCount(), 0)
    encodeDashStream(tokenOfSize(513))
    assert.equal(calls.mock.callCount(), 1)
    encodeDashStream(tokenOfSize(513, noise(513)))
    assert.equal(calls.mock.callCount(), 2)
  } finally {
    calls.mock.restore()
    syncBuiltinESMExports()
  }
})

test('DF5 H7 marking encoded bytes as compressed gives what a second encode would give', () => {
  fc.assert(
    fc.property(messages(DashStreamMessageSchema), random => {
      fc.pre(random.message.case !== undefined)
      const message = unflagged(withHeaders(random))
      const marked = markCompressed(library(message))
      const head = message.message.value?.header
      assert.ok(head)
      head.compression = 1
      assert.deepEqual(marked, library(message))
    }),
    { numRuns: 300 },
  )
})

test('DF6 H4 H141 writer and reader give the same verdict at the limit, compressible or not', () => {
  assert.equal(payloadBytesMax, 1_048_577)
  for (const size of [-2, -1, 0, 1, 2].map(more => bodyBytesMax + more)) {
    for (const text of ['x'.repeat(size), noise(size)]) {
      const message = tokenOfSize(size, text)
      const payload = Buffer.concat([Buffer.of(0x00), encodeUnframed(message)])
      assert.equal(payload.length, size + 1)
      if (size <= bodyBytesMax) {
        assert.equal(decodeDashStream(encodeDashStream(message)).message.case, 'tokenChunk')
        assert.equal(decodeDashStream(payload).message.case, 'tokenChunk')
      } else {
        assert.equal(
          reasonOf(() => encodeDashStream(message)),
          'too_large',
        )
        assert.equal(
          reasonOf(() => decodeDashStream(payload)),
          'too_large',
        )
        const packed = Buffer.concat([Buffer.of(0x01), zlib.zstdCompressSync(payload.subarray(1))])
        assert.equal(
          reasonOf(() => decodeDashStream(packed)),
          'too_large',
        )
      }
    }
  }
})

test('DF6 a reader of foreign topics takes up to 10 MiB when it asks for that', () => {
  const body = encodeUnframed(tokenOfSize(bodyBytesMax + 1))
  for (const payload of [
    Buffer.concat([Buffer.of(0x00), body]),
    Buffer.concat([Buffer.of(0x01), zlib.zstdCompressSync(body)]),
  ]) {
    assert.equal(
      reasonOf(() => decodeDashStream(payload)),
      'too_large',
    )
    assert.equal(decodeDashStream(payload, { bodyBytesMax: foreignBodyBytesMax }).message.case, 'tokenChunk')
  }
})

test('DF6 H3 a frame that unpacks to 1 GiB is refused, declared or not, without allocating it', () => {
  const blocks = rleBlocks(8_192)
  const bombs: [string, Buffer][] = [
    ['declared', zstdFrame(Buffer.from([0xc0, 0x38, 0, 0, 0, 0x40, 0, 0, 0, 0]), blocks)],
    ['undeclared', zstdFrame(Buffer.of(0x00, 0x38), blocks)],
    ['declared as 16 bytes', zstdFrame(Buffer.of(0x20, 0x10), blocks)],
  ]
  assert.throws(() => decodeDashStream(bombs[1]![1]))
  const before = process.resourceUsage().maxRSS
  for (const [name, payload] of bombs) {
    const reason = reasonOf(() => decodeDashStream(payload, { bodyBytesMax: foreignBodyBytesMax }))
    assert.ok(reason === 'too_large' || reason === 'decompression_error', `${name}: ${reason}`)
  }
  const grown = (process.resourceUsage().maxRSS - before) * 1024
  assert.ok(grown < 2 * foreignBodyBytesMax, `memory grew by ${grown} bytes`)
})

test('DF7 H14 unknown fields and unknown enum numbers survive decode and encode', () => {
  for (const kind of ['tokenChunk', 'event', 'eventBatch', 'error'] as const) {
    const plain = encodeUnframed(sample(kind, { header: header(999) }))
    // Field 200 at the end of the kind: a varint.
    const body = appendToKind(plain, Buffer.from([0xc0, 0x0c, 0x2a]))
    const message = decodeDashStream(Buffer.concat([Buffer.of(0x00), body]))
    assert.equal(message.message.value?.header?.type, 999)
    assert.equal(message.message.value?.$unknown?.[0]?.no, 200)
    assert.deepEqual(Buffer.from(unframe(encodeDashStream(message)).body), body, kind)
  }
  for (const eventType of [83, 999, -1]) {
    const { message } = decodeDashStream(encodeDashStream(sample('event', { eventType })))
    assert.ok(message.case === 'event')
    assert.equal(message.value.eventType, eventType)
  }
})

test('DF7 H10 a version of another policy is refused, also of one event inside a batch; 0 is read as 1', () => {
  const at = (schemaVersion: number, options?: DecodeOptions) =>
    reasonOf(() =>
      decodeDashStream(encodeDashStream(sample('tokenChunk', { header: header(3, { schemaVersion }) })), options),
    )
  assert.equal(at(0), undefined)
  assert.equal(at(1), undefined)
  assert.equal(at(2), 'schema_error')
  assert.equal(at(2, { versions: 'backward' }), 'schema_error')
  assert.equal(at(2, { versions: 'forward' }), undefined)
  const events = [1, 1, 2].map(schemaVersion => ({ header: header(1, { schemaVersion }), eventType: 10 }))
  const batch = encodeDashStream(sample('eventBatch', { events }))
  assert.match(thrownBy(() => decodeDashStream(batch)).message, /events\[2\].*schema_version is 2/)
  assert.equal(
    reasonOf(() => decodeDashStream(batch, { versions: 'forward' })),
    undefined,
  )
  const verdicts = (policy: 'exact' | 'forward' | 'backward') =>
    [0, 1, 2, 3, 4].filter(v => acceptsVersion(policy, v, 3))
  assert.deepEqual(verdicts('exact'), [3])
  assert.deepEqual(verdicts('forward'), [3, 4])
  assert.deepEqual(verdicts('backward'), [0, 1, 2, 3])
})

test('H16 H147 bytes that decode to nothing are refused', () => {
  const cases: [string, number[]][] = [
    ['schema_error', [0x00]],
    ['schema_error', [0x00, 0x0a, 0x00]],
    ['schema_error', [0x00, 0x0a, 0x02, 0x0a, 0x00]],
    ['decompression_error', [0x01]],
    ['schema_error', [0x00, 0x52, 0x00]],
  ]
  for (const [reason, payload] of cases)
    assert.equal(
      reasonOf(() => decodeDashStream(Buffer.from(payload))),
      reason,
    )
  for (const kind of kinds)
    for (const broken of [{ messageId: new Uint8Array(15) }, { threadId: '' }, { threadId: ' \t ' }]) {
      assert.equal(
        reasonOf(() => encodeDashStream(sample(kind, { header: header(1, broken) }))),
        'schema_error',
      )
      const body = library(
        create(DashStreamMessageSchema, sample(kind, { header: header(1, broken) }) as DashStreamMessage),
      )
      assert.equal(
        reasonOf(() => decodeDashStream(Buffer.concat([Buffer.of(0x00), body]))),
        'schema_error',
      )
    }
})

test('H147 a schema version of 2^32 + 1 does not pass as 1', () => {
  const body = encodeUnframed(sample('tokenChunk'))
  const at = body.indexOf(Buffer.from([0x48, 0x01, 0xa2, 0x06]))
  const wide = spliceHeader(body, at, 2, Buffer.from([0x48, 0x81, 0x80, 0x80, 0x80, 0x10]))
  assert.equal(
    reasonOf(() => decodeDashStream(Buffer.concat([Buffer.of(0x00), wide]))),
    'decode_error',
  )
})

test('H146 any flipped bit of a compressed payload is an error, or changes nothing', () => {
  const payload = encodeDashStream(sample('eventBatch', { events: Array.from({ length: 12 }, (_, i) => event(i)) }))
  assert.equal(payload[0], 0x01)
  const expected = library(decodeDashStream(payload))
  for (let bit = 0; bit < payload.length * 8; bit++) {
    const flipped = Buffer.from(payload)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    try {
      assert.deepEqual(library(decodeDashStream(flipped)), expected, `bit ${bit}`)
    } catch (error) {
      assert.ok(error instanceof RuncastError, `bit ${bit}: ${String(error)}`)
    }
  }
})

test('H148 joined frames, skippable frames, huge windows, dictionaries and trailing bytes are refused', () => {
  const packed = encodeDashStream(tokenOfSize(2_000)).subarray(1)
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0])
  const refused: Buffer[] = [
    Buffer.concat([packed, packed]),
    Buffer.concat([skippable, packed]),
    Buffer.concat([packed, skippable]),
    Buffer.concat([packed, Buffer.of(0)]),
    packed.subarray(0, -1),
    zstdFrame(Buffer.of(0x00, 0x79), rleBlocks(1)).subarray(1),
    zstdFrame(Buffer.of(0x00, 0xff), rleBlocks(1)).subarray(1),
    zstdFrame(Buffer.of(0x01, 0x38, 0x07), rleBlocks(1)).subarray(1),
  ]
  for (const frameBytes of refused)
    assert.equal(
      reasonOf(() => unframe(Buffer.concat([Buffer.of(0x01), frameBytes]))),
      'decompression_error',
    )
  assert.ok(unframe(Buffer.concat([Buffer.of(0x01), packed])).body.length > 1_900)
})

test('H9 a frame without content size is read, within the limit', () => {
  const undeclared = (size: number) => {
    const params = { [zlib.constants.ZSTD_c_contentSizeFlag]: 0 }
    return Buffer.concat([Buffer.of(0x01), zlib.zstdCompressSync(encodeUnframed(tokenOfSize(size)), { params })])
  }
  assert.equal(readZstdFrame(undeclared(300_000).subarray(1)).contentSize, undefined)
  assert.equal(decodeDashStream(undeclared(300_000)).message.case, 'tokenChunk')
  assert.equal(decodeDashStream(undeclared(bodyBytesMax)).message.case, 'tokenChunk')
  assert.equal(
    reasonOf(() => decodeDashStream(undeclared(bodyBytesMax + 1))),
    'too_large',
  )
})

test('H149 attributes nest as deep as a reader goes, and one deeper is refused at both ends with the path', () => {
  for (const { nest, limit } of [
    { nest: (value: object) => ({ value: { case: 'arrayValue', value: { values: [value] } } }), limit: 48 },
    { nest: (value: object) => ({ value: { case: 'mapValue', value: { values: { k: value } } } }), limit: 32 },
  ]) {
    const deep = (levels: number) => {
      let value: object = { value: { case: 'stringValue', value: 'x' } }
      for (let i = 0; i < levels; i++) value = nest(value)
      return { attributes: { deep: value } }
    }
    assert.equal(decodeDashStream(encodeDashStream(sample('event', deep(limit)))).message.case, 'event')
    const error = thrownBy(() => encodeDashStream(sample('event', deep(limit + 1))))
    assert.equal(error.details['reason'], 'schema_error')
    assert.match(error.message, /attributes\.deep/)
    const body = library(create(DashStreamMessageSchema, sample('event', deep(limit + 1)) as DashStreamMessage))
    assert.equal(
      reasonOf(() => decodeDashStream(Buffer.concat([Buffer.of(0x00), body]))),
      'decode_error',
    )
    const batch = (levels: number) => sample('eventBatch', { events: [{ ...event(1), ...deep(levels) }] })
    assert.equal(decodeDashStream(encodeDashStream(batch(limit - 1))).message.case, 'eventBatch')
    assert.equal(
      reasonOf(() => encodeDashStream(batch(limit + 1))),
      'schema_error',
    )
  }
})

test('H150 H18 foreign wire types, numbers above 64 bits, broken UTF-8 and second kinds are refused', () => {
  const token = encodeUnframed(sample('tokenChunk', { text: 'x' }))
  const cases: [string, Buffer][] = [
    ['chunk_index as text', appendToKind(token, Buffer.from([0x32, 0x01, 0x61]))],
    ['text as a number', appendToKind(token, Buffer.from([0x18, 0x01]))],
    ['a number of 65 bits', appendToKind(token, Buffer.from([0x30, ...Array.from({ length: 9 }, () => 0xff), 0x02]))],
    [
      'a number of 11 bytes',
      appendToKind(token, Buffer.from([0xc0, 0x0c, ...Array.from({ length: 10 }, () => 0x80), 0x01])),
    ],
    ['field 0', appendToKind(token, Buffer.from([0x00, 0x01]))],
    ['an end of no group', appendToKind(token, Buffer.from([0xc4, 0x0c]))],
    ['a text that is no UTF-8', appendToKind(token, Buffer.from([0x1a, 0x01, 0xff]))],
    ['a field past the end', appendToKind(token, Buffer.from([0x1a, 0x7f, 0x61]))],
    ['a second kind', Buffer.concat([token, encodeUnframed(sample('event'))])],
    ['the same kind twice', Buffer.concat([token, token])],
  ]
  for (const [name, body] of cases)
    assert.equal(
      reasonOf(() => decodeDashStream(Buffer.concat([Buffer.of(0x00), body]))),
      'decode_error',
      name,
    )
})

test('the hand-written encoder gives the bytes of the library for every token, event, batch and diff', () => {
  let taken = 0
  const check = (message: DashStreamMessage): void => {
    const hot = encodeHot(message)
    if (hot === undefined) return
    taken++
    assert.deepEqual(hot.subarray(1), library(message))
  }
  const token = messages(TokenChunkSchema).map(value => ({ case: 'tokenChunk', value }) as const)
  const single = messages(EventSchema).map(value => ({ case: 'event', value }) as const)
  const batch = messages(EventBatchSchema).map(value => ({ case: 'eventBatch', value }) as const)
  const diff = messages(StateDiffSchema).map(value => ({ case: 'stateDiff', value }) as const)
  fc.assert(
    fc.property(fc.oneof(token, single, batch, diff), message => check(create(DashStreamMessageSchema, { message }))),
    { numRuns: 1_500 },
  )
  assert.ok(taken > 200, `only ${taken} messages were hot`)
  for (const kind of ['tokenChunk', 'event', 'eventBatch', 'stateDiff'] as const)
    assert.ok(encodeHot({ message: { ...sample(kind).message, value: plain(kind) } } as DashStreamInput), kind)
})

test('the hand-written decoder gives what the library gives, or leaves it to the library, also on damaged bytes', () => {
  let taken = 0
  const check = (body: Uint8Array): void => {
    const hot = decodeHot(body)
    if (hot === undefined) return
    taken++
    checkWire(DashStreamMessageSchema, body)
    assert.deepStrictEqual(hot, fromBinary(DashStreamMessageSchema, body))
  }
  const damaged = fc
    .tuple(
      messages(DashStreamMessageSchema),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
      fc.nat({ max: 40 }),
    )
    .map(([message, edits, cut]) => {
      const body = toBinary(DashStreamMessageSchema, message)
      for (const [at, byte] of edits) if (body.length > 0) body[at % body.length] = byte
      return cut < 4 ? body.subarray(0, Math.max(0, body.length - cut)) : body
    })
  fc.assert(fc.property(damaged, check), { numRuns: 1_500 })
  for (const kind of ['tokenChunk', 'event', 'eventBatch', 'stateDiff'] as const) {
    const body = new Uint8Array(encodeUnframed({ message: { case: kind, value: plain(kind) } } as DashStreamInput))
    const before = taken
    check(body)
    assert.equal(taken, before + 1, `${kind} is not hot`)
    for (let cut = 0; cut < body.length; cut++) check(body.subarray(0, cut))
    for (let at = 0; at < body.length; at++)
      for (const byte of [0x00, 0x7f, 0x80, 0xff, body[at]! ^ 1, body[at]! ^ 0x80]) {
        const edited = body.slice()
        edited[at] = byte
        check(edited)
      }
  }
})

test('whatever the bytes, the decoder answers with a message or a typed reason', () => {
  const reasons = new Set(['decode_error', 'decompression_error', 'schema_error', 'invalid_format', 'too_large'])
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(0x00, 0x01, 0x0a), (bytes, first) => {
      for (const payload of [bytes, Buffer.concat([Buffer.of(first), bytes])]) {
        const reason = reasonOf(() => decodeDashStream(payload, { compatible: true }))
        assert.ok(reason === undefined || reasons.has(reason), String(reason))
      }
    }),
    { numRuns: 500 },
  )
})

test('H1 H11 nothing but the codec turns DashStream messages into bytes, or bytes into them', () => {
  const src = new URL('../src/', import.meta.url)
  const offenders = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !name.startsWith('gen/') && name !== 'formats/dashstream-codec.ts')
    .filter(name => /(?:to|from)Binary\(\s*DashStreamMessageSchema/.test(readFileSync(new URL(name, src), 'utf8')))
  assert.deepEqual(offenders, [])
})

/** A hot form of a kind: no nested attributes, no number beyond 2^53. */
function plain(kind: 'tokenChunk' | 'event' | 'eventBatch' | 'stateDiff'): object {
  const head = header(1, { sequence: 5n })
  const one = {
    header: head,
    eventType: 80,
    nodeId: 'n',
    attributes: {
      s: { value: { case: 'stringValue', value: 'a longer text than sixteen bytes' } },
      n: { value: { case: 'intValue', value: 3n } },
    },
    durationUs: 9n,
  }
  if (kind === 'event') return one
  if (kind === 'eventBatch') return { header: head, events: [one, one] }
  if (kind === 'stateDiff') return { ...samples.stateDiff, header: head }
  return {
    header: head,
    requestId: 'r',
    text: 'grüß dich',
    tokenIds: [1, 300],
    logprobs: [0.5],
    chunkIndex: 3,
    isFinal: true,
    stats: { totalTokens: 3 },
  }
}

function event(i: number) {
  return { header: header(1, { sequence: BigInt(i + 1) }), eventType: 10, nodeId: `node-${i}`, durationUs: BigInt(i) }
}

function library(message: DashStreamMessage): Buffer {
  return Buffer.from(toBinary(DashStreamMessageSchema, message))
}

/** Bytes without a frame, for crafting; the limit does not apply. */
function encodeUnframed(message: DashStreamInput): Buffer {
  return library(create(DashStreamMessageSchema, message as DashStreamMessage))
}

/** A random message with the headers that the codec demands. */
function withHeaders(message: DashStreamMessage): DashStreamMessage {
  const fix = (of: { header?: unknown } | undefined) => {
    const legal = { messageId: new Uint8Array(16), threadId: 't', schemaVersion: 1 }
    if (of !== undefined)
      Object.assign(of, {
        header: {
          ...create(DashStreamMessageSchema, sample('event') as DashStreamMessage).message.value?.header,
          ...(of.header as object | undefined),
          ...legal,
        },
      })
  }
  fix(message.message.value)
  if (message.message.case === 'eventBatch') for (const inner of message.message.value.events) fix(inner)
  return message
}

function unflagged(message: DashStreamMessage): DashStreamMessage {
  const head = message.message.value?.header
  if (head !== undefined) head.compression = 0
  return message
}

/** A token whose protobuf has exactly `size` bytes. */
function tokenOfSize(size: number, filler = 'x'.repeat(size)): DashStreamInput {
  const of = (text: string) => sample('tokenChunk', { text })
  let length = size
  for (let over = 1; over !== 0; length -= over) over = encodeUnframed(of(filler.slice(0, length))).length - size
  return of(filler.slice(0, length))
}

/** ASCII that zstd cannot make smaller than half a bit per byte… and in a message of this size, not smaller at all. */
function noise(length: number): string {
  let state = 1
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return String.fromCharCode((state >> 16) & 0x7f)
  }).join('')
}

/** `bytes` behind the last field of the kind in an encoded message. */
function appendToKind(body: Buffer, bytes: Buffer): Buffer {
  const inner = body.subarray(lengthAt(body, 1).next)
  return Buffer.concat([body.subarray(0, 1), varint(inner.length + bytes.length), inner, bytes])
}

/** Replaces bytes inside the header and mends both lengths. */
function spliceHeader(body: Buffer, at: number, remove: number, insert: Buffer): Buffer {
  const kind = lengthAt(body, 1)
  const head = lengthAt(body, kind.next + 1)
  const rest = body.subarray(head.next + head.value)
  const header = Buffer.concat([
    body.subarray(head.next, at),
    insert,
    body.subarray(at + remove, head.next + head.value),
  ])
  const inner = Buffer.concat([Buffer.of(0x0a), varint(header.length), header, rest])
  return Buffer.concat([body.subarray(0, 1), varint(inner.length), inner])
}

function lengthAt(body: Buffer, at: number): { value: number; next: number } {
  let value = 0
  let next = at
  for (let scale = 1; ; scale *= 128) {
    const byte = body[next++] ?? 0
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return { value, next }
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}

/** A payload with a hand-made zstd frame. */
function zstdFrame(head: Buffer, blocks: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x01, 0x28, 0xb5, 0x2f, 0xfd), head, blocks])
}

/** Blocks of 128 KiB of zeros, four bytes each. */
function rleBlocks(count: number): Buffer {
  const blocks = Buffer.alloc(count * 4)
  for (let i = 0; i < count; i++) blocks.writeUIntLE((131_072 << 3) | (1 << 1) | (i === count - 1 ? 1 : 0), i * 4, 3)
  return blocks
}

function thrownBy(run: () => unknown): RuncastError {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof RuncastError, String(error))
    return error
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' })
}

function reasonOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    assert.ok(error instanceof RuncastError, (error as Error).stack ?? String(error))
    return String(error.details['reason'])
  }
}
