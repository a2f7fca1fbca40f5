// Runs as DashStream messages and back: exactly, with the numbers of their thread, and for topics that others write as far
// as they say so. What the format suite judges for every format is not repeated here.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Body, Event } from '../src/event.ts'
import { dashstreamDecoder, dashstreamEncoder } from '../src/formats/dashstream.ts'
import { RuncastError } from '../src/error.ts'
import { readOwnToken } from '../src/formats/dashstream-hot-token.ts'
import { createSeen } from '../src/formats/dashstream-seen.ts'
import { type DashStreamInput, decodeDashStream, encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { EventType } from '../src/gen/dashstream/v1/dashstream_pb.ts'
import { unframe } from '../src/formats/dashstream-frame.ts'
import { lanesMax, reorderWindow } from '../src/formats/dashstream-order.ts'
import { type Decoded, type Decoder, type Message, runsOf } from '../src/formats/format.ts'
import { canonicalJson } from '../src/state/canonical.ts'
import { emptyView, fold } from '../src/state/fold.ts'
import { stateHash } from '../src/state/hash.ts'
import { arbitraryRun, eventsOf } from './arbitrary-events.ts'
import { protocReader } from './protoc-reader.ts'
import { everything } from './suites/format.suite.ts'

const identity = { run: 'r1', tenant: 'acme', thread: 't1', threadBase: 100 }

test('DF1 DF2 DF11 any run comes back exactly, also what only memory holds, and its messages pass the strict reader', () => {
  fc.assert(
    fc.property(arbitraryRun(), events => {
      const messages = dashstreamEncoder(identity)(events)
      assert.deepEqual(runsOf(dashstreamDecoder(), payloads(messages)).runs[0]?.events ?? [], events)
      for (const { id, payload } of messages) {
        assert.equal(hex(decodeDashStream(payload).message.value?.header?.messageId), id)
      }
    }),
    { numRuns: 300 },
  )
})

test('DF7 H14 events whose values no schema knows come back exactly too', () => {
  const events = eventsOf([
    { type: 'custom', name: 'newer', data: { a: 1 }, other: JSON.parse('{"status":"x","__proto__":{"a":1}}') },
    { type: 'custom', name: 'charts', data: 'not ours' },
    { type: 'token', content: 'half \ud83d', finish_reason: 'tomorrow', more: { a: 1 } },
    { type: 'token', content: 'a', channel: 'reasoning', finish_reason: '9', stats: 1 },
    {
      type: 'token',
      content: 'a',
      finish_reason: 'none',
      stats: { prompt_tokens: 1, completion_tokens: 0, total_tokens: 1 },
    },
    { type: 'warning', code: 'c', message: 'm', severity: 'apocalyptic', retry_count: 1e20 },
    { type: 'metrics', scope: 'llm', metrics: { x: { value: 1e300, kind: 'tomorrow', more: 1 } }, tags: { a: 5 } },
    { type: 'tool', call_id: 'c', tool_name: 't', stage: 'tomorrow', duration_ms: 0.0001, retry_count: -1 },
    { type: 'progress', step: 's', progress: 0.07 },
    { type: 'step', node_name: 'n', phase: 'tomorrow', duration_ms: 12.3456789 },
    { type: 'text', content: 'x', data_json: '{bad', position: 'sideways' },
  ] as unknown as Body[])
  // A stranger's time may be finer than ours.
  const fine = events.with(3, { ...(events[3] as Event), timestamp: '2026-01-01T00:00:00.030456789Z' })
  assert.deepEqual(roundTrip(fine), fine)
})

test('DF2 H24 numbers of a thread are dense over its runs, and only a main message has one', () => {
  const first = dashstreamEncoder({ ...identity, threadBase: 0 })(everything)
  const second = dashstreamEncoder({ ...identity, run: 'r2', threadBase: everything.length })(as('r2', everything))
  const headers = [...first, ...second].map(headerOf)
  const numbers = headers.filter(header => header.sequence > 0n).map(header => Number(header.sequence))
  assert.deepEqual(
    numbers,
    Array.from({ length: 2 * everything.length }, (_, i) => i + 1),
  )
  for (const header of headers) {
    assert.equal(header.sequence === 0n, header.runSequence === 0n)
    assert.deepEqual(
      [header.tenantId, header.threadId, header.schemaVersion, header.messageId.length],
      ['acme', 't1', 1, 16],
    )
  }
})

test('DF2 an id is a UUID, ordered by time, the same at a second export, and its node part is constant', () => {
  const ids = dashstreamEncoder(identity)(everything)
    .filter(message => headerOf(message).sequence > 0n)
    .map(message => message.id)
  assert.deepEqual(ids, ids.toSorted())
  for (const id of ids) assert.match(id, /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
  assert.equal(new Set(ids.map(id => id.slice(14, 24))).size, 1)
  assert.deepEqual(dashstreamEncoder(identity)(everything).map(idOf), dashstreamEncoder(identity)(everything).map(idOf))
  const other = dashstreamEncoder({ ...identity, run: 'r2' })(as('r2', everything)).map(idOf)
  assert.equal(new Set([...ids, ...other]).size, ids.length + other.length)
})

test('DF17 DF19 a failure is an Error too, and the end an ExecutionTrace, both caused by the event they came from', () => {
  const events = eventsOf([
    { type: 'started', agent_name: 'a', framework: 'f' },
    { type: 'step', node_name: 'load', phase: 'start' },
    { type: 'step', node_name: 'load', phase: 'end', duration_ms: 7 },
    { type: 'state', version: 1, base_version: 0, snapshot: { n: 1 } },
    { type: 'metrics', scope: 'llm', metrics: { tokens_total: { value: 12 } } },
    { type: 'warning', code: 'slow', message: 'Slow', severity: 'info', step: 'load', details: { ms: 5 } },
    {
      type: 'error',
      error: 'broke',
      code: 'agent_error',
      severity: 'critical',
      details: { stack: 'at x', suggestions: ['retry'] },
    },
  ])
  const messages = dashstreamEncoder(identity)(events)
  assert.deepEqual(
    messages.slice(-5).map(message => [message.kind, message.topic]),
    [
      ['event', 'events'],
      ['error', 'errors'],
      ['event', 'events'],
      ['error', 'errors'],
      ['executionTrace', 'events'],
    ],
  )
  const [slow, failed, broke, fatal, trace] = messages.slice(-5)
  assert.deepEqual(hex(headerOf(fatal).parentId), broke?.id)
  assert.deepEqual(hex(headerOf(failed).parentId), slow?.id)
  const error = valueOf(fatal, 'error')
  assert.deepEqual(
    [error.errorCode, error.message, error.severity, error.stackTrace, error.suggestions],
    ['agent_error', 'broke', 5, 'at x', ['retry']],
  )
  assert.deepEqual(valueOf(failed, 'error').context, { ms: '5', step: 'load' })
  const summary = valueOf(trace, 'executionTrace')
  assert.equal(summary.completed, false)
  assert.equal(summary.totalTokens, 12n)
  assert.equal(summary.totalDurationMs, 60n)
  assert.deepEqual(
    summary.nodesExecuted.map(node => [node.node, node.durationMs, node.succeeded]),
    [['load', 7n, true]],
  )
  assert.deepEqual(
    summary.errors.map(one => [one.errorCode, one.recovered]),
    [
      ['slow', true],
      ['agent_error', false],
    ],
  )
  assert.equal(text(summary.finalState), '{"n":1}')
})

test('DF11 DF15 DF16 DF18 each event is the message of the mapping table', () => {
  const messages = dashstreamEncoder(identity)(everything)
  const main = messages.filter(message => headerOf(message).sequence > 0n)
  const told = main.map(message => {
    const { message: kind } = decodeDashStream(message.payload)
    return kind.case === 'event' ? `event ${kind.value.eventType}` : kind.case
  })
  const expected =
    'event 1,event 10,event 80,event 81,tokenChunk,tokenChunk,metrics,toolExecution,event 40,toolExecution,stateDiff,stateDiff,checkpoint,' +
    'event 82,event 82,event 82,event 82,event 83,event 70,event 71,event 82,event 11,event 2'
  assert.deepEqual(told.join(), expected)
  const token = valueOf(main[5], 'tokenChunk')
  assert.deepEqual(
    [token.text, token.requestId, token.chunkIndex, token.isFinal, token.finishReason, token.model],
    [' you', 'q1', 2, true, 1, 'm'],
  )
  assert.equal(headerOf(main[5]).runcastFields.length, 0, 'a usual token needs no extra bytes')
  const tool = valueOf(main[9], 'toolExecution')
  assert.deepEqual(
    [tool.stage, text(tool.arguments), text(tool.result), tool.durationUs, tool.retryCount],
    [3, '{"q":1}', '[1,2]', 1500n, 2],
  )
  const metrics = valueOf(main[6], 'metrics').metrics
  assert.deepEqual(metrics['tokens_total']?.value, { case: 'intValue', value: 12n })
  assert.deepEqual([metrics['tokens_total']?.unit, metrics['tokens_total']?.type], ['tokens', 1])
  const cancelled = dashstreamEncoder(identity)(eventsOf([{ type: 'cancelled', reason: 'enough' }]))
  const end = valueOf(cancelled[0], 'event')
  assert.deepEqual([end.eventType, end.attributes['status']?.value.value], [2, 'cancelled'])
})

test('DF14 H81 a checkpoint is compressed above 512 bytes, with its checksum, and a wrong one is refused', () => {
  for (const [size, compressed] of [
    [510, false],
    [511, true],
  ] as const) {
    // Two quotes come on top.
    const events = eventsOf([{ type: 'checkpoint', name: 'c', data: 'x'.repeat(size) }])
    const [message] = dashstreamEncoder(identity)(events)
    const { state, compressionInfo, checksum } = valueOf(message, 'checkpoint')
    assert.equal(compressionInfo !== undefined, compressed)
    if (compressionInfo)
      assert.deepEqual(
        [compressionInfo.type, compressionInfo.uncompressedSize, compressionInfo.compressedSize],
        [1, 513n, BigInt(state.length)],
      )
    assert.equal(
      hex(checksum),
      createHash('sha256')
        .update(JSON.stringify('x'.repeat(size)))
        .digest('hex'),
    )
    assert.deepEqual(roundTrip(events), events)
  }
  const state = Buffer.from('{"n":1}')
  const header = foreign(5, 1)
  const wrong = { header, checkpointId: Uint8Array.of(1), state, checksum: new Uint8Array(32) }
  assert.throws(() => push({ case: 'checkpoint', value: wrong }), /checksum/)
  const lz4 = { header, state, compressionInfo: { type: 2 } }
  assert.throws(() => push({ case: 'checkpoint', value: lz4 }), /compression is 2/)
  const lies = { header, state, compressionInfo: { type: 1, uncompressedSize: 7n } }
  assert.throws(() => push({ case: 'checkpoint', value: lies }), { details: { reason: 'decompression_error' } })
})

test('DF12 DF13 H80 a diff tells the hash of its state, and every k-th version a checkpoint that later diffs name', () => {
  const bodies: Body[] = [{ type: 'state', version: 1, base_version: 0, snapshot: { n: 0 } }]
  for (let version = 2; version <= 12; version++)
    bodies.push({
      type: 'state',
      version,
      base_version: version - 1,
      ops: [{ op: 'replace', path: '/n', value: version }],
    })
  const events = eventsOf(bodies)
  const messages = dashstreamEncoder({ ...identity, checkpointEvery: 5 })(events)
  const diffs = messages.filter(message => message.kind === 'stateDiff').map(message => valueOf(message, 'stateDiff'))
  assert.equal(hex(diffs.at(-1)?.stateHash), stateHash({ n: 12 }))
  assert.equal(
    hex(diffs[3]?.stateHash),
    createHash('sha256')
      .update(canonicalJson({ n: 4 }))
      .digest('hex'),
  )
  const checkpoints = messages.filter(message => message.kind === 'checkpoint')
  assert.deepEqual(
    checkpoints.map(message => [message.sequence, text(valueOf(message, 'checkpoint').state)]),
    [
      [5, '{"n":5}'],
      [10, '{"n":10}'],
    ],
  )
  const bases = diffs.map(diff => hex(diff.baseCheckpointId))
  const [five, ten] = checkpoints.map(message => hex(valueOf(message, 'checkpoint').checkpointId))
  assert.deepEqual(bases, ['', '', '', '', '', five, five, five, five, five, ten, ten])
  assert.deepEqual(runsOf(dashstreamDecoder(), payloads(messages)).runs[0]?.events, events)
})

test('H82 a diff names no checkpoint that was never sent: of an uncertain state, of a version left out, or one too large', () => {
  const state = (version: number, base_version: number, more: object) =>
    ({ type: 'state', version, base_version, ...more }) as Body
  const put = (path: string, value: unknown) => ({ ops: [{ op: 'add', path, value }] })
  const begun = [state(1, 0, { snapshot: { n: 0 } }), state(2, 1, put('/n', 2))]
  const noise = () => randomBytes(700_000).toString('base64')
  const bodies = {
    uncertain: [
      ...begun,
      state(3, 2, put('/none/of', 1)),
      state(4, 3, put('/n', 4)),
      state(5, 4, put('/n', 5)),
      state(6, 5, { snapshot: { n: 6 } }),
    ],
    'left out': [...begun, state(6, 2, { snapshot: { n: 6 } })],
    'too large': [
      ...begun,
      state(3, 2, put('/a', noise())),
      state(4, 3, put('/b', noise())),
      state(5, 4, put('/n', 5)),
      state(6, 5, put('/n', 6)),
    ],
  }
  for (const [why, before] of Object.entries(bodies)) {
    const after = [7, 8, 9, 10, 11].map(version => state(version, version - 1, put(`/${version}`, 0)))
    const small = [state(12, 11, { snapshot: {} }), state(13, 12, put('/n', 13)), state(14, 13, put('/n', 14))]
    const events = eventsOf([...before, ...after, ...small, state(15, 14, put('/n', 15)), state(16, 15, put('/n', 16))])
    const sent = new Set([''])
    const named: string[] = []
    for (const message of dashstreamEncoder({ ...identity, checkpointEvery: 5 })(events)) {
      if (message.kind === 'checkpoint') sent.add(hex(valueOf(message, 'checkpoint').checkpointId))
      else if (message.kind === 'stateDiff') named.push(hex(valueOf(message, 'stateDiff').baseCheckpointId))
    }
    assert.deepEqual(
      named.filter(id => !sent.has(id)),
      [],
      why,
    )
    assert.ok(sent.has(named.at(-1) ?? '') && named.at(-1) !== '', `${why}: a checkpoint is named again`)
  }
})

test('DF13 of a large state only every k-th version is hashed, and the events come back without hash either way', () => {
  const large = { text: 'x'.repeat(100_000) }
  const bodies: Body[] = [{ type: 'state', version: 1, base_version: 0, snapshot: large }]
  for (let version = 2; version <= 16; version++)
    bodies.push({
      type: 'state',
      version,
      base_version: version - 1,
      ops: [{ op: 'add', path: '/n', value: version }],
    })
  const messages = dashstreamEncoder(identity)(eventsOf(bodies))
  const hashed = messages.map(message => valueOf(message, 'stateDiff').stateHash.length)
  assert.deepEqual(hashed, [...Array.from({ length: 15 }, () => 0), 32])
  assert.deepEqual(roundTrip(eventsOf(bodies)), eventsOf(bodies))
})

test('H17 H18 H19 a value that is no JSON, no UTF-8, or in an encoding we do not read is refused, and RAW is text', () => {
  const diff = (value: Uint8Array, encoding = 0) =>
    push({ case: 'stateDiff', value: { header: foreign(2, 1), operations: [{ op: 0, path: '/a', value, encoding }] } })
  for (const [bytes, encoding] of [
    [Buffer.from('{bad'), 0],
    [Uint8Array.of(0x22, 0xff, 0x22), 0],
    [new Uint8Array(), 0],
    [Uint8Array.of(0xff), 3],
    [Buffer.from('1'), 1],
    [Buffer.from('1'), 2],
    [Buffer.from('1'), 9],
  ] as const)
    assert.throws(() => diff(bytes, encoding), /value/)
  for (const value of ['', 'grüß', '1'])
    assert.deepEqual(opsOf(diff(Buffer.from(value), 3)), [{ op: 'add', path: '/a', value }])
  assert.throws(
    () => push({ case: 'stateDiff', value: { header: foreign(2, 1), operations: [{ op: 9, path: '' }] } }),
    /op is 9/,
  )
  const own = { ...foreign(2, 1), runId: 'r1', runSequence: 1n, runcastFields: Buffer.from('[1]') }
  assert.throws(() => push({ case: 'stateDiff', value: { header: own } }), /runcast_fields/)
})

test('a run_id that could break a frame is refused, and a message of ours cannot speak for another run', () => {
  const value = { text: 'x' }
  for (const runId of ['a"b', 'a\nb', ' ', '-a', 'x'.repeat(129)]) {
    const header = { ...foreign(3, 1), runId, runSequence: 1n }
    assert.throws(() => push({ case: 'tokenChunk', value: { header, ...value } }), /run_id/)
  }
  const runcastFields = Buffer.from('{"run_id":"r2","sequence":9,"id":"r2:9","type":"complete","new_field":1}')
  const header = { ...foreign(3, 1), runId: 'r1', runSequence: 1n, runcastFields }
  const [batch] = push({ case: 'tokenChunk', value: { header, ...value } }).batches
  assert.deepEqual(batch?.events, [
    {
      id: 'r1:1',
      type: 'token',
      run_id: 'r1',
      sequence: 1,
      timestamp: '2026-01-01T00:00:00.001Z',
      content: 'x',
      new_field: 1,
    },
  ])
})

test('H14 a message that says it is ours, and that no log could take or no reader bear, is refused with a reason', () => {
  const refused = (message: { case: string; value: object }, fields: object, says: RegExp) => {
    const runcastFields = Buffer.from(JSON.stringify(fields))
    const header = { ...foreign(3, 1), runId: 'r1', runSequence: 1n, runcastFields }
    const act = () => push({ ...message, value: { header, ...message.value } })
    assert.throws(act, (error: RuncastError) => says.test(error.message) && error.details['reason'] === 'schema_error')
  }
  const told = { case: 'tokenChunk', value: { text: 'x' } }
  refused(told, { timestamp: 'never' }, /timestamp/)
  refused(told, { content: 5 }, /token\.content/)
  refused({ case: 'metrics', value: { scope: 'llm' } }, { metrics: null }, /metrics\.metrics/)
  refused({ case: 'toolExecution', value: { callId: 'c', toolName: 't', stage: 1 } }, { delta: null }, /tool\.delta/)
  const own = { case: 'event', value: { eventType: EventType.NODE_SUBSTEP } }
  for (const name of ['a\nb', 'a"b', '', 'complete', 'chart', 5]) refused(own, { name }, /name/)
})

test('H6 an event that no record can hold is replaced by one that says so, and its number is not missing', () => {
  const events = eventsOf([
    { type: 'started', agent_name: 'a', framework: 'f' },
    { type: 'text', content: randomText(1_200_000) },
    { type: 'complete', output: randomText(1_200_000), latency_seconds: 1 },
  ])
  const { runs, problems } = runsOf(dashstreamDecoder(), payloads(dashstreamEncoder(identity)(events)))
  assert.deepEqual(problems, [])
  assert.deepEqual(
    runs[0]?.events.map(event => event.type),
    ['started', 'custom', 'complete'],
  )
  const [, replaced, end] = runs[0]?.events ?? []
  assert.ok(replaced?.type === 'custom' && replaced.name === 'too_large')
  assert.equal((replaced.data as { type: string }).type, 'text')
  assert.ok(end?.type === 'complete' && end.output === null && end.metadata !== undefined)
})

test('H6 a final state that does not fit leaves the trace, not the trace the topic', () => {
  const half = () => ({ a: randomText(700_000) })
  const events = eventsOf([
    { type: 'state', version: 1, base_version: 0, snapshot: half() },
    { type: 'state', version: 2, base_version: 1, ops: [{ op: 'add', path: '/b', value: half() }] },
    { type: 'cancelled' },
  ])
  const messages = dashstreamEncoder(identity)(events)
  assert.equal(valueOf(messages.at(-1), 'executionTrace').finalState.length, 0)
})

// Topics that others write.

test('DF21 a stranger thread is a run from GRAPH_START to GRAPH_END, with the same id whenever it is read', () => {
  const read = () => runsOf(dashstreamDecoder(), strangers.map(encodeDashStream))
  const { runs, problems } = read()
  assert.deepEqual(problems, [])
  assert.deepEqual(
    runs.map(run => [run.thread, run.events.map(event => event.type), run.gaps]),
    [
      ['th', ['started', 'step', 'token', 'tool', 'state', 'metrics', 'custom', 'custom', 'warning', 'complete'], []],
      ['th', ['started', 'error'], []],
    ],
  )
  for (const run of runs) {
    assert.match(run.run_id, /^x-[0-9a-f]{32}$/)
    assert.deepEqual(
      run.events.map(event => event.sequence),
      run.events.map((_, i) => i + 1),
    )
  }
  assert.deepEqual(read(), { runs, problems })
  const view = fold(emptyView(), runs[0]?.events ?? [])
  assert.deepEqual(view.state, { value: { a: 1 }, version: 1, certain: true })
  const [unknown, edge] = runs[0]?.events.filter(event => event.type === 'custom') ?? []
  assert.deepEqual([unknown?.name, unknown?.data], ['event_type_999', { event_type: 999, node_id: 'n' }])
  assert.deepEqual(
    [edge?.name, edge?.data],
    ['edge_traversal', { event_type: 20, attributes: { big: '9007199254740993', list: [1, null] } }],
  )
})

test('H22 H134 a batch gives the same events as its messages alone, and its own number moves nothing', () => {
  const events = strangers.flatMap(({ message }) => (message?.case === 'event' ? [message.value] : []))
  const alone = runsOf(
    dashstreamDecoder(),
    events.map(value => encodeDashStream({ message: { case: 'event', value } } as DashStreamInput)),
  )
  const renumbered = alone.runs.map(run => run.events)
  const batch = { header: foreign(8, 0), events }
  const batched = runsOf(dashstreamDecoder(), [
    encodeDashStream({ message: { case: 'eventBatch', value: batch } } as DashStreamInput),
  ])
  assert.deepEqual(
    batched.runs.map(run => run.events),
    renumbered,
  )
})

test('H28 joining a thread at 7 or 500 is no gap unless asked from the beginning, and the first numbers may come late', () => {
  for (const first of [7, 500]) {
    const bytes = [token(first), token(first + 1)]
    const joined = runsOf(dashstreamDecoder(), bytes)
    assert.deepEqual([joined.problems, joined.runs[0]?.gaps], [[], []])
    const [gap] = runsOf(dashstreamDecoder({ fromBeginning: true }), bytes).problems
    assert.deepEqual([gap?.kind, gap?.missing], ['gap', BigInt(first - 1)])
  }
  // What has no number does not say where the numbers begin.
  const decoder = dashstreamDecoder()
  decoder.push(encode({ case: 'metrics', value: { header: foreign(6, 0), scope: 'graph' } }))
  assert.equal(eventsIn(decoder.push(token(500))).length, 1)
  const late = runsOf(dashstreamDecoder(), [token(3), token(1), token(2)])
  assert.equal(contents(late.runs[0]?.events), '1 2 3')
})

test('H35 H34 any order within the window is put in order, exactly once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), seed => {
      const count = 200
      const random = randomFrom(seed)
      const shuffled: number[] = []
      for (let from = 1; from <= count; from += reorderWindow) {
        const block = Array.from({ length: Math.min(reorderWindow, count - from + 1) }, (_, i) => from + i)
        shuffled.push(
          ...block
            .map(n => [random(), n] as const)
            .sort((a, b) => a[0] - b[0])
            .map(([, n]) => n),
        )
      }
      const { runs, problems } = runsOf(
        dashstreamDecoder(),
        shuffled.map(n => token(n)),
      )
      assert.equal(contents(runs[0]?.events), Array.from({ length: count }, (_, i) => i + 1).join(' '))
      assert.ok(problems.every(problem => problem.kind === 'reordered'))
    }),
    { numRuns: 20 },
  )
})

test('DF21 H75 a hole is waited for, then a gap between the events, and the state behind it is uncertain', () => {
  const decoder = dashstreamDecoder()
  const diff = (n: number, change: object) =>
    encodeDashStream({ message: { case: 'stateDiff', value: { header: foreign(2, n), ...change } } } as DashStreamInput)
  const first = decoder.push(diff(1, { fullState: Buffer.from('{"n":0}') }))
  const ops = [{ op: 0, path: '/n', value: Buffer.from('9') }]
  assert.deepEqual(decoder.push(diff(5, { operations: ops })), { batches: [], problems: [] })
  assert.equal(decoder.waiting, 1)
  const rest = decoder.flush()
  assert.equal(decoder.waiting, 0)
  assert.deepEqual(
    rest.problems.map(problem => [problem.kind, problem.position, problem.missing]),
    [['gap', 5n, 3n]],
  )
  assert.deepEqual(rest.batches[0]?.gap, { requested: 1, oldest: 5 })
  assert.deepEqual([rest.batches[0]?.after, rest.batches[0]?.last], [4, 5])
  const view = fold(
    emptyView(),
    [...first.batches, ...rest.batches].flatMap(batch => batch.events),
  )
  assert.deepEqual(view.state, { value: { n: 0 }, version: 1, certain: false })
  assert.deepEqual(view.gaps, [{ from: 2, to: 4 }])
})

test('H38 a thread that waits for what is missing stops no other, and what waits is not looked at again and again', () => {
  const decoder = dashstreamDecoder()
  decoder.push(token(1))
  assert.equal(eventsIn(decoder.push(token(5))).length, 0)
  for (let n = 1; n <= 500; n++) assert.equal(eventsIn(decoder.push(token(n, '', 'other'))).length, 1)
  assert.equal(decoder.waiting, 1)
  assert.deepEqual(
    [2, 3, 4].map(n => eventsIn(decoder.push(token(n))).length),
    [1, 1, 2],
  )
  assert.equal(decoder.waiting, 0)
})

test('H74 of threads, those are remembered that were heard of last, whatever their numbers', () => {
  const decoder = dashstreamDecoder({ lanesMax: 3 })
  decoder.push(token(1, '', 'small'))
  decoder.push(token(1_000_000, '', 'large'))
  decoder.push(token(500, '', 'middle'))
  decoder.push(token(2, '', 'small'))
  decoder.push(token(1, '', 'new'))
  assert.deepEqual(kinds(decoder.push(token(2, '', 'small'))), ['duplicate'])
  assert.deepEqual(kinds(decoder.push(token(500, '', 'middle'))), ['duplicate'])
  assert.deepEqual(kinds(decoder.push(token(1_000_000, '', 'large'))), [], 'forgotten, so that nobody knows it again')
})

test('H37 a hole holds nobody up for longer than the window', () => {
  const decoder = dashstreamDecoder()
  decoder.push(token(1))
  const given = Array.from({ length: reorderWindow + 1 }, (_, i) => eventsIn(decoder.push(token(i + 3))).length)
  assert.deepEqual(given, [...Array.from({ length: reorderWindow }, () => 0), reorderWindow + 1])
  assert.equal(decoder.waiting, 0)
})

test('DF18 H136 each event type of a stranger is the event it means, and attributes that are no field of ours are kept', () => {
  const string = (value: string) => ({ value: { case: 'stringValue', value } })
  const read = (eventType: number, attributes: Record<string, unknown> = {}) => {
    const header = { ...foreign(1, 1), messageId: new Uint8Array(16) }
    const more = { nodeId: 'n', durationUs: 1_500n, llmRequestId: 'q' }
    const [event] = eventsIn(push({ case: 'event', value: { header, eventType, attributes, ...more } }))
    const { id: _id, run_id: _run, sequence: _sequence, timestamp: _time, ...body } = event ?? ({} as Event)
    return body
  }
  const extra = { x: string('y') }
  const kept = { attributes: { x: 'y' } }
  assert.deepEqual(read(1, { user_id: string('u'), ...extra }), {
    type: 'started',
    agent_name: 'n',
    framework: 'dashflow',
    user_id: 'u',
    thread_id: 'th',
    ...kept,
  })
  assert.deepEqual(read(2, { output: string('o'), ...extra }), {
    type: 'complete',
    output: 'o',
    latency_seconds: 0.0015,
    metadata: { x: 'y' },
  })
  assert.deepEqual(read(2, { status: string('cancelled'), by: string('u') }), { type: 'cancelled', by: 'u' })
  assert.deepEqual(read(3, { message: string('m'), ...extra }), {
    type: 'error',
    error: 'm',
    code: 'agent_error',
    details: { x: 'y' },
  })
  // A field of the wrong type is no field of ours.
  const phase = { phase: { value: { case: 'intValue', value: 5n } } }
  const step = { type: 'step', node_name: 'n', phase: 'error', duration_ms: 1.5 }
  assert.deepEqual(read(12, phase), { ...step, attributes: { phase: 5 } })
  const percent = { percent: { value: { case: 'floatValue', value: 250 } } }
  assert.deepEqual(read(80, { ...percent, message: string('m') }), {
    type: 'progress',
    step: 'n',
    progress: 1,
    message: 'm',
  })
  assert.deepEqual(read(81, { thought: string('hm') }), {
    type: 'token',
    content: 'hm',
    channel: 'reasoning',
    llm_request_id: 'q',
  })
  assert.deepEqual(read(83, { message: string('m'), ...extra }), {
    type: 'warning',
    code: 'node_warning',
    message: 'm',
    recoverable: true,
    step: 'n',
    details: { x: 'y' },
  })
  assert.deepEqual(read(42, { call_id: string('c'), error: string('e') }), {
    type: 'tool',
    call_id: 'c',
    tool_name: 'n',
    stage: 'failed',
    duration_ms: 1.5,
    error: 'e',
  })
  const data = { event_type: 42, node_id: 'n', duration_ms: 1.5, llm_request_id: 'q' }
  assert.deepEqual(read(42), { type: 'custom', name: 'tool_error', data })
})

test('H30 H31 a duplicate is dropped 100 messages later, and another message with a number that was had is a conflict', () => {
  const decoder = dashstreamDecoder()
  for (let n = 1; n <= 110; n++) decoder.push(token(n))
  assert.deepEqual(kinds(decoder.push(token(10))), ['duplicate'])
  assert.deepEqual(kinds(decoder.push(token(105, 'other'))), ['conflict'])
  assert.equal(eventsIn(decoder.push(token(111))).length, 1)
})

test('H32 what is remembered is bounded, of messages and of threads', () => {
  const decoder = dashstreamDecoder({ seenMax: 100, lanesMax: 10 })
  for (let n = 1; n <= 500; n++) decoder.push(token(n))
  assert.deepEqual(kinds(decoder.push(token(10))), ['late'])
  assert.deepEqual(kinds(decoder.push(token(495))), ['duplicate'])
  // A message that waits in a thread that is forgotten is still given.
  const given = Array.from({ length: 12 }, (_, i) => eventsIn(decoder.push(token(2, '', `thread-${i}`)))).flat()
  assert.equal(given.length, 2)
  assert.ok(lanesMax >= 1_000)
})

test('a token of ours is read straight to the event as it is by way of its message, also cut off and damaged', () => {
  const of = { type: 'token', content: 'né', llm_request_id: 'q', model: 'm', index: 300 } as const
  const whole = dashstreamEncoder(identity)(eventsOf([of]))[0]?.payload as Uint8Array
  let straight = 0
  const check = (payload: Uint8Array) => {
    const told = (read: () => Decoded) => {
      try {
        const { batches, problems } = read()
        return { batches: batches.map(batch => [{ ...batch, told: 0 }, batch.events, batch.entries?.()]), problems }
      } catch (thrown) {
        return RuncastError.from(thrown).details['reason']
      }
    }
    straight += readOwnToken(payload) === undefined ? 0 : 1
    const byMessage = told(() => dashstreamDecoder().take(decodeDashStream(payload)))
    assert.deepEqual(
      told(() => dashstreamDecoder().push(payload)),
      byMessage,
    )
  }
  check(whole)
  assert.equal(straight, 1)
  for (let cut = 0; cut < whole.length; cut++) check(whole.subarray(0, cut))
  for (let at = 0; at < whole.length; at++)
    for (const byte of [0x00, 0x01, 0x20, 0x7f, 0x80, 0xff, whole[at]! ^ 1, whole[at]! ^ 0x80]) {
      const edited = whole.slice()
      edited[at] = byte
      check(edited)
    }
})

test('DF21 H30 tokens of ours that follow on are taken as they are by way of their messages, whatever comes between', () => {
  const tokens = ['r1', 'r2', 'r3'].flatMap(run =>
    [`${run} `, 'other '].flatMap(content => {
      const bodies = Array.from({ length: 40 }, (_, i) => ({ type: 'token' as const, content: content + i }))
      return payloads(dashstreamEncoder({ ...identity, run })(as(run, eventsOf(bodies))))
    }),
  )
  const steps = fc.record({ from: fc.nat(tokens.length - 1), count: fc.integer({ min: 1, max: 20 }) })
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 20 }), fc.boolean(), (parts, fromBeginning) => {
      const order = parts.flatMap(({ from, count }) => tokens.slice(from, from + count))
      const bounds = { fromBeginning, lanesMax: 2, seenMax: 30 }
      const [straight, byMessage] = [dashstreamDecoder(bounds), dashstreamDecoder(bounds)]
      const told = ({ batches, problems }: Decoded) => [
        batches.map(each => [{ ...each, told: 0 }, each.events]),
        problems,
      ]
      for (const payload of order) {
        assert.deepEqual(told(straight.push(payload)), told(byMessage.take(decodeDashStream(payload))))
      }
      assert.deepEqual(told(straight.flush()), told(byMessage.flush()))
    }),
    { numRuns: 300 },
  )
})

test('H30 H32 ids and numbers are told apart by every bit of them, also those that somebody chose so that they collide', () => {
  const seen = createSeen(4_096)
  const idOf = (n: number, lane: number) => {
    const id = Buffer.alloc(16)
    // Sixteen that count on, then a leap: neighbours and strangers.
    id.writeUInt32BE(((n >> 4) * (lane % 2 === 0 ? 1 : 0x0800_0000)) % 2 ** 32, 8 * (lane % 2))
    return id.fill(n & 15, 15)
  }
  for (const lane of [0, 1, 7])
    for (let n = 0; n < 500; n++) {
      assert.equal(seen.hasId(lane, idOf(n, lane), 0), false)
      assert.equal(seen.hasNumber(lane, 1, 2n ** 40n + BigInt(n)), false)
      seen.rememberId(lane, idOf(n, lane), 0)
      seen.rememberNumber(lane, 1, 2n ** 40n + BigInt(n))
      assert.equal(seen.hasId(lane, idOf(n, lane), 0), true)
      assert.equal(seen.hasNumber(lane, 1, 2n ** 40n + BigInt(n)), true)
      assert.equal(seen.hasNumber(lane, 2, 2n ** 40n + BigInt(n)), false)
      assert.equal(seen.hasNumber(lane, 1, BigInt(n)), false)
      assert.equal(seen.hasId(lane + 1, idOf(n, lane), 0), false)
    }
  for (let n = 0; n < 500; n++) assert.equal(seen.hasId(7, idOf(n, 7), 0), true)
})

test('H29 a number near 2^64 is a number like any other', () => {
  const max = 2n ** 64n - 1n
  const { runs, problems } = runsOf(dashstreamDecoder(), [token(max - 1n), token(max), token(max)])
  assert.deepEqual(
    problems.map(problem => problem.kind),
    ['duplicate'],
  )
  assert.equal(runs[0]?.events.length, 2)
  const leap = runsOf(dashstreamDecoder(), [token(1), token(max)])
  assert.ok(Number.isSafeInteger(leap.runs[0]?.events.at(-1)?.sequence))
})

test('H23 H36 a message without number goes on at once, but a change of state without one is not applied', () => {
  const decoder = dashstreamDecoder()
  decoder.push(token(5))
  decoder.flush()
  const loose = { header: foreign(6, 0), scope: 'graph', metrics: {} }
  assert.equal(eventsIn(decoder.push(encode({ case: 'metrics', value: loose }))).length, 1)
  assert.deepEqual(kinds(decoder.push(encode({ case: 'metrics', value: loose }))), ['duplicate'])
  const diff = { header: foreign(2, 0, 'diff'), fullState: Buffer.from('1') }
  const refused = decoder.push(encode({ case: 'stateDiff', value: diff }))
  assert.deepEqual([refused.batches, kinds(refused)], [[], ['unsequenced']])
  const [next] = decoder.push(token(6)).batches
  assert.deepEqual(next?.gap, { requested: 2, oldest: 4 })
})

test('H26 H27 a producer that begins again at 1 begins another run, and the one before is closed', () => {
  const start = (n: number, id: string) =>
    encode({ case: 'event', value: { header: foreign(1, n, id), eventType: 1, nodeId: 'g' } })
  const decoder = dashstreamDecoder()
  const bytes = [start(1, 'a'), ...Array.from({ length: 50 }, (_, i) => token(i + 2)), start(1, 'b'), token(2, 'b')]
  const { runs, problems } = runsOf(decoder, bytes)
  assert.deepEqual(problems, [])
  assert.equal(runs.length, 2)
  const end = runs[0]?.events.at(-1)
  assert.ok(end?.type === 'error' && end.code === 'interrupted')
  assert.equal(runs[1]?.events.length, 2)
})

test('a graph within the graph is a step of its run', () => {
  const graph = (n: number, eventType: number, more: object = {}) =>
    encode({ case: 'event', value: { header: { ...foreign(1, n), ...more }, eventType, nodeId: 'sub' } })
  const parentId = new Uint8Array(16).fill(1)
  const { runs } = runsOf(dashstreamDecoder(), [graph(1, 1), graph(2, 1, { parentId }), graph(3, 2), graph(4, 2)])
  assert.deepEqual(
    runs.map(run => run.events.map(event => (event.type === 'step' ? `step ${event.phase}` : event.type))),
    [['started', 'step start', 'step end', 'complete']],
  )
})

test('H57 DF34 threads and tenants are apart: equal numbers, equal names, gaps of one only', () => {
  const { runs, problems } = runsOf(dashstreamDecoder(), [
    token(1),
    token(1, '', 'other'),
    token(1, '', 'th', 'tenant-b'),
    token(2, '', 'other'),
    token(9),
  ])
  assert.deepEqual(
    runs.map(run => [run.thread, run.events.length, run.gaps.length]),
    [
      ['th', 2, 1],
      ['other', 2, 0],
      ['th', 1, 0],
    ],
  )
  assert.deepEqual(
    problems.map(problem => [problem.kind, problem.thread, problem.tenant]),
    [['gap', 'th', 'acme']],
  )
})

test('DF21 our own runs are put in order, once each, and a lost message is a gap with their own numbers', () => {
  const messages = dashstreamEncoder(identity)(everything).filter(message => headerOf(message).sequence > 0n)
  const bytes = payloads(messages)
  const doubled = bytes.flatMap((one, i) => (i % 2 === 0 ? [bytes[i + 1] ?? one, one, one] : []))
  const { runs } = runsOf(dashstreamDecoder(), doubled)
  assert.deepEqual(runs[0]?.events, everything)
  const lossy = runsOf(
    dashstreamDecoder(),
    bytes.filter((_, i) => i !== 4 && i !== 5),
  )
  assert.deepEqual(lossy.runs[0]?.gaps, [{ requested: 4, oldest: 7 }])
  const joined = runsOf(dashstreamDecoder(), payloads(dashstreamEncoder(identity)(longRun).slice(40)))
  assert.equal(joined.runs[0]?.events[0]?.sequence, 41)
  assert.deepEqual(joined.problems, [])
})

test('nothing of a message counts when any of it cannot be read', () => {
  const decoder = dashstreamDecoder()
  const good = { header: foreign(1, 1), eventType: 1 }
  const own = { ...foreign(1, 2), runId: 'bad id', runSequence: 1n }
  const batch = encode({ case: 'eventBatch', value: { header: foreign(8, 0), events: [good, { header: own }] } })
  assert.throws(() => decoder.push(batch), /run_id/)
  assert.deepEqual(decoder.flush(), { batches: [], problems: [] })
  assert.equal(eventsIn(decoder.push(encode({ case: 'event', value: good }))).length, 1)
})

test('DF1 protoc reads every message that a run makes', t => {
  const read = protocReader(t, 'dashstream.v1.DashStreamMessage', 'dashstream/v1/dashstream.proto')
  if (read === undefined) return
  const told = dashstreamEncoder(identity)(everything).map(message => read(unframe(message.payload).body))
  assert.match(told.join(), /event_type: EVENT_TYPE_GRAPH_START[\s\S]*execution_trace \{/)
})

type Kind = NonNullable<DashStreamInput['message']>

/** A stranger's header: no run_id. */
function foreign(type: number, sequence: number | bigint, id = '', thread = 'th', tenant = 'acme') {
  const messageId = createHash('sha256').update(`${id} ${type} ${sequence} ${thread}`).digest().subarray(0, 16)
  return {
    messageId,
    timestampUs: 1_767_225_600_001_000n,
    tenantId: tenant,
    threadId: thread,
    sequence: BigInt(sequence),
    type,
  }
}

function encode(message: { case: string; value: unknown }): Buffer {
  return encodeDashStream({ message: message as Kind })
}

function token(sequence: number | bigint, id = '', thread = 'th', tenant = 'acme'): Buffer {
  const header = foreign(3, sequence, id, thread, tenant)
  return encode({ case: 'tokenChunk', value: { header, text: `${sequence} ` } })
}

function push(message: { case: string; value: unknown }): Decoded {
  return dashstreamDecoder().push(encode(message))
}

const strangers: DashStreamInput[] = (
  [
    { case: 'event', value: { header: foreign(1, 7), eventType: 1, nodeId: 'graph' } },
    { case: 'event', value: { header: foreign(1, 8), eventType: 11, nodeId: 'n', durationUs: 1_500n } },
    { case: 'tokenChunk', value: { header: foreign(3, 9), requestId: 'q', text: 'Hi', isFinal: true } },
    {
      case: 'toolExecution',
      value: { header: foreign(4, 10), callId: 'c', toolName: 't', stage: 3, result: Buffer.from('plain') },
    },
    { case: 'stateDiff', value: { header: foreign(2, 11), fullState: Buffer.from('{"a":1}') } },
    {
      case: 'metrics',
      value: {
        header: foreign(6, 12),
        scope: 'graph',
        metrics: { cost_usd: { value: { case: 'floatValue', value: 0 } } },
      },
    },
    { case: 'event', value: { header: foreign(1, 13), eventType: 999, nodeId: 'n' } },
    {
      case: 'event',
      value: {
        header: foreign(1, 14),
        eventType: 20,
        attributes: {
          big: { value: { case: 'intValue', value: 2n ** 53n + 1n } },
          list: { value: { case: 'arrayValue', value: { values: [{ value: { case: 'intValue', value: 1n } }, {}] } } },
        },
      },
    },
    { case: 'error', value: { header: foreign(7, 15), errorCode: 'E', message: 'm', severity: 4 } },
    { case: 'event', value: { header: foreign(1, 16), eventType: 2, durationUs: 2_000_000n } },
    { case: 'event', value: { header: foreign(1, 17), eventType: 1, nodeId: 'graph' } },
    { case: 'event', value: { header: foreign(1, 18), eventType: 3 } },
  ] as unknown as Kind[]
).map(message => ({ message }))

const longRun = eventsOf(Array.from({ length: 60 }, (_, i) => ({ type: 'token' as const, content: `${i}` })))

function roundTrip(events: readonly Event[]): Event[] {
  const { runs, problems } = runsOf(dashstreamDecoder(), payloads(dashstreamEncoder(identity)(events)))
  assert.deepEqual(problems, [])
  return runs[0]?.events ?? []
}

function as(run: string, events: readonly Event[]): Event[] {
  return events.map(event => ({ ...event, run_id: run, id: `${run}:${event.sequence}` }))
}

const payloads = (messages: readonly Message[]) => messages.map(message => message.payload)
const idOf = (message: Message) => message.id
const kinds = (decoded: Decoded) => decoded.problems.map(problem => problem.kind)
const eventsIn = (decoded: Decoded) => decoded.batches.flatMap(batch => [...batch.events])
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('hex')
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

function contents(events: readonly Event[] = []): string {
  return events
    .map(event => (event.type === 'token' ? event.content : ''))
    .join('')
    .trim()
}

function opsOf(decoded: ReturnType<Decoder['push']>): unknown {
  const [event] = eventsIn(decoded)
  return event?.type === 'state' ? event.ops : undefined
}

function headerOf(message: Message | undefined) {
  const header = decodeDashStream(message?.payload ?? new Uint8Array()).message.value?.header
  assert.ok(header)
  return header
}

type Decodeds = ReturnType<typeof decodeDashStream>['message']

function valueOf<K extends NonNullable<Decodeds['case']>>(message: Message | undefined, kind: K) {
  const decoded = decodeDashStream(message?.payload ?? new Uint8Array()).message
  assert.equal(decoded.case, kind)
  return decoded.value as Extract<Decodeds, { case: K }>['value']
}

/** Numbers of 0 to 1 from a seed: mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Text that zstd cannot shorten below the limit. */
function randomText(chars: number): string {
  const random = randomFrom(7)
  return Array.from({ length: chars }, () => String.fromCharCode(0x4e00 + Math.floor(random() * 20_000))).join('')
}
