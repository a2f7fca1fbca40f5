// Runs of adapted agents against the local model server: what was logged, how it ended, and a cancel in mid-stream.
// Shared by the three adapters' tests, which promise the same of each.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Agent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import type { Event, EventOf, EventType } from '../src/event.ts'
import { createRuns } from '../src/local-runs.ts'
import type { LocalRuns } from '../src/runs.ts'
import { textOf, type View } from '../src/state/fold.ts'
import { type OpenAIServer, type Recorded, startOpenAIServer } from './services/openai-server.ts'
import { text, thoughts, words } from './services/openai-shapes.ts'

/** No test of an adapter takes a second; one that waits for ever must say so. */
export const limit = { timeout: 120_000 }

export interface Done {
  readonly events: readonly Event[]
  readonly view: View
  readonly end: EventOf<'complete'> | EventOf<'error'> | EventOf<'cancelled'>
}

export function runsOf(agent: unknown): LocalRuns {
  return createRuns({ log: memory(), agents: [agent as Agent], deps: realDeps })
}

/** Runs an agent to its end. */
export async function runToEnd(agent: unknown, input: unknown = {}): Promise<Done> {
  await using runs = runsOf(agent)
  const { run_id } = await runs.start(undefined, input)
  return await readToEnd(runs, run_id)
}

export async function readToEnd(runs: LocalRuns, run: string): Promise<Done> {
  const events: Event[] = []
  for await (const batch of runs.tail(run)) events.push(...batch.events)
  return { events, view: await runs.snapshot(run), end: events.at(-1) as Done['end'] }
}

export function ofType<T extends EventType>(events: readonly Event[], type: T): EventOf<T>[] {
  return events.filter(event => event.type === type) as unknown as EventOf<T>[]
}

/** Starts, waits for the model to be asked and to write, cancels; resolves with what the server saw of it. */
export async function cancelled(agent: unknown, server: OpenAIServer, afterFrames: number): Promise<Recorded> {
  await using runs = runsOf(agent)
  const asked = server.next()
  const { run_id } = await runs.start(undefined, {})
  const request = await asked
  while (request.sent < afterFrames) await sleep(5)
  const info = await runs.cancel(run_id, 'enough')
  assert.equal(info.status, 'cancelled')
  const left = await Promise.race([request.left, sleep(leftMsMax, 'still connected', { ref: false })])
  assert.equal(left, true, 'the model call must be closed')
  return request
}

/** By then the model must be rid of a run that is sealed, on the slowest machine: it is left at once, or never. */
const leftMsMax = 30_000

export interface AdapterRow {
  readonly name: string
  /** An agent that asks the model of this name once. */
  agent(server: OpenAIServer, model: string): unknown
  /** What the ends of refused and broken answers say, where clients word them differently. */
  readonly codes?: Partial<Record<'limited' | 'broken' | 'error' | 'cut' | 'quiet', string>>
  readonly skip?: Readonly<Record<string, string>>
}

/** What is the same for every adapter: text, reasoning, usage, finish, errors without loss, cancel. */
export function adapterSuite(row: AdapterRow): void {
  const promise = (title: string, body: (server: OpenAIServer) => Promise<void>) => {
    void test(`${row.name}: ${title}`, { skip: row.skip?.[title] ?? false, ...limit }, async () => {
      await using server = await startOpenAIServer()
      await body(server)
    })
  }
  const run = (server: OpenAIServer, model: string) => runToEnd(row.agent(server, model))

  promise('DK42 DF11 tokens join to the text exactly, numbered, of one request, with the finish last', async server => {
    const { events, view, end } = await run(server, 'text')
    assert.equal(end.type, 'complete')
    assert.equal(textOf(view), text)
    const tokens = ofType(events, 'token')
    assert.equal(new Set(tokens.map(token => token.llm_request_id)).size, 1)
    assert.deepEqual(
      tokens.map(token => token.index),
      tokens.map((_, index) => index),
    )
    const part = view.parts.find(({ kind }) => kind === 'text')
    assert.ok(part?.kind === 'text' && part.model?.startsWith('text') && part.finish_reason === 'stop')
    assert.equal(tokens.at(-1)?.finish_reason, 'stop')
  })

  promise('each chunk of the model is one token: nothing is gathered', async server => {
    const { events } = await run(server, 'text')
    const pieces = ofType(events, 'token').map(token => token.content)
    assert.deepEqual(
      pieces.filter(piece => piece !== ''),
      words,
    )
  })

  promise('DF11 reasoning stands in its own channel, before the text', async server => {
    const { view } = await run(server, 'reasoning')
    const parts = view.parts.flatMap(part => (part.kind === 'text' || part.kind === 'reasoning' ? [part] : []))
    assert.deepEqual(
      parts.map(({ kind, content }) => [kind, content]),
      [
        ['reasoning', thoughts.join('')],
        ['text', text],
      ],
    )
  })

  for (const [model, reason] of [
    ['length', 'length'],
    ['filtered', 'content_filter'],
  ] as const) {
    promise(`DK42 an answer that ended by ${reason} says so`, async server => {
      const { view, end } = await run(server, model)
      assert.equal(end.type, 'complete')
      const part = view.parts.find(({ kind }) => kind === 'text')
      assert.ok(part?.kind === 'text' && part.finish_reason === reason)
    })
  }

  promise('DF16 usage is told once, and the view sums it by model', async server => {
    const { events, view } = await run(server, 'text')
    assert.equal(ofType(events, 'metrics').filter(({ scope }) => scope === 'llm').length, 1)
    const { input_tokens, output_tokens, total_tokens, by_model } = view.usage ?? {}
    assert.deepEqual([input_tokens, output_tokens, total_tokens], [11, 9, 20])
    assert.equal(by_model?.length, 1)
    assert.ok(by_model[0]?.model.startsWith('text'))
    const [{ metrics }] = ofType(events, 'metrics') as [EventOf<'metrics'>]
    assert.deepEqual([metrics['tokens_cached']?.value, metrics['tokens_reasoning']?.value], [4, 3])
  })

  promise('an HTTP refusal ends the run with the code of the provider', async server => {
    const { end } = await run(server, 'limited')
    assert.ok(end.type === 'error')
    assert.equal(end.code, row.codes?.limited ?? 'rate_limit_exceeded')
    assert.match(end.error, /429.*Rate limit reached/)
  })

  promise('an HTTP failure without a code ends the run with its kind', async server => {
    const { end } = await run(server, 'broken')
    assert.ok(end.type === 'error')
    assert.equal(end.code, 'server_error')
    assert.match(end.error, /500.*had an error/)
  })

  for (const model of ['error', 'errorburst']) {
    promise(
      `an error in mid-stream (${model}) ends the run with its code, and no token before it is lost`,
      async server => {
        const { view, end } = await run(server, model)
        assert.ok(end.type === 'error')
        assert.equal(end.code, row.codes?.error ?? 'overloaded')
        assert.match(end.error, /overloaded/)
        assert.equal(textOf(view), text)
      },
    )
  }

  promise('a cut connection ends the run with connection_lost, and no token before it is lost', async server => {
    const { view, end } = await run(server, 'cut')
    assert.ok(end.type === 'error')
    assert.equal(end.code, 'connection_lost')
    assert.equal(textOf(view), text)
  })

  promise('a stream that just stops is not a whole answer', async server => {
    const { view, end } = await run(server, 'quiet')
    assert.ok(end.type === 'error', `ended as ${end.type}`)
    assert.equal(end.code, row.codes?.quiet ?? 'incomplete_stream')
    assert.equal(textOf(view), text)
  })

  promise('a model that cannot be reached ends the run with connection_lost', async server => {
    await server[Symbol.asyncDispose]()
    const { end } = await run(server, 'text')
    assert.ok(end.type === 'error')
    assert.equal(end.code, 'connection_lost')
  })

  promise('DK29 cancel in mid-answer closes the model call', async server => {
    const request = await cancelled(row.agent(server, 'drip'), server, 5)
    assert.ok(request.sent < 1_000)
  })

  promise('DK29 cancel before the first byte closes the model call', async server => {
    await cancelled(row.agent(server, 'silent'), server, 0)
  })

  promise('twenty runs at once do not mix', async server => {
    const agent = row.agent(server, 'text')
    await using runs = runsOf(agent)
    const started = await Promise.all(Array.from({ length: 20 }, () => runs.start(undefined, {})))
    const done = await Promise.all(started.map(({ run_id }) => readToEnd(runs, run_id)))
    for (const { view } of done) assert.equal(textOf(view), text)
  })
}
