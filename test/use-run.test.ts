// `useRun` where it lives: the example page, bundled, in a real browser, against a real server, through a proxy that cuts.
// What the page shows must be what the server's view says: live, after a reload, after cuts, after stop.
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { test } from 'node:test'
import { build } from 'esbuild'
import { buildPage } from '../examples/react-app/server.ts'
import { defineAgent } from '../src/agent/define.ts'
import type { Context } from '../src/agent/context.ts'
import { serve } from '../src/server.ts'
import { textOf } from '../src/state/fold.ts'
import { cutPipe } from './cut-pipe.ts'
import { missing, startChromium } from './services/chromium.ts'

let release = () => {}
const teller = defineAgent({ name: 'teller' }, async function* (_input: unknown, ctx: Context) {
  for (let n = 0; n < 300; n++) {
    yield `word ${n} `
    if (n % 10 === 0) await new Promise(resolve => setTimeout(resolve, 5))
    if (n === 150) await new Promise<void>(resolve => (release = resolve))
  }
  await ctx.chart('may', { series: [] }, { title: 'May' })
  const yes = await ctx.ask('Go on?', { kind: 'approval' })
  yield yes === true ? 'on and on ' : 'no more '
  await new Promise(resolve => ctx.signal.addEventListener('abort', resolve))
})

test('useRun shows a run live, reloaded in mid-message and through cuts, answers its question, and stops it', {
  skip: missing() ?? false,
}, async () => {
  const dir = await buildPage()
  await using served = await serve({ agents: [teller], port: 0, web: { dir }, retryMs: 50 })
  let seed = 5
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
  await using pipe = await cutPipe({ port: Number(new URL(served.url).port) }, { random })
  await using browser = await startChromium()
  const page = await browser.newPage()
  const failures: string[] = []
  page.on('pageerror', error => void failures.push(error.message))
  const answer = page.locator('#answer')
  const said = async (word: RegExp) => {
    await page.waitForFunction(
      pattern => new RegExp(pattern).test(document.querySelector('#answer')?.textContent ?? ''),
      word.source,
    )
  }

  await page.goto(pipe.url)
  await page.getByRole('button', { name: 'Ask' }).click()
  await said(/word 150 $/)
  const run = new URL(page.url()).searchParams.get('run') ?? ''
  await page.reload()
  await said(/word 150 $/)
  pipe.plan = { cutAfterBytes: [4_000, 12_000] }
  pipe.cutAll('reset')
  release()
  await page.getByRole('button', { name: 'Yes' }).click()
  await said(/on and on $/)
  assert.equal(await answer.textContent(), textOf(await served.runs.snapshot(run)))
  assert.equal(await page.getByText('chart: May').count(), 1)
  assert.ok(pipe.cuts > 1)
  pipe.plan = {}
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('status').getByText('cancelled').waitFor()
  assert.equal((await served.runs.get(run)).status, 'cancelled')
  assert.deepEqual(failures, [])
  await rm(dir, { recursive: true })
})

test('a run that is not there is said to be so, and is not asked for again', { skip: missing() ?? false }, async () => {
  const dir = await buildPage()
  await using served = await serve({ agents: [teller], port: 0, web: { dir }, retryMs: 50 })
  await using browser = await startChromium()
  const page = await browser.newPage()
  await page.goto(`${served.url}/?run=nobody`)
  await page.getByRole('status').getByText('there is no run').waitFor()
  await rm(dir, { recursive: true })
})

test('runcast/react and the transport of chats are bundled for a browser with nothing of Node, and without React or ai', async () => {
  for (const entry of ['src/react/index.ts', 'src/client/aisdk-transport.ts']) {
    const { outputFiles } = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      external: ['react'],
      logLevel: 'silent',
    })
    assert.doesNotMatch(outputFiles[0]?.text ?? '', /node:|\bBuffer\b|\bprocess\.|from "ai"/)
  }
})
