// What the SQLite log promises beyond the suite of all logs: nothing acknowledged is lost, whatever ends the process;
// one server per file, readers beside it; memory and file never disagree.
import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { type Entry, entryOf, plainEntry } from '../src/batch.ts'
import { RuncastError } from '../src/error.ts'
import type { Event } from '../src/event.ts'
import { type Head, inboxKey, type Key, type Log, runKey, tenantFeed } from '../src/log.ts'
import { contentOf, entriesFrom, eventsPerRun } from './sqlite-child.ts'
import { newHead, token, turns } from './suites/log.suite.ts'

const kills = 24

test('DK72 kill -9 at any moment loses no acknowledged event, and the head agrees with the log', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  const all = new Map<string, number>()
  for (let round = 0; round < kills; round++) {
    const child = start('write', path, String(round))
    const acknowledged = new Map<string, number>()
    // Somewhere within the first packs and checkpoints; which moment it meets differs each time.
    const lines = 20 + ((round * 67) % 600)
    let seen = 0
    for await (const line of createInterface(child.stdout)) {
      const [run = '', last] = line.split(' ')
      acknowledged.set(run, Number(last))
      if (++seen === lines) child.kill('SIGKILL')
    }
    assert.ok(seen >= lines, `the writer of round ${round} ended by itself`)
    await using log = sqlite({ path })
    for (const [run, last] of acknowledged) {
      await checkRun(log, run, last)
      all.set(run, last)
    }
  }
  await using log = sqlite({ path })
  for (const [run, last] of all) await checkRun(log, run, last)
})

async function checkRun(log: Log, run: string, acknowledged: number): Promise<void> {
  const { frames, last, state } = await contents(log, runKey(run))
  const events = await eventsOf(log, runKey(run))
  assert.ok(last >= acknowledged, `${run} has ${last} events, ${acknowledged} were acknowledged`)
  assert.deepEqual(
    events.map(event => event.sequence),
    Array.from({ length: last }, (_, index) => index + 1),
  )
  for (const event of events) if (event.type === 'token') assert.equal(event.content, contentOf(run, event.sequence))
  const head = (await log.head(run)) as Head
  assert.deepEqual([head.first, head.last, head.bytes], [1, last, frames.length])
  const ended = last === eventsPerRun
  assert.deepEqual([head.status, state], ended ? ['completed', 'sealed'] : ['running', 'open'])
}

test('a second server on the same file is refused, and the file is free again as soon as the first is killed', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  const child = start('write', path, '0')
  await once(child.stdout, 'data')
  assert.throws(
    () => sqlite({ path }),
    refusedWith('conflict', /log\.db is in use by another server.*stop that server/),
  )
  {
    await using reader = sqlite({ path, readOnly: true })
    assert.equal((await reader.head('r0-0-0'))?.agent, 'a')
  }
  child.kill('SIGKILL')
  await once(child, 'exit')
  {
    await using log = sqlite({ path })
    assert.throws(() => sqlite({ path }), refusedWith('conflict', /in use/))
    assert.equal((await log.head('r0-0-0'))?.agent, 'a')
  }
  await using again = sqlite({ path })
  assert.equal((await again.head('r0-0-0'))?.agent, 'a')
})

test('DK20 a reader in another process sees a run live, every event once', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  await using log = sqlite({ path })
  await log.append(runKey('live'), 0, [], newHead('live', { status: 'running' }))
  const child = start('follow', path, 'live')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'following')
  const seen: string[] = []
  for (let after = 0; after < eventsPerRun; ) {
    const entries = entriesFrom('live', after, 1 + (after % 3))
    after = await log.append(runKey('live'), after, entries)
    // Each is awaited before the next is written, so the reader has seen it live.
    while (seen.length < after) seen.push((await lines.next()).value as string)
    // Other runs fill a pack meanwhile, so that the live one moves within the file.
    await log.append(inboxKey('other'), after - entries.length, many(entries.length, 3_000))
    for (let n = 0; n < 20; n++) void log.append(runKey(`${after}-${n}`), 0, many(1, 5_000))
  }
  assert.deepEqual(
    seen,
    Array.from({ length: eventsPerRun }, (_, index) =>
      index + 1 === eventsPerRun ? `${index + 1} complete right` : `${index + 1} token right`,
    ),
  )
  const [code] = child.exitCode === null ? await once(child, 'exit') : [child.exitCode]
  assert.equal(code, 0)
})

test('a log in memory is one of its own, and leaves no file behind', async () => {
  await using log = sqlite({ path: ':memory:' })
  await using other = sqlite({ path: ':memory:' })
  await log.append(runKey('r'), 0, [], newHead('r'))
  assert.equal(await other.head('r'), undefined)
  assert.ok(!existsSync(':memory:') && !existsSync(':memory:.lock'))
})

test('DK72 H102 runs, inboxes, feeds and heads are there after closing and opening again, with what was on its way', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'deep', 'log.db')
  const head = newHead('r', { thread_id: 'th', labels: { a: 'b' }, input: { text: 'ü' } })
  {
    await using log = sqlite({ path })
    await log.append(runKey('r'), 0, [], head)
    await log.append(runKey('r'), 0, [token('a'), token('b')], { status: 'running' })
    await log.append(inboxKey('r'), 0, [plainEntry({ type: 'cancel' }, 5)])
    await log.append(tenantFeed('default'), 0, [plainEntry({ type: 'accepted' }, 5)])
    // Not awaited: closing commits what is on its way.
    void log.append(runKey('r'), 2, [entryOf({ type: 'error', error: 'e', code: 'agent_error' }, 5)], {
      status: 'failed',
    })
  }
  await using log = sqlite({ path })
  assert.deepEqual(
    (await eventsOf(log, runKey('r'))).map(event => (event.type === 'token' ? event.content : event.type)),
    ['a', 'b', 'error'],
  )
  assert.equal((await contents(log, runKey('r'))).state, 'sealed')
  const kept = (await log.head('r')) as Head
  assert.deepEqual(kept, { ...head, status: 'failed', first: 1, last: 3, bytes: kept.bytes })
  assert.deepEqual(await log.list({ tenant: 'default', limit: 5 }), [kept])
  assert.equal((await contents(log, inboxKey('r'))).last, 1)
  assert.equal(await log.append(tenantFeed('default'), 1, [plainEntry({ type: 'ended' }, 5)]), 2)
  await assert.rejects(async () => log.append(runKey('r'), 3, [token('x')]), refusedWith('run_ended'))
})

test('a commit that fails refuses its appends and shows none of them; with room again the log goes on', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  await using log = sqlite({ path, bytesMax: 4 * 1024 * 1024 })
  const kept = new Map<Key, number>()
  let refused = 0
  for (let n = 0; refused === 0; n++) {
    // Half of them small, half of them large: they meet the end of the room in different tables.
    const keys = Array.from({ length: 8 }, (_, index) => runKey(`r${index}`))
    const appends = keys.map(async (key, index) => {
      const last = await log.append(key, n, many(1, index % 2 ? 12_000 : 2_000))
      kept.set(key, last)
    })
    const bad = (await Promise.allSettled(appends)).filter(result => result.status === 'rejected')
    for (const { reason } of bad) assert.ok(refusedWith('unavailable', /full/)(reason))
    refused = bad.length
    if (refused > 0) assert.equal(refused, keys.length)
  }
  for (const [key, last] of kept) assert.equal((await contents(log, key)).last, last)
  await log.drop(runKey('r1'))
  await log.drop(runKey('r3'))
  for (let n = 0; n < 200; n++) await turns(1)
  const last = kept.get(runKey('r0')) as number
  assert.equal(await log.append(runKey('r0'), last, [token('on')]), last + 1)
  assert.deepEqual(
    (await eventsOf(log, runKey('r0'))).map(event => event.sequence),
    Array.from({ length: last + 1 }, (_, index) => index + 1),
  )
})

test('a trimmed run counts exactly the bytes that are left, wherever they lie and after opening again', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  const check = async (log: Log, first: number) => {
    const { frames, last } = await contents(log, runKey('r'))
    const head = (await log.head('r')) as Head
    assert.deepEqual([head.first, head.last, head.bytes], [first, last, frames.length])
  }
  {
    await using log = sqlite({ path })
    await log.append(runKey('r'), 0, [], newHead('r'))
    // 1 to 20 lie in the commits' rows, then with 21 to 40 in rows of their own, and 41 to 60 in the commits' rows again.
    for (const size of [10, 1_000, 10]) {
      const { last } = await contents(log, runKey('r'))
      await log.append(runKey('r'), last, many(20, size))
      await check(log, 1)
    }
    await log.drop(runKey('r'), 30)
    await check(log, 31)
  }
  await using log = sqlite({ path })
  await check(log, 31)
  for (const cut of [35, 40, 50, 60]) {
    await log.drop(runKey('r'), cut)
    await check(log, cut + 1)
  }
  assert.equal(await log.append(runKey('r'), 60, [token('a')]), 61)
  await check(log, 61)
})

test('a refused append leaves the others of its commit alone', async () => {
  using directory = temporaryDirectory()
  await using log = sqlite({ path: join(directory.name, 'log.db') })
  const results = await Promise.allSettled([
    log.append(runKey('a'), 0, [token('1')]),
    log.append(runKey('a'), 0, [token('lost')]),
    log.append(runKey('b'), 0, [{ type: 'token', code: 1, time: Number.NaN, body: '{}' }]),
    log.append(runKey('b'), 0, [token('1')]),
    log.append(runKey('a'), 1, [token('2')]),
  ])
  const codes = results.map(result =>
    result.status === 'fulfilled' ? result.value : (result.reason as RuncastError).code,
  )
  assert.deepEqual(codes, [1, 'conflict', 'internal', 1, 2])
  assert.equal((await contents(log, runKey('a'))).last, 2)
})

test('nobody but its owner may read a file, nor what SQLite puts beside it', async () => {
  using directory = temporaryDirectory()
  await using log = sqlite({ path: join(directory.name, 'log.db') })
  await log.append(runKey('a'), 0, [], newHead('a'))
  for (const name of readdirSync(directory.name).filter(name => !name.endsWith('.lock'))) {
    assert.equal(statSync(join(directory.name, name)).mode & 0o777, 0o600, name)
  }
})

test('a file of a newer schema, of another program or of no database is refused and not touched', async () => {
  using directory = temporaryDirectory()
  const newer = join(directory.name, 'newer.db')
  await sqlite({ path: newer })[Symbol.asyncDispose]()
  withDatabase(newer, db => db.exec('PRAGMA user_version = 99'))
  const foreign = join(directory.name, 'foreign.db')
  withDatabase(foreign, db => db.exec('CREATE TABLE theirs (id)'))
  const text = join(directory.name, 'notes.txt')
  writeFileSync(text, 'these are not the bytes of a database, but of a text that somebody wrote '.repeat(20))
  for (const [path, message] of [
    [newer, /newer\.db has schema 99, this Runcast knows 1/],
    [foreign, /foreign\.db is a database of another program/],
    [text, /notes\.txt is not a SQLite file/],
  ] as const) {
    const before = readFileSync(path)
    assert.throws(() => sqlite({ path }), refusedWith('invalid_request', message))
    assert.throws(() => sqlite({ path, readOnly: true }), refusedWith('invalid_request', message))
    assert.deepEqual(readFileSync(path), before)
  }
})

test('a reader never writes, and needs a file that a server has made', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  assert.throws(() => sqlite({ path, readOnly: true }), refusedWith('unavailable', /start the server/))
  const log = sqlite({ path })
  await log.append(runKey('r'), 0, [token('a')])
  await using reader = sqlite({ path, readOnly: true })
  await assert.rejects(async () => reader.append(runKey('r'), 1, [token('b')]), refusedWith('forbidden'))
  await assert.rejects(async () => reader.drop(runKey('r')), refusedWith('forbidden'))
  await log[Symbol.asyncDispose]()
  await assert.rejects(async () => log.append(runKey('r'), 1, [token('b')]), refusedWith('unavailable', /closed/))
  await assert.rejects(async () => log.read(runKey('r'), 0, 1), refusedWith('unavailable', /closed/))
  assert.equal((await contents(reader, runKey('r'))).last, 1)
})

test('dropped runs give their room back, also when the server stops in between', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  const runs = Array.from({ length: 20 }, (_, index) => runKey(`r${index}`))
  {
    await using log = sqlite({ path })
    for (const run of runs) for (let n = 0; n < 50; n++) void log.append(run, n, many(1, 20_000))
  }
  const full = statSync(path).size
  assert.ok(full > 20_000_000)
  {
    await using log = sqlite({ path })
    for (const run of runs) await log.drop(run)
  }
  {
    await using _log = sqlite({ path })
    const left = () => withDatabase(path, db => db.prepare('SELECT count(*) AS n FROM entries').get()?.['n'], true)
    while (left() !== 0) await turns(10)
    await turns(40)
  }
  assert.ok(statSync(path).size < full / 4, `${statSync(path).size} of ${full} bytes are left`)
})

test('a thousand readers at the tail share one batch, and replaying readers share theirs', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.name, 'log.db')
  {
    await using log = sqlite({ path })
    await log.append(runKey('r'), 0, many(500, 300))
    await log.append(runKey('r'), 500, [token('a')])
    assert.equal(log.read(runKey('r'), 500, 100), log.read(runKey('r'), 500, 100))
  }
  await using log = sqlite({ path })
  const [one, other] = [await log.read(runKey('r'), 0, 1_000), await log.read(runKey('r'), 0, 1_000)]
  assert.ok(one.last < 500)
  assert.equal(one.slab, other.slab)
})

test('more logs than memory keeps are appended to and read as before', async () => {
  using directory = temporaryDirectory()
  await using log = sqlite({ path: join(directory.name, 'log.db') })
  const keys = Array.from({ length: 17_000 }, (_, index) => inboxKey(`i${index}`))
  await Promise.all(keys.map(async key => log.append(key, 0, [plainEntry({ type: 'first' }, 0)])))
  const lasts = await Promise.all(keys.map(async key => log.append(key, 1, [plainEntry({ type: 'second' }, 0)])))
  assert.ok(lasts.every(last => last === 2))
  await assert.rejects(async () => log.append(inboxKey('i0'), 0, []), refusedWith('conflict'))
  for (const key of [inboxKey('i0'), inboxKey('i16999')]) assert.equal((await contents(log, key)).last, 2)
})

/** What may happen to a file, in any order. Sizes are chosen to meet the small, the large and the packed way. */
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('append'), run: fc.nat(3), size: fc.constantFrom(10, 900, 9_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('burst'), run: fc.nat(3), size: fc.constant(7_500) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end'), run: fc.nat(3), size: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('trim'), run: fc.nat(3), size: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop'), run: fc.nat(3), size: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen'), run: fc.nat(3), size: fc.constant(0) }) },
)

test('the file, a reader beside it and the log in memory answer alike, whatever was done in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 25 }), fc.nat(50), async (operations, after) => {
      using directory = temporaryDirectory()
      const path = join(directory.name, 'log.db')
      const model = memory()
      let log = sqlite({ path })
      await using reader = sqlite({ path, readOnly: true })
      try {
        for (const { do: what, run, size } of operations) {
          if (what === 'reopen') {
            await log[Symbol.asyncDispose]()
            log = sqlite({ path })
          } else await same(model, log, other => perform(other, what, runKey(`r${run}`), size))
          for (const cursor of [0, after]) {
            const key = runKey(`r${run}`)
            const expected = await contents(model, key, cursor)
            assert.deepEqual(await contents(log, key, cursor), expected)
            assert.deepEqual(await contents(reader, key, cursor), expected)
          }
        }
      } finally {
        await log[Symbol.asyncDispose]()
      }
    }),
    { numRuns: 25 },
  )
})

async function perform(log: Log, what: string, key: Key, size: number): Promise<unknown> {
  if (what === 'trim') return log.drop(key, size, Buffer.from(`view at ${size}`))
  if (what === 'drop') return log.drop(key)
  const { last } = await contents(log, key)
  if (what === 'append') return log.append(key, last, many(1 + (last % 3), size))
  if (what === 'end') return log.append(key, last, [entryOf({ type: 'cancelled' }, 0)])
  const appends = Array.from({ length: 300 }, async (_, index) => log.append(key, last + index, many(1, size)))
  return (await Promise.allSettled(appends)).map(settled => settled.status)
}

/** Does it to both logs; they must answer alike, refusals included. */
async function same(one: Log, other: Log, act: (log: Log) => Promise<unknown>): Promise<void> {
  const answer = (log: Log) => act(log).catch((error: unknown) => (error as RuncastError).code)
  assert.deepEqual(await answer(other), await answer(one))
}

/** All of a log from the cursor on, however it is cut into batches. */
async function contents(log: Log, key: Key, after = 0) {
  let batch = await log.read(key, after, 1_000)
  const gap = batch.gap && { ...batch.gap, snapshot: Buffer.from(batch.gap.snapshot ?? []).toString() }
  const frames: Buffer[] = []
  while (batch.count > 0) {
    frames.push(batch.bytes)
    batch = await log.read(key, batch.last, 1_000)
  }
  return { last: batch.last, state: batch.state, gap, frames: Buffer.concat(frames) }
}

async function eventsOf(log: Log, key: Key): Promise<Event[]> {
  const events: Event[] = []
  for (let batch = await log.read(key, 0, 1_000); batch.count > 0; batch = await log.read(key, batch.last, 1_000)) {
    events.push(...batch.events)
  }
  return events
}

const many = (count: number, size: number): Entry[] => Array.from({ length: count }, () => token('x'.repeat(size)))

const refusedWith =
  (code: string, message = /./) =>
  (error: unknown) =>
    error instanceof RuncastError && error.code === code && message.test(error.message)

function withDatabase<T>(path: string, act: (db: DatabaseSync) => T, readOnly = false): T {
  using db = new DatabaseSync(path, { readOnly })
  return act(db)
}

function start(...words: readonly string[]): ChildProcessByStdio<null, Readable, null> {
  const script = join(import.meta.dirname, 'sqlite-child.ts')
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

function temporaryDirectory(): Disposable & { readonly name: string } {
  const name = mkdtempSync(join(tmpdir(), 'runcast-sqlite-'))
  return { name, [Symbol.dispose]: () => rmSync(name, { recursive: true, force: true }) }
}
