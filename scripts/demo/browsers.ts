// Two people with a browser each, who share nothing but the conversation's address. Why by hand and not by API: what is
// shown is the page as everyone has it. Nothing here may help the page: it types once, and then only looks.
import type { Browser, Page } from 'playwright-core'
import type { Audience, Reader } from '../demo.ts'

/** Narrow enough that two side by side are readable in a README. */
const viewport = { width: 520, height: 560 }
/** A loaded machine needs seconds to draw a page; the answer alone takes a quarter of a minute. */
const patienceMs = 60_000

export async function openBrowsers(browser: Browser, url: string): Promise<Audience> {
  const [first, second] = [await openPage(browser, url), await openPage(browser, url)]
  return {
    kind: 'browsers',
    readers: [readerOf('browser A', first), readerOf('browser B', second)],
    async ask(agent, question) {
      await first.getByLabel('Agent', { exact: true }).selectOption(agent)
      await first.getByLabel('Your message').fill(question)
      await first.getByLabel('Your message').press('Enter')
      await first.waitForURL(/#\/c\//)
    },
    async join() {
      await second.goto(first.url())
    },
    async picture(caption) {
      const shots = await Promise.all([first, second].map(page => page.screenshot()))
      return sideBySide(browser, shots, caption)
    },
    [Symbol.asyncDispose]: () => browser.close(),
  }
}

async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext({ viewport, colorScheme: 'light', reducedMotion: 'reduce' })
  const page = await context.newPage()
  page.setDefaultTimeout(patienceMs)
  const answer = await page.goto(url)
  // A page that is not built says how to build it.
  if (!answer?.ok()) throw new Error(await answer?.text())
  await page.getByText('What would you like to know?').waitFor()
  await page.evaluate(rememberTexts)
  return page
}

/** Runs in the page: keeps every text that stands in an answer, also one that is there for a moment only. */
function rememberTexts(): void {
  const texts: string[] = []
  const look = () => {
    const parts = Array.from(document.querySelectorAll('article.answer .markdown'), one => one.textContent ?? '')
    const text = parts.join('\n').trimEnd()
    if (text !== (texts.at(-1) ?? '')) texts.push(text)
  }
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true })
  Object.assign(globalThis, { demoTexts: texts })
}

function readerOf(name: string, page: Page): Reader {
  const texts = () => page.evaluate(() => (globalThis as unknown as { demoTexts: string[] }).demoTexts)
  return {
    name,
    texts,
    async shows(words) {
      await page.waitForFunction(
        least => {
          const { demoTexts } = globalThis as unknown as { demoTexts: string[] }
          return (demoTexts.at(-1)?.match(/\S+/g)?.length ?? 0) >= least
        },
        words,
        { polling: 50 },
      )
    },
    lost: () => page.getByText('The connection is lost.').waitFor(),
    ended: () => page.locator('article.answer').getByText('Inspect').waitFor(),
  }
}

/** One picture of both, under a caption, drawn by the browser itself. */
async function sideBySide(browser: Browser, shots: readonly Buffer[], caption: string): Promise<Buffer> {
  const page = await browser.newPage({ viewport: { width: 2 * viewport.width + 36, height: 10 } })
  const frames = shots.map(
    (shot, index) =>
      `<figure><figcaption>Browser ${'AB'[index]}</figcaption><img src="data:image/png;base64,${shot.toString('base64')}"></figure>`,
  )
  await page.setContent(`<style>
      body { margin: 12px; background: #e9eaf0; font: 600 15px system-ui, sans-serif; color: #23252f }
      p { margin: 2px 4px 12px }
      div { display: flex; gap: 8px }
      figure { margin: 0; border: 1px solid #b9bccb; border-radius: 8px; overflow: hidden }
      figcaption { padding: 5px 12px; background: #d5d7e2; font-size: 12px }
      img { display: block; width: ${viewport.width}px }
    </style><p>${caption}</p><div>${frames.join('')}</div>`)
  const picture = await page.screenshot({ fullPage: true })
  await page.close()
  return picture
}
