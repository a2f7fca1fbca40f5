// P11: what an idle reader costs beside a socket without HTTP and beside a response of node:http, and a stored event
// beside its bytes.
import { memory } from '../src/backends/memory.ts'
import { entryOf } from '../src/batch.ts'
import { readLimitEntries, runKey } from '../src/log.ts'
import { contender, type Usage } from './contender.ts'
import { median } from './fanout.ts'
import { content } from './frames.ts'
import { load } from './load.ts'
import type { Row } from './row.ts'

const readers = 2_000
/** Pages that the allocator keeps make one process differ from the next by 2 KB per reader. */
const processes = 5

/** Bytes of resident memory per idle reader, the median of some processes. */
async function perReader(script: string): Promise<number> {
  const each: number[] = []
  for (let n = 0; n < processes; n++) each.push(await perReaderOnce(script))
  return median(each)
}

async function perReaderOnce(script: string): Promise<number> {
  await using server = await contender(script)
  await server.ask({ ask: 'start', runs: ['idle'] })
  const warm = load({ port: server.port, path: '/runs/idle/events', readers: 200 })
  await warm.ready
  const { rss: before } = await server.ask<Usage>({ ask: 'usage', settled: true })
  const work = load({ port: server.port, path: '/runs/idle/events', readers })
  await work.ready
  const { rss: after } = await server.ask<Usage>({ ask: 'usage', settled: true })
  return (after - before) / readers
}

/** Bytes held in memory per byte of stored event. */
async function perStoredByte(): Promise<number> {
  const log = memory()
  const runs = 200
  const each = 500
  await collected()
  const before = process.memoryUsage()
  let bytes = 0
  for (let r = 0; r < runs; r++) {
    const key = runKey(`run-${r}`)
    await log.append(key, 0, [], {
      run_id: `run-${r}`,
      status: 'running',
      agent: 'a',
      framework: 'f',
      tenant: 't',
      input: null,
      owner: 'o',
      created_at: r,
    })
    for (let n = 0; n < each; n++) await log.append(key, n, [entryOf({ type: 'token', content }, r)])
    await log.append(key, each, [entryOf({ type: 'complete', output: null, latency_seconds: 0 }, r)], {
      status: 'completed',
    })
    for (let after = 0; ; ) {
      const batch = await log.read(key, after, readLimitEntries)
      if (batch.count === 0) break
      bytes += batch.bytes.length
      after = batch.last
    }
  }
  await collected()
  const after = process.memoryUsage()
  const held = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
  await log[Symbol.asyncDispose]()
  return held / bytes
}

/** Twice, with a pause: buffers are given back a little after the objects that held them. */
async function collected(): Promise<void> {
  globalThis.gc?.()
  await new Promise(resolve => setTimeout(resolve, 100))
  globalThis.gc?.()
}

export async function run(): Promise<Row[]> {
  const socket = await perReader('./servers/socket.ts')
  const http = await perReader('./servers/raw.ts')
  const ours = await perReader('./servers/runcast.ts')
  const stored = await perStoredByte()
  return [
    {
      id: 'P11',
      name: 'memory of an idle reader',
      ratio: ours / http,
      bar: 1.3,
      atMost: true,
      unit: 'x a response of node:http',
      detail: `${Math.round(ours)} against ${Math.round(http)} bytes of RSS`,
    },
    {
      id: 'P11',
      name: 'memory of an idle reader, against a socket without HTTP',
      ratio: ours / socket,
      bar: null,
      unit: 'x a bare socket',
      detail: `${Math.round(ours)} against ${Math.round(socket)} bytes of RSS`,
    },
    { id: 'P11', name: 'memory of a stored event', ratio: stored, bar: 1.5, atMost: true, unit: 'x its bytes' },
  ]
}
