// The ceiling that a careful person writes by hand: node:http, each event framed once, `res.write` of one shared Buffer.
// No log, no resume, no filter, no gap check.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serveQuestions } from '../contender.ts'
import { frameOfRaw } from '../frames.ts'

const readers: ServerResponse[] = []
const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', connection: 'close' })
  response.write('retry: 1000\n')
  readers.push(response)
})

server.listen(0, '127.0.0.1', () => {
  serveQuestions((server.address() as AddressInfo).port, {
    async emit({ events, perTick }: { events: number; perTick: number }) {
      for (let n = 1; n <= events; n++) {
        const frame = frameOfRaw('run', n)
        for (const response of readers) response.write(frame)
        if (n % perTick === 0) await new Promise(resolve => setImmediate(resolve))
      }
      for (const response of readers.splice(0)) response.end()
    },
  })
})
