// How small runs and states become on the wire, counted in bytes: a count is the same on every machine, so it is asserted.
// Speed is not: `npm run bench -- codec` measures it, and README.md says what came out.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import { fromBinary, toBinary, toJson } from '@bufbuild/protobuf'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import type { Event } from '../src/event.ts'
import { dashstreamDecoder, dashstreamEncoder } from '../src/formats/dashstream.ts'
import { decodeDashStream, encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { runsOf } from '../src/formats/format.ts'
import { DashStreamMessageSchema } from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { createRuns } from '../src/local-runs.ts'

/** Natural language in pieces of the size of a model's tokens. */
const prose = readFileSync(new URL('../ARCHITECTURE.md', import.meta.url), 'utf8').match(/\s?\S{1,5}|\s/g) ?? []

const writes = defineAgent({ name: 'writes' }, async function* (_: unknown, ctx) {
  ctx.progress('read', 0.5)
  for (const content of prose.slice(0, 1_000)) yield content
  return { words: 1_000 }
})

const chats = defineAgent({ name: 'chats' }, async (messages: number, ctx) => {
  const said = (n: number) => ({
    id: `m${n}`,
    role: 'user',
    content: `Sentence ${n} of a talk that goes on. `.repeat(5),
  })
  ctx.state.set({ messages: Array.from({ length: messages }, (_, n) => said(n)), counter: 0 })
  for (let n = 0; n < 20; n++) {
    ctx.state.update(state => {
      const draft = state as { messages: object[]; counter: number }
      draft.messages.push(said(messages + n))
      draft.counter++
    })
  }
  await ctx.progress('done', 1)
})

/** A run as it is recorded, with a clock that goes on as a model's tokens do. */
async function recorded(name: string, input: unknown): Promise<Event[]> {
  await using log = memory()
  let now = 1_763_733_333_000
  const deps = { ...realDeps, now: () => (now += 7) }
  const runs = createRuns({ log, agents: [writes, chats] as unknown as Agent[], deps })
  const { run_id } = await runs.start(name, input)
  const events: Event[] = []
  for await (const batch of runs.tail(run_id)) events.push(...batch.events)
  await runs.stop(0)
  return events
}

const messagesOf = (events: readonly Event[]) =>
  dashstreamEncoder({ run: events[0]?.run_id ?? '', tenant: 'default', thread: 't' })(events)
const sum = (parts: readonly { readonly length: number }[]) => parts.reduce((bytes, { length }) => bytes + length, 0)

/** As Kafka's batches are: records with their lengths, compressed together. */
function batched(parts: readonly Uint8Array[], size: number, dictionary?: Buffer): number {
  let bytes = 0
  for (let n = 0; n < parts.length; n += size) {
    const records = parts
      .slice(n, n + size)
      .flatMap(part => [Buffer.from([part.length & 0xff, part.length >> 8]), part])
    const params = { [constants.ZSTD_c_compressionLevel]: 3 }
    bytes += zstdCompressSync(Buffer.concat(records), { params, ...(dictionary && { dictionary }) }).length
  }
  return bytes
}

test('DF8 a recorded run is two times smaller than its JSON alone, and more than ten and fifteen times in batches', async t => {
  const [events, stranger] = [await recorded('writes', {}), await recorded('writes', {})]
  const payloads = messagesOf(events).map(({ payload }) => payload)
  const dictionary = Buffer.concat(
    messagesOf(stranger)
      .slice(-200)
      .map(({ payload }) => payload),
  )
  // The same messages with the same fields, as protobuf's own JSON spells them.
  const texts = payloads.map(payload =>
    Buffer.from(JSON.stringify(toJson(DashStreamMessageSchema, decodeDashStream(payload)))),
  )
  const json = sum(texts)
  const times = (bytes: number) => json / bytes
  const rows = {
    single: times(sum(payloads)),
    batchesOf10: times(batched(payloads, 10)),
    batchesOf100: times(batched(payloads, 100)),
    batchesOf1000: times(batched(payloads, 1_000)),
    batchesOf100AndDictionary: times(batched(payloads, 100, dictionary)),
  }
  t.diagnostic(JSON.stringify(rows))
  assert.ok(payloads.length > 1_000)
  assert.ok(rows.single > 2)
  assert.ok(rows.batchesOf100 > 10)
  assert.ok(rows.batchesOf1000 > 15)
  assert.ok(rows.batchesOf100AndDictionary > rows.batchesOf100)
})

test('DF9 small changes of states of 100 KB and 1 MB are sent in less than a tenth of their bytes', async t => {
  for (const [label, messages] of [
    ['100 KB', 420],
    ['1 MB', 4_200],
  ] as const) {
    const events = await recorded('chats', messages)
    const diffs = events.filter(event => event.type === 'state').slice(1)
    assert.equal(diffs.length, 20, label)
    const { payload: full } = messagesOf(events.slice(0, 2)).at(-1) ?? { payload: Buffer.alloc(0) }
    const state = events.find(event => event.type === 'state')
    const fullBytes = Buffer.byteLength(JSON.stringify(state))
    const sent = messagesOf(events).filter(
      ({ topic, sequence }) => topic === 'state' && sequence > (state?.sequence ?? 0),
    )
    const mean = sum(sent.map(({ payload }) => payload)) / diffs.length
    t.diagnostic(`${label}: state ${fullBytes} bytes of JSON, ${full.length} as it is sent, a change ${mean}`)
    assert.ok(mean < fullBytes / 10, label)
  }
})

test('DF10 encoder and decoder are exact: what the reference library makes and reads of the same run is the same', async () => {
  const events = [...(await recorded('writes', {})), ...(await recorded('chats', 30))]
  for (const run of [events.filter(one => one.run_id === events[0]?.run_id), events.slice(-20)]) {
    for (const { payload } of messagesOf(run)) {
      const message = decodeDashStream(payload)
      if (payload[0] === 0) {
        assert.deepEqual(message, fromBinary(DashStreamMessageSchema, Uint8Array.from(payload.subarray(1))))
        assert.ok(Buffer.from(toBinary(DashStreamMessageSchema, message)).equals(payload.subarray(1)))
      }
      assert.ok(Buffer.from(encodeDashStream(message)).equals(payload))
    }
  }
  const whole = events.filter(one => one.run_id === events[0]?.run_id)
  const { runs } = runsOf(
    dashstreamDecoder({ fromBeginning: true }),
    messagesOf(whole).map(({ payload }) => Buffer.from(payload)),
  )
  assert.deepEqual(runs[0]?.events, whole)
})
