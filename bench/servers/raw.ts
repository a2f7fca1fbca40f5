// What a careful person writes by hand: node:http, `res.write` of one Buffer per event, shared by all readers of a run.
// No log, no resume, no filter, no gap check. The same bytes as ours.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serveQuestions } from '../contender.ts'
import { content, frameOfRaw } from '../frames.ts'

const readers = new Map<string, ServerResponse[]>()
let stored: Buffer[] = []

const server = createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  const run = request.url?.split('/')[2] ?? ''
  if (run === 'replay') return void sendStored(response)
  response.write('retry: 1000\n')
  const others = readers.get(run)
  if (others) others.push(response)
  else readers.set(run, [response])
})

/** The ceiling of a replay: the bytes are there already, in slices. */
async function sendStored(response: ServerResponse): Promise<void> {
  for (const slice of stored) {
    if (!response.write(slice)) await new Promise(resolve => response.once('drain', resolve))
  }
  response.end()
}

server.listen(0, '127.0.0.1', () => {
  serveQuestions((server.address() as AddressInfo).port, {
    start() {},
    store({ events }: { events: number }) {
      const all = Buffer.concat(Array.from({ length: events }, (_, n) => frameOfRaw('run', n + 1)))
      stored = []
      for (let at = 0; at < all.length; at += 65_536) stored.push(all.subarray(at, at + 65_536))
    },
    async emit({ events, perTurn, everyMs }: { events: number; perTurn: number; everyMs?: number }) {
      const turn = () => new Promise<void>(resolve => setImmediate(resolve))
      const began = performance.now()
      for (let n = 0; n < events; n += perTurn) {
        const text = everyMs === undefined ? content : String(process.hrtime.bigint())
        for (const [run, responses] of readers) {
          for (let k = 1; k <= perTurn; k++) {
            const frame = frameOfRaw(run, n + k, text)
            for (const response of responses) response.write(frame)
          }
        }
        if (everyMs === undefined) await turn()
        else while (performance.now() - began < (n + perTurn) * everyMs) await turn()
      }
      for (const responses of readers.values()) for (const response of responses) response.end()
      readers.clear()
    },
  })
})
