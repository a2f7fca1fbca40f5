// AI SDK chats, unmodified: the SDK's own reader judges every stream of arbitrary runs, and its own Chat classes, of `ai` 7
// and of `@ai-sdk/react`, talk to a real server through a proxy that cuts. What they show must be what the view says.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Chat as ReactChat } from '@ai-sdk/react'
import {
  AbstractChat,
  type ChatInit,
  type ChatState,
  type ChatStatus,
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
  readUIMessageStream,
  type UIMessage,
  type UIMessageChunk,
  uiMessageChunkSchema,
} from 'ai'
import fc from 'fast-check'
import { defineAgent } from '../src/agent/define.ts'
import type { Context } from '../src/agent/context.ts'
import { stoppable } from '../src/client/aisdk-transport.ts'
import type { Event } from '../src/event.ts'
import { aisdkEncoder, type UiPart } from '../src/formats/aisdk.ts'
import { serve, type Served } from '../src/server.ts'
import { emptyView, fold, textOf, type View } from '../src/state/fold.ts'
import { arbitraryEndedRun, arbitraryRun } from './arbitrary-events.ts'
import { cutPipe } from './cut-pipe.ts'

const answered = new Set(['q1', 'q2'])

const encoded = (events: readonly Event[], at = 0): UiPart[] => {
  const encoder = aisdkEncoder(fold(emptyView('r1'), events.slice(0, at)), { from: 'replay', answered })
  return [...encoder.opening, ...events.slice(at).flatMap(event => encoder.take([event]))]
}

/** What the SDK makes of a stream; errors that the run itself tells are no errors of the stream. */
async function read(chunks: readonly UiPart[]): Promise<UIMessage | undefined> {
  const errors: string[] = []
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of structuredClone(chunks)) controller.enqueue(chunk as UIMessageChunk)
      controller.close()
    },
  })
  let last: UIMessage | undefined
  for await (const message of readUIMessageStream({
    stream,
    onError: error => void errors.push((error as Error).message),
  })) {
    last = message
  }
  const own = chunks.filter(({ type }) => type === 'error').map(({ errorText }) => errorText)
  assert.deepEqual(errors, own)
  return last
}

test('the SDK takes every part of any run, from its start and from any cursor', async () => {
  const { validate } = uiMessageChunkSchema()
  await fc.assert(
    fc.asyncProperty(arbitraryRun(), fc.nat(), async (events, cursor) => {
      for (const stream of [encoded(events), encoded(events, cursor % (events.length + 1))]) {
        for (const chunk of stream) assert.equal((await validate?.(chunk))?.success, true, JSON.stringify(chunk))
        await read(stream)
      }
    }),
  )
})

test('the message of any run is the same whether it was streamed whole or resumed at any cursor, with the text of the view', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryRun(), fc.nat(), async (events, cursor) => {
      const view = fold(emptyView('r1'), events)
      const whole = await read(encoded(events))
      const resumed = await read(encoded(events, cursor % (events.length + 1)))
      assert.deepEqual(plain(resumed), plain(whole))
      assert.equal(whole?.id ?? 'r1-assistant', 'r1-assistant')
      assert.deepEqual(textsOf(whole), textPartsOf(view))
    }),
  )
})

test('a stream of an ended run says its end once and last', () => {
  fc.assert(
    fc.property(arbitraryEndedRun(), fc.nat(), (events, cursor) => {
      const stream = encoded(events, cursor % (events.length + 1))
      const ends = ['finish', 'error', 'abort']
      assert.equal(stream.filter(({ type }) => ends.includes(type)).length, 1)
      assert.ok(ends.includes(stream.at(-1)?.type ?? ''))
    }),
  )
})

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

const teller = defineAgent({ name: 'teller' }, async function* (input: unknown, ctx: Context) {
  await ctx.progress('think', 0.5, 'thinking')
  await ctx.token('hm, ', { channel: 'reasoning' })
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'arguments', delta: '{"q":' })
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'arguments', delta: '"sales"}' })
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'completed', result: { rows: 3 } })
  for (let n = 0; n < 120; n++) {
    yield `word ${n} `
    if (n % 10 === 0) await pause(3)
  }
  await ctx.chart('sales', { series: [{ type: 'bar', data: [1, 2] }] })
  yield `for ${(input as { question: string }).question}`
})

const careful = defineAgent({ name: 'careful' }, async function* (_input: unknown, ctx: Context) {
  yield 'May I? '
  const yes = await ctx.ask('Delete it all?', { kind: 'approval' })
  yield yes === true ? 'Gone. ' : 'Kept. '
  const name = await ctx.ask('Your name?')
  yield `Bye, ${String(name)}`
})

const patient = defineAgent({ name: 'patient' }, async function* (_input: unknown, ctx: Context) {
  yield 'waiting '
  await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
})

const broken = defineAgent({ name: 'broken' }, async function* () {
  yield 'half a '
  throw new Error('the disk is full')
})

const agents = [teller, careful, patient, broken]

/** The Chat of `ai` 7 with its state in memory: useChat without a page. */
class MemoryChat extends AbstractChat<UIMessage> {
  constructor(init: ChatInit<UIMessage>) {
    const state: ChatState<UIMessage> = {
      status: 'ready' as ChatStatus,
      error: undefined,
      messages: init.messages ?? [],
      pushMessage: message => void state.messages.push(message),
      popMessage: () => void state.messages.pop(),
      replaceMessage: (index, message) => void (state.messages[index] = message),
      snapshot: thing => structuredClone(thing),
    }
    super({ ...init, state })
  }
}

interface Face {
  readonly messages: UIMessage[]
  readonly status: ChatStatus
  readonly error: Error | undefined
  sendMessage(message: { text: string }): Promise<void>
  regenerate(): Promise<void>
  resumeStream(): Promise<void>
  stop(): Promise<void>
  addToolApprovalResponse(answer: { id: string; approved: boolean }): PromiseLike<void> | void
  addToolOutput(answer: { tool: string; toolCallId: string; output: unknown }): PromiseLike<void> | void
}

/** The one that the hook of `@ai-sdk/react` holds, too: it has a state of its own. */
const chats: { name: string; open: (init: ChatInit<UIMessage>) => Face }[] = [
  { name: 'ai 7', open: init => new MemoryChat(init) as unknown as Face },
  { name: '@ai-sdk/react', open: init => new ReactChat(init) as unknown as Face },
]

const transportTo = (url: string, agent = 'teller') =>
  new DefaultChatTransport<UIMessage>({ api: `${url}/api/chat`, body: { agent } })

const latestRun = async ({ runs }: Served, thread: string) => (await runs.list({ thread })).runs[0]?.run_id ?? ''

for (const { name, open } of chats) {
  test(`${name}: a chat sends, and has text, thoughts, tool call and chart as the server has them, under the stored id`, async () => {
    await using served = await serve({ agents, port: 0 })
    const seen: string[] = []
    const chat = open({ id: 'c1', transport: transportTo(served.url), onData: part => void seen.push(part.type) })
    await chat.sendMessage({ text: 'sales' })
    const run = await latestRun(served, 'c1')
    const view = await served.runs.snapshot(run)
    const message = chat.messages.at(-1)
    assert.equal(chat.status, 'ready')
    assert.equal(message?.id, `${run}-assistant`)
    assert.deepEqual(textsOf(message), textPartsOf(view))
    assert.match(textOf(view), /word 119 .*for sales$/s)
    const [tool] = message?.parts.filter(part => part.type === 'dynamic-tool') ?? []
    assert.deepEqual([tool?.state, tool?.input, tool?.output], ['output-available', { q: 'sales' }, { rows: 3 }])
    assert.equal(message?.parts.filter(part => part.type === 'data-chart').length, 1)
    assert.ok(seen.includes('data-progress'))
    // Asked again, it is another run, and takes the place of the message.
    await chat.regenerate()
    assert.equal(chat.messages.length, 2)
    assert.notEqual(await latestRun(served, 'c1'), run)
    assert.deepEqual(textsOf(chat.messages.at(-1)), textsOf(message))
  })

  test(`${name} H60 a chat that is cut off again and again, and resumes, has every word, call and chart once`, async () => {
    await using served = await serve({ agents, port: 0 })
    let seed = 11
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
    const port = Number(new URL(served.url).port)
    await using pipe = await cutPipe({ port }, { random, plan: { cutAfterBytes: [700, 3_000], crumbBytesMax: 90 } })
    const chat = open({ id: 'c2', transport: transportTo(pipe.url) })
    await chat.sendMessage({ text: 'sales' })
    assert.equal(chat.status, 'error', 'it was never cut')
    for (let tries = 0; chat.status === 'error' && tries < 100; tries++) {
      if (tries > 8) pipe.plan = {}
      await chat.resumeStream()
    }
    const run = await latestRun(served, 'c2')
    assert.equal(chat.status, 'ready')
    const whole = open({ id: 'c2', transport: transportTo(served.url) })
    await whole.resumeStream() // right after the end, the replay is still there
    assert.deepEqual(textsOf(chat.messages.at(-1)), textPartsOf(await served.runs.snapshot(run)))
    assert.equal(chat.messages.length, 2)
    assert.deepEqual(plain(chat.messages.at(-1)), plain(whole.messages.at(-1)))
  })

  test(`${name}: a page that reloads in mid-message goes on with it`, async () => {
    await using served = await serve({ agents, port: 0 })
    const first = open({ id: 'c3', transport: transportTo(served.url) })
    const sending = first.sendMessage({ text: 'sales' })
    while (textsOf(first.messages.at(-1)).join('').length < 20) await pause(2)
    const half = plain(first.messages) as UIMessage[]
    const second = open({ id: 'c3', transport: transportTo(served.url), messages: half })
    await Promise.all([second.resumeStream(), sending])
    assert.deepEqual(plain(second.messages), plain(first.messages))
  })

  test(`${name}: stop disconnects the SDK's own transport, and cancels the run through ours`, async () => {
    await using served = await serve({ agents, port: 0 })
    const options = { api: `${served.url}/api/chat` }
    const started = async (chat: Face, thread: string) => {
      const sending = chat.sendMessage({ text: 'wait' })
      while (textsOf(chat.messages.at(-1)).join('') !== 'waiting ') await pause(2)
      await chat.stop()
      await sending
      return served.runs.get(await latestRun(served, thread))
    }
    const plainRun = await started(open({ id: 'c4', transport: transportTo(served.url, 'patient') }), 'c4')
    assert.equal(plainRun.status, 'running')
    const ours = stoppable(transportTo(served.url, 'patient'), options)
    const { run_id } = await started(open({ id: 'c5', transport: ours }), 'c5')
    await served.runs.follow(run_id, {}, () => {}) // until its end
    assert.equal((await served.runs.get(run_id)).status, 'cancelled')
    // Another page of that chat sees that it was stopped.
    const other = open({ id: 'c5', transport: transportTo(served.url) })
    await other.resumeStream()
    assert.equal(other.status, 'ready')
    assert.deepEqual(textsOf(other.messages.at(-1)), ['waiting '])
  })

  test(`${name}: resuming again does not cancel what is resumed`, async () => {
    await using served = await serve({ agents, port: 0 })
    const transport = stoppable(transportTo(served.url), { api: `${served.url}/api/chat` })
    const sending = open({ id: 'c6', transport }).sendMessage({ text: 'sales' })
    const page = open({ id: 'c6', transport })
    while ((await latestRun(served, 'c6')) === '') await pause(2)
    await Promise.all([page.resumeStream(), page.resumeStream(), page.resumeStream()])
    await sending
    assert.equal((await served.runs.get(await latestRun(served, 'c6'))).status, 'completed')
  })

  test(`${name}: an approval and a question are asked as the SDK asks them, and the answers go on with the same message`, async () => {
    await using served = await serve({ agents, port: 0 })
    const chat = open({
      id: 'c7',
      transport: transportTo(served.url, 'careful'),
      sendAutomaticallyWhen: given =>
        lastAssistantMessageIsCompleteWithApprovalResponses(given) ||
        lastAssistantMessageIsCompleteWithToolCalls(given),
    })
    await chat.sendMessage({ text: 'clean up' })
    const toolsOf = () => chat.messages.at(-1)?.parts.filter(part => part.type === 'dynamic-tool') ?? []
    const approval = toolsOf()[0]
    assert.equal(approval?.state, 'approval-requested')
    await chat.addToolApprovalResponse({ id: approval?.approval?.id ?? '', approved: true })
    while (toolsOf().length < 2 || chat.status !== 'ready') await pause(2)
    const question = toolsOf()[1]
    assert.deepEqual([question?.toolName, question?.input], ['question', { prompt: 'Your name?' }])
    await chat.addToolOutput({ tool: 'question', toolCallId: question?.toolCallId ?? '', output: 'Ada' })
    const run = await latestRun(served, 'c7')
    await served.runs.follow(run, {}, () => {})
    while (chat.status !== 'ready') await pause(2)
    assert.equal(textsOf(chat.messages.at(-1)).join(''), 'May I? Gone. Bye, Ada')
    assert.equal(textOf(await served.runs.snapshot(run)), 'May I? Gone. Bye, Ada')
    assert.equal((await served.runs.list({ thread: 'c7' })).runs.length, 1)
    assert.equal(chat.messages.length, 2)
  })

  test(`${name}: a failed run is the chat's error, with what it had said; a quiet chat has nothing to resume`, async () => {
    await using served = await serve({ agents, port: 0 })
    const chat = open({ id: 'c8', transport: transportTo(served.url, 'broken') })
    await chat.sendMessage({ text: 'go' })
    assert.match(chat.error?.message ?? '', /disk is full/)
    assert.deepEqual(textsOf(chat.messages.at(-1)), ['half a '])
    assert.equal((await fetch(`${served.url}/api/chat/nobody/stream`)).status, 204)
    const stopped = await fetch(`${served.url}/api/chat/nobody`, { method: 'DELETE' })
    assert.deepEqual(await stopped.json(), { success: true, cancelled: [] })
  })
}

test('the stream has the headers and the end that the SDK names', async () => {
  await using served = await serve({ agents, port: 0 })
  const body = JSON.stringify({ id: 'c9', messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }] })
  const response = await fetch(`${served.url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const expected = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' }
  for (const [name, value] of Object.entries(expected)) assert.equal(response.headers.get(name), value)
  assert.equal(response.headers.get('x-vercel-ai-ui-message-stream'), 'v1')
  const text = await response.text()
  assert.match(text, /^data: \{"type":"start","messageId":"[^"]+-assistant"\}\n\n/)
  assert.match(text, /data: \[DONE\]\n\n$/)
})

const plain = (message: unknown): unknown => JSON.parse(JSON.stringify(message ?? null))
const textsOf = (message: UIMessage | undefined) =>
  (message?.parts ?? []).flatMap(part => (part.type === 'text' ? [part.text] : []))
const textPartsOf = (view: View) =>
  view.parts.flatMap(part => (part.kind === 'text' || part.kind === 'text_block' ? [part.content] : []))
