// Runs over HTTP: the client in front of a real server keeps every promise of the core.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { connect, followThread } from '../src/client/index.ts'
import { serve } from '../src/server.ts'
import { runsSuite } from './suites/runs.suite.ts'

runsSuite({
  name: 'http',
  async open(agents, options = {}) {
    const server = await serve({ agents, port: 0, ...options })
    const runs = connect(server.url)
    return {
      runs,
      async [Symbol.asyncDispose]() {
        await runs[Symbol.asyncDispose]()
        await server[Symbol.asyncDispose]()
      },
    }
  },
})

const echo = defineAgent({ name: 'echo' }, async function* ({ text }: { text: string }) {
  yield text
})

test('DK20 H59 a second tab on a thread sees the answers that the first one asked for, from before the first run on', async () => {
  await using server = await serve({ agents: [echo as never], port: 0 })
  await using first = connect(server.url)
  await using second = connect(server.url)
  const leaving = new AbortController()
  const seen: string[] = []
  const watching = followThread(second, 'a/b ü', { signal: leaving.signal }, ({ run_id, batch, thread_base }) => {
    for (const { type, sequence } of batch.events) seen.push(`${run_id} ${thread_base + sequence} ${type}`)
    if (run_id === 'two' && batch.state === 'sealed') leaving.abort()
  })
  for (const run of ['one', 'two']) await first.start('echo', { text: run }, { run, thread: 'a/b ü', onBusy: 'queue' })
  await watching
  assert.deepEqual(seen, [
    'one 1 started',
    'one 2 token',
    'one 3 complete',
    'two 4 started',
    'two 5 token',
    'two 6 complete',
  ])
})
