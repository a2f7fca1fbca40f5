// Runs in this process, over every backend that needs nothing installed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { entryOf } from '../src/batch.ts'
import { realDeps } from '../src/deps.ts'
import { runKey } from '../src/log.ts'
import { createRuns } from '../src/runs.ts'
import { viewAt } from '../src/view-at.ts'
import { runsSuite } from './suites/runs.suite.ts'
import { until } from './until.ts'

runsSuite({
  name: 'core',
  async open(agents, options) {
    const runs = createRuns({ log: memory(), agents, deps: realDeps, ...options })
    return { runs, [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
  },
})

test('a run is cancelled when it was unwatched for as long as was said, and not as long after its first reader left', async () => {
  const unwatchedMs = 60_000
  const waits: { over(): void }[] = []
  const deps = {
    ...realDeps,
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms !== unwatchedMs) return realDeps.sleep(ms, signal)
      return new Promise<void>((resolve, reject) => {
        waits.push({ over: resolve })
        signal?.addEventListener('abort', () => reject(signal.reason as Error))
      })
    },
  }
  const asks = defineAgent({ name: 'asks' }, async (_input: unknown, ctx) => ctx.ask('for ever?'))
  await using runs = createRuns({ log: memory(), agents: [asks], deps, cancelWhenUnwatchedMs: unwatchedMs })
  const { run_id } = await runs.start('asks', null)
  const readAndLeave = async () => {
    for await (const batch of runs.tail(run_id)) if (batch.last >= 2) break
  }
  await readAndLeave()
  await until('the first has left', () => waits.length === 1)
  await readAndLeave()
  await until('the second has left', () => waits.length === 2)
  waits[0]?.over()
  await realDeps.sleep(0)
  assert.equal((await runs.get(run_id)).cancel_requested_at, undefined)
  assert.equal((await runs.get(run_id)).status, 'running')
  waits[1]?.over()
  await until('it is cancelled', async () => (await runs.get(run_id)).status === 'cancelled')
  assert.match(String((await runs.get(run_id)).reason), /nobody watched for 60000 ms/)
})

/** A run whose events are read in many batches. */
async function longRun() {
  const log = memory()
  const batches = 10
  for (let batch = 0; batch < batches; batch++) {
    const entries = Array.from({ length: 1_000 }, (_, n) => entryOf({ type: 'text', content: `${n}` }, 0))
    await log.append(runKey('long'), batch * 1_000, entries)
  }
  return { log, events: batches * 1_000, batches }
}

test('who asks for the view of a long run holds up nobody: others have their turn between its batches', async () => {
  const { log, events, batches } = await longRun()
  let turns = 0
  const count = () => {
    turns++
    counting = setImmediate(count)
  }
  let counting = setImmediate(count)
  assert.equal((await viewAt(log, 'long', events)).at, events)
  clearImmediate(counting)
  assert.ok(turns >= batches - 1, `${turns} turns`)
})

test('a run that is forgotten while its view is made has none, and not half of one', async () => {
  const { log, events } = await longRun()
  const made = viewAt(log, 'long', events)
  setImmediate(() => void log.drop(runKey('long')))
  await assert.rejects(made, { code: 'not_found' })
})
