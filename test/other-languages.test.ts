// Readers in other languages, by the commands of docs/other-languages.md as they stand there: what the Kafka sink wrote is
// taken off a real broker and decoded by protoc, Python and Rust, from the published schemas.
// What the machine lacks is skipped with the command that installs it; only Rust may be missing in CI too.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { zstdCompressSync } from 'node:zlib'
import { type DescMessage, fromBinary, toJson } from '@bufbuild/protobuf'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import type { Event } from '../src/event.ts'
import { chatEncoder } from '../src/formats/chat.ts'
import { dashstreamEncoder, dashTopics } from '../src/formats/dashstream.ts'
import { bodyBytesMax, unframe } from '../src/formats/dashstream-frame.ts'
import type { Message } from '../src/formats/format.ts'
import { EventEnvelopeSchema } from '../src/gen/chat/v1/events_pb.ts'
import { DashStreamMessageSchema } from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { createRuns } from '../src/local-runs.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import * as kafka from './services/kafka.ts'
import { needs } from './services/require.ts'

const root = join(import.meta.dirname, '..')
const document = readFileSync(join(root, 'docs/other-languages.md'), 'utf8')
/** Of a command: a cold build of the Rust consumer takes half a minute here, and CI's cores are shared. */
const commandMsMax = 300_000

test('DF37 ON18 protoc reads a record of each package that the sink wrote, by the commands of the document', async t => {
  const written = await writtenOrSkip(t, missingProtoc())
  if (!written) return
  const text = await run(block('sh protoc'), { cwd: root, brokers: written.brokers })
  assert.match(text, /^event \{\n {2}header \{\n/)
  assert.match(text, /event_type: EVENT_TYPE_GRAPH_START[^]*\ntimestamp \{\n/)
  assert.match(text, /conversation_id: "t1"[^]*text \{\n {2}content: "Hello you"\n/)
  assert.doesNotMatch(text, /^\s*\d+:/m, 'a field that the schema does not have')
})

test('DF37 ON18 Python reads every field of every record that the sink wrote, by the commands of the document', async t => {
  const written = await writtenOrSkip(t, missingPython())
  if (!written) return
  using clone = clonedSchemas()
  const lines = await run(block('sh python'), { cwd: clone.path, brokers: written.brokers })
  assertShows(lines, block('text', 0))
  assert.deepEqual(linesOf(lines), [
    ...written.dashstream.map(({ payload }) => jsonOf(DashStreamMessageSchema, unframe(payload).body)),
    ...chatTexts(written).map(({ payload }) => jsonOf(EventEnvelopeSchema, payload)),
  ])
})

test('DF37 Rust reads every record that the sink wrote and knows all of its bytes, by the commands of the document', async t => {
  const written = await writtenOrSkip(t, missingProtoc())
  if (!written || !hasCargo(t)) return
  const lines = await run(block('sh rust'), { cwd: root, brokers: written.brokers })
  assertShows(lines, block('text', 1))
  assert.deepEqual(linesOf(lines), [
    ...written.dashstream.map(message => rustLine(message)),
    ...chatTexts(written).map(({ payload }) => {
      const { conversationId, timestamp, event } = fromBinary(EventEnvelopeSchema, payload)
      assert.ok(event.case === 'text' && timestamp !== undefined)
      const at = new Date(Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6).toISOString().replace('.000Z', 'Z')
      const { content: text } = event.value
      return { kind: 'text', text, conversation_id: conversationId, timestamp: at, unknown_bytes: '0' }
    }),
  ])
})

test('ON18 the commands of both specifications make their Python from a clone, and it reads our bytes', async t => {
  if (!needs(t, 'python', missingPython()) || !needs(t, 'protoc', missingProtoc())) return
  using clone = clonedSchemas()
  await run(block('sh specifications'), { cwd: clone.path })
  const [{ payload }] = dashstreamEncoder({ run: 'r1' })(twoWords) as [Message]
  writeFileSync(join(clone.path, 'body'), unframe(payload).body)
  const read = `import dashstream_pb2, dashstream_pb2_grpc
print(dashstream_pb2.DashStreamMessage.FromString(open('body', 'rb').read()).token_chunk.text)`
  assert.equal(await run(`python3 -c "${read}"`, { cwd: clone.path }), 'hello\n')
  const stubs = ['events_pb2.py', 'events_pb2.pyi', 'chat_pb2.py', 'chat_pb2.pyi']
  for (const name of stubs) accessSync(join(clone.path, 'build/schemas/chat/v1', name))
})

test('ON15 one consumer reads chat.v1, and a chat.v2 that stands beside it', async t => {
  if (!needs(t, 'python', missingPython())) return
  using clone = clonedSchemas()
  const proto = join(clone.path, 'proto/chat')
  cpSync(join(proto, 'v1'), join(proto, 'v2'), { recursive: true })
  const v1 = readFileSync(join(proto, 'v1/events.proto'), 'utf8')
  const v2 = v1.replace('package chat.v1;', 'package chat.v2;').replace('string content = 1;', 'string words = 1;')
  writeFileSync(join(proto, 'v2/events.proto'), v2)
  const out = '--python_out=consumers/python'
  await run(`python3 -m grpc_tools.protoc -I proto ${out} chat/v1/events.proto chat/v2/events.proto`, {
    cwd: clone.path,
  })
  const [one] = chatTexts({ chat: chatEncoder({ run: 'r1', thread: 't1' })(twoWords) })
  assert.ok(one !== undefined)
  writeFileSync(join(clone.path, 'records'), record(one.payload))
  for (const [version, field] of [
    ['chat.v1', 'content'],
    ['chat.v2', 'words'],
  ] as const) {
    const lines = await run(`python3 consumers/python/consume.py ${version} < records`, { cwd: clone.path })
    assert.deepEqual(linesOf(lines), [{ ...jsonOf(EventEnvelopeSchema, one.payload), text: { [field]: 'hello you' } }])
  }
})

for (const language of ['Python', 'Rust'] as const) {
  test(`DF37 H2 H146 ${language} names what it cannot read, reads all the rest, and fails`, async t => {
    if (language === 'Rust' && !(needs(t, 'protoc', missingProtoc()) && hasCargo(t))) return
    if (language === 'Python' && !needs(t, 'python', missingPython())) return
    using clone = clonedSchemas()
    const make = 'python3 -m grpc_tools.protoc -I proto --python_out=consumers/python dashstream/v1/dashstream.proto'
    if (language === 'Python') await run(make, { cwd: clone.path })
    const command = language === 'Python' ? 'python3 consumers/python/consume.py' : `${cargoRun} --`
    const consume = async (input: Uint8Array) => {
      writeFileSync(join(clone.path, 'records'), input)
      const script = `cd "${language === 'Python' ? clone.path : root}"; ${command} dashstream.v1 < "${clone.path}/records"`
      return await ended(script, { cwd: clone.path })
    }
    const good = record((dashstreamEncoder({ run: 'r1' })(twoWords)[0] as Message).payload)
    const zeros = (bytes: number) => Buffer.concat([Buffer.of(1), zstdCompressSync(Buffer.alloc(bytes))])
    const large = Buffer.concat([Buffer.of(1), packedToken])
    const bad = [
      ...[[], [2, 10, 0], [0x7b], [0, 0xff], [1], [1, 2]].map(bytes => Uint8Array.from(bytes)),
      zeros(bodyBytesMax + 1),
      Buffer.concat([large, Buffer.of(0)]),
    ]
    const all = await consume(Buffer.concat([record(null), good, ...bad.map(record), record(large), good]))
    assert.equal(all.code, 1, all.stderr)
    assert.equal(linesOf(all.stdout).length, 3, all.stdout.slice(0, 500))
    const named = [...all.stderr.matchAll(/^record (\d+): ./gm)].map(([, number]) => Number(number))
    assert.deepEqual(
      named,
      Array.from(bad.keys(), index => index + 2),
      all.stderr,
    )

    const flipped = Array.from(large.keys(), at => large.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte)))
    const damaged = await consume(Buffer.concat(flipped.map(record)))
    assert.equal(damaged.code, 1)
    const right = linesOf(all.stdout)[1]
    for (const line of linesOf(damaged.stdout)) assert.deepEqual(line, right, 'another message')

    const cut = await consume(Buffer.concat([good, good.subarray(0, -1)]))
    assert.deepEqual([cut.code, linesOf(cut.stdout).length], [1, 1])
    const whole = await consume(Buffer.concat([good, good]))
    assert.deepEqual([whole.code, linesOf(whole.stdout).length, whole.stderr], [0, 2, ''])
  })
}

const eventBase = { run_id: 'r1', timestamp: '2026-01-02T03:04:05.006Z' }
const twoWords: Event[] = [
  { ...eventBase, id: 'r1:1', sequence: 1, type: 'token', content: 'hello' },
  { ...eventBase, id: 'r1:2', sequence: 2, type: 'token', content: ' you' },
  { ...eventBase, id: 'r1:3', sequence: 3, type: 'complete', output: null, latency_seconds: 1 },
]

/** A zstd frame with the checksum of its content, which does not compress well: a flipped bit decodes to other text. */
const packedToken = Buffer.from(longToken().payload.subarray(1))

function longToken(): Message {
  const content = Array.from({ length: 2_000 }, (_, i) => String.fromCodePoint(97 + ((i * i * 31) % 26))).join('')
  const [message] = dashstreamEncoder({ run: 'r1' })([{ ...(twoWords[0] as Event), content } as Event])
  assert.equal(message?.payload[0], 1, 'it must be compressed')
  return message
}

/** Emits what each kind of message is made of; asked to, it fails. */
const agent = defineAgent({ name: 'sales' }, async function* (input: { fail: boolean }, context) {
  context.step('plan', { phase: 'start' })
  context.progress('load', 0.25, 'Loading', { rows: 3 })
  context.token('Let me think', { channel: 'reasoning' })
  yield 'Hello'
  yield ' you'
  context.tool({ call_id: 'c1', tool_name: 'sql', stage: 'completed', result: [1, 2], duration_ms: 1.5 })
  context.metrics('llm', { tokens_total: { value: 12, unit: 'tokens' }, cost_usd: { value: 0.25 } })
  context.state.update(draft => {
    draft['rows'] = [1, 'é', null]
  })
  context.checkpoint('after', { rows: Array.from({ length: 200 }, (_, i) => ({ i, name: `row ${i}` })) })
  context.text('grüße', { language: 'de', position: 'before' })
  context.chart('k1', { series: [{ type: 'bar', data: [1, 2.5] }] }, { chart_type: 'bar', title: 'Sales' })
  context.warning('slow', 'Slow')
  context.emit('fraud', { score: 0.5 })
  if (input.fail) throw new Error('no such table')
  context.step('plan')
  return { done: true }
})

interface Written {
  readonly brokers: string
  /** What must be in the topics, made from what the log holds. */
  readonly dashstream: readonly Message[]
  readonly chat: readonly Message[]
}

let written: Promise<Written & AsyncDisposable> | undefined
after(async () => (await written)?.[Symbol.asyncDispose]())

/** Two runs of one thread in Kafka, once for all tests; undefined when this one is skipped. */
async function writtenOrSkip(t: TestContext, reason: string | undefined): Promise<Written | undefined> {
  const kcat = onPath('kcat') === undefined ? 'kcat is not installed: sudo apt-get install kcat' : undefined
  if (!needs(t, 'kafka', kafka.missing()) || !needs(t, 'kcat', kcat) || !needs(t, 'readers', reason)) return undefined
  return await (written ??= write())
}

async function write(): Promise<Written & AsyncDisposable> {
  const broker = await kafka.startKafka()
  await using log = memory()
  await using runs = createRuns({ log, agents: [agent] as unknown as Agent[], deps: realDeps })
  const dashstream: Message[] = []
  const chat: Message[] = []
  let threadBase = 0
  for (const fail of [true, false]) {
    const { run_id: id } = await runs.start('sales', { fail }, { thread: 't1' })
    const events: Event[] = []
    for await (const batch of runs.tail(id)) events.push(...batch.events)
    dashstream.push(...dashstreamEncoder({ run: id, tenant: 'default', thread: 't1', threadBase })(events))
    chat.push(...chatEncoder({ run: id, tenant: 'default', thread: 't1', threadBase })(events))
    threadBase += events.length
  }
  const kinds = new Set(dashstream.map(({ kind }) => kind))
  assert.deepEqual(kinds, new Set(Object.keys(dashTopics).filter(kind => kind !== 'eventBatch')), 'all that we write')
  for (const [format, { length }] of [
    ['dashstream', dashstream],
    ['chat', chat],
  ] as const) {
    await using sink = kafkaSink({ log, tenants: ['default'], format, brokers: broker.brokers, deps: realDeps })
    await sink.opened
    const sent = () => Object.values(sink.counters().kinds).reduce((sum, kind) => sum + kind.sent, 0)
    for (let waited = 0; sent() < length; waited += 20) {
      assert.ok(waited < sendMsMax, `${sent()} of ${length} messages were sent`)
      await sleep(20)
    }
  }
  return Object.assign(broker, { brokers: broker.brokers.join(), dashstream, chat })
}

/** Two runs are there in milliseconds; a machine that does other things may take seconds. */
const sendMsMax = 60_000

/** What the Rust consumer must print of a message, by what our own runtime reads in it. */
function rustLine(message: Message): Record<string, string> {
  const { kind, payload } = message
  const { value } = fromBinary(DashStreamMessageSchema, unframe(payload).body).message
  assert.ok(value?.header !== undefined)
  const { threadId, sequence, runId, runSequence } = value.header
  const name = kind.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
  const json = jsonOf(DashStreamMessageSchema, unframe(payload).body)[name] as Record<string, unknown>
  const texts: Record<string, unknown> = {
    event: json['event_type'],
    stateDiff: `${Array.isArray(json['operations']) ? json['operations'].length : 0} operations`,
    tokenChunk: json['text'],
    toolExecution: json['tool_name'],
    checkpoint: json['state_type'] ?? '',
    metrics: json['scope'],
    error: json['message'],
    executionTrace: json['execution_id'],
  }
  return {
    kind: name,
    text: String(texts[kind]),
    thread_id: threadId,
    sequence: String(sequence),
    run_id: runId,
    run_sequence: String(runSequence),
    unknown_bytes: '0',
  }
}

function chatTexts({ chat }: Pick<Written, 'chat'>): Message[] {
  return chat.filter(({ topic }) => topic === 'text')
}

/** What protobuf's JSON says of a message, by our own runtime: the judge of what others read. */
function jsonOf(schema: DescMessage, body: Uint8Array): Record<string, unknown> {
  return parse(JSON.stringify(toJson(schema, fromBinary(schema, body), { useProtoFieldName: true })))
}

/** As `kcat -f '%R%s'` writes it. */
function record(payload: Uint8Array | null): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(payload?.length ?? -1)
  return Buffer.concat([length, payload ?? Buffer.alloc(0)])
}

function linesOf(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(parse)
}

/** The one field of 32 bits that we write is printed with as many digits as each language likes. */
function parse(json: string): Record<string, unknown> {
  return JSON.parse(json, (key, value) => (key === 'compression_ratio' ? Math.fround(value) : value))
}

/** The text of the document's block with this heading, the `nth` of them. */
function block(heading: string, nth = 0): string {
  const found = [...document.matchAll(/^```(.+)\n([^]*?)^```$/gm)].filter(([, name]) => name === heading)[nth]
  return found?.[2] ?? assert.fail(`docs/other-languages.md has no block ${heading}`)
}

/** `…` stands for what differs from time to time. */
function assertShows(printed: string, promised: string): void {
  const parts = promised
    .trimEnd()
    .split('…')
    .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  assert.match(printed, new RegExp(`^${parts.join('[^]*?')}`))
}

interface Place {
  readonly cwd: string
  readonly brokers?: string
}

/** Runs lines of the document as a shell does, and fails where one of them fails. */
async function run(script: string, place: Place): Promise<string> {
  const done = await ended(script, place)
  assert.equal(done.code, 0, `${script}\n${done.stdout.slice(-2_000)}${done.stderr}`)
  return done.stdout
}

function ended(
  script: string,
  { cwd, brokers = '' }: Place,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const python = pythonFolder()
  const env = {
    ...process.env,
    PATH: [...(python === undefined ? [] : [python]), ...folders()].join(delimiter),
    CARGO_TARGET_DIR: join(root, '.cache/rust'),
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PYTHONDONTWRITEBYTECODE: '1',
  }
  const options = { cwd, env, timeout: commandMsMax, maxBuffer: 64 * 1024 * 1024 }
  return new Promise(resolve => {
    const lines = script.replaceAll('127.0.0.1:9092', brokers)
    execFile('bash', ['-eo', 'pipefail', '-c', lines], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    })
  })
}

const cargoRun = 'cargo run --quiet --locked --manifest-path consumers/rust/Cargo.toml'

/** What of a clone the commands need, where they may leave files. */
function clonedSchemas(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'runcast-languages-'))
  for (const name of ['proto', 'schemas']) {
    // Links stay what they are, or what is generated behind them would land in our own folders.
    cpSync(join(root, name), join(path, name), { recursive: true, verbatimSymlinks: true })
  }
  for (const name of ['consume.py', 'requirements.txt']) {
    cpSync(join(root, 'consumers/python', name), join(path, 'consumers/python', name))
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** The folder of a python3 that has what the consumer needs: the one that CI makes, or one on the path. */
function pythonFolder(): string | undefined {
  pythonFound ??= [join(root, '.cache/python/ci/bin'), ...folders()].find(folder => {
    const python = join(folder, 'python3')
    return isExecutable(python) && spawnSync(python, ['-c', 'import grpc_tools, zstandard']).status === 0
  })
  return pythonFound
}
let pythonFound: string | undefined

function missingPython(): string | undefined {
  if (pythonFolder() !== undefined) return undefined
  const venv = '.cache/python/ci'
  return `no python3 here has grpcio-tools and zstandard: python3 -m venv ${venv} && ${venv}/bin/pip install -r consumers/python/requirements.txt`
}

function missingProtoc(): string | undefined {
  return onPath('protoc') === undefined ? 'protoc is not installed: sudo apt-get install protobuf-compiler' : undefined
}

/** Rust is asked for where it is there, and nowhere else: its toolchain is in no package of Debian 12 that is new enough. */
function hasCargo(t: TestContext): boolean {
  const asked = /^rust-version = "1\.(\d+)"$/m.exec(readFileSync(join(root, 'consumers/rust/Cargo.toml'), 'utf8'))?.[1]
  const version = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  const minor = Number(/^cargo 1\.(\d+)/.exec(version.stdout ?? '')?.[1] ?? 0)
  if (minor >= Number(asked)) return true
  t.skip(`cargo is ${minor === 0 ? 'not installed' : `1.${minor}`}: install Rust 1.${asked} or newer`)
  return false
}

/** Those of npm packages aside, whose programs may be downloaders of the real ones. */
function folders(): string[] {
  return (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
}

function onPath(name: string): string | undefined {
  return folders()
    .map(folder => join(folder, name))
    .find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
