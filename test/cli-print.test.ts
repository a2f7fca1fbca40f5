// What the command prints: the same for the same events however they come in batches, every kind shown, holes said, and
// nothing of an agent's reaches a terminal as a control sequence.
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Batch } from '../src/batch.ts'
import { exampleOf } from '../src/cli/input.ts'
import { createPrinter } from '../src/cli/print-events.ts'
import { logFiles, openRunLog } from '../src/cli/run-log.ts'
import { row } from '../src/cli/runs.ts'
import type { Body, Event } from '../src/event.ts'
import { checked } from '../src/agent/schema.ts'
import { arbitraryEndedRun, eventsOf } from './arbitrary-events.ts'

interface Printed {
  readonly out: string
  readonly err: string
}

function printed(batches: readonly Batch[], options: { json?: boolean; tty?: boolean } = {}): Printed {
  const streams = [new PassThrough({ highWaterMark: 1 << 30 }), new PassThrough({ highWaterMark: 1 << 30 })]
  const [out, err] = streams.map(stream => Object.assign(stream, { isTTY: options.tty === true }))
  const printer = createPrinter({ run_id: 'r1', json: options.json, out: out as never, err: err as never })
  for (const batch of batches) void printer.take(batch)
  printer.finish()
  const text = (stream: unknown) => String((stream as PassThrough).read() ?? '')
  return { out: text(out), err: text(err) }
}

function batchOf(events: readonly Event[], more: Partial<Batch> = {}): Batch {
  const after = (events[0]?.sequence ?? 1) - 1
  return { after, last: after + events.length, events, state: 'open', ...more }
}

const of = (...bodies: Body[]) => [batchOf(eventsOf(bodies))]

test('H134 the same events print the same, in one batch or one by one, as text and as JSON', () => {
  fc.assert(
    fc.property(arbitraryEndedRun(), fc.boolean(), fc.boolean(), (events, json, tty) => {
      const together = printed([batchOf(events)], { json, tty })
      const single = printed(
        events.map(event => batchOf([event])),
        { json, tty },
      )
      assert.deepEqual(single, together)
      if (json) assert.equal(together.out.split('\n').length - 1, events.length)
    }),
  )
})

test('stdout has the words alone, so that it can be piped', () => {
  const { out, err } = printed(
    of(
      { type: 'token', content: 'Hel' },
      { type: 'progress', step: 'think', progress: 0.5 },
      { type: 'token', content: 'hidden', channel: 'reasoning' },
      { type: 'token', content: 'lo' },
      { type: 'complete', output: { all: 'Hello' }, latency_seconds: 1 },
    ),
  )
  assert.equal(out, 'Hello\n')
  assert.match(err, /50 % think/)
  assert.match(err, /complete in 1 s/)
})

test('an agent that only returns has its output printed', () => {
  assert.equal(printed(of({ type: 'complete', output: 'done', latency_seconds: 1 })).out, 'done\n')
  assert.equal(printed(of({ type: 'complete', output: [1], latency_seconds: 1 })).out, '[\n  1\n]\n')
})

test('a gap is said visibly, with its numbers, as text and as JSON', () => {
  const events = eventsOf([{ type: 'token', content: 'x' }])
  const gap = [batchOf(events, { gap: { requested: 5, oldest: 42 } })]
  assert.match(printed(gap).err, /events 5 to 41 are forgotten/)
  assert.deepEqual(JSON.parse(printed(gap, { json: true }).out.split('\n')[0] ?? ''), {
    type: 'gap',
    run_id: 'r1',
    requested: 5,
    oldest: 42,
  })
})

test('control sequences of an agent do not reach a terminal, wherever they stand; a pipe gets the bytes as they are', () => {
  const evil = '\u001b]0;owned\u0007\u001b[2J\u009b31m'
  const bodies: Body[] = [
    { type: 'token', content: evil },
    { type: 'text', content: evil },
    { type: 'item', data: evil },
    { type: 'progress', step: evil, progress: 1, message: evil },
    { type: 'warning', code: 'x', message: evil },
    { type: 'custom', name: 'x', data: evil },
    { type: 'error', error: evil, code: 'agent_error' },
  ]
  const { out, err } = printed(of(...bodies), { tty: true })
  // What remains are our own colours.
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  assert.doesNotMatch((out + err).replace(/\u001b\[\d+m/g, ''), /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/)
  assert.ok(!out.includes('\u001b'))
  assert.ok(printed(of(...bodies)).out.startsWith(evil))
})

test('colours appear on a terminal only, and not where NO_COLOR is set', () => {
  const bodies = of({ type: 'warning', code: 'x', message: 'careful' })
  const before = process.env['NO_COLOR']
  try {
    delete process.env['NO_COLOR']
    assert.ok(printed(bodies, { tty: true }).err.includes('\u001b[33m'))
    assert.ok(!printed(bodies).err.includes('\u001b'))
    process.env['NO_COLOR'] = '1'
    assert.ok(!printed(bodies, { tty: true }).err.includes('\u001b'))
  } finally {
    if (before === undefined) delete process.env['NO_COLOR']
    else process.env['NO_COLOR'] = before
  }
})

test('the log file is bounded: at its limit it is kept once as .1, and no line is torn', () => {
  const folder = mkdtempSync(join(tmpdir(), 'runcast-log-'))
  const { current, previous } = logFiles(folder)
  const write = process.stderr.write
  process.stderr.write = () => true // what it shows is not the point here
  try {
    using log = openRunLog({ folder, bytesMax: 2_000 })
    for (let n = 1; n <= 100; n++) log.logger.info(`line ${n}`)
  } finally {
    process.stderr.write = write
  }
  assert.ok(existsSync(previous))
  const lines = [previous, current].flatMap(file => {
    const text = readFileSync(file, 'utf8')
    assert.ok(text.length <= 2_000)
    return text.trim().split('\n')
  })
  const numbers = lines.map(line => Number(/^line (\d+)$/.exec((JSON.parse(line) as { msg: string }).msg)?.[1]))
  assert.deepEqual(
    numbers,
    Array.from({ length: numbers.length }, (_, n) => 100 - numbers.length + 1 + n),
  )
  rmSync(folder, { recursive: true })
})

test('an example input fits the schema that it was made from', async () => {
  const schemas = [
    { type: 'object', required: ['a', 'b'], properties: { a: { type: 'string' }, b: { type: 'integer', minimum: 3 } } },
    { type: 'object', required: ['x'], properties: { x: { enum: ['one', 'two'] }, y: { type: 'number' } } },
    { anyOf: [{ type: 'array', items: { type: 'string' } }, { type: 'null' }] },
    { type: ['string', 'null'] },
    { examples: [{ question: 'why' }], type: 'object' },
    { const: 7 },
    {},
  ]
  for (const schema of schemas) await checked(schema, exampleOf(schema), 'input', 'invalid_input')
})

test('a run of a list has one line on a terminal of 80 columns, and is whole where none is', () => {
  const run_id = '0190f3a1-5c1e-7c3a-9d55-0123456789ab'
  const created_at = '2026-01-31T12:00:00.000Z'
  const last_sequence = 12_345
  const counted = { first_sequence: 1, last_sequence, created_at, metadata: {} }
  const run = { run_id, status: 'completed', agent: 'sales-analyst', framework: 'f', ...counted } as const
  const shown = (minutes: number, thread_id?: string, columns: number | undefined = 80) =>
    row({ ...run, ...(thread_id && { thread_id }) }, { columns, now: Date.parse(created_at) + minutes * 60_000 })
  const head = `${run_id} completed sales-analyst   `
  assert.equal(shown(3), `${head}  3m 12345 events`)
  assert.equal(shown(3).length, 80)
  assert.equal(shown(60 * 24 * 40.5), `${head} 40d 12345 events`)
  assert.equal(shown(-1), `${head}  0s 12345 events`)
  assert.equal(shown(90, 'a-conversation'), `${head}  1h 12345 event…`)
  assert.equal(shown(90, 'a-conversation', 120), `${head}  1h 12345 events thread a-conversation`)
  const whole = row({ ...run, thread_id: 'a-conversation' }, { columns: undefined, now: 0 })
  assert.equal(whole, `${head} ${created_at} 12345 events thread a-conversation`)
})
