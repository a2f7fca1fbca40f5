// Runs in this process, over every backend that needs nothing installed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { createRuns } from '../src/runs.ts'
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
