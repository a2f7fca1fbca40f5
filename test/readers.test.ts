// Every foreign reader against a small server that writes SSE as PROTOCOL.md asks, through a pipe that cuts.
// It proves the readers and the pipe, before anyone trusts them to judge the product.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { cutPipe, seeded } from './cut-pipe.ts'
import { type ReadEvent, type Reader, readers } from './readers/readers.ts'
import { needs } from './services/require.ts'

/** Enough for a dozen cuts of every reader, few enough for a second. */
const eventCount = 60
/** Big enough to hold the headers and one event, so that every connection gets further; small enough to cut often. */
const cutBytes = [500, 1_500] as const
const enough = { timeout: 120_000 }

describe('foreign readers', { concurrency: 2 }, () => {
  for (const reader of readers) {
    test(`${reader.name} sees 1 to N exactly once through cuts, crumbs and stalls`, enough, async t => {
      if (!needs(t, reader.name, reader.available())) return
      await using server = await sseServer()
      const random = seeded(7)
      const plan = { cutAfterBytes: cutBytes, resetShare: 0.5, crumbBytesMax: 200, stallShare: 0.05, stallMsMax: 5 }
      await using pipe = await cutPipe({ port: server.port }, { random, plan })
      const events = await collect(reader, `${pipe.url}/events`)
      assert.deepEqual(events.map(numberOf), numbers(1, eventCount))
      assert.deepEqual(events.map(contentOf), numbers(1, eventCount).map(payload))
      assert.deepEqual(events.at(-1)?.event, 'complete')
      assert.ok(pipe.cuts >= 3, `the pipe cut ${pipe.cuts} times only`)
    })

    test(`${reader.name} ends on its own when it comes back to an ended run and is told 204`, enough, async t => {
      if (!needs(t, reader.name, reader.available())) return
      await using server = await sseServer({ terminal: 'last' })
      const events = await collect(reader, `${server.url}/events`)
      assert.deepEqual(events.map(numberOf), numbers(1, eventCount))
      assert.equal(server.refusals, 1)
    })

    test(`${reader.name} stops when its signal is aborted, and hangs up`, enough, async t => {
      if (!needs(t, reader.name, reader.available())) return
      await using server = await sseServer({ holdAt: 5 })
      const aborted = new AbortController()
      const seen: number[] = []
      for await (const event of reader.read(`${server.url}/events`, { signal: aborted.signal })) {
        seen.push(numberOf(event))
        if (seen.length === 5) aborted.abort()
      }
      assert.deepEqual(seen, numbers(1, 5))
      await server.idle()
    })

    if (!reader.resumes) continue
    test(`${reader.name} starts behind the Last-Event-ID it is given`, enough, async t => {
      if (!needs(t, reader.name, reader.available())) return
      await using server = await sseServer()
      const events = await collect(reader, `${server.url}/events`, '50')
      assert.deepEqual(events.map(numberOf), numbers(51, eventCount))
    })
  }
})

async function collect(reader: Reader, url: string, lastEventId?: string): Promise<ReadEvent[]> {
  const events: ReadEvent[] = []
  const options = lastEventId === undefined ? {} : { lastEventId }
  for await (const event of reader.read(url, options)) {
    if (event.event !== 'heartbeat') events.push(event)
  }
  return events
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const numberOf = (event: ReadEvent) => Number(event.id)
const contentOf = (event: ReadEvent) => (JSON.parse(event.data) as { content: string }).content

/** What breaks careless parsers: leading space, line and paragraph separators, an emoji, a colon, a CR, a newline. */
function payload(n: number): string {
  const parts = [' space first', 'a\u2028b\u2029c', '😀 smile', 'id: 99', 'data: x\n\nevent: y', '\r', '']
  return `${parts[n % parts.length]}${n}`
}

interface SseServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** The Last-Event-ID of each request. */
  readonly ids: (string | undefined)[]
  /** How many answers were 204. */
  refusals: number
  /** Until no request is open. */
  idle(): Promise<void>
}

/**
 * A finished run of {@link eventCount} events over SSE. `terminal: 'last'` names the last event `token`, so that only a
 * 204 can end the reader; `holdAt` keeps the response open after so many events.
 */
async function sseServer({ terminal = 'complete', holdAt = eventCount } = {}): Promise<SseServer> {
  let openCount = 0
  const server = createServer((request, response) => {
    const id = request.headers['last-event-id'] as string | undefined
    const after = Number(id ?? 0)
    self.ids.push(id)
    response.setHeader('access-control-allow-origin', '*')
    if (after >= eventCount) {
      self.refusals++
      response.writeHead(204).end()
      return
    }
    openCount++
    response.on('close', () => openCount--)
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' })
    // The first line of the first frame, without a blank line behind it: some readers take that for an event.
    response.write('retry:20\n')
    for (const n of numbers(after + 1, holdAt)) {
      const name = n === eventCount && terminal === 'complete' ? 'complete' : 'token'
      // The id comes last: two libraries take it as seen when its line is read.
      response.write(`event:${name}\ndata:${JSON.stringify({ content: payload(n) })}\nid:${n}\n\n`)
      // Not behind the last event: go-sse takes a clean end after a bare comment for the end of everything.
      if (n % 10 === 0 && n < eventCount)
        response.write(n % 20 === 0 ? ': hb\n' : 'event:heartbeat\ndata:{"type":"heartbeat"}\n\n')
    }
    if (holdAt === eventCount) response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const self: SseServer = {
    port,
    url: `http://127.0.0.1:${port}`,
    ids: [],
    refusals: 0,
    async idle() {
      while (openCount > 0) await new Promise(setImmediate)
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return self
}
