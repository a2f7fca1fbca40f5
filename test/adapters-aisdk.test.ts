// The AI SDK as agents: streamText over an OpenAI-compatible provider against the local model server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText, stepCountIs, tool, ToolLoopAgent } from 'ai'
import { z } from 'zod'
import { fromAISDK } from '../src/agent/adapters/aisdk.ts'
import { textOf } from '../src/state/fold.ts'
import { adapterSuite, limit, ofType, runToEnd } from './adapter-runs.ts'
import { type OpenAIServer, startOpenAIServer } from './services/openai-server.ts'
import { afterToolsWords, longArguments, longPieces, text, toolCalls } from './services/openai-shapes.ts'

const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    if (city === 'Atlantis') throw new Error('sunk')
    return { city, degrees: 21 }
  },
})
const write = tool({ inputSchema: z.object({ text: z.string() }), execute: async ({ text: given }) => given.length })
const slow = tool({
  inputSchema: z.object({ city: z.string() }),
  async *execute({ city }) {
    yield `asking ${city}`
    yield `known ${city}`
  },
})

const providerOf = ({ url }: OpenAIServer) =>
  createOpenAICompatible({ name: 'local', baseURL: url, includeUsage: true })

const agent = (server: OpenAIServer, model: string, weatherTool: typeof weather | typeof slow = weather) => {
  const provider = providerOf(server)
  return fromAISDK((_input, { signal }) =>
    streamText({
      model: provider(model),
      prompt: 'hi',
      tools: { weather: weatherTool, write },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
      abortSignal: signal,
      onError: () => {}, // the SDK prints errors by default; the run has them
    }),
  )
}

adapterSuite({ name: 'ai sdk', agent, codes: { quiet: 'agent_error' } })

test(
  'DF15 DK43 tools are requested, written, run and completed within steps that have names and durations',
  limit,
  async () => {
    await using server = await startOpenAIServer()
    const { events, view, end } = await runToEnd(agent(server, 'tools'))
    assert.ok(end.type === 'complete')
    assert.equal(end.output, afterToolsWords.join(''))
    for (const { id, pieces } of toolCalls) {
      const call = ofType(events, 'tool').filter(event => event.call_id === id)
      assert.deepEqual(
        call.map(event => [event.tool_name, event.stage]),
        [
          ['weather', 'requested'],
          ...pieces.map(() => ['weather', 'arguments']),
          ['weather', 'arguments'],
          ['weather', 'completed'],
        ],
      )
      const input = JSON.parse(pieces.join('')) as { city: string }
      assert.deepEqual(call.at(-2)?.arguments, input)
      assert.deepEqual(call.at(-1)?.result, { city: input.city, degrees: 21 })
      const [timed] = ofType(events, 'metrics').filter(({ scope, scope_id }) => scope === 'tool' && scope_id === id)
      assert.equal(timed?.metrics['duration_ms']?.unit, 'ms')
    }
    assert.deepEqual(
      ofType(events, 'step').map(event => [event.node_name, event.phase, typeof event.duration_ms]),
      [
        ['step-1', 'start', 'undefined'],
        ['step-1', 'end', 'number'],
        ['step-2', 'start', 'undefined'],
        ['step-2', 'end', 'number'],
      ],
    )
    assert.deepEqual(
      ofType(events, 'token').flatMap(({ finish_reason = '' }) => finish_reason || []),
      ['tool_calls', 'stop'],
    )
    assert.equal(view.usage?.total_tokens, 40)
  },
)

test('DF15 a tool that throws is failed with its message, and the model goes on', limit, async () => {
  await using server = await startOpenAIServer()
  const { events, end } = await runToEnd(agent(server, 'badtool'))
  const last = ofType(events, 'tool').at(-1)
  assert.deepEqual([last?.call_id, last?.stage, last?.error], ['call_bad', 'failed', 'sunk'])
  assert.ok(end.type === 'complete' && end.output === afterToolsWords.join(''))
})

test('DF15 what a tool yields on its way is told before its result', limit, async () => {
  await using server = await startOpenAIServer()
  const { events } = await runToEnd(agent(server, 'tools', slow))
  const told = ofType(events, 'tool').filter(event => event.call_id === 'call_a1' && event.result !== undefined)
  assert.deepEqual(
    told.map(({ stage, result }) => [stage, result]),
    [
      ['started', 'asking Paris'],
      ['started', 'known Paris'],
      ['completed', 'known Paris'],
    ],
  )
})

test('thousands of pieces of arguments are passed on as they came', limit, async () => {
  await using server = await startOpenAIServer()
  const { events } = await runToEnd(agent(server, 'long'))
  const whole = longArguments(longPieces).join('')
  const calls = ofType(events, 'tool').filter(event => event.call_id === 'call_long')
  assert.equal(calls.map(({ delta = '' }) => delta).join(''), whole)
  assert.equal(calls.at(-1)?.result, (JSON.parse(whole) as { text: string }).text.length)
})

test('a step whose model fails ends as an error, and is not left open', limit, async () => {
  await using server = await startOpenAIServer()
  const { events, view } = await runToEnd(agent(server, 'error'))
  assert.equal(ofType(events, 'step').at(-1)?.phase, 'error')
  assert.ok(view.steps.every(step => !step.open))
})

test('a result given ready-made, and an agent of the SDK, work the same', limit, async () => {
  await using server = await startOpenAIServer()
  const model = providerOf(server)('text')
  const given = await runToEnd(fromAISDK(streamText({ model, prompt: 'hi' })))
  assert.ok(given.end.type === 'complete' && given.end.output === text)
  const loop = new ToolLoopAgent({ model, tools: { weather } })
  const looped = await runToEnd(
    fromAISDK((_input, { signal }) => loop.stream({ prompt: 'hi', abortSignal: signal }), { name: 'loop' }),
  )
  assert.equal(textOf(looped.view), text)
  assert.equal(ofType(looped.events, 'started')[0]?.framework, 'ai-sdk')
})
