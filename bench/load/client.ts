// The load client, a process of its own: opens readers on raw sockets, counts what arrives, and says when all ended.
// It parses nothing on the way, so that it never is the bottleneck; the sum of bytes proves that nothing is missing.
import { connect } from 'node:net'

export interface Load {
  readonly port: number
  /** The request of each reader, `%d` is its number. */
  readonly request: string
  readonly readers: number
}

process.on('message', async (load: Load) => {
  let bytes = 0
  let open = 0
  let ended = 0
  const started = process.hrtime.bigint()
  await new Promise<void>((resolve, reject) => {
    for (let n = 0; n < load.readers; n++) {
      const socket = connect({ port: load.port, host: '127.0.0.1' })
      socket.setNoDelay(true)
      let first = true
      socket.on('connect', () => socket.write(load.request.replaceAll('%d', String(n))))
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        if (first) {
          first = false
          if (++open === load.readers) process.send?.({ ready: true })
        }
        bytes += chunk.length
      })
      socket.on('close', () => {
        if (++ended === load.readers) resolve()
      })
    }
  })
  process.send?.({ bytes, seconds: Number(process.hrtime.bigint() - started) / 1e9 })
})
