// The page as a browser test meets it: built from the sources as they are, served by a real server with real agents, in
// Chromium with nothing faked. Asserting stays with the tests.
import { execFile } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { BrowserContextOptions, Page } from 'playwright-core'
import { z } from 'zod'
import { salesAnalyst } from '../examples/agents.ts'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { createConversations } from '../src/conversations/conversations.ts'
import { realDeps } from '../src/deps.ts'
import { type Served, type ServeOptions, serve } from '../src/server.ts'
import { serviceOrSkip } from './services/require.ts'

const root = join(import.meta.dirname, '..')
const text = z.strictObject({ text: z.string() })

/** Says a word at a time until it is told to go on to its end: `release()` lets every run end. */
export function createTalker(): { agent: Agent; release(): void } {
  let released = false
  const agent = defineAgent({ name: 'talker', input: text, description: 'Talks.' }, async (_input, ctx) => {
    ctx.step('talk', { phase: 'start' })
    ctx.progress('talk', 0.5, 'Finding words')
    for (let n = 1; !released; n++) {
      await ctx.token(`word${n} `)
      await sleep(40, undefined, { signal: ctx.signal })
    }
    ctx.step('talk', { phase: 'end' })
    ctx.token('The end.')
  })
  return { agent: agent as Agent, release: () => (released = true) }
}

export const buyer = defineAgent({ name: 'buyer', input: text }, async (_input, ctx) => {
  const approved = await ctx.ask('May I buy it?', { kind: 'approval', details: { price: 12 } })
  const colour = await ctx.ask('Which colour?', { details: { choices: ['red', 'blue'] } })
  const size = await ctx.ask('Which size?')
  ctx.token(`Bought: ${String(approved)}, ${String(colour)}, ${String(size)}.`)
}) as Agent

/** Fails at first, and does what is asked the second time. */
export function createMoody(): Agent {
  let tries = 0
  return defineAgent({ name: 'moody', input: text }, async (_input, ctx) => {
    ctx.warning('mood', 'I do not feel well.')
    if (++tries === 1) throw new Error('not today')
    ctx.token('Well then.')
  }) as Agent
}

/** Markdown whose meaning is in attributes. */
export const typesetter = defineAgent({ name: 'typesetter', input: text }, async (_input, ctx) => {
  ctx.token('| store | events |\n|---|---:|\n| memory | 12 |\n\nFrom where it was:\n\n3. third\n\n')
  ctx.token('- [x] done\n- [ ] open\n')
}) as Agent

/** Everything that a model may write and a page must not run. */
export const hostile = defineAgent({ name: 'hostile', input: text }, async (_input, ctx) => {
  ctx.token(
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n\n[click](javascript:window.hacked=1)\n\n',
  )
  ctx.token(
    '![pixel](https://example.com/spy.png)\n\n<iframe src="https://example.com"></iframe> <b style="position:fixed">x</b>',
  )
  const series = [{ type: 'bar', data: [1, 2] }]
  const axes = { xAxis: { data: ['<b>a</b>', 'b'] }, yAxis: {} }
  ctx.chart(
    'c1',
    { ...axes, series, tooltip: { formatter: '<img src=x onerror=window.hacked=1>' } },
    { title: 'Markup' },
  )
  ctx.chart('c2', { ...axes, series, title: { text: 'x', link: 'https://example.com' } }, { title: 'Link' })
  ctx.chart('c3', { ...axes, series: [{ type: 'custom', data: [1] }] }, { title: 'Custom' })
  ctx.chart('c4', { ...axes, series }, { title: 'Fine' })
}) as Agent

export const agentsOf = (...more: Agent[]): Agent[] => [salesAnalyst as Agent, buyer, hostile, ...more]

/** A server on files of its own, which a second one may take over: `start()` again is a restart. */
export function createHouse(t: TestContext, agents: readonly Agent[], options: Partial<ServeOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-web-'))
  let served: Served | undefined
  let port = 0
  t.after(async () => {
    await served?.stop(0)
    rmSync(dir, { recursive: true, force: true })
  })
  return {
    async start(): Promise<Served> {
      const log = sqlite({ path: join(dir, 'runs.db') })
      const db = { sqlite: join(dir, 'conversations.db') }
      const conversations = await createConversations({ log, db, deps: realDeps })
      served = await serve({ agents, log, conversations, port, web: { dir: await pageDir() }, ...options })
      port = Number(new URL(served.url).port)
      return served
    },
  }
}

/** A browser, or undefined when this test is skipped. Every page that throws or logs an error fails its test. */
export async function browserOrSkip(t: TestContext, { expected }: { readonly expected?: RegExp } = {}) {
  const browser = await serviceOrSkip(t, 'chromium')
  if (!browser) return undefined
  const wrong: string[] = []
  t.after(() => {
    if (wrong.length > 0) throw new Error(`the page complained: ${wrong.join('; ')}`)
  })
  return {
    /** A browser of somebody else: no storage is shared. */
    async person(options: BrowserContextOptions = {}) {
      const context = await browser.newContext({
        viewport: { width: 1100, height: 760 },
        reducedMotion: 'reduce',
        ...options,
      })
      return {
        context,
        async open(url: string): Promise<Page> {
          const page = await context.newPage()
          page.setDefaultTimeout(60_000)
          page.on('pageerror', error => wrong.push(error.message))
          page.on('console', message => {
            // A cut network and a refused answer are logged by the browser itself.
            const known = /Failed to load resource|ERR_/.test(message.text()) || expected?.test(message.text())
            if (message.type() === 'error' && !known) wrong.push(message.text())
          })
          await page.goto(url)
          return page
        },
      }
    },
  }
}

export async function say(page: Page, agent: string, words: string): Promise<void> {
  await page.getByLabel('Agent', { exact: true }).selectOption(agent)
  await page.getByLabel('Your message').fill(words)
  await page.getByLabel('Your message').press('Enter')
}

/** What axe finds wrong with the page as it is. */
export async function violationsOf(page: Page): Promise<string[]> {
  await page.evaluate(axeSource())
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }
    return (await axe.run()).violations
  })
  return found.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(node => node.html).join(' | ')}`)
}

interface Violation {
  id: string
  help: string
  nodes: { html: string }[]
}

function axeSource(): string {
  return (createRequire(import.meta.url)('axe-core') as { source: string }).source
}

let building: Promise<string> | undefined

/** The built page in a folder of its own, so that nobody builds it anew below a test. */
export function pageDir(): Promise<string> {
  return (building ??= built())
}

/** web/dist when it is newer than its sources, else from them: in a process of its own, whose threads end with it. */
async function built(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'runcast-page-'))
  process.once('exit', () => rmSync(outDir, { recursive: true, force: true }))
  if (isFresh()) cpSync(join(root, 'web/dist'), outDir, { recursive: true })
  else {
    const words = [join(root, 'node_modules/vite/bin/vite.js'), 'build', '--logLevel=error', '--outDir', outDir]
    await promisify(execFile)(process.execPath, words, { cwd: join(root, 'web') })
  }
  return outDir
}

function isFresh(): boolean {
  const sources = globSync(
    ['web/{src,public}/**/*', 'web/*.{html,ts}', 'src/{client,state}/**/*.ts', 'src/transports/http/*.ts'],
    { cwd: root },
  )
  const newest = Math.max(...sources.map(file => statSync(join(root, file)).mtimeMs))
  const page = statSync(join(root, 'web/dist/index.html'), { throwIfNoEntry: false })
  return page !== undefined && page.mtimeMs >= newest
}
