// The run inspector in a real Chromium: the list of runs, a run at any of its events, its graph, timeline and state, two
// runs side by side, exports, and a run of a hundred thousand events.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'
import { z } from 'zod'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { serve } from '../src/server.ts'
import { browserOrSkip, pageDir, violationsOf } from './web-page.ts'

const planner = defineAgent({ name: 'planner', input: z.object({ colour: z.string() }) }, async ({ colour }, ctx) => {
  ctx.step('plan', { phase: 'start' })
  ctx.state.update(draft => void (draft['todo'] = ['look', 'paint']))
  ctx.step('look', { phase: 'start' })
  ctx.tool({ call_id: 't1', tool_name: 'find_paint', stage: 'started', arguments: { colour } })
  await sleep(20)
  ctx.tool({ call_id: 't1', tool_name: 'find_paint', stage: 'completed', result: 'found' })
  ctx.step('look', { phase: 'end' })
  ctx.step('paint', { phase: 'start' })
  ctx.state.update(draft => void (draft['wall'] = { colour }))
  ctx.token('Painted.')
  ctx.step('paint', { phase: 'end' })
  ctx.step('plan', { phase: 'end' })
  ctx.step('tidy', { phase: 'start' })
  ctx.step('tidy', { phase: 'end' })
}) as Agent

/** Its state becomes another one than it was. */
const drafter = defineAgent({ name: 'drafter', input: z.object({ title: z.unknown() }) }, async ({ title }, ctx) => {
  await ctx.state.update(draft => void Object.assign(draft, { title: null, todo: ['look'] }))
  await ctx.token('One. ')
  await ctx.state.update(
    draft => void Object.assign(draft, { title, todo: [], parts: [{ name: 'a' }, { name: null }] }),
  )
  await ctx.token('Two.')
  await ctx.state.update(draft => void Object.assign(draft, { todo: ['write'] }))
  await ctx.state.update(draft => void delete draft['todo'])
}) as Agent

/** With its start and end a hundred thousand, which is also what a run keeps by default. */
const tokens = 99_998
const talkative = defineAgent({ name: 'talkative' }, async (_input, ctx) => {
  for (let n = 1; n <= tokens; n++) {
    const stored = ctx.token(`w${n} `)
    if (n % 1_000 === 0) await stored
  }
}) as Agent

async function setUp(t: TestContext) {
  const browser = await browserOrSkip(t)
  if (!browser) return undefined
  const served = await serve({
    agents: [planner, drafter, talkative],
    log: memory(),
    port: 0,
    web: { dir: await pageDir() },
  })
  t.after(() => served.stop(0))
  const run = async (agent: string, input: unknown) => {
    const { run_id } = await served.runs.start(agent, input)
    for await (const batch of served.runs.tail(run_id)) if (batch.state === 'sealed') break
    return run_id
  }
  return { ...browser, served, run }
}

const panel = (page: Page, run: string) => page.getByRole('region', { name: `Run ${run}`, exact: true })

async function moveTo(page: Page, run: string, at: number): Promise<void> {
  await panel(page, run).getByRole('slider').fill(String(at))
}

test('DF39 the list shows runs as they come, and a run as graph, timeline, state and events', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const page = await (await person()).open(`${served.url}/#/inspect`)
  await page.getByText('No run yet.').waitFor()
  const id = await run('planner', { colour: 'green' })
  await page
    .getByRole('navigation')
    .getByRole('link', { name: /planner/ })
    .click()
  const shown = panel(page, id)
  await shown.getByText('completed').waitFor()
  const nodes = shown.getByRole('list', { name: 'Nodes' }).getByRole('listitem')
  assert.deepEqual(await nodes.allTextContents(), [
    'plan, done, leads to look, tidy',
    'look, done, leads to paint',
    'paint, done, leads to nothing',
    'tidy, done, leads to nothing',
  ])
  await shown.locator('.react-flow__node').first().waitFor()
  assert.equal(await shown.locator('.react-flow__node').count(), 4)
  assert.deepEqual(await violationsOf(page), [])
  await shown.getByRole('tab', { name: 'Timeline' }).click()
  await shown.locator('.span.tool', { hasText: 'find_paint' }).waitFor()
  assert.deepEqual(await violationsOf(page), [])
  await shown.getByRole('tab', { name: 'Events' }).click()
  await shown
    .getByRole('button', { name: /started/ })
    .first()
    .waitFor()
  assert.deepEqual(await violationsOf(page), [])
})

test('DF39 the slider shows the run at every event, with its state and what changed there', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const id = await run('planner', { colour: 'green' })
  const events = []
  for await (const batch of served.runs.tail(id)) events.push(...batch.events)
  const page = await (await person()).open(`${served.url}/#/inspect/${id}`)
  const shown = panel(page, id)
  await shown.getByText('completed').waitFor()
  await shown.getByRole('tab', { name: 'State' }).click()
  const tree = shown.getByRole('group', { name: 'State' })
  for (const event of events) {
    await moveTo(page, id, event.sequence)
    const { state, status } = await served.runs.snapshot(id, event.sequence)
    await shown.locator('.fold.event summary', { hasText: `event ${event.sequence}` }).waitFor()
    assert.equal(await shown.locator('.badge').textContent(), status)
    const value = state.value as { todo?: string[]; wall?: { colour: string } } | null
    assert.equal(
      await tree.locator('.leaf', { hasText: 'colour' }).count(),
      value?.wall ? 1 : 0,
      `at ${event.sequence}`,
    )
    assert.equal(await tree.locator('.leaf', { hasText: 'look' }).count(), value?.todo ? 1 : 0, `at ${event.sequence}`)
  }
  const painted = events.findLast(event => event.type === 'state')
  await shown.getByText(`changed by event ${painted?.sequence}`).waitFor()
  await tree.locator('.changed', { hasText: 'wall' }).waitFor()
  await shown.getByRole('tab', { name: 'Text' }).click()
  await shown.getByRole('group', { name: 'Text' }).getByText('Painted.').waitFor()
  await moveTo(page, id, 2)
  await shown.getByText('Nothing has been said yet.').waitFor()
  await shown.getByRole('button', { name: 'One event on' }).click()
  await shown.locator('.fold.event summary', { hasText: 'event 3' }).waitFor()
  assert.deepEqual(await violationsOf(page), [])
})

test('DF39 a run that is not there says so, and shows nothing else', async t => {
  const all = await setUp(t)
  if (!all) return
  const page = await (await all.person()).open(`${all.served.url}/#/inspect/nobody`)
  await panel(page, 'nobody').getByText('This run cannot be read: there is no run "nobody"').waitFor()
  assert.equal(await panel(page, 'nobody').getByRole('slider').count(), 0)
  assert.deepEqual(await violationsOf(page), [])
  await page.getByRole('button', { name: 'Close run nobody' }).click()
  await page.getByText('Look into a run').waitFor()
  assert.deepEqual(await violationsOf(page), [])
})

test('DF39 two runs stand side by side, and their states say where they differ', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const [one, other] = [await run('planner', { colour: 'green' }), await run('planner', { colour: 'blue' })]
  const page = await (await person({ viewport: { width: 1300, height: 800 } })).open(`${served.url}/#/inspect/${one}`)
  await page.getByRole('link', { name: `Compare with planner, ${other}` }).click()
  for (const id of [one, other]) {
    await panel(page, id).getByRole('tab', { name: 'State' }).click()
    await panel(page, id).getByText('1 difference to the other run').waitFor()
    await panel(page, id).locator('.leaf.changed', { hasText: 'colour' }).waitFor()
  }
  assert.deepEqual(await violationsOf(page), [])
  await page.getByRole('button', { name: `Close run ${one}` }).click()
  await panel(page, one).waitFor({ state: 'detached' })
  await panel(page, other).getByText('completed').waitFor()
})

test('DF39 the schema of the state: its fields at every event, each event that changed them, and where another run differs', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const [one, other] = [await run('drafter', { title: 'Logs' }), await run('drafter', { title: 7 })]
  const changed: number[] = []
  for await (const { events } of served.runs.tail(one))
    for (const event of events) if (event.type === 'state') changed.push(event.sequence)
  const page = await (await person({ viewport: { width: 1300, height: 800 } })).open(`${served.url}/#/inspect/${one}`)
  const shown = panel(page, one)
  await shown.getByRole('tab', { name: 'Schema' }).click()
  const versions = shown.locator('.versions > li')
  assert.deepEqual(await versions.locator('button').allTextContents(), [
    `Schema 1, event ${changed[0]}`,
    `Schema 2, event ${changed[1]}`,
    `Schema 3, event ${changed[3]}`,
  ])
  assert.deepEqual(await Promise.all((await versions.all()).map(version => version.locator('li').allTextContents())), [
    ['state objectadded', 'title nulladded', 'todo listadded', 'todo[] stringadded'],
    ['title null → string', 'parts listadded', 'parts[] objectadded', 'parts[].name null or stringadded'],
    ['todo listremoved', 'todo[] stringremoved'],
  ])
  const fields = shown.locator('section', { hasText: 'Fields at this event' }).getByRole('listitem')
  const atEnd = ['state object', 'title string', 'parts list', 'parts[] object', 'parts[].name null or string']
  assert.deepEqual(await fields.allTextContents(), atEnd)
  assert.deepEqual(await violationsOf(page), [])

  await shown.getByRole('button', { name: 'Schema 1,' }).click()
  await shown.locator('.fold.event summary', { hasText: `event ${changed[0]}` }).waitFor()
  assert.deepEqual(await fields.allTextContents(), ['state object', 'title null', 'todo list', 'todo[] string'])
  assert.equal(await versions.locator('[aria-current]').textContent(), `Schema 1, event ${changed[0]}`)
  await moveTo(page, one, 1)
  await shown.getByText('No state has been told yet.').waitFor()
  await shown.getByRole('button', { name: 'End' }).click()

  await page.getByRole('link', { name: `Compare with drafter, ${other}` }).click()
  await panel(page, other).getByRole('tab', { name: 'Schema' }).click()
  const against = (id: string) =>
    panel(page, id).locator('section', { hasText: 'Against the other run' }).getByRole('listitem')
  await against(other).first().waitFor()
  assert.deepEqual(await against(other).allTextContents(), ['title string → number'])
  assert.deepEqual(await against(one).allTextContents(), ['title number → string'])
  assert.deepEqual(await violationsOf(page), [])
})

test('DF39 a run is exported as JSON, DOT and Mermaid', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const id = await run('planner', { colour: 'green' })
  const page = await (await person()).open(`${served.url}/#/inspect/${id}`)
  await panel(page, id).getByText('completed').waitFor()
  const exported = async (name: string) => {
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      panel(page, id)
        .getByRole('button', { name: `Export as ${name}` })
        .click(),
    ])
    return readFileSync(await file.path(), 'utf8')
  }
  const events = []
  for await (const batch of served.runs.tail(id)) events.push(...batch.events)
  assert.deepEqual(JSON.parse(await exported('JSON')), JSON.parse(JSON.stringify(events)))
  assert.equal(
    await exported('DOT'),
    `digraph run {
  node [shape=box, style=rounded];
  "plan" [label="plan"];
  "look" [label="look"];
  "paint" [label="paint"];
  "tidy" [label="tidy"];
  "plan" -> "look" [label="1", style=dashed];
  "look" -> "paint" [label="1"];
  "plan" -> "tidy" [label="1"];
}
`,
  )
  assert.equal(
    await exported('Mermaid'),
    `flowchart TD
  n1["plan"]
  n2["look"]
  n3["paint"]
  n4["tidy"]
  n1 -.->|1| n2
  n2 -->|1| n3
  n1 -->|1| n4
`,
  )
})

test('DF39 a run of 100,000 events: a window of rows, and any event shown when it is asked for', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const id = await run('talkative', null)
  const page = await (await person()).open(`${served.url}/#/inspect`)
  await page.evaluate(() => {
    const tasks: number[] = []
    Object.assign(globalThis, { tasks })
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(entry => entry.duration))).observe({
      type: 'longtask',
    })
  })
  await page
    .getByRole('navigation')
    .getByRole('link', { name: /talkative/ })
    .click()
  const shown = panel(page, id)
  await shown.getByText('100,000 / 100,000').waitFor()
  await shown.getByText('completed').waitFor()
  await shown.getByRole('tab', { name: 'Events' }).click()
  await shown.getByText('100,000 events').waitFor()
  await shown.getByRole('button', { name: /started/ }).waitFor()
  assert.ok((await shown.locator('.row').count()) < 100)
  await shown.locator('.rows').evaluate(element => element.scrollTo({ top: element.scrollHeight }))
  await shown.getByRole('button', { name: /99999.*w99998/s }).click()
  for (const at of [50_000, 2, 77_777]) {
    await moveTo(page, id, at)
    const shownAs = at.toLocaleString('en')
    await shown.locator('.fold.event summary', { hasText: `event ${shownAs}` }).waitFor()
    await shown.getByText(`${shownAs} / 100,000`).waitFor()
    await shown.locator('.row[aria-current=true]', { hasText: `w${at - 1} ` }).waitFor()
    await shown.locator('.facts div', { hasText: `Token events${(at - 1).toLocaleString('en')}` }).waitFor()
  }
  const longest = await page.evaluate(() => Math.max(0, ...(globalThis as unknown as { tasks: number[] }).tasks))
  t.diagnostic(`the page's longest task: ${Math.round(longest)} ms`)
})

test('DF39 the inspector works on a phone, without sideways scrolling', async t => {
  const all = await setUp(t)
  if (!all) return
  const { served, person, run } = all
  const id = await run('planner', { colour: 'green' })
  const somebody = await person({ viewport: { width: 320, height: 640 }, hasTouch: true, colorScheme: 'dark' })
  const page = await somebody.open(`${served.url}/#/inspect/${id}`)
  await panel(page, id).getByText('completed').waitFor()
  for (const tab of await panel(page, id).getByRole('tab').all()) {
    await tab.click()
    await panel(page, id).getByRole('tabpanel').locator('> *').first().waitFor()
    assert.deepEqual(await violationsOf(page), [])
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  }
})
