// A server that is killed again and again, without a word, while agents write and clients read over real sockets.
// What was acknowledged to anyone must be there afterwards, and no client may see a hole or an event twice.
import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Event, type RunInfo, type Runs } from '../src/client/index.ts'
import { seeded } from './cut-pipe.ts'

/** The bar that the project set itself; `KILLS=20` for a quick look. */
const kills = Number(process.env['KILLS'] ?? 200)
/** How long a server lives at most: long enough that some runs end, short enough that many do not. */
const lifeMsMax = 300
/** Runs at a time; each has two readers. */
const lanes = 4
const seed = process.env['SEED'] === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(process.env['SEED'])

test(`DK72 H27 a server that is killed ${kills} times loses nothing that it acknowledged, and every client sees 1 to N once (SEED=${seed})`, {
  timeout: 1_800_000,
}, async t => {
  using directory = temporaryDirectory()
  const random = seeded(seed)
  const port = await freePort()
  const server = killable(join(directory.name, 'log.db'), port, directory.name)
  await using runs = connect(`http://127.0.0.1:${port}`, { backoff: { baseMs: 10, capMs: 100 }, triesMax: 10_000 })
  const url = `http://127.0.0.1:${port}`
  const seen: Seen[] = []
  let over = false
  const working = Array.from({ length: lanes }, async (_, lane) => {
    while (!over) seen.push(...(await liveOne(runs, url, random, lane)))
  })
  for (let kill = 0; kill < kills; kill++) {
    const listening = server.start()
    // Some die before they listen, while they end what the last one left.
    if (random() < 0.1) await sleep(random() * 30)
    else await listening.then(() => sleep(random() * lifeMsMax))
    await server.kill()
  }
  over = true
  await server.start()
  await Promise.all(working)

  const logs = new Map<string, readonly Event[]>()
  for (const { run } of seen) if (!logs.has(run)) logs.set(run, await eventsOf(url, run))
  const ends = { complete: 0, interrupted: 0 }
  for (const [run, events] of logs) ends[judged(run, events, await runs.get(run), server.stored.get(run) ?? 0)]++
  for (const { run, reader, events } of seen) assert.deepEqual(events, logs.get(run), `${reader} of ${run}`)
  // Of a start whose answer was lost there may be a run more, but each of them has ended.
  for await (const info of allOf(runs))
    assert.notEqual(info.completed_at, undefined, `${info.run_id} is ${info.status}`)
  await server.kill()
  server.close()
  t.diagnostic(
    `${kills} kills, ${logs.size} runs (${ends.complete} complete, ${ends.interrupted} interrupted), ${seen.length} readers, ` +
      `${[...server.stored.values()].reduce((sum, n) => sum + n, 0)} acknowledged tokens`,
  )
  assert.ok(ends.complete > 0 && ends.interrupted > 0, JSON.stringify(ends))
})

interface Seen {
  readonly run: string
  readonly reader: string
  readonly events: readonly Event[]
}

/** Starts a run and reads it to its end: with our client, and with nothing but fetch and a cursor. */
async function liveOne(runs: Runs, url: string, random: () => number, lane: number): Promise<Seen[]> {
  const input = { count: Math.floor(random() * 60), pauseMs: random() * 20 }
  const thread = lane === 0 ? { thread: 'one', onBusy: 'queue' as const } : {}
  const { run_id: run } = await runs.start('counts', input, thread)
  const [client, bare] = await Promise.all([readWithClient(runs, run), readBare(url, run)])
  return [
    { run, reader: 'the client', events: client },
    { run, reader: 'a bare fetch', events: bare },
  ]
}

async function readWithClient(runs: Runs, run: string): Promise<Event[]> {
  const events: Event[] = []
  for await (const batch of runs.tail(run)) {
    assert.equal(batch.after, events.length, `a hole, or an event twice, in ${run}`)
    events.push(...batch.events)
  }
  return events
}

/** Comes back with the last id that it has until it is told that there is nothing more. */
async function readBare(url: string, run: string): Promise<Event[]> {
  const events: Event[] = []
  for (;;) {
    try {
      const response = await fetch(`${url}/runs/${run}/events`, { headers: { 'last-event-id': `${events.length}` } })
      if (response.status === 204) return events
      // An accepted run is there: a 404 would be a lost one.
      assert.equal(response.status, 200)
      let text = ''
      const decoder = new TextDecoder()
      for await (const piece of response.body ?? []) {
        text += decoder.decode(piece, { stream: true })
        const frames = text.split('\n\n')
        text = frames.pop() ?? ''
        for (const frame of frames) {
          const id = /^id: (\d+)$/m.exec(frame)?.[1]
          if (id !== undefined) events.push(JSON.parse(/^data: (.*)$/m.exec(frame)?.[1] ?? '') as Event)
        }
      }
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      await sleep(5)
    }
  }
}

async function eventsOf(url: string, run: string): Promise<Event[]> {
  const text = await (await fetch(`${url}/runs/${run}/events?after=0`)).text()
  return [...text.matchAll(/^data: (.*)$/gm)].map(match => JSON.parse(match[1] ?? '') as Event)
}

/** Checks one run as the log has it. */
function judged(run: string, events: readonly Event[], info: RunInfo, stored: number): 'complete' | 'interrupted' {
  assert.deepEqual(
    events.map(event => event.sequence),
    events.map((_, index) => index + 1),
    run,
  )
  const tokens = events.flatMap(event => (event.type === 'token' ? [Number(event.content)] : []))
  assert.deepEqual(
    tokens,
    tokens.map((_, index) => index + 1),
    run,
  )
  assert.ok(tokens.length >= stored, `${run} has ${tokens.length} tokens, ${stored} were acknowledged`)
  const end = events.at(-1)
  assert.equal(info.last_sequence, events.length, run)
  if (end?.type === 'complete') {
    assert.equal(info.status, 'completed')
    assert.equal(tokens.length, end.output)
    return 'complete'
  }
  assert.deepEqual([end?.type, info.status, info.error?.code], ['error', 'failed', 'interrupted'], run)
  return 'interrupted'
}

async function* allOf(runs: Runs): AsyncGenerator<RunInfo> {
  for (let cursor: string | undefined; ; ) {
    const page = await runs.list({ cursor, limit: 500 })
    yield* page.runs
    cursor = page.next
    if (cursor === undefined) return
  }
}

type Child = ChildProcessByStdio<Writable, Readable, null>

/** One server after the other on the same file and port; the next one is loaded while this one lives. */
function killable(path: string, port: number, cache: string) {
  const script = join(import.meta.dirname, 'crash', 'server.ts')
  const env = { ...process.env, NODE_COMPILE_CACHE: join(cache, 'compiled') }
  const stored = new Map<string, number>()
  const load = (): Child =>
    spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, path, `${port}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env,
    })
  let next = load()
  let living: Child | undefined
  return {
    /** What agents saw stored. */
    stored,
    /** Resolves when it listens; never when it is killed before. */
    start(): Promise<void> {
      const child = next
      living = child
      next = load()
      child.stdin.write('go\n')
      return new Promise((resolve, reject) => {
        createInterface(child.stdout).on('line', line => {
          if (line === 'listening') return resolve()
          const [run = '', n] = line.split(' ')
          stored.set(run, Number(n))
        })
        child.once('exit', code => code !== null && reject(new Error(`the server ended by itself with ${code}`)))
      })
    },
    async kill(): Promise<void> {
      const child = living as Child
      const gone = once(child, 'close') // also its last words are read
      child.kill('SIGKILL')
      await gone
    },
    close: () => void next.kill('SIGKILL'),
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

function temporaryDirectory(): { readonly name: string } & Disposable {
  const name = mkdtempSync(join(tmpdir(), 'runcast-crash-'))
  return { name, [Symbol.dispose]: () => rmSync(name, { recursive: true, force: true }) }
}
