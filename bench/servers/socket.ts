// The ceiling in Node: no HTTP at all, one Buffer framed once and written to every raw socket.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { sharedChunk } from '../../src/transports/http/pipe.ts'
import { serveQuestions } from '../contender.ts'
import { frameOfRaw } from '../frames.ts'

const readers = new Map<string, Socket[]>()
const server = createServer({ noDelay: true }, socket => {
  socket.on('error', () => {})
  socket.once('data', request => {
    const run = request.toString('latin1').split('/')[2] ?? ''
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    const others = readers.get(run)
    if (others) others.push(socket)
    else readers.set(run, [socket])
  })
})

server.listen(0, '127.0.0.1', () => {
  serveQuestions((server.address() as AddressInfo).port, {
    start() {},
    async emit({ events, perTurn }: { events: number; perTurn: number }) {
      for (let n = 0; n < events; n += perTurn) {
        for (const [run, sockets] of readers) {
          for (let k = 1; k <= perTurn; k++) {
            const framed = sharedChunk(frameOfRaw(run, n + k)).framed as Buffer
            for (const socket of sockets) socket.write(framed)
          }
        }
        await new Promise(resolve => setImmediate(resolve))
      }
      for (const sockets of readers.values()) for (const socket of sockets) socket.end('0\r\n\r\n')
      readers.clear()
    },
  })
})
