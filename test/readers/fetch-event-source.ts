// Reads a run with @microsoft/fetch-event-source and prints a JSON line per event. A process of its own, because the
// library needs `window` and `document`, and those would make other code in the test process take it for a browser.
import { fetchEventSource } from '@microsoft/fetch-event-source'

const nothing = () => {}
Object.assign(globalThis, {
  window: globalThis,
  document: { hidden: false, addEventListener: nothing, removeEventListener: nothing },
})

const [, , url = '', lastEventId = ''] = process.argv
const ended = new Error('the run has ended')

const reading = fetchEventSource(url, {
  headers: lastEventId === '' ? {} : { 'last-event-id': lastEventId },
  openWhenHidden: true,
  async onopen(response) {
    if (response.status === 204) throw ended
    if (response.status !== 200) throw new Error(`status ${response.status}`)
  },
  onmessage({ id, event, data }) {
    // A frame with nothing but `retry:` or `id:` comes as an empty message here; the standard drops it.
    if (event !== '' || data !== '')
      process.stdout.write(`${JSON.stringify({ id, event: event || 'message', data })}\n`)
  },
  onclose() {
    // The library takes a clean end for the end; a run's end is its terminal event or a 204, so go on.
    throw new Error('closed')
  },
  onerror(error: unknown) {
    if (error === ended || (error instanceof Error && error.message.startsWith('status '))) throw error
  },
})

reading.catch((error: unknown) => {
  if (error === ended) return
  console.error(error)
  process.exitCode = 1
})
