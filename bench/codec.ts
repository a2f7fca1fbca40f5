// P7 and P8: what the DashStream codec costs in time and bytes against JSON and every JavaScript protobuf library,
// all in one run. Ours is timed as users call it, with frame byte and checks; the others make bare protobuf.
// It prints nothing; bench/main.ts does.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { PbfReader, PbfWriter } from 'pbf'
import protobufjs from 'protobufjs'
import type { Event } from '../src/event.ts'
import { dashstream, dashstreamEncoder } from '../src/formats/dashstream.ts'
import { type DashStreamInput, decodeDashStream, encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { messageIds } from '../src/formats/dashstream-names.ts'
import type { Message } from '../src/formats/format.ts'
import { type DashStreamMessage, DashStreamMessageSchema } from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { loadKafka } from '../src/kafka/client.ts'
import { layout } from '../src/kafka/record-batches.ts'
import { writeBatch, zstdLevel } from '../src/kafka/write-batches.ts'
import { headersOf, recordOf } from '../src/sinks/kafka/records.ts'
import type { Row } from './row.ts'

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  const pbf = await pbfCodec()
  for (const [name, message] of [
    ['token', token(1)],
    ['event, 5 attributes', event()],
    ['state diff', stateDiff()],
  ] as const) {
    const codecs: Codec[] = [json(message), bufbuild(message), protobufJs(message), pbf(message), ours(message)]
    rows.push(...compareSpeed(name, codecs))
  }
  rows.push(...(await compareBytes()))
  return rows
}

interface Codec {
  readonly name: string
  encode(): Uint8Array
  decode(bytes: Uint8Array): unknown
}

function json(message: DashStreamInput): Codec {
  const plain = plainOf(message)
  return {
    name: 'JSON',
    encode: () => Buffer.from(JSON.stringify(plain)),
    decode: bytes => JSON.parse((bytes as Buffer).toString()),
  }
}

function bufbuild(message: DashStreamInput): Codec {
  const full = create(DashStreamMessageSchema, message as DashStreamMessage)
  return {
    name: '@bufbuild/protobuf',
    encode: () => toBinary(DashStreamMessageSchema, full),
    decode: bytes => fromBinary(DashStreamMessageSchema, bytes),
  }
}

const proto = fileURLToPath(new URL('../proto/dashstream/v1/dashstream.proto', import.meta.url))

function protobufJs(message: DashStreamInput): Codec {
  const type = protobufjs
    .parse(readFileSync(proto, 'utf8'), { keepCase: true })
    .root.lookupType('dashstream.v1.DashStreamMessage')
  const full = type.fromObject(plainNumbers(message))
  return { name: 'protobufjs', encode: () => type.encode(full).finish(), decode: bytes => type.decode(bytes) }
}

interface PbfCompiled {
  readDashStreamMessage(reader: PbfReader): unknown
  writeDashStreamMessage(message: unknown, writer: PbfWriter): void
}

async function pbfCodec(): Promise<(message: DashStreamInput) => Codec> {
  // Neither has types: a compiler that is used by its command, and its parser.
  const compilePath = 'pbf/compile'
  const { compile } = (await import(compilePath)) as { compile: (schema: unknown) => PbfCompiled }
  const schema = createRequire(import.meta.resolve('pbf'))('resolve-protobuf-schema') as { sync(file: string): unknown }
  const compiled = compile(schema.sync(proto))
  return message => {
    const full = plainNumbers(message)
    return {
      name: 'pbf',
      encode: () => {
        const writer = new PbfWriter()
        compiled.writeDashStreamMessage(full, writer)
        return writer.finish()
      },
      decode: bytes => compiled.readDashStreamMessage(new PbfReader(bytes)),
    }
  }
}

function ours(message: DashStreamInput): Codec {
  return {
    name: 'runcast',
    encode: () => encodeDashStream(message),
    decode: bytes => decodeDashStream(bytes),
  }
}

/** Rounds of each; the candidates take turns within one, so that a slow second hits them all. */
const rounds = 7
const callsPerRound = 10_000

function compareSpeed(name: string, codecs: Codec[]): Row[] {
  const encoded = codecs.map(codec => codec.encode())
  const encode = medians(codecs.map(codec => () => codec.encode()))
  const decode = medians(codecs.map((codec, i) => () => codec.decode(encoded[i] as Uint8Array)))
  const size = `${encoded[0]?.length} B of JSON, ${encoded.at(-1)?.length} B`
  return [rate(`encode ${name}`, codecs, encode, size), rate(`decode ${name}`, codecs, decode, size)]
}

function rate(name: string, codecs: Codec[], ns: number[], size: string): Row {
  const mine = ns.at(-1) ?? 0
  const best = Math.min(...ns.slice(1, -1))
  const list = codecs.map((codec, i) => `${codec.name} ${((ns[0] ?? 0) / (ns[i] ?? 1)).toFixed(2)}`).join(', ')
  return {
    id: 'P7',
    name,
    ratio: best / mine,
    bar: 1,
    unit: 'x the best library',
    detail: `${size}; ratio to JSON: ${list}`,
  }
}

function medians(calls: (() => unknown)[]): number[] {
  const times: number[][] = calls.map(() => [])
  for (let round = 0; round <= rounds; round++)
    for (const [i, call] of calls.entries()) {
      // The thread's own time: what else the machine does does not count.
      const from = process.threadCpuUsage().user
      for (let n = 0; n < callsPerRound; n++) call()
      // The first round only warms up.
      if (round > 0) times[i]?.push(((process.threadCpuUsage().user - from) * 1_000) / callsPerRound)
    }
  return times.map(each => each.sort((a, b) => a - b)[rounds >> 1] ?? 0)
}

/** Bytes of a token in batches, as Kafka's record batches compress them. */
async function compareBytes(): Promise<Row[]> {
  const tokens = Array.from({ length: 1_000 }, (_, i) => token(i + 1))
  const texts = tokens.map(each => Buffer.from(JSON.stringify(plainOf(each))))
  const payloads = tokens.map(encodeDashStream)
  checkProjection(payloads)
  const whole = await wholeBatches(texts, payloads)
  const jsonBytes = sum(texts) / texts.length
  // Another stretch of another run, as a writer would share it beforehand.
  const strangers = Array.from({ length: 200 }, (_, i) => token(i + 1, '5b0b9f6c-8a53-4c43-9a1f-2f0f6a7f2f11'))
  const dictionary = Buffer.concat(strangers.map(encodeDashStream))
  const jsonDictionary = Buffer.concat(strangers.map(each => Buffer.from(JSON.stringify(plainOf(each)))))
  return [1, 10, 100, 1_000].flatMap(size => {
    const mine = perToken(payloads, size)
    const all = {
      'JSON + zstd': perToken(texts, size),
      'JSON + zstd + dictionary': perToken(texts, size, jsonDictionary),
      protobuf: sum(payloads) / payloads.length,
      'protobuf + zstd': mine,
      'protobuf + zstd + dictionary': perToken(payloads, size, dictionary),
    }
    const list = Object.entries(all).map(([name, bytes]) => `${name} ${bytes.toFixed(1)}`)
    const unit = 'x fewer than plain JSON'
    return [
      {
        id: 'P8',
        name: `bytes of a token, batches of ${size}`,
        ratio: jsonBytes / mine,
        bar: size >= 100 ? 19 : null,
        unit,
        detail: `JSON ${jsonBytes.toFixed(0)}, ${list.join(', ')}`,
      },
      { id: 'P8', name: `with all that Kafka adds, batches of ${size}`, bar: null, unit, ...whole(size) },
    ]
  })
}

/** What is measured must be what the sink sends: the projection of such a run, byte by byte. */
function checkProjection(payloads: readonly Buffer[]): void {
  const events = payloads.map((_, i) => eventOfToken(i + 1))
  const sent = dashstreamEncoder({ run: runId, tenant: 'acme', thread })(events)
  if (!payloads.every((payload, i) => payload.equals(sent[i]?.payload ?? nothing)))
    throw new Error('the tokens of the bench are not what the projection makes of a run')
}

const nothing = Buffer.alloc(0)

/** The batches that go to the broker, with keys, headers and times: ours, and those of the same records with the JSON in them. */
async function wholeBatches(texts: readonly Buffer[], payloads: readonly Buffer[]) {
  const kafka = await loadKafka()
  const headers = headersOf(runId, {})
  const place = { key: Buffer.from(thread), partition: 0 }
  const recordsOf = (values: readonly Buffer[]) =>
    values.map((payload, i) => {
      const message = { payload } as unknown as Message
      const time = Date.parse(eventOfToken(i + 1).timestamp)
      const outgoing = { message, tenant: 'acme', run: runId, time, headers }
      return recordOf(outgoing, { topic: 'dashstream-events', place, format: dashstream })
    })
  const [inJson, mine] = [recordsOf(texts), recordsOf(payloads)]
  return (size: number) => {
    const numbering = { producerId: 1n, producerEpoch: 0, sequence: 0 }
    let [plain, json, ours] = [0, 0, 0]
    for (let i = 0; i < mine.length; i += size) {
      const batch = writeBatch(kafka, inJson.slice(i, i + size), numbering)
      plain += layout.records + zstdDecompressSync(batch.subarray(layout.records)).length
      json += batch.length
      ours += writeBatch(kafka, mine.slice(i, i + size), numbering).length
    }
    const each = (bytes: number) => (bytes / mine.length).toFixed(1)
    return {
      ratio: plain / ours,
      detail: `JSON ${each(plain)}, JSON + zstd ${each(json)}, protobuf + zstd ${each(ours)}`,
    }
  }
}

function perToken(parts: Uint8Array[], size: number, dictionary?: Buffer): number {
  let bytes = 0
  for (let i = 0; i < parts.length; i += size) {
    const options = {
      params: { [constants.ZSTD_c_compressionLevel]: zstdLevel },
      ...(dictionary === undefined ? {} : { dictionary }),
    }
    bytes += zstdCompressSync(joined(parts.slice(i, i + size)), options).length
  }
  return bytes / parts.length
}

/** Values one behind the other, each with its length: what Kafka adds besides is the same for JSON and left out on both sides. */
function joined(values: Uint8Array[]): Buffer {
  return Buffer.concat(values.flatMap(value => [Buffer.of((value.length & 0x7f) | 0x80, value.length >> 7), value]))
}

/** Ids as the server makes them. */
const runId = '0c7d52f1-a9e8-4b36-8f0e-7d1c5a3b9e24'
const thread = '7f3c2a9e-1b4d-4c6f-a2d8-93e0b5c1f764'
/** Natural language in pieces of the size of a model's tokens: the project's own documents. */
const prose = readdirSync(new URL('../', import.meta.url))
  .filter(name => name.endsWith('.md'))
  .sort()
  .flatMap(name => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8').match(/\s?\S{1,5}|\s/g) ?? [])

/** A token of a run, at times that jitter as a model's tokens do. */
function eventOfToken(sequence: number): Event {
  const jitterMs = (Math.imul(sequence, 2_654_435_761) >>> 0) % 12
  const timestamp = new Date(1_763_733_333_000 + sequence * 20 + jitterMs).toISOString()
  const content = prose[sequence % prose.length] ?? ''
  const more = { llm_request_id: 'req-4f1e', model: 'small-model-1', index: sequence }
  return { id: `${runId}:${sequence}`, type: 'token', run_id: runId, sequence, timestamp, content, ...more }
}

/** The same as a message. */
function token(sequence: number, of = runId): DashStreamInput {
  const { timestamp } = eventOfToken(sequence)
  return {
    message: {
      case: 'tokenChunk',
      value: {
        header: {
          ...headerOf(sequence, of),
          messageId: messageIds(of)(sequence, timestamp),
          timestampUs: Date.parse(timestamp) * 1_000,
          type: 3 as const,
        },
        requestId: 'req-4f1e',
        text: prose[sequence % prose.length] ?? '',
        chunkIndex: sequence,
        model: 'small-model-1',
      },
    },
  }
}

function headerOf(sequence: number, of: string) {
  return {
    messageId: messageIds(of)(sequence, '2025-11-21T13:55:33.123Z'),
    timestampUs: 1_763_733_333_123_456,
    tenantId: 'acme',
    threadId: thread,
    sequence,
    type: 1 as const,
    schemaVersion: 1,
    runId: of,
    runSequence: sequence,
  }
}

function event(): DashStreamInput {
  return {
    message: {
      case: 'event',
      value: {
        header: headerOf(11, runId),
        eventType: 11,
        nodeId: 'researcher',
        durationUs: 1_234_567,
        attributes: {
          query: { value: { case: 'stringValue', value: 'sales by region, last four quarters' } },
          results: { value: { case: 'intValue', value: 42 } },
          score: { value: { case: 'floatValue', value: 0.87 } },
          cached: { value: { case: 'boolValue', value: false } },
          source: { value: { case: 'stringValue', value: 'warehouse' } },
        },
      },
    },
  }
}

function stateDiff(): DashStreamInput {
  const value = (json: unknown) => new TextEncoder().encode(JSON.stringify(json))
  return {
    message: {
      case: 'stateDiff',
      value: {
        header: { ...headerOf(12, runId), type: 2 as const },
        baseCheckpointId: new Uint8Array(16).fill(3),
        operations: [
          { op: 0, path: '/messages/-', value: value({ role: 'assistant', content: 'Sales rose.' }) },
          { op: 2, path: '/step', value: value('report') },
          { op: 2, path: '/counter', value: value(12) },
          { op: 1, path: '/draft' },
        ],
        stateHash: Uint8Array.from({ length: 32 }, (_, i) => (i * 89) & 255),
      },
    },
  }
}

/** The message as one would write it in JSON: snake_case, ids as UUID text, other bytes in base64, no empty field. */
function plainOf(message: DashStreamInput): object {
  const { value } = message.message ?? {}
  return snake(value, 'base64') as object
}

/** The same for libraries that know no bigint; their 64-bit fields take plain numbers. */
function plainNumbers(message: DashStreamInput): Record<string, unknown> {
  const kind = message.message
  const name = String(kind?.case).replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
  return { [name]: snake(kind?.value, 'bytes') }
}

function snake(value: unknown, bytes: 'base64' | 'bytes'): unknown {
  if (value instanceof Uint8Array) return bytes === 'bytes' ? value : textOf(value)
  if (Array.isArray(value)) return value.map(item => snake(item, bytes))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
      const name = key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
      const set = inner as { case?: string; value?: unknown }
      // A oneof stands under the name of its case.
      if (key === 'value' && typeof set?.case === 'string')
        return [[set.case.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), snake(set.value, bytes)]]
      return [[name, snake(inner, bytes)]]
    }),
  )
}

function textOf(value: Uint8Array): string {
  const bytes = Buffer.from(value)
  if (bytes.length !== 16) return bytes.toString('base64')
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

function sum(parts: Uint8Array[]): number {
  return parts.reduce((total, part) => total + part.length, 0)
}
