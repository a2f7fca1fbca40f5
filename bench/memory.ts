// P11: what an idle reader costs beside a bare socket, and a stored event beside its bytes. P12's half: a cold start.
import { spawn } from 'node:child_process'
import { memory } from '../src/backends/memory.ts'
import { entryOf } from '../src/batch.ts'
import { readLimitEntries, runKey } from '../src/log.ts'
import { contender, type Usage } from './contender.ts'
import { content } from './frames.ts'
import { load } from './load.ts'
import { median } from './fanout.ts'
import type { Row } from './row.ts'

const readers = 2_000

/** Bytes of resident memory per idle reader. */
async function perReader(script: string): Promise<number> {
  await using server = await contender(script)
  await server.ask({ ask: 'start', runs: ['idle'] })
  const warm = load({ port: server.port, path: '/runs/idle/events', readers: 200 })
  await warm.ready
  const { rss: before } = await server.ask<Usage>({ ask: 'usage' })
  const work = load({ port: server.port, path: '/runs/idle/events', readers })
  await work.ready
  const { rss: after } = await server.ask<Usage>({ ask: 'usage' })
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

/** Milliseconds until a process says that it is there. */
async function startMs(args: readonly string[], said: RegExp): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 5; round++) {
    const began = performance.now()
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    await new Promise<void>((resolve, reject) => {
      let text = ''
      const heard = (chunk: Buffer) => {
        text += chunk
        if (said.test(text)) resolve()
      }
      child.stdout.on('data', heard)
      child.stderr.on('data', heard)
      child.once('exit', code => reject(new Error(`left with ${code}: ${text}`)))
    })
    times.push(performance.now() - began)
    child.kill('SIGKILL')
  }
  return median(times)
}

export async function run(): Promise<Row[]> {
  const socket = await perReader('./servers/socket.ts')
  const ours = await perReader('./servers/runcast.ts')
  const stored = await perStoredByte()
  const bare = await startMs(['-e', 'console.log("up"); setTimeout(() => {}, 1e4)'], /up/)
  const cold = await startMs(
    ['bin/runcast.js', 'run', '--dockfile', 'examples/Dockfile.yaml', '--port', '0'],
    /http:\/\//,
  )
  return [
    {
      id: 'P11',
      name: 'memory of an idle reader',
      ratio: ours / socket,
      bar: 1.3,
      atMost: true,
      unit: 'x a raw socket',
      detail: `${Math.round(ours)} against ${Math.round(socket)} bytes of RSS`,
    },
    { id: 'P11', name: 'memory of a stored event', ratio: stored, bar: 1.5, atMost: true, unit: 'x its bytes' },
    {
      id: 'P12',
      name: 'cold start of runcast run',
      ratio: cold - bare,
      bar: 300,
      atMost: true,
      unit: 'ms beyond Node itself',
      detail: `${Math.round(cold)} ms against ${Math.round(bare)} ms`,
    },
  ]
}
