// The ceiling in Node: no HTTP at all, one shared Buffer written to every raw socket.
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { sharedChunk } from '../../src/transports/http/pipe.ts'
import { serveQuestions } from '../contender.ts'
import { frameOfRaw } from '../frames.ts'

const readers: Socket[] = []
const server = createServer({ noDelay: true }, socket => {
  socket.once('data', () => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    readers.push(socket)
  })
})

server.listen(0, '127.0.0.1', () => {
  serveQuestions((server.address() as AddressInfo).port, {
    async emit({ events, perTick }: { events: number; perTick: number }) {
      for (let n = 1; n <= events; n++) {
        const { framed } = sharedChunk(frameOfRaw('run', n))
        for (const socket of readers) socket.write(framed)
        if (n % perTick === 0) await new Promise(resolve => setImmediate(resolve))
      }
      for (const socket of readers.splice(0)) socket.end('0\r\n\r\n')
    },
  })
})
