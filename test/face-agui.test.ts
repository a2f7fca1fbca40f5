// AG-UI clients, unmodified: the protocol's own verifier and reducer judge every stream of arbitrary runs, and the real
// HttpAgent talks to a real server, through a proxy that cuts. What a client shows must be what the server's view says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type AgentStateMutation,
  type BaseEvent,
  defaultApplyEvents,
  HttpAgent,
  type Message,
  verifyEvents,
} from '@ag-ui/client'
import { EventSchemas } from '@ag-ui/core/schemas'
import fc from 'fast-check'
import { from, lastValueFrom, type Observable, toArray } from 'rxjs'
import { defineAgent } from '../src/agent/define.ts'
import type { Context } from '../src/agent/context.ts'
import type { Event } from '../src/event.ts'
import { aguiEncoder, type AguiEvent, type AguiMessage, aguiMessages } from '../src/formats/agui.ts'
import { serve } from '../src/server.ts'
import { emptyView, fold, textOf, type View } from '../src/state/fold.ts'
import { arbitraryEndedRun, arbitraryRun } from './arbitrary-events.ts'
import { cutPipe } from './cut-pipe.ts'

const user: AguiMessage = { id: 'u1', role: 'user', content: 'how much?' }
const asked = new Set(['q1', 'q2'])

const encoded = (events: readonly Event[], at: number, resumed: boolean, answered = asked): AguiEvent[] => {
  const options = { threadId: 't', runId: 'r', messages: [user], resumed, answered }
  const encoder = aguiEncoder(fold(emptyView('r1'), events.slice(0, at)), options)
  return [...encoder.opening, ...events.slice(at).flatMap(event => encoder.take([event]))]
}

test("AG-UI's verifier and schemas accept the stream of any run, from its start and from any cursor", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryRun(), fc.nat(), async (events, cursor) => {
      for (const stream of [encoded(events, 0, false), encoded(events, cursor % (events.length + 1), true)]) {
        for (const event of stream) assert.equal(EventSchemas.safeParse(event).error, undefined, JSON.stringify(event))
        await lastValueFrom(from(stream as unknown as BaseEvent[]).pipe(verifyEvents() as never, toArray()))
      }
    }),
  )
})

test('H63 a stream of an ended run ends once, with everything closed, and a stream of an open run is not ended', () => {
  fc.assert(
    fc.property(arbitraryEndedRun(), fc.nat(), (events, cursor) => {
      const isEnd = ({ type }: AguiEvent) => type === 'RUN_FINISHED' || type === 'RUN_ERROR'
      const stream = encoded(events, cursor % (events.length + 1), true)
      assert.equal(stream.filter(isEnd).length, 1)
      assert.ok(isEnd(stream.at(-1) as AguiEvent))
      assert.ok(!encoded(events.slice(0, -1), 0, false).some(isEnd))
    }),
  )
})

test("the messages that a client has after any run are the server's, whole or resumed at any cursor, with the same text", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryRun(), fc.nat(), async (events, cursor) => {
      const at = cursor % (events.length + 1)
      const view = fold(emptyView('r1'), events)
      const server = [user, ...aguiMessages(view)]
      const live = await applied(encoded(events, 0, false), [user as Message])
      assert.deepEqual(live.messages, server)
      // A new client, and one that comes back with what it had seen.
      assert.deepEqual((await applied(encoded(events, at, true), [])).messages, server)
      const partial = await applied(encoded(events.slice(0, at), 0, false), [user as Message])
      const back = await applied(encoded(events, at, true), partial.messages)
      assert.deepEqual(back.messages, server)
      assert.equal(textIn(back.messages, view), textOf(view))
    }),
  )
})

test("the state that a client has after any run is the server's", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryRun(), fc.nat(), async (events, cursor) => {
      const { state } = fold(emptyView('r1'), events)
      if (state.version === 0) return
      for (const stream of [encoded(events, 0, false), encoded(events, cursor % (events.length + 1), true)]) {
        assert.deepEqual((await applied(stream, [])).state, state.value)
      }
    }),
  )
})

const prices = defineAgent({ name: 'prices' }, async function* (input: unknown, ctx: Context) {
  const { question, messages } = input as { question: string; messages: unknown[] }
  await ctx.step('look', { phase: 'start' })
  await ctx.tool({
    call_id: 'c1',
    tool_name: 'find',
    stage: 'requested',
    arguments: { question, turns: messages.length },
  })
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'completed', result: { rows: 3 } })
  await ctx.step('look', { phase: 'end' })
  ctx.state.update(draft => {
    draft['rows'] = 3
  })
  for (let n = 0; n < 120; n++) {
    yield `word ${n} `
    if (n % 10 === 0) await new Promise(resolve => setTimeout(resolve, 2))
  }
  await ctx.chart('sales', { series: [{ type: 'bar', data: [1, 2] }] })
  yield 'and that was all'
  ctx.state.update(draft => {
    draft['done'] = true
  })
  return 'ok'
})

const careful = defineAgent({ name: 'careful' }, async function* (_input: unknown, ctx: Context) {
  yield 'I would like to '
  const yes = await ctx.ask('Delete it all?', { kind: 'approval' })
  yield yes === true ? 'delete it, thank you' : 'leave it, thank you'
  return yes
})

const patient = defineAgent({ name: 'patient' }, async function* (_input: unknown, ctx: Context) {
  yield 'waiting'
  await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
})

const broken = defineAgent({ name: 'broken' }, async function* () {
  yield 'half a '
  throw new Error('the disk is full')
})

const agents = [prices, careful, patient, broken]
const ask: Message = { id: 'u1', role: 'user', content: 'how much?' }
const agentAt = (url: string, initialMessages: Message[] = [ask]) =>
  new HttpAgent({ url, threadId: 't1', initialMessages })

test('HttpAgent runs an agent: words to the agent, text, tool call, chart, steps and state to the client', async () => {
  await using served = await serve({ agents, port: 0 })
  const agent = agentAt(`${served.url}/agui`)
  const steps: string[] = []
  const { result } = await agent.runAgent(
    { runId: 'first' },
    {
      onStepStartedEvent: ({ event }) => void steps.push(`+${event.stepName}`),
      onStepFinishedEvent: ({ event }) => void steps.push(`-${event.stepName}`),
    },
  )
  const view = await served.runs.snapshot('first')
  assert.equal(result, 'ok')
  assert.deepEqual(agent.messages, [ask, ...aguiMessages(view)])
  assert.deepEqual(agent.state, { rows: 3, done: true })
  assert.deepEqual(steps, ['+look', '-look'])
  const call = agent.messages.find(one => one.role === 'assistant' && one.toolCalls !== undefined)
  assert.match(JSON.stringify(call), /how much\?.*turns.*1/)
  // The next run of the thread: the ids of the first are not used again.
  agent.addMessage({ id: 'u2', role: 'user', content: 'and now?' })
  await agent.runAgent({ runId: 'second' })
  assert.equal(new Set(agent.messages.map(one => one.id)).size, agent.messages.length)
  assert.deepEqual(agent.messages.slice(-aguiMessages(view).length).map(shape), aguiMessages(view).map(shape))
})

/** The client throws away a rejection when its reader was cut (`reader.cancel()` of a broken body), which browsers only log. */
const calmFetch = async (url: string, init: RequestInit): Promise<Response> => {
  const response = await fetch(url, init)
  const getReader = () => {
    const reader = response.body?.getReader()
    return { read: () => reader?.read(), cancel: () => reader?.cancel().catch(() => {}) }
  }
  return {
    ok: response.ok,
    status: response.status,
    headers: response.headers,
    body: { getReader },
  } as unknown as Response
}

const shape = ({ role }: { role: string }) => role

test('H60 a client that is cut off again and again and posts its runId again has every word, call and chart once', async () => {
  await using served = await serve({ agents, port: 0 })
  let seed = 7
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
  const port = Number(new URL(served.url).port)
  await using pipe = await cutPipe({ port }, { random, plan: { cutAfterBytes: [700, 3_000], crumbBytesMax: 90 } })
  const agent = new HttpAgent({ url: `${pipe.url}/agui`, threadId: 't1', initialMessages: [ask], fetch: calmFetch })
  let posts = 0
  for (let whole = false; !whole && posts < 200; posts++) {
    // The proxy cuts while the run goes on and for some posts behind; a connection that never held would end nothing.
    if (posts > 12) pipe.plan = {}
    whole = await agent.runAgent({ runId: 'cut' }).then(
      () => true,
      () => false,
    )
  }
  const view = await served.runs.snapshot('cut')
  assert.ok(posts > 1, 'it was never cut')
  assert.deepEqual(agent.messages, [ask, ...aguiMessages(view)])
  assert.deepEqual(agent.state, view.state.value)
})

test('H67 a client that comes late to a long run gets what it amounts to, and not its history', async () => {
  const long = defineAgent({ name: 'long' }, async function* () {
    for (let n = 0; n < 20_000; n++) yield 'w '
  })
  await using served = await serve({ agents: [long], port: 0 })
  await served.runs.start('long', null, { run: 'long', thread: 't' })
  await served.runs.follow('long', {}, () => {})
  const body = { threadId: 't', runId: 'long', messages: [], tools: [], context: [], state: {}, forwardedProps: {} }
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${served.url}/agui`, { method: 'POST', headers, body: JSON.stringify(body) })
  const text = await answer.text()
  assert.ok(text.includes('w '.repeat(20_000)))
  assert.ok(text.length < 100_000, `${text.length} bytes for a text of 40,000`)
  assert.ok(text.split('\n\n').length < 10)
})

test('a new client, or one that reloads with nothing, attaches to a run by its id and has the whole; an ended run ends at once', async () => {
  await using served = await serve({ agents, port: 0 })
  const first = agentAt(`${served.url}/agui`)
  const running = first.runAgent({ runId: 'shared' })
  while ((await served.runs.get('shared').catch(() => undefined))?.status !== 'running') await breath()
  const second = agentAt(`${served.url}/agui`)
  await Promise.all([running, second.runAgent({ runId: 'shared' })])
  const late = agentAt(`${served.url}/agui`)
  await late.runAgent({ runId: 'shared' })
  assert.deepEqual(second.messages, first.messages)
  assert.deepEqual(late.messages, first.messages)
  assert.deepEqual(late.state, first.state)
  // A page that has not even the question gets it too, and from a run that another front end started.
  const blank = agentAt(`${served.url}/agui`, [])
  await blank.runAgent({ runId: 'shared' })
  assert.deepEqual(blank.messages, first.messages)
  await served.runs.start('broken', { question: 'why?' }, { run: 'elsewhere' })
  const other = agentAt(`${served.url}/agui`, [])
  await other.runAgent({ runId: 'elsewhere' }).catch(() => {})
  assert.deepEqual(other.messages[0], { id: 'elsewhere-user', role: 'user', content: 'why?' })
})

test('an approval is an interrupt; the answer comes with a new runId, and the text goes on where it was', async () => {
  await using served = await serve({ agents, port: 0 })
  const agent = agentAt(`${served.url}/agui/careful`)
  await agent.runAgent({ runId: 'asks' })
  const [interrupt] = agent.pendingInterrupts
  assert.equal(interrupt?.message, 'Delete it all?')
  assert.equal((await served.runs.get('asks')).status, 'running')
  await agent.runAgent({
    runId: 'asks-2',
    resume: [{ interruptId: interrupt?.id ?? '', status: 'resolved', payload: true }],
  })
  const view = await served.runs.snapshot('asks')
  assert.equal(view.status, 'completed')
  assert.equal(textOf(view), 'I would like to delete it, thank you')
  assert.deepEqual(agent.messages, [ask, ...aguiMessages(view)])
  // A reload in the middle of the answer knows the run by its new id too.
  const again = agentAt(`${served.url}/agui/careful`)
  await again.runAgent({ runId: 'asks-2' })
  assert.deepEqual(again.messages, agent.messages)
})

test('a cancelled run finishes as cancelled, a failed one is a RUN_ERROR with its code, and an unknown agent a 404', async () => {
  await using served = await serve({ agents, port: 0 })
  const agent = agentAt(`${served.url}/agui/patient`)
  let outcome = ''
  const running = agent.runAgent({ runId: 'long' }, { onRunFinishedEvent: params => void (outcome = params.outcome) })
  while ((await served.runs.get('long').catch(() => undefined))?.status !== 'running') await breath()
  await served.runs.cancel('long', 'enough')
  await running
  assert.equal(outcome, 'cancelled')
  const failing = new HttpAgent({ url: `${served.url}/agui/broken`, threadId: 't2', initialMessages: [ask] })
  let failed: unknown
  await failing.runAgent({ runId: 'fails' }, { onRunErrorEvent: ({ event }) => void (failed = event) })
  assert.match(JSON.stringify(failed), /disk is full.*agent_error/)
  assert.match(JSON.stringify(failing.messages.at(-1)), /half a /)
  await assert.rejects(agentAt(`${served.url}/agui/nobody`).runAgent(), /404/)
})

const breath = () => new Promise(resolve => setTimeout(resolve, 5))

/** What the client's own reducer makes of a stream. */
async function applied(stream: readonly AguiEvent[], messages: readonly Message[]) {
  const agent = new HttpAgent({ url: 'http://127.0.0.1:1', threadId: 't', initialMessages: [...messages] })
  const input = { threadId: 't', runId: 'r', messages: [...messages], tools: [], context: [], state: {} }
  const events = from(structuredClone(stream) as unknown as BaseEvent[]) as never
  const mutations = await lastValueFrom(
    from(defaultApplyEvents(input, events, agent, []) as unknown as Observable<AgentStateMutation>).pipe(toArray()),
  )
  const last = (name: 'messages' | 'state') => mutations.findLast(one => one[name] !== undefined)?.[name]
  return { messages: (last('messages') ?? [...messages]) as (Message & AguiMessage)[], state: last('state') as unknown }
}

/** The text as a page shows it: tokens joined, whole blocks as paragraphs. */
function textIn(messages: readonly Message[], view: View): string {
  const contents = new Map(messages.map(one => [one.id, one]))
  const parts = view.parts.map(part =>
    part.kind === 'text' || part.kind === 'text_block'
      ? { ...part, content: contents.get(`r1-${part.part_id}`)?.content as string }
      : part,
  )
  return textOf({ ...view, parts })
}
