// The chat page in a real Chromium, over a real server with a log on disk: what somebody sees who types, reloads, opens a
// second tab, loses the network, or whose server restarts in mid-answer.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import { memory } from '../src/backends/memory.ts'
import { serve } from '../src/server.ts'
import { apiKeys } from '../src/transports/http/auth.ts'
import {
  agentsOf,
  browserOrSkip,
  createHouse,
  createMoody,
  createTalker,
  pageDir,
  say,
  typesetter,
  violationsOf,
} from './web-page.ts'

/** The first load must be quick on a phone: the page's promise, without the chart library. */
const firstLoadBytesMax = 150_000
/** Pictures in docs/ stay small. */
const pictureBytesMax = 150_000

async function setUp(t: TestContext, ...more: Parameters<typeof agentsOf>) {
  const browser = await browserOrSkip(t)
  if (!browser) return undefined
  const house = createHouse(t, agentsOf(...more))
  return { ...browser, house, served: await house.start() }
}

const answer = (page: Page) => page.locator('article.answer').last()

test('ON3 ON4 ON5 ON6 ON8 ON13 the example flow: typed in a browser, status, text, chart and text appear in order, and the message is stored', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person } = all
  const page = await (await person()).open(served.url)
  await page.getByLabel('Your message').fill('Create a chart with sales data')
  await page.keyboard.press('Enter')
  await answer(page).locator('.canvas[data-drawn]').waitFor()
  await answer(page).getByText('Inspect').waitFor()

  const inOrder = await answer(page).evaluate(element =>
    [...element.children].map(child => child.querySelector('figcaption')?.textContent ?? child.textContent ?? ''),
  )
  const [before = -1, chart = -1, behind = -1] = [
    /^Here is your sales chart/,
    /^Sales by quarter$/,
    /^Sales (in|de)creased/,
  ].map(words => inOrder.findIndex(one => words.test(one)))
  assert.ok(
    before >= 0 && before < chart && chart < behind,
    `${before} < ${chart} < ${behind} in ${JSON.stringify(inOrder)}`,
  )
  await answer(page).locator('details.past > summary').click()
  assert.deepEqual(await answer(page).locator('.steps .words').allTextContents(), [
    'Decomposing query..., done',
    'Executing chart_generation..., done',
    'Querying database..., done',
  ])

  const thread = new URL(page.url()).hash.replace('#/c/', '')
  const stored = (await (await fetch(`${served.url}/conversations/${thread}/messages`)).json()) as {
    messages: {
      role: string
      content: { type: string; position?: string }[]
      metadata: { completion?: { type: string } }
    }[]
  }
  assert.deepEqual(
    stored.messages.map(message => message.role),
    ['user', 'assistant'],
  )
  assert.deepEqual(
    stored.messages[1]?.content.map(block => block.position ?? block.type),
    ['tool', 'before', 'chart', 'after'],
  )
  assert.equal(stored.messages[1]?.metadata.completion?.type, 'TASK_COMPLETED')

  await page.reload()
  await answer(page).locator('.canvas[data-drawn]').waitFor()
  assert.equal(await page.locator('article.answer').count(), 1)
  assert.equal(await page.locator('article.said').innerText(), 'Create a chart with sales data')
  assert.equal(await page.getByRole('heading', { level: 1 }).innerText(), 'Create a chart with sales data')
  // The steps of a stored answer come when they are wanted.
  await answer(page).locator('details.past > summary').click()
  await answer(page).getByText('Querying database...').waitFor()
})

test('ON6 a chart has its figures as a table and is saved as PNG', async t => {
  const all = await setUp(t)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await say(page, 'sales-analyst', 'Create a chart with sales data')
  await answer(page).locator('.canvas[data-drawn]').waitFor()
  const rows = answer(page).getByRole('row')
  assert.ok((await rows.count()) > 10, 'a screen reader has the figures before anybody asked')
  await answer(page).getByRole('button', { name: 'Show data' }).click()
  await answer(page)
    .getByRole('region', { name: /^Data:/ })
    .waitFor()
  const [saved] = await Promise.all([
    page.waitForEvent('download'),
    answer(page).getByRole('button', { name: 'PNG' }).click(),
  ])
  assert.equal(saved.suggestedFilename(), 'sales-by-quarter.png')
  const file = readFileSync(await saved.path())
  assert.equal(file.subarray(1, 4).toString(), 'PNG')
  assert.ok(file.length > 5_000, `${file.length} bytes are more than an empty picture`)
})

test('ON6 H91 nothing that a model writes runs or fetches from elsewhere; a chart that is not drawn says why and shows its figures', async t => {
  // The policy stands behind the sanitiser, and says so when it only looks at such markup.
  const browser = await browserOrSkip(t, { expected: /Content Security Policy/ })
  if (!browser) return
  const served = await createHouse(t, agentsOf()).start()
  const { person } = browser
  const somebody = await person()
  const asked: string[] = []
  somebody.context.on('request', request => asked.push(request.url()))
  const page = await somebody.open(served.url)
  await say(page, 'hostile', 'Go on')
  await answer(page).getByText('Inspect').waitFor()
  await answer(page).locator('.canvas[data-drawn]').waitFor()
  assert.equal(await page.evaluate(() => (globalThis as { hacked?: number }).hacked), undefined)
  assert.deepEqual(
    asked.filter(url => !url.startsWith(served.url)),
    [],
  )
  assert.equal(await answer(page).locator('iframe, script, [style*=fixed], a[href^=javascript]').count(), 0)
  const refusals = await answer(page).locator('figure .note').allTextContents()
  assert.deepEqual(
    refusals.map(words => words.trim()),
    [
      'This chart cannot be drawn: option.tooltip.formatter is markup.',
      'This chart cannot be drawn: option.title.link opens an address.',
      'This chart cannot be drawn: there is no series of type "custom".',
    ],
  )
  assert.equal(
    await answer(page)
      .getByRole('region', { name: /^Data:/ })
      .count(),
    3,
  )
})

test('ON13 markdown keeps what stands in attributes: how a column is aligned, where a list begins, which task is done', async t => {
  const all = await setUp(t, typesetter)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await say(page, 'typesetter', 'Go on')
  await answer(page).getByText('Inspect').waitFor()
  const cell = answer(page).getByRole('cell', { name: '12' })
  assert.equal(await cell.evaluate(element => getComputedStyle(element).textAlign), 'end')
  assert.equal(await answer(page).locator('ol').getAttribute('start'), '3')
  const tasks = answer(page).getByRole('checkbox')
  assert.deepEqual(
    await Promise.all((await tasks.all()).map(async task => [await task.isChecked(), await task.isDisabled()])),
    [
      [true, true],
      [false, true],
    ],
  )
})

test('ON13 an answer that begins in another browser appears here with its question, live, and both show the same', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const { served, person } = all
  const first = await (await person()).open(served.url)
  await say(first, 'sales-analyst', 'Create a chart with sales data')
  await answer(first).getByText('Inspect').waitFor()
  const second = await (await person({ viewport: { width: 390, height: 780 }, hasTouch: true })).open(first.url())
  await answer(second).getByText('Inspect').waitFor()
  await say(first, 'talker', 'Tell us both')
  await answer(second).getByText('word5').waitFor()
  await second.locator('article.said', { hasText: 'Tell us both' }).waitFor()
  talker.release()
  for (const page of [first, second]) await answer(page).getByText('The end.').waitFor()
  assert.equal(
    await answer(first).locator('.markdown').innerText(),
    await answer(second).locator('.markdown').innerText(),
  )
  assert.equal(await first.locator('article.answer').count(), 2)
  assert.equal(await second.locator('article.answer').count(), 2)
  // It goes on with its agent wherever it is opened, also where nobody has chosen one.
  const third = await (await person()).open(first.url())
  for (const page of [second, third])
    await page.waitForFunction(() => document.querySelector<HTMLSelectElement>('select')?.value === 'talker')
})

test('ON13 H8 a reload in mid-answer shows all of it once and goes on', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await say(page, 'talker', 'Talk')
  await answer(page).getByText('word5').waitFor()
  await page.reload()
  await answer(page).getByText('word12').waitFor()
  assert.equal(await page.locator('article.said').innerText(), 'Talk')
  talker.release()
  await answer(page).getByText('The end.').waitFor()
  assertCounted(await answer(page).locator('.markdown').innerText())
  assert.equal(await page.locator('article.answer').count(), 1)
})

test('ON13 a network cut is told, nothing can be stopped through it, and it is mended without a word lost or doubled', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const { served, person } = all
  const somebody = await person()
  const page = await somebody.open(served.url)
  await say(page, 'talker', 'Talk')
  await answer(page).getByText('word5').waitFor()
  await somebody.context.setOffline(true)
  served.app.fastify.server.closeAllConnections()
  await page.getByText('You are offline.').waitFor()
  const stop = page.getByRole('button', { name: 'Stop' })
  assert.equal(await stop.getAttribute('aria-disabled'), 'true')
  assert.match((await stop.getAttribute('title')) ?? '', /The connection is lost/)
  await somebody.context.setOffline(false)
  await page.getByText('Connected again.').waitFor()
  assert.equal(await stop.getAttribute('aria-disabled'), 'false')
  talker.release()
  await answer(page).getByText('The end.').waitFor()
  assertCounted(await answer(page).locator('.markdown').innerText())
})

test('ON7 ON13 a server that restarts in mid-answer leaves what was said, says why it ended, and answers again', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const { served, person, house } = all
  const page = await (await person()).open(served.url)
  await say(page, 'talker', 'Talk')
  await answer(page).getByText('word5').waitFor()
  await served.stop(0)
  await page.evaluate(() => dispatchEvent(new Event('online'))) // makes the page look at once
  await page.getByText('The list cannot be loaded').waitFor()
  await house.start()
  await answer(page).getByText('interrupted', { exact: true }).waitFor()
  await page.getByText('The list cannot be loaded').waitFor({ state: 'hidden' })
  assertCounted(await answer(page).locator('.markdown').innerText())
  talker.release()
  await answer(page).getByRole('button', { name: 'Try again' }).click()
  await answer(page).getByText('The end.').waitFor()
  assert.equal(await page.locator('article.answer').count(), 2)
  await page.reload()
  await answer(page).getByText('The end.').waitFor()
  assert.equal(await page.locator('article.answer').count(), 2)
})

test('ON13 H1 stop is requested, then stopping, then stopped, in every browser, also after a reload', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const { served, person } = all
  const first = await (await person()).open(served.url)
  await say(first, 'talker', 'Talk')
  await answer(first).getByText('word3').waitFor()
  const second = await (await person()).open(first.url())
  await answer(second).getByText('word3').waitFor()
  // The server's answer is held back, so that what the button says on the way can be read.
  let release = () => {}
  const held = new Promise<void>(resolve => (release = resolve))
  await second.route('**/cancel*', async route => {
    await held
    await route.continue()
  })
  await second.getByRole('button', { name: 'Stop' }).click()
  await second.getByRole('button', { name: 'Stop requested…' }).waitFor()
  release()
  for (const page of [first, second]) await answer(page).getByText('Stopped', { exact: true }).waitFor()
  await first.getByRole('button', { name: 'Send' }).waitFor()
  await first.reload()
  await answer(first).getByText('Stopped', { exact: true }).waitFor()
})

test('ON13 what the agent asks is answered in place, by a click, a choice or words, and stands in the history', async t => {
  const all = await setUp(t)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await say(page, 'buyer', 'Buy it')
  await answer(page).getByRole('button', { name: 'Approve' }).click()
  await answer(page).getByRole('button', { name: 'blue' }).click()
  await answer(page).getByLabel('Which size?', { exact: true }).last().waitFor()
  await answer(page).getByRole('textbox', { name: 'Which size?' }).fill('large')
  await page.keyboard.press('Enter')
  await answer(page).getByText('Bought: true, blue, large.').waitFor()
  await page.reload()
  await answer(page).getByText('Bought: true, blue, large.').waitFor()
  assert.deepEqual(
    (await answer(page).locator('.answered').allTextContents()).map(words => words.trim()),
    ['Approved', 'blue', 'large'],
  )
})

test('ON7 ON13 a failure and a warning are shown with their codes, and the same question is asked again by a button, also after a reload', async t => {
  const all = await setUp(t, createMoody())
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await say(page, 'moody', 'How are you?')
  await answer(page).getByText('not today').waitFor()
  await answer(page).getByText('I do not feel well.').waitFor()
  await page.reload()
  await answer(page).getByRole('button', { name: 'Try again' }).click()
  await answer(page).getByText('Well then.').waitFor()
  assert.equal(await page.locator('article.said').count(), 2)
})

test('ON13 a message that cannot be sent stays, says why, and is sent once by a second try', async t => {
  const all = await setUp(t)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  await page.getByLabel('Agent', { exact: true }).waitFor()
  await page.route(
    '**/runs?*',
    route =>
      route.fulfill({ status: 403, json: { success: false, error: 'not for you', code: 'forbidden', details: {} } }),
    { times: 1 },
  )
  await say(page, 'sales-analyst', 'Create a chart with sales data')
  await page.getByText('Not sent: not for you').waitFor()
  await page.getByRole('button', { name: 'Try again' }).click()
  await answer(page).getByText('Inspect').waitFor()
  assert.equal(await page.locator('article.said').count(), 1)
})

test('ON13 conversations are listed, renamed, exported and deleted, and other tabs see it', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person } = all
  const somebody = await person()
  const page = await somebody.open(served.url)
  const other = await somebody.open(served.url)
  await say(page, 'sales-analyst', 'Create a chart with sales data')
  const listed = (where: Page, title: string) => where.getByRole('navigation').getByRole('link', { name: title })
  await listed(other, 'Create a chart').waitFor()
  await page.getByLabel('Options of this conversation').click()
  await page.getByRole('button', { name: 'Rename' }).click()
  await page.getByLabel('Title').fill('Quarterly figures')
  await page.keyboard.press('Enter')
  await listed(other, 'Quarterly figures').click()
  await answer(other).getByText('Inspect').waitFor()
  await page.getByLabel('Options of this conversation').click()
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export as Markdown' }).click(),
  ])
  assert.equal(file.suggestedFilename(), 'Quarterly-figures.md')
  assert.match(readFileSync(await file.path(), 'utf8'), /Create a chart with sales data/)
  await page.getByLabel('Options of this conversation').click()
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('What would you like to know?').waitFor()
  await listed(other, 'Quarterly figures').waitFor({ state: 'detached' })
})

test('ON10 ON13 DK76 a server that wants an API key asks for it once; what is exported carries it too', async t => {
  const browser = await browserOrSkip(t)
  if (!browser) return
  const authenticate = apiKeys({ keys: new Map([['ci', 'right']]), header: 'x-api-key', allowBearer: false })
  const served = await createHouse(t, agentsOf(), { authenticate }).start()
  const page = await (await browser.person()).open(served.url)
  await page.getByLabel('API key').fill('right')
  await page.getByRole('button', { name: 'Continue' }).click()
  await say(page, 'sales-analyst', 'Create a chart with sales data')
  await answer(page).getByText('Inspect').waitFor()
  for (const [name, ending, says] of [
    ['Markdown', 'md', /^# Create a chart/],
    ['JSON', 'json', /"role":\s*"assistant"/],
    ['chat.v1', 'binpb', /Create a chart/],
  ] as const) {
    await page.getByLabel('Options of this conversation').click()
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: `Export as ${name}` }).click(),
    ])
    assert.equal(file.suggestedFilename(), `Create-a-chart-with-sales-data.${ending}`)
    assert.match(readFileSync(await file.path(), 'utf8'), says)
  }
  await page.getByRole('link', { name: 'Inspect this run' }).click()
  await page.locator('.react-flow__node').first().waitFor()
})

test('ON13 a keyboard alone is enough: to begin, to send, to unfold, to stop, to start anew', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const page = await (await all.person()).open(all.served.url)
  const focused = () =>
    page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '')
  const tabTo = async (name: string) => {
    for (let presses = 0; presses < 40; presses++) {
      if ((await focused()).trim().startsWith(name)) return
      await page.keyboard.press('Tab')
    }
    assert.fail(`no Tab leads to ${name}`)
  }
  await page.getByLabel('Agent', { exact: true }).waitFor()
  assert.equal(await focused(), 'Your message')
  await page.keyboard.type('One')
  await page.keyboard.press('Shift+Enter')
  await page.keyboard.type('Two')
  await page.keyboard.press('Enter')
  await answer(page).getByText('Inspect').waitFor()
  assert.equal(await page.locator('article.said').innerText(), 'One\nTwo')
  await tabTo('Steps')
  await page.keyboard.press('Enter')
  await answer(page).locator('details.past[open]').waitFor()
  await tabTo('New chat')
  await page.keyboard.press('Enter')
  await page.getByText('What would you like to know?').waitFor()
  assert.equal(await focused(), 'Your message')
  await say(page, 'talker', 'Talk')
  await answer(page).getByText('word2').waitFor()
  await tabTo('Stop')
  await page.keyboard.press('Enter')
  await answer(page).getByText('Stopped', { exact: true }).waitFor()
  assert.equal(await focused(), 'Your message')
})

test('ON13 a screen reader is told what happens, step by step and at the end, not token by token', async t => {
  const talker = createTalker()
  const all = await setUp(t, talker.agent)
  if (!all) return
  const page = await (await all.person({ viewport: { width: 320, height: 420 } })).open(all.served.url)
  await say(page, 'talker', 'Talk')
  const told = page.locator('p.unseen[role=status]')
  await told.filter({ hasText: 'Finding words' }).waitFor({ state: 'attached' })
  await answer(page).getByText('word5').waitFor()
  assert.equal(await told.textContent(), 'Finding words')
  // An answer longer than the page, which has no link yet: what is above is reached by keys.
  await page.waitForFunction(() => {
    const { scrollHeight = 0, clientHeight = 0 } = document.querySelector('.scroll') ?? {}
    return scrollHeight > clientHeight
  })
  assert.deepEqual(await violationsOf(page), [])
  talker.release()
  await told.filter({ hasText: 'The answer is complete.' }).waitFor({ state: 'attached' })
})

for (const [name, options] of Object.entries({
  light: { colorScheme: 'light', viewport: { width: 1100, height: 820 } },
  dark: { colorScheme: 'dark', viewport: { width: 1100, height: 820 } },
  phone: { colorScheme: 'light', viewport: { width: 320, height: 640 }, hasTouch: true },
} as const)) {
  test(`ON13 axe finds nothing wrong with the page in ${name}, which needs no sideways scrolling`, async t => {
    const talker = createTalker()
    const all = await setUp(t, talker.agent)
    if (!all) return
    const page = await (await all.person(options)).open(all.served.url)
    await page.getByText('What would you like to know?').waitFor()
    assert.deepEqual(await violationsOf(page), [])
    await say(page, 'buyer', 'Buy it')
    await answer(page).getByRole('button', { name: 'Approve' }).waitFor()
    assert.deepEqual(await violationsOf(page), [])
    await page.getByRole('button', { name: 'Stop' }).click()
    await answer(page).getByText('Stopped', { exact: true }).waitFor()
    await say(page, 'talker', 'Talk')
    await answer(page).getByText('word5').waitFor()
    assert.deepEqual(await violationsOf(page), [])
    talker.release()
    await answer(page).getByText('The end.').waitFor()
    await say(page, 'sales-analyst', 'Create a chart with sales data')
    await answer(page).locator('.canvas[data-drawn]').waitFor()
    await answer(page).getByText('Inspect').waitFor()
    await answer(page).getByRole('button', { name: 'Show data' }).click()
    assert.deepEqual(await violationsOf(page), [])
    const width = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      innerWidth,
      document.querySelector('.scroll')?.scrollWidth,
      document.querySelector('.scroll')?.clientWidth,
    ])
    assert.ok(Number(width[0]) <= Number(width[1]) && Number(width[2]) <= Number(width[3]), width.join(' '))
    if (name !== 'phone') return
    await page.getByRole('button', { name: 'Conversations' }).click()
    await page.getByRole('navigation').getByRole('link', { name: 'Buy it' }).waitFor()
    assert.deepEqual(await violationsOf(page), [])
    await page.keyboard.press('Escape')
    await page.getByRole('navigation').waitFor({ state: 'hidden' })
  })
}

test('the docs page is readable in both schemes, and on a phone without sideways scrolling', async t => {
  const all = await setUp(t)
  if (!all) return
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await (await all.person({ colorScheme, viewport: { width: 320, height: 640 } })).open(
      `${all.served.url}/docs`,
    )
    assert.deepEqual(await violationsOf(page), [])
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    assert.equal(wide, 0)
  }
})

test('ON13 the first load is small, and the chart library comes with the first chart', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person } = all
  const somebody = await person()
  const asked: string[] = []
  somebody.context.on('request', request => asked.push(new URL(request.url()).pathname))
  const page = await somebody.open(served.url)
  await page.getByText('What would you like to know?').waitFor()
  const dir = join(await pageDir(), 'assets')
  const sizes = asked
    .filter(path => path.startsWith('/assets/'))
    .map(path => gzipSync(readFileSync(join(dir, path.slice(8)))).length)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  assert.ok(total < firstLoadBytesMax, `${total} bytes`)
  assert.ok(!asked.some(path => path.includes('echarts')))
  await say(page, 'sales-analyst', 'Create a chart with sales data')
  await answer(page).locator('.canvas[data-drawn]').waitFor()
  assert.ok(asked.some(path => path.includes('echarts')))
})

test('ON13 the server sends the page so that nothing else can run in it, its hashed files for a year, and no other file', async () => {
  const dir = await pageDir()
  await using served = await serve({ agents: agentsOf(), log: memory(), port: 0, web: { dir } })
  const page = await fetch(served.url)
  assert.equal(page.status, 200)
  assert.equal(page.headers.get('cache-control'), 'no-cache')
  const policy = page.headers.get('content-security-policy') ?? ''
  assert.match(policy, /default-src 'self'/)
  assert.doesNotMatch(policy, /script-src|unsafe-eval|\*/)
  const [name = ''] = readdirSync(join(dir, 'assets')).filter(file => file.endsWith('.js'))
  const asset = await fetch(`${served.url}/assets/${name}`)
  assert.match(asset.headers.get('cache-control') ?? '', /immutable/)
  assert.equal(asset.headers.get('content-encoding'), 'gzip')
  assert.equal(asset.headers.get('content-type'), 'text/javascript; charset=utf-8')
  assert.equal(await asset.text(), readFileSync(join(dir, 'assets', name), 'utf8'))
  for (const path of ['..%2Findex.html', '%2e%2e%2findex.html', 'nothing.js', '.env', 'a%00.js']) {
    assert.equal((await fetch(`${served.url}/assets/${path}`)).status, 404, path)
  }
})

test('a server whose page is not built says how to build it, and serves the API', async () => {
  await using served = await serve({ agents: agentsOf(), log: memory(), port: 0, web: { dir: '/nowhere' } })
  const page = await fetch(served.url)
  assert.equal(page.status, 503)
  assert.match(await page.text(), /npm run build:web/)
  assert.equal((await fetch(`${served.url}/health`)).status, 200)
})

test('ON13 the pictures in docs are small', () => {
  const docs = join(import.meta.dirname, '..', 'docs')
  const pictures = readdirSync(docs).filter(file => file.endsWith('.png'))
  assert.ok(pictures.length >= 3)
  const large = pictures.filter(file => readFileSync(join(docs, file)).length > pictureBytesMax)
  assert.deepEqual(large, [])
})

/** word1 word2 word3 …: none missing, none twice. */
function assertCounted(text: string): void {
  const words = text.match(/word\d+/g) ?? []
  assert.ok(words.length > 0)
  assert.deepEqual(
    words,
    words.map((_, index) => `word${index + 1}`),
  )
}
