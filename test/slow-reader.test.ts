// One reader that stops reading among a hundred: the others must not notice, the server must not pay for it, and it must
// find everything when it comes back. Real sockets, and a server process of its own, whose memory is measured.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Memory, Plan } from './slow-reader/server.ts'

/** What the limit of readers per run allows by default. */
const readersCount = 100
const plan: Plan = { events: 500, eventBytes: 16 * 1024 }
const runBytes = plan.events * plan.eventBytes
/** `started`, and `complete`. */
const lastId = plan.events + 2
/** A second run in the log, with some room in its slabs, and garbage that waits for its collection. */
const growthBytesMax = 8 * runBytes
/** A third of what copies for each reader would take. */
const peakBytesMax = (readersCount * runBytes) / 3

test('DK26 DK28 H112 H114 H115 a reader that stalls delays no other, costs no memory, and loses nothing', {
  timeout: 600_000,
}, async t => {
  await using server = await startServer()
  const { url } = server
  const cold = await server.memory('reset')
  const quiet = await flood(url, readersCount - 1)
  await Promise.all(quiet.readers.map(reader => reader.done))
  const before = await server.memory('reset')

  const run = await flood(url, readersCount)
  const [stalled, ...others] = run.readers as [Reader, ...Reader[]]
  stalled.socket.once('data', () => stalled.socket.pause())
  const started = performance.now()
  await Promise.all(others.map(reader => reader.done))
  const tookMs = performance.now() - started
  const after = await server.memory('look')
  for (const { ids } of others) assert.deepEqual([ids.count, ids.last, ids.inOrder], [lastId, lastId, true])
  const stalledAt = stalled.ids.last
  assert.ok(stalledAt < plan.events, `the stalled reader has ${stalledAt} events: it did not stall`)
  const growth = after.peak - before.peak
  assert.ok(growth < growthBytesMax, `a stalled reader took ${growth} bytes`)
  const peak = after.peak - cold.rss
  assert.ok(peak < peakBytesMax, `${readersCount} readers of ${runBytes} bytes took ${peak} bytes`)

  stalled.socket.resume()
  await stalled.done
  assert.deepEqual([stalled.ids.count, stalled.ids.last, stalled.ids.inOrder], [lastId, lastId, true])
  const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`
  t.diagnostic(
    `${others.length} readers had ${mb(runBytes)} each after ${Math.round(tookMs)} ms (${Math.round(quiet.tookMs())} ms without a stalled one), ` +
      `which had ${stalledAt} events; the server took ${mb(cold.rss)} before, ${mb(before.peak)} at most without it, ${mb(after.peak)} with it`,
  )
})

interface Ids {
  count: number
  last: number
  inOrder: boolean
}

interface Reader {
  readonly socket: Socket
  readonly ids: Ids
  /** The response ended, whole. */
  readonly done: Promise<void>
}

/** Starts a run, and readers that are there from its first event on. */
async function flood(url: string, count: number): Promise<{ readers: readonly Reader[]; tookMs: () => number }> {
  const response = await fetch(`${url}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(plan),
  })
  const { events_url } = (await response.json()) as { events_url: string }
  const started = performance.now()
  let tookMs = 0
  const readers = Array.from({ length: count }, () => read(url, events_url))
  for (const { done } of readers) void done.then(() => (tookMs = performance.now() - started))
  return { readers, tookMs: () => tookMs }
}

function read(url: string, path: string): Reader {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`)
  const ids: Ids = { count: 0, last: 0, inOrder: true }
  let rest: Buffer = Buffer.alloc(0)
  socket.on('data', piece => (rest = scan(rest.length > 0 ? Buffer.concat([rest, piece]) : piece, ids)))
  const done = once(socket, 'end').then(() => {
    assert.ok(rest.toString('latin1').endsWith('0\r\n\r\n'), 'the response was cut')
    socket.destroy()
  })
  return { socket, ids, done }
}

/** Takes the ids of all lines that are whole, and returns what is to be looked at again with the next piece. */
function scan(bytes: Buffer, ids: Ids): Buffer {
  let at = 0
  for (;;) {
    const start = bytes.indexOf('\nid: ', at)
    const end = start < 0 ? -1 : bytes.indexOf('\n', start + 1)
    if (end < 0) return bytes.subarray(Math.max(at, start < 0 ? bytes.length - idLineBytesMax : start))
    const id = Number(bytes.toString('latin1', start + '\nid: '.length, end))
    if (id !== ids.last + 1) ids.inOrder = false
    ids.last = id
    ids.count++
    at = end
  }
}

/** Where a line may have begun whose rest comes with the next piece. */
const idLineBytesMax = 16

async function startServer() {
  const child = fork(join(import.meta.dirname, 'slow-reader', 'server.ts'), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    url,
    async memory(what: 'reset' | 'look'): Promise<Memory> {
      child.send(what)
      const [memory] = (await once(child, 'message')) as [Memory]
      return memory
    },
    async [Symbol.asyncDispose]() {
      child.disconnect()
      await once(child, 'exit')
    },
  }
}
