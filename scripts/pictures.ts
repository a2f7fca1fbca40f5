// Takes the pictures of the page in docs/: `node scripts/pictures.ts`. From the real page with the real example, so that
// they show what one gets; run it again when the page looks different.
import { join } from 'node:path'
import { createConversations } from '../src/conversations/conversations.ts'
import { memory } from '../src/backends/memory.ts'
import { realDeps } from '../src/deps.ts'
import { serve } from '../src/server.ts'
import { salesAnalyst, summarizer } from '../examples/agents.ts'
import { startChromium } from '../test/services/chromium.ts'

const docs = join(import.meta.dirname, '..', 'docs')
const looks = {
  'chat-light': { colorScheme: 'light', viewport: { width: 1040, height: 860 } },
  'chat-dark': { colorScheme: 'dark', viewport: { width: 1040, height: 860 } },
  'chat-phone': { colorScheme: 'light', viewport: { width: 320, height: 640 }, hasTouch: true },
} as const

const log = memory()
const conversations = await createConversations({ log, db: { sqlite: ':memory:' }, deps: realDeps })
await using served = await serve({ agents: [salesAnalyst, summarizer], log, conversations, port: 0, web: true })
await using browser = await startChromium()
for (const question of ['Top 5 states by sales in 2017', 'Profit by category as a pie', 'Sales by month as a line']) {
  await served.runs.start('sales-analyst', { question }, { thread: question.replaceAll(' ', '-') })
}
for (const [name, look] of Object.entries(looks)) {
  const page = await browser.newPage({ reducedMotion: 'reduce', ...look })
  await page.goto(served.url)
  await page.getByText('What would you like to know?').waitFor()
  await page.getByLabel('Your message').fill('Create a chart with sales data')
  await page.keyboard.press('Enter')
  await page.locator('.canvas[data-drawn]').waitFor()
  await page.getByText('Inspect this run').waitFor()
  await page.getByRole('heading', { level: 1, name: 'Create a chart' }).waitFor()
  await page.waitForTimeout(500)
  await page.screenshot({ path: join(docs, `${name}.png`) })
  await page.close()
}

const page = await browser.newPage({
  reducedMotion: 'reduce',
  colorScheme: 'light',
  viewport: { width: 1040, height: 700 },
})
const [run] = (await served.runs.list()).runs
await page.goto(`${served.url}/#/inspect/${run?.run_id}`)
await page.locator('.react-flow__node').first().waitFor()
await page.waitForTimeout(500)
await page.screenshot({ path: join(docs, 'inspect.png') })
