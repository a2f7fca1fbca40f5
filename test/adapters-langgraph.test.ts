// LangGraph as agents: small graphs with ChatOpenAI and a tool node against the local model server.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AIMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import {
  Annotation,
  Command,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  MemorySaver,
  MessagesAnnotation,
  START,
  StateGraph,
} from '@langchain/langgraph'
import { ToolNode, toolsCondition } from '@langchain/langgraph/prebuilt'
import { ChatOpenAI } from '@langchain/openai'
import { z } from 'zod'
import { fromLangGraph } from '../src/agent/adapters/langgraph.ts'
import { textOf } from '../src/state/fold.ts'
import { adapterSuite, limit, ofType, readToEnd, runsOf, runToEnd } from './adapter-runs.ts'
import { type OpenAIServer, startOpenAIServer } from './services/openai-server.ts'
import { afterToolsWords, longArguments, longPieces, text, toolCalls } from './services/openai-shapes.ts'

const weather = tool(
  async ({ city }: { city: string }, config: LangGraphRunnableConfig) => {
    config.writer?.({ looking: city })
    if (city === 'Atlantis') throw new Error('sunk')
    return `21 °C in ${city}`
  },
  { name: 'weather', description: 'The weather of a city', schema: z.object({ city: z.string() }) },
)
const write = tool(async ({ text: given }: { text: string }) => `${given.length}`, {
  name: 'write',
  schema: z.object({ text: z.string() }),
})

const modelOf = ({ url }: OpenAIServer, model: string, useResponsesApi = false) =>
  new ChatOpenAI({
    model,
    useResponsesApi,
    apiKey: 'sk-local',
    configuration: { baseURL: url },
    maxRetries: 0,
  }).bindTools([weather, write])

const graphOf = (server: OpenAIServer, model: string, useResponsesApi = false) => {
  const llm = modelOf(server, model, useResponsesApi)
  return new StateGraph(MessagesAnnotation)
    .addNode('agent', async ({ messages }) => ({ messages: [await llm.invoke(messages)] }))
    .addNode('tools', new ToolNode([weather, write]))
    .addEdge(START, 'agent')
    .addConditionalEdges('agent', toolsCondition, { tools: 'tools', [END]: END })
    .addEdge('tools', 'agent')
    .compile()
}
const hi = () => ({ messages: [{ role: 'user', content: 'hi' }] })
const agent = (server: OpenAIServer, model: string) => fromLangGraph(graphOf(server, model), { graphInput: hi })

const swallowed = 'LangChain takes it for whole; the run is warned (below)'
const broken = 'a stream that just stops is not a whole answer'
adapterSuite({ name: 'langgraph', agent, skip: { [broken]: swallowed } })
adapterSuite({
  name: 'langgraph responses',
  agent: (server, model) => fromLangGraph(graphOf(server, model, true), { graphInput: hi }),
  skip: {
    [broken]: swallowed,
    'an error in mid-stream (error) ends the run with its code, and no token before it is lost': swallowed,
    'an error in mid-stream (errorburst) ends the run with its code, and no token before it is lost': swallowed,
  },
})

for (const [api, model] of [
  ['chat', 'quiet'],
  ['responses', 'quiet'],
  ['responses', 'error'],
  ['responses', 'failed'],
] as const) {
  test(
    `an answer that LangChain takes for whole though it broke off is a warning (${api}, ${model})`,
    limit,
    async () => {
      await using server = await startOpenAIServer()
      const graph = graphOf(server, model, api === 'responses')
      const { events, view } = await runToEnd(fromLangGraph(graph, { graphInput: hi }))
      assert.deepEqual(
        ofType(events, 'warning').map(({ code }) => code),
        ['incomplete_stream'],
      )
      assert.equal(textOf(view), text)
    },
  )
}

test('an answer that is whole is no warning', limit, async () => {
  await using server = await startOpenAIServer()
  for (const responses of [false, true]) {
    for (const model of ['text', 'length', 'tools']) {
      const { events } = await runToEnd(fromLangGraph(graphOf(server, model, responses), { graphInput: hi }))
      assert.deepEqual(ofType(events, 'warning'), [])
    }
  }
})

test(
  'DF15 DK43 nodes are steps with their keys, and tools are requested, written, started and completed',
  limit,
  async () => {
    await using server = await startOpenAIServer()
    const { events, view, end } = await runToEnd(agent(server, 'tools'))
    assert.equal(end.type, 'complete')
    assert.deepEqual(
      ofType(events, 'step').map(({ node_name, phase, input_keys, output_keys }) => [
        node_name,
        phase,
        input_keys ?? output_keys,
      ]),
      ['agent', 'tools', 'agent'].flatMap(node => [
        [node, 'start', ['messages']],
        [node, 'end', ['messages']],
      ]),
    )
    for (const { id, pieces } of toolCalls) {
      const call = ofType(events, 'tool').filter(event => event.call_id === id)
      assert.deepEqual(
        call.map(event => [event.tool_name, event.stage]),
        [
          ['weather', 'requested'],
          ...pieces.map(() => ['weather', 'arguments']),
          ['weather', 'started'],
          ['weather', 'completed'],
        ],
      )
      const input = JSON.parse(pieces.join('')) as { city: string }
      assert.deepEqual(call.at(-2)?.arguments, input)
      assert.equal(call.at(-1)?.result, `21 °C in ${input.city}`)
    }
    assert.deepEqual(
      ofType(events, 'token').flatMap(({ finish_reason = '' }) => finish_reason || []),
      ['tool_calls', 'stop'],
    )
    assert.equal(view.usage?.total_tokens, 40)
  },
)

test('the output is the final state, with messages by their content', limit, async () => {
  await using server = await startOpenAIServer()
  const { end } = await runToEnd(agent(server, 'badtool'))
  assert.ok(end.type === 'complete')
  const { messages } = end.output as { messages: Record<string, unknown>[] }
  assert.deepEqual(
    messages.map(({ type, content }) => [type, content]),
    [
      ['human', 'hi'],
      ['ai', ''],
      ['tool', 'Error: sunk\n Please fix your mistakes.'],
      ['ai', afterToolsWords.join('')],
    ],
  )
  assert.deepEqual(messages[1]?.['tool_calls'], [
    { name: 'weather', args: { city: 'Atlantis' }, id: 'call_bad', type: 'tool_call' },
  ])
})

test('DF15 a tool that throws is failed once, with its message', limit, async () => {
  await using server = await startOpenAIServer()
  const { events } = await runToEnd(agent(server, 'badtool'))
  const ended = ofType(events, 'tool').filter(({ stage }) => stage === 'failed' || stage === 'completed')
  assert.deepEqual(
    ended.map(({ call_id, stage, error }) => [call_id, stage, error]),
    [['call_bad', 'failed', 'sunk']],
  )
})

test('thousands of pieces of arguments are passed on as they came', limit, async () => {
  await using server = await startOpenAIServer()
  const { events } = await runToEnd(agent(server, 'long'))
  const calls = ofType(events, 'tool').filter(event => event.call_id === 'call_long')
  const whole = longArguments(longPieces).join('')
  assert.equal(calls.map(({ delta = '' }) => delta).join(''), whole)
})

test('a custom write is an item, and one that is an event of ours is that event', limit, async () => {
  const graph = new StateGraph(Annotation.Root({ n: Annotation<number> }))
    .addNode('work', async ({ n }, { writer }: LangGraphRunnableConfig) => {
      writer?.({ rows: 3 })
      writer?.('a string')
      writer?.({ type: 'progress', step: 'work', progress: 0.5 })
      return { n: n + 1 }
    })
    .addEdge(START, 'work')
    .addEdge('work', END)
    .compile()
  const { events, end } = await runToEnd(fromLangGraph(graph), { n: 1 })
  assert.deepEqual(
    ofType(events, 'item').map(event => 'data' in event && event.data),
    [{ rows: 3 }, 'a string'],
  )
  assert.equal(ofType(events, 'progress')[0]?.progress, 0.5)
  assert.ok(end.type === 'complete')
  assert.deepEqual(end.output, { n: 2 })
})

test('a message that a node returns without a model is one token', limit, async () => {
  const graph = new StateGraph(MessagesAnnotation)
    .addNode('say', async () => ({ messages: [new AIMessage('said at once')] }))
    .addEdge(START, 'say')
    .addEdge('say', END)
    .compile()
  const { view } = await runToEnd(fromLangGraph(graph), hi())
  assert.equal(textOf(view), 'said at once')
})

test('a graph within a graph: its steps and tokens come once', limit, async () => {
  await using server = await startOpenAIServer()
  const inner = graphOf(server, 'text')
  const outer = new StateGraph(MessagesAnnotation)
    .addNode('inner', inner)
    .addEdge(START, 'inner')
    .addEdge('inner', END)
    .compile()
  const { events, view } = await runToEnd(fromLangGraph(outer, { graphInput: hi }))
  assert.equal(textOf(view), text)
  assert.deepEqual(
    ofType(events, 'step').map(({ node_name, phase }) => `${node_name} ${phase}`),
    ['inner start', 'agent start', 'agent end', 'inner end'],
  )
})

test('a node that throws ends as an error, and the run with its message', limit, async () => {
  const graph = new StateGraph(Annotation.Root({ n: Annotation<number> }))
    .addNode('fails', async () => {
      throw Object.assign(new Error('no such table'), { code: 'no_table' })
    })
    .addEdge(START, 'fails')
    .compile()
  const { events, end } = await runToEnd(fromLangGraph(graph as never), { n: 1 })
  assert.equal(ofType(events, 'step').at(-1)?.phase, 'error')
  assert.ok(end.type === 'error')
  assert.deepEqual([end.code, end.error], ['no_table', 'no such table'])
})

const asking = (checkpointer = new MemorySaver()) =>
  new StateGraph(
    Annotation.Root({ said: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }) }),
  )
    .addNode('left', async () => ({ said: [`left ${String(interrupt('Left?'))}`] }))
    .addNode('right', async () => ({ said: [`right ${String(interrupt({ question: 'Right?', choices: [1, 2] }))}`] }))
    .addEdge(START, 'left')
    .addEdge(START, 'right')
    .addEdge('left', END)
    .addEdge('right', END)
    .compile({ checkpointer })

for (const [how, resume] of [
  ['an object like it', undefined],
  ["the package's own Command", (value: unknown) => new Command({ resume: value })],
] as const) {
  test(`interrupts of parallel nodes are asked, and each gets its answer (${how})`, limit, async () => {
    await using runs = runsOf(fromLangGraph(asking(), resume ? { resume } : {}))
    const { run_id } = await runs.start(undefined, { said: [] }, { thread: 't' })
    const answered: string[] = []
    for (const answer of ['yes', null]) {
      const asked = await questionOf(runs, run_id, answered)
      answered.push(asked.input_id)
      await runs.tell(run_id, { type: 'input', input_id: asked.input_id, value: answer })
    }
    const { events, end } = await readToEnd(runs, run_id)
    assert.ok(end.type === 'complete')
    assert.deepEqual(end.output, { said: ['left yes', 'right null'] })
    assert.deepEqual(
      ofType(events, 'input').flatMap(({ prompt, details }) => (prompt ? [[prompt, details]] : [])),
      [
        ['Left?', undefined],
        ['Right?', { value: { question: 'Right?', choices: [1, 2] } }],
      ],
    )
  })
}

test('DK29 cancel while a graph waits for an answer ends the run', limit, async () => {
  await using runs = runsOf(fromLangGraph(asking()))
  const { run_id } = await runs.start(undefined, { said: [] })
  await questionOf(runs, run_id)
  assert.equal((await runs.cancel(run_id)).status, 'cancelled')
})

test("the run's thread is the graph's: a checkpointer remembers what was said in it", limit, async () => {
  const graph = new StateGraph(
    Annotation.Root({ n: Annotation<number>({ reducer: (a, b) => a + b, default: () => 0 }) }),
  )
    .addNode('count', async () => ({ n: 1 }))
    .addEdge(START, 'count')
    .addEdge('count', END)
    .compile({ checkpointer: new MemorySaver() })
  await using runs = runsOf(fromLangGraph(graph))
  const outputs: unknown[] = []
  for (const thread of ['a', 'a', 'b']) {
    const { run_id } = await runs.start(undefined, { n: 0 }, { thread })
    const { end } = await readToEnd(runs, run_id)
    outputs.push(end.type === 'complete' && end.output)
  }
  assert.deepEqual(outputs, [{ n: 1 }, { n: 2 }, { n: 1 }])
})

async function questionOf(runs: ReturnType<typeof runsOf>, run: string, answered: readonly string[] = []) {
  for (;;) {
    const { questions } = await runs.snapshot(run)
    const question = questions.find(({ input_id }) => !answered.includes(input_id))
    if (question) return question
    await sleep(5)
  }
}
