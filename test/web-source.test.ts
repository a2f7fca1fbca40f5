// The page over a Kafka topic that somebody else writes: a bare producer with records of the public schemas, and a real
// Chromium that is open while they come.
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Admin, Producer } from '@platformatic/kafka'
import type { Page } from 'playwright-core'
import { encodeChatEvent, timestampFromIso } from '../src/formats/chat-codec.ts'
import { type DashStreamInput, encodeDashStream } from '../src/formats/dashstream-codec.ts'
import { serveSource } from '../src/serve-source.ts'
import { kafkaSource } from '../src/sources/kafka.ts'
import { deps, names } from './kafka-topics.ts'
import { serviceOrSkip } from './services/require.ts'
import { browserOrSkip, pageDir, violationsOf } from './web-page.ts'

const answer = (page: Page) => page.locator('article.answer').last()

interface OtherSystem {
  readonly topics: readonly string[]
  /** Begins an answer in a conversation. */
  begin(thread: string): Promise<void>
  says(thread: string, words: string): Promise<void>
  ends(thread: string): Promise<void>
}

type Send = (topic: string, key: string, value: Uint8Array) => Promise<void>

/** A system of its own, which knows the topics and the schemas, and nothing of runs. */
const systems: Record<'chat' | 'dashstream', (id: string, send: Send) => OtherSystem> = {
  chat(id, send) {
    const prefix = `ondash.llm.${id}`
    const tell = (end: string, thread: string, event: Parameters<typeof encodeChatEvent>[0]['event']) => {
      const timestamp = timestampFromIso(new Date().toISOString())
      const about = { timestamp, conversationId: thread, taskId: `task-${thread}`, scenario: 'sales' }
      return send(`${prefix}.${end}`, thread, encodeChatEvent({ ...about, event } as never))
    }
    return {
      topics: ['status', 'text', 'chart', 'error', 'complete'].map(end => `${prefix}.${end}`),
      begin: thread => tell('status', thread, { case: 'status', value: { step: 'plan', description: 'Planning' } }),
      says: (thread, content) => tell('text', thread, { case: 'text', value: { content } }),
      ends: thread => tell('complete', thread, { case: 'completion', value: { summary: 'done' } }),
    }
  },
  dashstream(id, send) {
    const topic = `dashstream-${id}`
    const counts = new Map<string, number>()
    const tell = (thread: string, kind: 'event' | 'tokenChunk', type: number, value: object) => {
      const sequence = (counts.get(thread) ?? 0) + 1
      counts.set(thread, sequence)
      const header = {
        messageId: crypto.getRandomValues(new Uint8Array(16)),
        timestampUs: BigInt(Date.now()) * 1_000n,
        tenantId: '',
        threadId: thread,
        sequence: BigInt(sequence),
        type,
        schemaVersion: 1,
      }
      const message = { message: { case: kind, value: { header, ...value } } } as DashStreamInput
      return send(topic, thread, encodeDashStream(message))
    }
    return {
      topics: [topic],
      begin: thread => tell(thread, 'event', 1, { eventType: 1, nodeId: 'sales' }),
      says: (thread, text) => tell(thread, 'tokenChunk', 3, { text, requestId: 'q1', model: 'm' }),
      ends: thread => tell(thread, 'event', 1, { eventType: 2, nodeId: 'sales' }),
    }
  },
}

async function otherSystem(t: TestContext, format: 'chat' | 'dashstream', brokers: string[]) {
  const client = { clientId: 'other system', bootstrapBrokers: brokers }
  const producer = new Producer(client)
  t.after(() => producer.close(true))
  const { group } = names()
  const system = systems[format](group, async (topic, key, value) => {
    await producer.send({ messages: [{ topic, key: Buffer.from(key), value: Buffer.from(value) }], acks: -1 })
  })
  const admin = new Admin(client)
  await admin.createTopics({ topics: [...system.topics], partitions: 2, replicas: 1 })
  await admin.close()
  return system
}

async function shown(t: TestContext, format: 'chat' | 'dashstream') {
  const browser = await browserOrSkip(t)
  const kafka = browser && (await serviceOrSkip(t, 'kafka'))
  if (!kafka) return undefined
  const system = await otherSystem(t, format, kafka.brokers)
  const { topics } = system
  const source = kafkaSource({
    ...kafka,
    topics,
    format,
    group: names().group,
    from: 'always',
    deadLetters: false,
    deps,
  })
  const served = await serveSource({ source, port: 0, web: { dir: await pageDir() } })
  t.after(() => served.stop())
  return { ...browser, system, served }
}

for (const format of ['chat', 'dashstream'] as const) {
  test(`ON17 ${format}: the page shows live what another system publishes, and the same after a reload`, async t => {
    const all = await shown(t, format)
    if (!all) return
    const { system, served, person } = all
    const page = await (await person()).open(served.url)
    await page.getByText('Nothing yet.').waitFor()
    await system.begin('conversation-1')
    // Found in the list, for nobody here can begin one.
    await page.locator('.examples').getByRole('link', { name: 'conversation-1' }).click()
    await page.getByRole('heading', { level: 1, name: 'conversation-1' }).waitFor()
    for (const words of ['One. ', 'Two. ', 'Three. ']) {
      await system.says('conversation-1', words)
      await answer(page).getByText(words.trim()).waitFor()
      assert.equal(await answer(page).getAttribute('aria-busy'), 'true')
    }
    await page.reload()
    await answer(page).getByText('Three.').waitFor()
    await system.says('conversation-1', 'Four.')
    await answer(page).getByText('Four.').waitFor()
    await system.ends('conversation-1')
    await answer(page).getByText('Inspect').waitFor()
    const words = (await answer(page).innerText()).match(/One|Two|Three|Four/g)
    assert.deepEqual(words, ['One', 'Two', 'Three', 'Four'])
    await page.reload()
    await answer(page).getByText('Inspect').waitFor()
    assert.deepEqual((await answer(page).innerText()).match(/One|Two|Three|Four/g), words)
    // A second answer, of which this page saw nothing begin.
    await system.begin('conversation-2')
    await page.getByRole('navigation').getByRole('link', { name: 'conversation-2' }).click()
    await system.says('conversation-2', 'Elsewhere.')
    await answer(page).getByText('Elsewhere.').waitFor()

    await page.getByRole('link', { name: 'Run inspector' }).click()
    await page.getByRole('navigation', { name: 'Runs' }).getByRole('listitem').getByRole('link').last().click()
    await page.getByRole('slider').waitFor()
  })
}

test('ON17 a page over a source offers nothing that would be refused: to write, to stop, to name, to delete', async t => {
  const all = await shown(t, 'chat')
  if (!all) return
  const { system, served, person } = all
  await system.begin('conversation-1')
  await system.says('conversation-1', 'Said **elsewhere**.')
  for (const colorScheme of ['light', 'dark'] as const) {
    const reader = await person({ colorScheme })
    await reader.context.addInitScript(() => {
      const look = () => document.querySelector('textarea') && document.documentElement.setAttribute('data-wrote', '')
      new MutationObserver(look).observe(document, { childList: true, subtree: true })
    })
    const page = await reader.open(`${served.url}/#/c/conversation-1`)
    await answer(page).getByText('elsewhere').waitFor()
    await page.getByText('Read only').waitFor()
    assert.equal(await page.locator('textarea').count(), 0)
    assert.equal(await page.locator('html[data-wrote]').count(), 0, 'not for a moment, either')
    assert.equal(await page.locator('article.said').count(), 0, 'nobody said what was asked')
    await page.getByLabel('Options of this conversation').click()
    const offered = await page.getByRole('main').getByRole('button').allInnerTexts()
    assert.deepEqual(
      offered.filter(name => !/^(|Export as .*)$/.test(name.trim())),
      [],
    )
    assert.deepEqual(await violationsOf(page), [])
  }
  const phone = await (await person({ viewport: { width: 320, height: 600 } })).open(served.url)
  await phone.locator('.examples').getByRole('link', { name: 'conversation-1' }).click()
  await answer(phone).getByText('elsewhere').waitFor()
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.equal(wide, 0)
})
