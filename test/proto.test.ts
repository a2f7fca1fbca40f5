// The schemas themselves: the published numbers, the specification's own commands, and other readers (protoc, Python)
// over our bytes. What needs a tool that is not there is skipped with the command that installs it;
// RUNCAST_REQUIRE=all makes that a failure.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { create, type DescFile, fromBinary, toBinary } from '@bufbuild/protobuf'
import { decodeChatEvent, encodeChatEvent, isoFromTimestamp, timestampFromIso } from '../src/formats/chat-codec.ts'
import { encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { unframe } from '../src/formats/dashstream-frame.ts'
import { file_chat_v1_chat, MessageSchema } from '../src/gen/chat/v1/chat_pb.ts'
import { file_chat_v1_events } from '../src/gen/chat/v1/events_pb.ts'
import { file_dashstream_v1_dashstream } from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { kinds, sample } from './dashstream-samples.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const golden: Record<string, { text: string; hex: string }> = JSON.parse(
  readFileSync(join(root, 'test/fixtures/dashstream.json'), 'utf8'),
)

test('DF1 DF2 every field and enum of dashstream.v1 has its published number', () => {
  assert.deepEqual(contract(file_dashstream_v1_dashstream), published('dashstream.v1'))
})

test('ON1 every field and enum of chat.v1 has its published number', () => {
  assert.deepEqual([...contract(file_chat_v1_chat), ...contract(file_chat_v1_events)].sort(), published('chat.v1'))
})

test('DF1 DF37 protoc reads the nine kinds from our bytes, and writes the same bytes from their text', t => {
  const protoc = need(t, onPath('protoc'), 'protoc', 'apt-get install -y protobuf-compiler')
  if (protoc === undefined) return
  const args = ['-I', join(root, 'proto'), 'dashstream/v1/dashstream.proto']
  for (const kind of kinds) {
    const body = unframe(encodeDashStream(sample(kind))).body
    const text = run(protoc, ['--decode=dashstream.v1.DashStreamMessage', ...args], { input: body })
    assert.equal(text.toString(), golden[kind]?.text, kind)
    const bytes = run(protoc, ['--encode=dashstream.v1.DashStreamMessage', ...args], { input: text })
    assert.deepEqual(bytes, Buffer.from(body), kind)
  }
})

test('ON1 ON14 protoc reads our chat.v1 events, each with its number and a UTC Timestamp', t => {
  const protoc = need(t, onPath('protoc'), 'protoc', 'apt-get install -y protobuf-compiler')
  if (protoc === undefined) return
  for (const [event, expected] of chatEvents) {
    const bytes = encodeChatEvent({ ...envelope, event })
    assert.equal(decodeChatEvent(bytes).event.case, event.case)
    const text = run(protoc, ['--decode=chat.v1.EventEnvelope', '-I', join(root, 'proto'), 'chat/v1/events.proto'], {
      input: bytes,
    }).toString()
    assert.ok(
      text.startsWith('timestamp {\n  seconds: 1763733333\n  nanos: 123000000\n}\nconversation_id: "c-1"\n'),
      text,
    )
    assert.ok(text.replace(/\s+/g, ' ').includes(expected), `${text}\n${expected}`)
  }
})

test('ON14 a time is UTC in and out, and one without zone is refused', () => {
  for (const iso of [
    '2025-11-21T13:55:33.123Z',
    '1969-12-31T23:59:59.999Z',
    '2025-01-01T00:00:00.123456789Z',
    '2025-01-01T00:00:00.000Z',
  ])
    assert.equal(isoFromTimestamp(timestampFromIso(iso)), iso)
  assert.equal(isoFromTimestamp(timestampFromIso('2025-11-21T14:55:33+01:00')), '2025-11-21T13:55:33.000Z')
  assert.throws(() => timestampFromIso('2025-11-21T13:55:33'), /zone/)
  assert.throws(
    () => encodeChatEvent({ ...envelope, timestamp: { seconds: 253_402_300_800n }, event: chatEvents[0]![0] }),
    /no google.protobuf.Timestamp/,
  )
})

test('ON1 an envelope without event, conversation or time is refused, and damage has a reason', () => {
  const event = chatEvents[0]![0]
  assert.throws(() => encodeChatEvent(envelope), /no event/)
  assert.throws(() => encodeChatEvent({ ...envelope, conversationId: ' ', event }), /conversation_id is blank/)
  assert.throws(() => encodeChatEvent({ conversationId: 'c', event }), /no timestamp/)
  assert.throws(() => decodeChatEvent(new Uint8Array()), { details: { reason: 'schema_error' } })
  assert.throws(() => decodeChatEvent(Uint8Array.of(0x12, 0x05, 0x61)), { details: { reason: 'decode_error' } })
})

test('ON9 ON10 a message with each kind of block survives its protobuf', () => {
  const message = fromBinary(
    MessageSchema,
    toBinary(
      MessageSchema,
      create(MessageSchema, {
        id: 'msg_123',
        conversationId: 'conv_456',
        role: 'assistant',
        timestamp: timestampFromIso('2025-10-29T10:30:00Z'),
        content: [
          { id: 'b1', block: { case: 'text', value: { text: 'Here is your chart', position: 1 } } },
          { id: 'b2', block: { case: 'chart', value: { chartType: 'bar', configJson: '{}', dataPoints: 3 } } },
          { id: 'b3', block: { case: 'tool', value: { callId: 'c', toolName: 't', stage: 'completed' } } },
          { id: 'b4', block: { case: 'item', value: { value: { case: 'dataJson', value: 'null' } } } },
          { id: 'b5', block: { case: 'custom', value: { name: 'fraud', dataJson: '{}' } } },
        ],
        metadata: {
          tasks: [{ taskId: 'task_1', scenario: 'chart_generation', state: 'completed' }],
          executionTimeMs: 2_500n,
          tokensUsed: 1_200n,
          errors: [{ severity: 2, errorCode: 'E', message: 'm' }],
        },
      }),
    ),
  )
  assert.deepEqual(
    message.content.map(block => [block.id, block.block.case]),
    [
      ['b1', 'text'],
      ['b2', 'chart'],
      ['b3', 'tool'],
      ['b4', 'item'],
      ['b5', 'custom'],
    ],
  )
  assert.equal(message.metadata?.tokensUsed, 1_200n)
  assert.equal(message.metadata?.tasks[0]?.scenario, 'chart_generation')
  assert.equal(message.metadata?.errors[0]?.severity, 2)
})

test('ON18 the protoc commands of both specifications work as they are written', t => {
  const protoc = need(t, onPath('protoc'), 'protoc', 'apt-get install -y protobuf-compiler')
  if (protoc === undefined) return
  using checkout = schemasOnly()
  // protoc itself makes no Rust; that its command finds and reads the file shows with a descriptor in its place.
  run(protoc, ['--descriptor_set_out=rust.binpb', 'proto/dashstream.proto'], { cwd: checkout.path })
  const chat = readdirSync(join(checkout.path, 'schemas/chat/v1')).map(name => `schemas/chat/v1/${name}`)
  run(protoc, ['--python_out=out', '--pyi_out=out', '--proto_path=.', ...chat], { cwd: checkout.path })
  for (const name of ['events', 'chat'])
    for (const made of [`${name}_pb2.py`, `${name}_pb2.pyi`])
      assert.ok(existsSync(join(checkout.path, 'out/schemas/chat/v1', made)), made)
})

test('DF37 ON18 the Python that the specification generates reads our records', t => {
  const python = need(t, withGrpcTools(), 'grpcio-tools', 'pip install grpcio-tools')
  if (python === undefined) return
  using checkout = schemasOnly()
  const command = [
    '-m',
    'grpc_tools.protoc',
    '-I./proto',
    '--python_out=.',
    '--grpc_python_out=.',
    'proto/dashstream.proto',
  ]
  run(python, command, { cwd: checkout.path })
  for (const kind of kinds)
    writeFileSync(join(checkout.path, `${kind}.bin`), unframe(encodeDashStream(sample(kind))).body)
  const out = run(python, ['-c', pythonReader, ...kinds], { cwd: checkout.path }).toString()
  assert.deepEqual(
    out.trim().split('\n'),
    kinds.map(kind => `${kind.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`)} thread-ü-1 run-1 ${golden[kind]?.hex}`),
  )
})

test('ON15 a chat.v2 lives beside chat.v1 in one set of schemas', t => {
  const protoc = need(t, onPath('protoc'), 'protoc', 'apt-get install -y protobuf-compiler')
  if (protoc === undefined) return
  using checkout = schemasOnly()
  cpSync(join(checkout.path, 'proto/chat/v1'), join(checkout.path, 'proto/chat/v2'), { recursive: true })
  const v2 = join(checkout.path, 'proto/chat/v2/events.proto')
  writeFileSync(v2, readFileSync(v2, 'utf8').replace('package chat.v1;', 'package chat.v2;'))
  const files = ['proto/chat/v1/events.proto', 'proto/chat/v1/chat.proto', 'proto/chat/v2/events.proto']
  run(protoc, ['--descriptor_set_out=both.binpb', '-I', 'proto', ...files], { cwd: checkout.path })
})

test('DF7 the schemas pass buf lint, and buf breaking refuses a changed number', () => {
  assert.equal(buf(['lint']).status, 0)
  using checkout = schemasOnly()
  cpSync(join(root, 'buf.yaml'), join(checkout.path, 'buf.yaml'))
  const against = ['breaking', checkout.path, '--against', root]
  assert.equal(buf(against).status, 0)
  const file = join(checkout.path, 'proto/dashstream/v1/dashstream.proto')
  writeFileSync(file, readFileSync(file, 'utf8').replace('string tenant_id = 3;', 'string tenant_id = 33;'))
  const broken = buf(against)
  assert.equal(broken.status, 100)
  assert.match(broken.stdout, /field "3"/)
})

test('the generated code is what the schemas generate', () => {
  using fresh = temporary()
  const made = buf(['generate', '--output', fresh.path])
  assert.equal(made.status, 0, made.stderr)
  for (const name of ['dashstream/v1/dashstream_pb.ts', 'chat/v1/events_pb.ts', 'chat/v1/chat_pb.ts'])
    assert.equal(
      readFileSync(join(fresh.path, 'src/gen', name), 'utf8'),
      readFileSync(join(root, 'src/gen', name), 'utf8'),
      name,
    )
})

const envelope = {
  timestamp: timestampFromIso('2025-11-21T13:55:33.123Z'),
  conversationId: 'c-1',
  taskId: 't-1',
  scenario: 'chart_generation',
  userId: 'u-1',
  companyId: 'co-1',
}

type ChatEvent = NonNullable<Exclude<Parameters<typeof encodeChatEvent>[0]['event'], undefined>>

/** Each event, and a piece of the text that protoc makes of it. */
const chatEvents: [ChatEvent, string][] = [
  [
    { case: 'status', value: { step: 's', description: 'd', progressPercent: 40, metadata: { k: 'v' } } },
    'status { step: "s" description: "d" progress_percent: 40 metadata { key: "k" value: "v" } }',
  ],
  [
    { case: 'text', value: { content: 'Sales increased in Q4', language: 'en', position: 2 } },
    'text { content: "Sales increased in Q4" language: "en" position: AFTER }',
  ],
  [
    {
      case: 'chart',
      value: { chartType: 'bar', configJson: '{}', metadata: { title: 't', dataPoints: 4, dataSource: 'db' } },
    },
    'chart { chart_type: "bar" config_json: "{}" metadata { title: "t" data_points: 4 data_source: "db" } }',
  ],
  [
    {
      case: 'error',
      value: { severity: 2, errorCode: 'E', message: 'm', stepName: 's', recoverable: true, retryCount: 2 },
    },
    'error { severity: CRITICAL error_code: "E" message: "m" step_name: "s" recoverable: true retry_count: 2 }',
  ],
  [
    {
      case: 'completion',
      value: { type: 2, summary: 's', resultIds: ['a', 'b'], executionTimeMs: 9_007_199_254_740_993n },
    },
    'completion { type: TASK_FAILED summary: "s" result_ids: "a" result_ids: "b" execution_time_ms: 9007199254740993 }',
  ],
]

const pythonReader = `
import sys, io
import dashstream_pb2
sys.stdout.reconfigure(encoding='utf-8')
for kind in sys.argv[1:]:
    data = open(kind + '.bin', 'rb').read()
    message = dashstream_pb2.DashStreamMessage.FromString(data)
    name = message.WhichOneof('message')
    header = getattr(message, name).header
    print(name, header.thread_id, header.run_id, message.SerializeToString(deterministic=True).hex())
`

/** `Message.field number type` for every field, `Enum.VALUE number` for every value. */
function contract(file: DescFile): string[] {
  const lines: string[] = []
  const enums = [...file.enums]
  const messages = [...file.messages]
  for (const message of messages) {
    enums.push(...message.nestedEnums)
    for (const field of message.fields) lines.push(`${message.typeName} ${field.name} ${field.number}`)
  }
  for (const one of enums) for (const value of one.values) lines.push(`${one.typeName} ${value.name} ${value.number}`)
  return lines.sort()
}

/** The frozen list: a line is added with a new field, and never changed. */
function published(name: string): string[] {
  return readFileSync(join(root, 'test/fixtures', `${name}.txt`), 'utf8')
    .trim()
    .split('\n')
}

function run(command: string, args: string[], options: { cwd?: string; input?: Uint8Array } = {}): Buffer {
  const done = spawnSync(command, args, options)
  assert.equal(done.status, 0, `${command} ${args.join(' ')}\n${done.stderr.toString()}`)
  return done.stdout
}

function buf(args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` }
  return spawnSync(process.execPath, [join(root, 'node_modules/@bufbuild/buf/bin/buf'), ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
}

/** A folder with the schemas as a checkout has them, where generated files may be left. */
function schemasOnly(): { path: string; [Symbol.dispose](): void } {
  const folder = temporary()
  cpSync(join(root, 'proto'), join(folder.path, 'proto'), { recursive: true, dereference: true })
  cpSync(join(root, 'schemas'), join(folder.path, 'schemas'), { recursive: true, dereference: true })
  mkdirSync(join(folder.path, 'out'))
  return folder
}

function temporary(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'runcast-proto-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** The tool, or `undefined` after the test was skipped with the way to get it. */
function need(t: TestContext, tool: string | undefined, name: string, install: string): string | undefined {
  if (tool !== undefined) return tool
  assert.notEqual(process.env['RUNCAST_REQUIRE'], 'all', `${name} is required: ${install}`)
  t.skip(`${name} is not installed: ${install}`)
  return undefined
}

/** A program on the path; those of npm packages aside, which may be downloaders of the real one. */
function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function withGrpcTools(): string | undefined {
  const python = onPath('python3')
  return python !== undefined && spawnSync(python, ['-c', 'import grpc_tools']).status === 0 ? python : undefined
}
