// What the promises of `Runs` are tried with: agents that several of them need, and how a run is read. An agent of one
// subject alone stands in the file of that subject.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { RuncastError } from '../../src/error.ts'
import type { Event } from '../../src/event.ts'
import type { FollowRunOptions, Runs, RunsOptions, Target } from '../../src/runs.ts'

/** One promise: a title, and what must hold of runs that were opened with these options. */
export type Promised = (title: string, body: (runs: Runs) => Promise<void>, options?: Partial<RunsOptions>) => void

/** Emits `count` tokens, `ms` apart. */
const counter = defineAgent(
  { name: 'counter' },
  async function* ({ count = 3, ms = 0 }: { count?: number; ms?: number }) {
    for (let n = 1; n <= count; n++) {
      if (ms > 0) await sleep(ms)
      yield `t${n} `
    }
    return { count }
  },
)

/** Waits until it is told to stop; says whether its finally block ran. */
export const stopped: string[] = []
const patient = defineAgent({ name: 'patient' }, async function* (input: { id: string }) {
  try {
    yield 'waiting'
    for (;;) {
      await sleep(10)
      yield { waiting: true }
    }
  } finally {
    stopped.push(input.id)
  }
})

const fails = defineAgent({ name: 'fails' }, async function* () {
  yield 'before'
  throw Object.assign(new Error('out of luck'), { code: 'bad_luck' })
})

const strict = defineAgent(
  { name: 'strict', input: z.object({ text: z.string(), times: z.number().int().optional() }) },
  async ({ text }) => text,
)

const everything = defineAgent({ name: 'everything' }, async function* (_input: unknown, ctx) {
  ctx.progress('read', 1.7, 'half')
  ctx.progress('read', -1)
  ctx.checkpoint('c', { deep: [1, { a: null }] })
  ctx.token('Grüße 😀', { finish_reason: 'stop' })
  ctx.step('node', { duration_ms: 3, input_keys: ['a'], output_keys: ['b'] })
  ctx.emit('fraud_check', { run_id: 'spoofed', passed: true })
  ctx.text('block', { position: 'before' })
  ctx.chart('c1', { series: [{ type: 'bar', data: [1] }] }, { chart_type: 'bar' })
  ctx.tool({ call_id: '1', tool_name: 'sql', stage: 'completed', result: [1] })
  ctx.metrics('llm', { tokens_total: { value: 3, kind: 'counter' } })
  ctx.warning('slow', 'slow today')
  ctx.state.update(draft => {
    draft['count'] = 1
  })
  ctx.bytes(new Uint8Array([0, 255, 10]))
  yield null
  yield 0
  yield ''
  yield { error: 'looks like an error', code: 1 }
  yield { type: 'token', content: 'as an object' }
  return { done: true }
})

const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => {
  const name = await ctx.ask('Who are you?')
  const sure = await ctx.ask('Sure?', { kind: 'approval', input_id: 'sure' })
  return { name, sure }
})

export const sharedAgents: readonly Agent[] = [counter, patient, fails, strict, everything, asks]

export const hasCode = (code: string) => (error: unknown) =>
  (error instanceof RuncastError && error.code === code) || assert.fail(`expected ${code}, got ${String(error)}`)

export async function eventsOf(runs: Runs, target: Target, options: FollowRunOptions = {}): Promise<Event[]> {
  const events: Event[] = []
  for await (const batch of runs.tail(target, options)) events.push(...batch.events)
  return events
}

/** Waits until a run has so many events. */
export async function reached(runs: Runs, run: string, sequence: number): Promise<void> {
  for await (const batch of runs.tail(run)) if (batch.last >= sequence) return
}

export const sequences = (events: readonly Event[]) => events.map(event => event.sequence)
export const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, index) => from + index)
export const types = (events: readonly Event[]) =>
  events.map(event => (event.type === 'custom' ? event.name : event.type))
