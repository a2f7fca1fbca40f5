// The load client, a process of its own: opens readers on raw sockets, counts what arrives, and says when all ended.
// It parses nothing on the way, so that it never is the bottleneck; the sum of bytes proves that nothing is missing.
// Only when asked for latencies does it look for the times that the events carry.
import { connect } from 'node:net'

export interface Load {
  readonly port: number
  /** The path that each reader gets; `%d` is its number. */
  readonly path: string
  readonly readers: number
  /** Events carry the time of their emit: measure how late they come. */
  readonly latencies?: boolean
}

export interface Result {
  readonly bytes: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50?: number
  readonly p99?: number
}

/** How a chunked body ends; the connection itself is kept alive by some servers. */
const lastChunk = '\r\n0\r\n\r\n'

process.on('message', (load: Load) => {
  run(load).catch((error: unknown) => process.send?.({ failed: String(error) }))
})
process.on('disconnect', () => process.exit()) // the harness is gone

async function run(load: Load): Promise<void> {
  let bytes = 0
  let open = 0
  let ended = 0
  const late: number[] = []
  const started = process.hrtime.bigint()
  await new Promise<void>((resolve, reject) => {
    for (let n = 0; n < load.readers; n++) {
      const socket = connect({ port: load.port, host: '127.0.0.1', noDelay: true })
      const path = load.path.replaceAll('%d', String(n))
      let first = true
      let tail = ''
      socket.on('connect', () =>
        socket.write(`GET ${path} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n`),
      )
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        if (first) {
          first = false
          const status = chunk.subarray(0, chunk.indexOf('\r\n')).toString('latin1')
          if (!status.startsWith('HTTP/1.1 200')) reject(new Error(`${path} was answered with ${status}`))
          if (++open === load.readers) process.send?.({ ready: true })
        }
        bytes += chunk.length
        if (load.latencies) {
          const now = process.hrtime.bigint()
          for (const [, emitted] of chunk.toString('latin1').matchAll(/"content":"(\d+)"/g))
            late.push(Number(now - BigInt(emitted as string)) / 1e6)
        }
        tail = (tail + chunk.subarray(-lastChunk.length).toString('latin1')).slice(-lastChunk.length)
        if (tail === lastChunk) socket.destroy()
      })
      socket.on('close', () => {
        if (tail !== lastChunk) reject(new Error(`${path} was cut off`))
        if (++ended === load.readers) resolve()
      })
    }
  })
  late.sort((a, b) => a - b)
  const at = (share: number) => late[Math.floor(late.length * share)]
  process.send?.({ bytes, seconds: Number(process.hrtime.bigint() - started) / 1e9, p50: at(0.5), p99: at(0.99) })
}
