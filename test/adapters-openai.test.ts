// The `openai` package as agents: chat completions and responses against the local model server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import type { Context } from '../src/agent/context.ts'
import { defineAgent } from '../src/agent/define.ts'
import { fromOpenAI, openAIEvents } from '../src/agent/adapters/openai.ts'
import { textOf } from '../src/state/fold.ts'
import { adapterSuite, limit, cancelled, ofType, runsOf, runToEnd } from './adapter-runs.ts'
import { type OpenAIServer, startOpenAIServer } from './services/openai-server.ts'
import { afterToolsWords, longArguments, longPieces, text, toolCalls } from './services/openai-shapes.ts'

const clientOf = ({ url }: OpenAIServer) => new OpenAI({ apiKey: 'sk-local', baseURL: url, maxRetries: 0 })

const chat = (server: OpenAIServer, model: string) => {
  const client = clientOf(server)
  return fromOpenAI((_input, { signal }) =>
    client.chat.completions.create(
      { model, stream: true, stream_options: { include_usage: true }, messages: [{ role: 'user', content: 'hi' }] },
      { signal },
    ),
  )
}
const responses = (server: OpenAIServer, model: string) => {
  const client = clientOf(server)
  return fromOpenAI((_input, { signal }) => client.responses.create({ model, stream: true, input: 'hi' }, { signal }))
}

adapterSuite({ name: 'openai chat', agent: chat })
adapterSuite({ name: 'openai responses', agent: responses })

for (const [name, agent] of [
  ['chat', chat],
  ['responses', responses],
] as const) {
  test(`DF15 openai ${name}: parallel calls are requested, written and whole, each once`, limit, async () => {
    await using server = await startOpenAIServer()
    const { events, view, end } = await runToEnd(agent(server, 'tools'))
    assert.equal(end.type, 'complete')
    for (const { id, name: tool_name, pieces } of toolCalls) {
      const call = ofType(events, 'tool').filter(event => event.call_id === id)
      assert.deepEqual(
        call.map(event => [event.tool_name, event.stage, event.delta ?? event.arguments]),
        [
          [tool_name, 'requested', undefined],
          ...pieces.map(piece => [tool_name, 'arguments', piece]),
          [tool_name, 'arguments', JSON.parse(pieces.join(''))],
        ],
      )
    }
    assert.deepEqual(
      view.parts.flatMap(part => (part.kind === 'tool' ? [part.arguments] : [])),
      [{ city: 'Paris' }, { city: 'Rome' }],
    )
    assert.equal(ofType(events, 'token').at(-1)?.finish_reason, 'tool_calls')
  })

  test(`openai ${name}: thousands of pieces of arguments are passed on, and parsed once`, limit, async () => {
    await using server = await startOpenAIServer()
    const parsed: number[] = []
    const { parse } = JSON
    const whole = longArguments(longPieces).join('')
    JSON.parse = (given: string, reviver?: Parameters<typeof parse>[1]) => {
      if (given.startsWith('{"text":"x')) parsed.push(given.length)
      return parse(given, reviver) as unknown
    }
    try {
      const { events } = await runToEnd(agent(server, 'long'))
      const calls = ofType(events, 'tool')
      assert.equal(calls.map(({ delta = '' }) => delta).join(''), whole)
      assert.deepEqual(calls.at(-1)?.arguments, parse(whole))
    } finally {
      JSON.parse = parse
    }
    assert.ok(parsed.length <= 3, `parsed ${parsed.length} times`) // once by the adapter, the rest by the view
  })

  test(`DK29 openai ${name}: cancel closes the model call of an agent that passed no signal`, limit, async () => {
    await using server = await startOpenAIServer()
    const client = clientOf(server)
    const forgetful = fromOpenAI(() =>
      name === 'chat'
        ? client.chat.completions.create({ model: 'drip', stream: true, messages: [] })
        : client.responses.create({ model: 'drip', stream: true, input: 'hi' }),
    )
    await cancelled(forgetful, server, 5)
  })
}

test('openai chat: every choice is a request of its own, and the first one is the output', limit, async () => {
  await using server = await startOpenAIServer()
  const { view, end } = await runToEnd(chat(server, 'choices'))
  assert.ok(end.type === 'complete')
  assert.equal(end.output, 'ab')
  assert.deepEqual(
    view.parts.flatMap(part => (part.kind === 'text' ? [[part.content, part.finish_reason]] : [])),
    [
      ['ab', 'stop'],
      ['cd', 'length'],
    ],
  )
})

test('openai responses: a failed response ends the run with its code, and its text stays', limit, async () => {
  await using server = await startOpenAIServer()
  const { view, end } = await runToEnd(responses(server, 'failed'))
  assert.ok(end.type === 'error')
  assert.equal(end.code, 'server_error')
  assert.equal(textOf(view), text)
})

test('DF15 openai responses: a tool of the provider is requested and completed', limit, async () => {
  await using server = await startOpenAIServer()
  const { events, end } = await runToEnd(responses(server, 'search'))
  const [requested, completed] = ofType(events, 'tool')
  assert.deepEqual([requested?.tool_name, requested?.stage], ['web_search', 'requested'])
  assert.deepEqual([completed?.stage, completed?.arguments], ['completed', { type: 'search', query: 'x' }])
  assert.ok(end.type === 'complete' && end.output === text)
})

test('openAIEvents serves an agent that runs its tools in a loop of its own', limit, async () => {
  await using server = await startOpenAIServer()
  const client = clientOf(server)
  const agent = defineAgent(async function* loop(_input: unknown, { signal }: Context) {
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'hi' }]
    for (;;) {
      const stream = await client.chat.completions.create({ model: 'tools', stream: true, messages }, { signal })
      const said = yield* openAIEvents(stream, signal)
      if (said) return said
      yield { type: 'tool', call_id: 'call_a1', tool_name: 'weather', stage: 'completed', result: 21 }
      messages.push({ role: 'tool', tool_call_id: 'call_a1', content: '21' })
    }
  })
  const { end } = await runToEnd(agent)
  assert.ok(end.type === 'complete')
  assert.equal(end.output, afterToolsWords.join(''))
})

test('a stream given ready-made serves one run; the second is refused with the way to mend it', limit, async () => {
  await using server = await startOpenAIServer()
  const stream = await clientOf(server).chat.completions.create({ model: 'text', stream: true, messages: [] })
  const agent = fromOpenAI(stream, { name: 'once' })
  assert.equal((await runToEnd(agent)).end.type, 'complete')
  const { end } = await runToEnd(agent)
  assert.ok(end.type === 'error')
  assert.match(end.error, /fromOpenAI\(\(input, context\) =>/)
})

test(
  'DK39 the agent has the name and framework that are given, and its input reaches the function',
  limit,
  async () => {
    await using server = await startOpenAIServer()
    const client = clientOf(server)
    const agent = fromOpenAI(
      ({ ask }: { ask: string }, { signal }) =>
        client.chat.completions.create(
          { model: 'unknown', stream: true, messages: [{ role: 'user', content: ask }] },
          { signal },
        ),
      { name: 'asker', description: 'asks' },
    )
    await using runs = runsOf(agent)
    const { agent: name } = await runs.start('asker', { ask: 'text' })
    assert.equal(name, 'asker')
    const { events, end } = await runToEnd(agent, { ask: 'text' })
    assert.ok(end.type === 'complete' && end.output === text)
    const [started] = ofType(events, 'started')
    assert.equal(started?.framework, 'openai')
  },
)
