// The browser's own EventSource in a blank page of the server's origin, pulled from in batches.
// It must never ask the server for anything but the stream: the page itself is answered by the test.
import { startChromium } from '../services/chromium.ts'
import type { ReadEvent, ReadOptions } from './readers.ts'

/** What the page keeps for us between two pulls. */
interface Inbox {
  events: ReadEvent[]
  hasEnded: boolean
  wake?: () => void
}

export async function* chromiumEvents(url: string, { signal, names = [] }: ReadOptions): AsyncGenerator<ReadEvent> {
  await using browser = await startChromium()
  signal?.addEventListener('abort', () => void browser.close())
  const page = await browser.newPage()
  const blank = new URL('/blank-page-of-the-reader', url).href
  await page.route(blank, route => route.fulfill({ contentType: 'text/html', body: '<title>reader</title>' }))
  await page.goto(blank)
  await page.unroute(blank)
  await page.evaluate(listen, { url, names: [...new Set(names)] })
  while (true) {
    const { events, hasEnded } = await page.evaluate(pull)
    yield* events
    // EventSource hides the status: 204 and a refusal both close it.
    if (hasEnded) return
  }
}

/** Runs in the page. */
function listen({ url, names }: { url: string; names: string[] }): void {
  const inbox: Inbox = { events: [], hasEnded: false }
  Object.assign(globalThis, { inbox })
  const source = new EventSource(url)
  for (const name of names) {
    source.addEventListener(name, event => {
      if (event.data === undefined) inbox.hasEnded = source.readyState === EventSource.CLOSED
      else inbox.events.push({ id: event.lastEventId, event: name, data: event.data })
      inbox.wake?.()
    })
  }
}

/** Runs in the page. */
async function pull(): Promise<{ events: ReadEvent[]; hasEnded: boolean }> {
  const { inbox } = globalThis as unknown as { inbox: Inbox }
  while (inbox.events.length === 0 && !inbox.hasEnded) await new Promise<void>(resolve => (inbox.wake = resolve))
  return { events: inbox.events.splice(0), hasEnded: inbox.hasEnded }
}
