// The AI SDK's `useChat`, mounted by React in a real browser as its documents say, against a real server: what the page
// shows must be what the server's view says, sent, reloaded in mid-message, approved and stopped.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { build } from 'esbuild'
import { defineAgent } from '../src/agent/define.ts'
import type { Context } from '../src/agent/context.ts'
import { serve } from '../src/server.ts'
import { textOf } from '../src/state/fold.ts'
import { missing, startChromium } from './services/chromium.ts'

/** Unminified and with React's checks: in strict mode every effect, that of `resume` too, runs twice. */
async function buildPage(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'runcast-use-chat-'))
  await build({
    entryPoints: [join(import.meta.dirname, 'use-chat-page.tsx')],
    outfile: join(dir, 'assets', 'main.js'),
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"development"' },
    logLevel: 'silent',
  })
  const page =
    '<!doctype html><title>Chat</title><div id="root"></div><script type="module" src="/assets/main.js"></script>'
  await writeFile(join(dir, 'index.html'), page)
  return dir
}

let release = () => {}
const teller = defineAgent({ name: 'teller' }, async function* (_input: unknown, ctx: Context) {
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'requested', arguments: { q: 'sales' } })
  await ctx.tool({ call_id: 'c1', tool_name: 'find', stage: 'completed', result: 3 })
  for (let n = 0; n < 200; n++) {
    yield `word ${n} `
    if (n % 20 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    if (n === 100) await new Promise<void>(resolve => (release = resolve))
  }
  await ctx.chart('may', { series: [] })
  const yes = await ctx.ask('Go on?', { kind: 'approval' })
  yield yes === true ? 'on and on' : 'no more'
  await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
})

test('useChat of @ai-sdk/react sends, goes on after reloads in mid-message with every word once, approves, and stops', {
  skip: missing() ?? false,
}, async () => {
  const dir = await buildPage()
  await using served = await serve({ agents: [teller], port: 0, web: { dir } })
  await using browser = await startChromium()
  const page = await browser.newPage()
  const failures: string[] = []
  page.on('pageerror', error => void failures.push(error.message))
  const answer = page.locator('[data-role=assistant] .said')
  const said = async (words: string) => page.getByText(words).last().waitFor()
  const shown = async () => (await answer.allTextContents()).join('')
  const latest = async () => (await served.runs.list({ thread: 'page' })).runs[0]?.run_id ?? ''

  await page.goto(served.url)
  await page.getByRole('button', { name: 'Send' }).click()
  await said('word 100')
  const half = await shown()
  const run = await latest()
  for (let reloads = 0; reloads < 3; reloads++) {
    await page.reload()
    await said('word 100')
    await page.getByRole('status').getByText('streaming').waitFor()
    assert.equal(await shown(), half)
  }
  // Another page of the chat, which kept nothing, has the same message.
  const other = await browser.newPage()
  await other.goto(served.url)
  await other.getByText('word 100').waitFor()
  release()
  await page.getByRole('button', { name: 'Yes' }).click()
  await said('on and on')
  assert.equal(await shown(), textOf(await served.runs.snapshot(run)))
  assert.equal(await page.getByText('chart').count(), 1)
  assert.equal(await page.getByText('find output-available').count(), 1)
  assert.equal(await page.locator('[data-role]').count(), 2)

  assert.equal((await served.runs.get(run)).status, 'running')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('status').getByText('ready').waitFor()
  await served.runs.follow(run, {}, () => {}) // until its end
  assert.equal((await served.runs.get(run)).status, 'cancelled')
  assert.equal((await served.runs.list({ thread: 'page' })).runs.length, 1)
  assert.deepEqual(failures, [])
  await rm(dir, { recursive: true })
})
