// The adapters' examples as a user runs them: only the environment says where the model is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textOf } from '../src/state/fold.ts'
import { limit, runToEnd } from './adapter-runs.ts'
import { startOpenAIServer } from './services/openai-server.ts'
import { text } from './services/openai-shapes.ts'

for (const name of ['aisdk', 'langgraph', 'openai']) {
  test(`the example ${name} answers a prompt with OPENAI_BASE_URL alone`, limit, async () => {
    await using server = await startOpenAIServer()
    Object.assign(process.env, { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'sk-local', OPENAI_MODEL: 'local' })
    const module = (await import(`../examples/adapters/${name}.ts`)) as { assistant: unknown }
    const { view, end } = await runToEnd(module.assistant, { prompt: 'text' })
    assert.equal(end.type, 'complete')
    assert.equal(textOf(view), text)
    assert.equal(server.requests.length, 1)
  })
}
