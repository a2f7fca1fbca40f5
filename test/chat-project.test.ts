// Runs as chat.v1 envelopes, and envelopes of others as runs. What the format suite judges for every format is not
// repeated here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Body } from '../src/event.ts'
import { chat, chatDecoder, chatEncoder, chatTopics } from '../src/formats/chat.ts'
import { decodeChatEvent, encodeChatEvent, timestampFromIso } from '../src/formats/chat-codec.ts'
import { runsOf } from '../src/formats/format.ts'
import { eventsOf } from './arbitrary-events.ts'
import { protocReader } from './protoc-reader.ts'
import { everything } from './suites/format.suite.ts'

test('ON1 ON3 ON5 ON8 the flow of the specification comes out in its order, each on its topic', () => {
  const events = eventsOf([
    { type: 'started', agent_name: 'a', framework: 'f', scenario: 'chart_generation', user_id: 'u', company_id: 'c' },
    { type: 'progress', step: 'decompose', progress: 0, message: 'Decomposing query...' },
    { type: 'progress', step: 'execute', progress: 0.345, message: 'Executing chart_generation...' },
    { type: 'progress', step: 'query', progress: 1, message: 'Querying database...', metadata: { rows: 3 } },
    { type: 'text', content: 'Here is your sales chart', position: 'before', language: 'en' },
    { type: 'chart', chart_id: 'k', chart_type: 'bar', option: { series: [] }, title: 'Sales', data_points: 4 },
    { type: 'text', content: 'Sales increased in Q4', position: 'after' },
    {
      type: 'complete',
      output: null,
      latency_seconds: 2.5,
      metadata: { summary: 'Task completed', result_ids: ['r'] },
    },
  ])
  const messages = chat.encoder({ run: 'r1', thread: 'conv' })(events)
  assert.deepEqual(
    messages.map(message => message.topic),
    ['status', 'status', 'status', 'text', 'chart', 'text', 'complete'],
  )
  assert.deepEqual(new Set(messages.map(message => message.key)), new Set(['conv']))
  assert.ok(messages.every(message => (chatTopics as readonly string[]).includes(message.topic)))
  const envelopes = messages.map(message => decodeChatEvent(message.payload))
  for (const { conversationId, taskId, scenario, userId, companyId } of envelopes)
    assert.deepEqual(
      [conversationId, taskId, scenario, userId, companyId],
      ['conv', 'r1', 'chart_generation', 'u', 'c'],
    )
  const [, second, , before, chartOf, after, end] = envelopes.map(one => one.event.value as Record<string, unknown>)
  assert.deepEqual([second?.['progressPercent'], second?.['description']], [35, 'Executing chart_generation...'])
  assert.deepEqual([before?.['position'], before?.['language'], after?.['position']], [1, 'en', 2])
  assert.equal(chartOf?.['configJson'], '{"series":[]}')
  assert.deepEqual(
    [end?.['type'], end?.['summary'], end?.['executionTimeMs'], end?.['resultIds']],
    [0, 'Task completed', 2500n, ['r']],
  )
  assert.deepEqual(envelopes[0]?.timestamp, timestampFromIso('2026-01-01T00:00:00.010Z'))
})

test('ON7 ON8 severities, failures and cancels keep their meaning', () => {
  const kindsOf = (bodies: Body[]) =>
    chatEncoder({ run: 'r1' })(eventsOf(bodies)).map(message => {
      const { event } = decodeChatEvent(message.payload)
      if (event.case === 'error') return `error ${event.value.severity} ${event.value.errorCode}`
      return event.case === 'completion'
        ? `completion ${event.value.type} ${event.value.summary} ${JSON.stringify(event.value.metadata)}`
        : event.case
    })
  const warning = (severity?: string) =>
    ({ type: 'warning', code: 'w', message: 'm', ...(severity && { severity }) }) as Body
  assert.deepEqual(kindsOf([warning(), warning('debug'), warning('error'), warning('critical')]), [
    'error 0 w',
    'error 0 w',
    'error 1 w',
    'error 2 w',
  ])
  assert.deepEqual(kindsOf([{ type: 'error', error: 'e', code: 'c' }]), ['error 1 c', 'completion 2 e {}'])
  assert.deepEqual(kindsOf([{ type: 'error', error: 'e', code: 'c', severity: 'critical' }])[0], 'error 2 c')
  assert.deepEqual(kindsOf([{ type: 'cancelled', reason: 'enough', by: 'u' }]), [
    'completion 2 enough {"by":"u","status":"cancelled"}',
  ])
  const last: Body = { type: 'complete', output: null, latency_seconds: 0, metadata: { conversation_completed: true } }
  assert.deepEqual(kindsOf([last]), ['completion 1  {}'])
})

test('ON11 tokens go out as one text when their part ends, reasoning never, and an output that nothing else showed', () => {
  const textsOf = (bodies: Body[]) =>
    chatEncoder({ run: 'r1' })(eventsOf(bodies)).flatMap(message => {
      const { event } = decodeChatEvent(message.payload)
      return event.case === 'text' ? [event.value.content] : []
    })
  const token = (content: string, more: object = {}) => ({ type: 'token', content, ...more }) as Body
  const done: Body = { type: 'complete', output: 'all of it', latency_seconds: 1 }
  assert.deepEqual(
    textsOf([token('a', { channel: 'reasoning' }), token('Hel'), token('lo', { finish_reason: 'stop' }), done]),
    ['Hello'],
  )
  assert.deepEqual(textsOf([token('one'), { type: 'text', content: 'block' }, token('two'), done]), [
    'one',
    'block',
    'two',
  ])
  assert.deepEqual(textsOf([done]), ['all of it'])
  assert.deepEqual(textsOf([token('open')]), [])
})

test('ON17 envelopes of others are runs per conversation and task, numbered from 1, with what they say of the user', () => {
  const decoder = chatDecoder({ tenant: 'acme' })
  const bytes = [
    envelope(1, 'conv', 'task_1', { case: 'status', value: { step: 's', progressPercent: 40 } }),
    envelope(2, 'other', 'task_1', { case: 'text', value: { content: 'x', position: 9 } }),
    envelope(3, 'conv', 'task_1', { case: 'chart', value: { chartType: 'bar', configJson: 'function(){}' } }),
    envelope(4, 'conv', 'task_1', { case: 'error', value: { severity: 2, errorCode: 'E', message: 'broke' } }),
    envelope(5, 'conv', 'task_1', { case: 'completion', value: { type: 2, summary: 'failed' } }),
    envelope(5, 'conv', 'task_1', { case: 'text', value: { content: 'late' } }),
    envelope(6, 'conv', 'task_1', { case: 'text', value: { content: 'again' } }),
  ]
  const { runs, problems } = runsOf(decoder, bytes)
  assert.deepEqual(
    runs.map(run => [run.thread, run.events.map(event => event.type)]),
    [
      ['conv', ['started', 'progress', 'warning', 'warning', 'error']],
      ['other', ['started', 'text']],
      ['conv', ['started', 'text']],
    ],
  )
  assert.deepEqual(
    problems.map(problem => problem.kind),
    ['invalid_chart', 'after_end'],
  )
  const [start, , refused, , failed] = runs[0]?.events ?? []
  assert.ok(
    start?.type === 'started' && start.user_id === 'u' && start.company_id === 'co' && start.thread_id === 'conv',
  )
  assert.ok(refused?.type === 'warning' && refused.code === 'invalid_chart')
  assert.ok(failed?.type === 'error' && failed.code === 'E' && failed.severity === 'critical')
  assert.equal(new Set(runs.map(run => run.run_id)).size, 3)
  assert.deepEqual(
    runs[0]?.events.map(event => event.sequence),
    [1, 2, 3, 4, 5],
  )
})

test('H30 an envelope with a time finer than a millisecond that comes twice is there once', () => {
  const one = envelope(1, 'c', 't', { case: 'text', value: { content: 'x' } }, 123_456_789)
  assert.deepEqual(
    runsOf(chatDecoder(), [one, one]).problems.map(problem => problem.kind),
    ['duplicate'],
  )
  const coarse = envelope(1, 'c', 't', { case: 'text', value: { content: 'x' } }, 123_000_000)
  assert.equal(runsOf(chatDecoder(), [coarse, coarse]).runs[0]?.events.length, 3)
})

test('ON1 ON14 an envelope has the bytes that the published numbers give it', () => {
  const [message] = chatEncoder({ run: 'r1', thread: 'conv' })(
    eventsOf([{ type: 'text', content: 'Hi', language: 'en', position: 'after' }]),
  )
  // timestamp {seconds: 1767225600} = 1, conversation_id = 2, task_id = 3, text = 11 {content 1, language 2, position 3}
  const golden = '0a060880f2d6ca06' + '1204636f6e76' + '1a027231' + '5a0a' + '0a024869' + '1202656e' + '1802'
  assert.equal(Buffer.from(message?.payload ?? []).toString('hex'), golden)
})

test('ON1 protoc reads every envelope that a run makes', t => {
  const read = protocReader(t, 'chat.v1.EventEnvelope', 'chat/v1/events.proto')
  if (read === undefined) return
  const told = chatEncoder({ run: 'r1', thread: 'conv' })(everything).map(message => read(message.payload))
  assert.match(told.join(), /status \{[\s\S]*text \{[\s\S]*chart \{[\s\S]*error \{[\s\S]*completion \{/)
})

type ChatEvent = NonNullable<Parameters<typeof encodeChatEvent>[0]['event']>

function envelope(
  ms: number,
  conversationId: string,
  taskId: string,
  event: unknown,
  nanos = ms * 1_000_000,
): Uint8Array {
  const timestamp = { seconds: 1_767_225_600n, nanos }
  return encodeChatEvent({ timestamp, conversationId, taskId, userId: 'u', companyId: 'co', event: event as ChatEvent })
}
