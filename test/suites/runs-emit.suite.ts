// What `Runs` promises of what agents emit: what arrives, in which order, what is let through, cut or refused.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { getCurrentContext } from '../../src/agent/context.ts'
import { RuncastError } from '../../src/error.ts'
import { eventsOf, type Promised, sequences, types, upTo } from './runs-agents.ts'

const nested = defineAgent({ name: 'nested' }, async (input: { mark: string }) => {
  const deep = async () => {
    await sleep(5)
    getCurrentContext()?.emit('mark', { mark: input.mark, run: getCurrentContext()?.run_id })
  }
  await Promise.all([deep(), deep()])
  return input.mark
})

/** Says more than some servers let through. */
const talks = defineAgent({ name: 'talks' }, async function* () {
  yield '1234'
  yield '5678😀90'
  yield 'more'
  return { first: 'abcdef', list: ['ghi', 'jkl', 7], last: 'mno' }
})

/** Emits more than an event may have, is told, and goes on. */
const lavish = defineAgent({ name: 'lavish' }, async (_input: unknown, ctx) => {
  const refused: string[] = []
  ctx.token('before')
  try {
    await ctx.item('x'.repeat(2_000))
  } catch (error) {
    refused.push((error as RuncastError).code)
  }
  ctx.token('behind')
  return refused
})

/** Claims to be the runtime, in every way there is. */
const spoofs = defineAgent({ name: 'spoofs' }, async (_input: unknown, ctx) => {
  const refused: string[] = []
  for (const name of ['complete', 'error', 'started', 'cancelled', 'heartbeat', 'gap', 'message', 'a-b', '']) {
    try {
      ctx.emit(name, { output: 'spoofed' })
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  return refused
})

/** Tells events as another run had them, envelope and all. */
const forges = defineAgent({ name: 'forges' }, async function* (_input: unknown, ctx) {
  const envelope = { id: 'other:99', run_id: 'other', request_id: 'other', sequence: 99, timestamp: 'never' }
  yield { type: 'token', content: 'yielded', ...envelope }
  yield { type: 'custom', name: 'newer', data: 1, other: { kept: true, type: 'complete', ...envelope } }
  ctx.token('said', envelope as object)
})

const wrongEvents = [
  { type: 'progress' },
  { type: 'token' },
  { type: 'complete' },
  { type: 'token', content: '', channel: 'thought' },
  { type: 'step', node_name: 'n', phase: 'begin' },
  { type: 'tool', call_id: 'c', tool_name: 't', stage: 'done' },
  { type: 'text', content: '', position: 'middle' },
  { type: 'warning', code: 'c', message: 'm', severity: 'CRITICAL' },
  { type: 'input', input_id: 'i', kind: 'answer', value: 'made up' },
  { type: 'item', bytes: new Uint8Array(1) },
  { type: 'item', data: () => 1 },
  Symbol('s'),
]

const yieldsWrongly = defineAgent({ name: 'yields-wrongly' }, async function* () {
  const refused: string[] = []
  for (const wrong of wrongEvents) {
    try {
      yield wrong
    } catch (error) {
      refused.push((error as Error).message)
    }
  }
  yield 'and on'
  return refused
})

const yieldsEnd = defineAgent({ name: 'yields-end' }, async function* () {
  yield { type: 'complete', output: 'spoofed', latency_seconds: 0 }
})

/** Awaits some of its emits and not others. */
const mixed = defineAgent({ name: 'mixed' }, async (_input: unknown, ctx) => {
  for (let n = 0; n < 60; n += 3) {
    ctx.token(`${n} `)
    await ctx.token(`${n + 1} `)
    void ctx.token(`${n + 2} `)
    if (n % 9 === 0) await sleep(1)
  }
})

export const emitAgents: readonly Agent[] = [nested, talks, lavish, spoofs, forges, yieldsWrongly, yieldsEnd, mixed]

export function emitPromises(promise: Promised): void {
  promise('each wrong yield is thrown back into its generator, which may go on', async runs => {
    const { run_id } = await runs.start('yields-wrongly', {})
    assert.deepEqual(types(await eventsOf(runs, run_id)), ['started', 'token', 'complete'])
    const refused = (await runs.get(run_id)).output as string[]
    assert.equal(refused.length, wrongEvents.length)
    assert.match(refused[1] ?? '', /token\.content must be a string, not undefined/)
    const severity = /warning\.severity must be one of debug, info, warning, error, critical, not "CRITICAL"/
    assert.ok(refused.some(message => severity.test(message)))
  })

  promise('DK40 DK41 DK42 DK43 DK47 DK49 OL13 OL17 every kind of event arrives as it was emitted', async runs => {
    const { run_id } = await runs.start('everything', {})
    const events = await eventsOf(runs, run_id)
    const fieldsOf = (type: string) =>
      events
        .filter(event => event.type === type)
        .map(({ id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, type: _type, ...fields }) => fields)
    assert.deepEqual(fieldsOf('progress'), [
      { step: 'read', progress: 1, message: 'half' },
      { step: 'read', progress: 0 },
    ])
    assert.deepEqual(fieldsOf('checkpoint'), [{ name: 'c', data: { deep: [1, { a: null }] } }])
    assert.deepEqual(fieldsOf('token'), [
      { content: 'Grüße 😀', finish_reason: 'stop' },
      { content: '' },
      { content: 'as an object' },
    ])
    assert.deepEqual(fieldsOf('step'), [
      { node_name: 'node', phase: 'end', duration_ms: 3, input_keys: ['a'], output_keys: ['b'] },
    ])
    assert.deepEqual(fieldsOf('custom'), [{ name: 'fraud_check', data: { run_id: 'spoofed', passed: true } }])
    assert.deepEqual(fieldsOf('state'), [{ version: 1, base_version: 0, snapshot: { count: 1 } }])
    assert.deepEqual(fieldsOf('item'), [
      { bytes: 'AP8K', media_type: 'application/octet-stream' },
      { data: null },
      { data: 0 },
      { data: { error: 'looks like an error', code: 1 } },
    ])
    assert.equal(
      fieldsOf('chart').length + fieldsOf('tool').length + fieldsOf('metrics').length + fieldsOf('warning').length,
      4,
    )
    assert.ok(events.every(event => event.run_id === run_id))
  })

  promise('DK59 DK60 a deep helper finds the context of its own run, and only that', async runs => {
    const started = await Promise.all(['a', 'b', 'c'].map(mark => runs.start('nested', { mark })))
    for (const [index, { run_id }] of started.entries()) {
      const marks = (await eventsOf(runs, run_id)).filter(event => event.type === 'custom')
      const expected = { mark: ['a', 'b', 'c'][index], run: run_id }
      assert.deepEqual(
        marks.map(event => event.data),
        [expected, expected],
      )
    }
    assert.equal(getCurrentContext(), undefined)
  })

  promise(
    'DK38 DK50 DK56 DK58 H25 H99 events that are not allowed are not in the log and use no number',
    async runs => {
      const { run_id } = await runs.start('everything', {})
      const events = await eventsOf(runs, run_id)
      assert.deepEqual(
        events.map(event => [event.type, event.sequence]),
        [
          ['started', 1],
          ['complete', 2],
        ],
      )
    },
    { allowed: new Set() },
  )

  promise(
    'DK53 DK54 a list lets through what it names',
    async runs => {
      const { run_id } = await runs.start('everything', {})
      assert.deepEqual(types(await eventsOf(runs, run_id)), ['started', 'step', 'fraud_check', 'complete'])
    },
    { allowed: new Set(['step', 'custom:fraud_check']) },
  )

  promise('DK48 an agent cannot claim to be the runtime, by emitting or by yielding', async runs => {
    const { run_id } = await runs.start('spoofs', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'complete'])
    assert.equal(((await runs.get(run_id)).output as string[]).length, 9)
    const yielded = await eventsOf(runs, (await runs.start('yields-end', {})).run_id)
    assert.deepEqual(types(yielded), ['started', 'error'])
    assert.match((yielded.at(-1) as { error: string }).error, /cannot emit "complete"/)
  })

  promise('DK37 DK49 what an agent says of the envelope of an event is not taken', async runs => {
    const { run_id } = await runs.start('forges', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'token', 'newer', 'token', 'complete'])
    assert.deepEqual(sequences(events), upTo(5))
    assert.ok(events.every(event => event.run_id === run_id && event.id === `${run_id}:${event.sequence}`))
    assert.ok(!JSON.stringify(events).includes('never') && !JSON.stringify(events).includes('request_id'))
    assert.deepEqual(events[2]?.type === 'custom' && events[2].other, { kept: true })
  })

  promise(
    'DK82 a long output is cut with a flag, a long text with a warning, and both stay valid',
    async runs => {
      const { run_id } = await runs.start('talks', {})
      const events = await eventsOf(runs, run_id)
      const said = events.flatMap(event => (event.type === 'token' ? [event.content] : [])).join('')
      assert.equal(said, '12345678') // a character of two units is not split
      const warnings = events.flatMap(event => (event.type === 'warning' ? [event.code] : []))
      assert.deepEqual(warnings, ['output_truncated'])
      const { status, output, metadata } = await runs.get(run_id)
      assert.equal(status, 'completed')
      assert.deepEqual(output, { first: 'abcdef', list: ['ghi', '', 7], last: '' })
      assert.equal(metadata['truncated'], true)
      assert.deepEqual((events.at(-1) as { output: unknown }).output, output)
    },
    { outputCharsMax: 9 },
  )

  promise(
    'DK82 what is as long as the limit is not cut, and carries no flag',
    async runs => {
      const { run_id } = await runs.start('strict', { text: '123456789' })
      await eventsOf(runs, run_id)
      const { output, metadata } = await runs.get(run_id)
      assert.equal(output, '123456789')
      assert.ok(!('truncated' in metadata))
    },
    { outputCharsMax: 9 },
  )

  promise('DK61 awaited and free emits keep the order of the program', async runs => {
    const { run_id } = await runs.start('mixed', {})
    const tokens = (await eventsOf(runs, run_id)).flatMap(event => (event.type === 'token' ? [event.content] : []))
    assert.equal(tokens.join(''), Array.from({ length: 60 }, (_, n) => `${n} `).join(''))
  })

  for (const [title, allowed] of [
    ['DK52 everything is let through by debug and all', 'all'],
    ['DK55 custom lets every custom event through', new Set(['custom'])],
  ] as const) {
    promise(
      title,
      async runs => {
        const seen = types(await eventsOf(runs, (await runs.start('everything', {})).run_id))
        assert.ok(seen.includes('fraud_check'))
        assert.equal(seen.includes('token') && seen.includes('item') && seen.includes('state'), allowed === 'all')
      },
      { allowed },
    )
  }

  promise(
    'H25 an event that is too large is refused where it is emitted, and takes no number with it',
    async runs => {
      const { run_id } = await runs.start('lavish', {})
      const events = await eventsOf(runs, run_id)
      assert.deepEqual(types(events), ['started', 'token', 'token', 'complete'])
      assert.deepEqual(sequences(events), upTo(4))
      const end = events.at(-1)
      assert.deepEqual(end?.type === 'complete' && end.output, ['too_large'])
    },
    { eventBytesMax: 1_000 },
  )
}
