// What every backend promises, as plain functions: one call per row of test/log.test.ts.
// A row owns its exceptions: `skip` names tests and says why.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Entry, entryOf, plainEntry } from '../../src/batch.ts'
import { RuncastError } from '../../src/error.ts'
import { follow, tail } from '../../src/follow.ts'
import { type Head, inboxKey, type Key, type Log, type NewHead, runKey, tenantFeed } from '../../src/log.ts'
import { until } from '../until.ts'

export interface LogRow {
  readonly name: string
  /** A fresh, empty log. */
  open(): Promise<Log>
  readonly skip?: readonly { readonly test: string; readonly reason: string }[]
}

const time = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

export const token = (content: string): Entry => entryOf({ type: 'token', content }, time)
const complete = (output: unknown = null): Entry => entryOf({ type: 'complete', output, latency_seconds: 1 }, time)

export function newHead(run_id: string, more: Partial<NewHead> = {}): NewHead {
  return {
    run_id,
    status: 'accepted',
    agent: 'echo',
    framework: 'function',
    tenant: 'default',
    input: null,
    owner: 'p1',
    created_at: time,
    ...more,
  }
}

const hasCode = (code: string) => (error: unknown) => error instanceof RuncastError && error.code === code

/** Synchronous throws and rejections alike. */
const refused = (act: () => unknown, code: string) => assert.rejects(async () => act(), hasCode(code))

async function contents(log: Log, key: Key, after = 0): Promise<string[]> {
  const batch = await log.read(key, after, 1_000)
  return batch.events.map(event => (event.type === 'token' ? event.content : event.type))
}

export function logSuite(row: LogRow): void {
  const promise = (title: string, body: (log: Log) => Promise<void>) => {
    const skipped = row.skip?.find(entry => entry.test === title)
    test(`${row.name}: ${title}`, { skip: skipped?.reason ?? false }, async () => {
      await using log = await row.open()
      await body(log)
    })
  }

  promise('DK37 what is appended is read back, numbered 1, 2, 3', async log => {
    const key = runKey('r')
    assert.equal(await log.append(key, 0, [], newHead('r')), 0)
    assert.equal(await log.append(key, 0, [token('a'), token('b')]), 2)
    assert.equal(await log.append(key, 2, [token('c')]), 3)
    const batch = await log.read(key, 0, 100)
    assert.deepEqual(
      batch.events.map(event => [event.sequence, event.id, event.run_id, event.timestamp]),
      [1, 2, 3].map(n => [n, `r:${n}`, 'r', '2026-01-02T03:04:05.678Z']),
    )
    assert.deepEqual(await contents(log, key), ['a', 'b', 'c'])
    assert.equal(batch.after, 0)
    assert.equal(batch.last, 3)
    assert.equal(batch.state, 'open')
  })

  promise('a frame is event, data, id, in this order, whatever the content', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('é\n\r\u2028"\u0000 \ud83d\ude00')])
    const frame = (await log.read(runKey('r'), 0, 1)).bytes.toString()
    assert.match(frame, /^event: token\ndata: \{[^\n\r\u2028]*\}\nid: 1\n\n$/)
    assert.deepEqual(await contents(log, runKey('r')), ['é\n\r\u2028"\u0000 \ud83d\ude00'])
  })

  promise('an entry that cannot be written is refused, and the next one stands in its place', async log => {
    await log.append(runKey('r'), 0, [token('a')], newHead('r'))
    await assert.rejects(async () => log.append(runKey('r'), 1, [{ ...token('b'), time: Number.NaN }]))
    await log.append(runKey('r'), 1, [token('c')])
    assert.deepEqual(await contents(log, runKey('r')), ['a', 'c'])
  })

  promise('append with a stale cursor is refused with conflict that carries the last sequence', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('a')])
    await assert.rejects(
      async () => log.append(runKey('r'), 0, [token('b')]),
      (error: unknown) => hasCode('conflict')(error) && (error as RuncastError).details['last'] === 1,
    )
    await refused(() => log.append(runKey('r'), 5, [token('b')]), 'conflict')
    assert.deepEqual(await contents(log, runKey('r')), ['a'])
  })

  promise('of concurrent appends at one cursor exactly one wins', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const tries = Array.from({ length: 8 }, async (_, index) => log.append(runKey('r'), 0, [token(`${index}`)]))
    const settled = await Promise.allSettled(tries)
    assert.equal(settled.filter(one => one.status === 'fulfilled').length, 1)
    assert.equal((await contents(log, runKey('r'))).length, 1)
  })

  promise('DK17 creating a run that exists is refused with conflict, ended or not', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await refused(() => log.append(runKey('r'), 0, [], newHead('r')), 'conflict')
    await log.append(runKey('r'), 0, [complete()], { status: 'completed' })
    await assert.rejects(async () => log.append(runKey('r'), 0, [], newHead('r')))
  })

  promise('DK30 append after the end is refused with run_ended', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('a'), complete()], { status: 'completed' })
    await refused(() => log.append(runKey('r'), 2, [token('b')]), 'run_ended')
    const batch = await log.read(runKey('r'), 0, 10)
    assert.equal(batch.state, 'sealed')
    assert.equal(batch.last, 2)
  })

  promise('the state is sealed only in the batch behind which nothing comes', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('a'), token('b'), complete()], { status: 'completed' })
    const first = await log.read(runKey('r'), 0, 2)
    assert.equal(first.last, 2)
    assert.equal(first.state, 'open')
    assert.equal((await log.read(runKey('r'), 2, 2)).state, 'sealed')
    assert.equal((await log.read(runKey('r'), 3, 2)).state, 'sealed')
    assert.equal((await log.read(runKey('r'), 99, 2)).state, 'sealed')
  })

  promise('the head changes in the same step as the log and counts it', async log => {
    await log.append(runKey('r'), 0, [], newHead('r', { thread_id: 't', labels: { a: 'b' } }))
    await log.append(runKey('r'), 0, [token('a')], { status: 'running', started_at: time + 1 })
    const head = (await log.head('r')) as Head
    assert.equal(head.status, 'running')
    assert.equal(head.thread_id, 't')
    assert.deepEqual(head.labels, { a: 'b' })
    assert.equal(head.started_at, time + 1)
    assert.deepEqual([head.first, head.last], [1, 1])
    assert.equal(head.bytes, (await log.read(runKey('r'), 0, 10)).bytes.length)
    await refused(() => log.append(runKey('r'), 0, [token('x')], { status: 'failed' }), 'conflict')
    assert.equal((await log.head('r'))?.status, 'running')
    assert.equal(await log.head('other'), undefined)
  })

  promise('a requested cancel shows in the state and rings the bell', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    let rings = 0
    using _bell = log.watch(runKey('r'), () => rings++)
    await log.append(runKey('r'), 0, [], { cancel_requested_at: time })
    await turns()
    assert.ok(rings > 0)
    assert.equal((await log.read(runKey('r'), 0, 1)).state, 'cancelling')
    assert.equal((await log.head('r'))?.cancel_requested_at, time)
  })

  promise('a thousand readers are rung over several turns, and each hears of the newest entry', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const deaf = new Set<number>()
    let written = 0
    let rung = 0
    const look = async (n: number) => {
      if ((await log.read(runKey('r'), 49, 1)).last === 50) deaf.delete(n)
    }
    const join = (n: number) => {
      deaf.add(n)
      const ring = () => {
        rung++
        void look(n)
        if (n % 10 === 3) leave(n + 1) // some leave in the middle of a round,
        if (written === 50 && n % 10 === 5 && n < 1_000 && !bells.has(n + 1_000)) join(n + 1_000) // some come
      }
      bells.set(n, log.watch(runKey('r'), ring))
      void look(n)
    }
    const leave = (n: number) => {
      bells.get(n)?.[Symbol.dispose]()
      deaf.delete(n)
    }
    const bells = new Map<number, Disposable>()
    for (let n = 0; n < 1_000; n++) join(n)
    let rungMost = 0
    while (written < 50) {
      rung = 0
      await log.append(runKey('r'), written++, [token('x')])
      await turns(1)
      rungMost = Math.max(rungMost, rung)
    }
    await until('every reader heard of the last entry', () => deaf.size === 0)
    assert.ok(rungMost < 1_000, `${rungMost} readers were rung while nothing else had its turn`)
    for (const bell of bells.values()) bell[Symbol.dispose]()
  })

  promise('many readers of a busy log do not keep another log from being rung', async log => {
    for (const run of ['busy', 'quiet']) await log.append(runKey(run), 0, [], newHead(run))
    // As many as are rung in one turn, twice, and with one more.
    for (const readers of [64, 128, 129]) {
      using bells = new DisposableStack()
      for (let n = 0; n < readers; n++) bells.use(log.watch(runKey('busy'), () => {}))
      let quietRung = false
      const quietRings = () => quietRung
      bells.use(log.watch(runKey('quiet'), () => (quietRung = true)))
      const last = async (run: string) => (await log.head(run))?.last ?? 0
      const ring = async (run: string) => log.append(runKey(run), await last(run), [token('x')])
      await ring('busy')
      quietRung = false
      await ring('quiet')
      // Without a pause, in which it would be rung anyway.
      for (const until = performance.now() + 30_000; !quietRings(); await turns(1)) {
        await ring('busy')
        assert.ok(performance.now() < until, `the quiet log is not rung beside one with ${readers} readers`)
      }
    }
  })

  promise('who stays is not rung in place of those who have left', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    let rung = 0
    using _last = log.watch(runKey('r'), () => rung++)
    const leaving = Array.from({ length: 1_000 }, () => log.watch(runKey('r'), () => {}))
    await log.append(runKey('r'), 0, [token('x')])
    await turns(1)
    for (const bell of leaving) bell[Symbol.dispose]()
    rung = 0
    await turns(100)
    assert.ok(rung < 10, `rung ${rung} times`)
  })

  promise('who has left a log that says nothing more is forgotten', async log => {
    const watch = () => log.watch(runKey('r'), () => {})
    await log.append(runKey('r'), 0, [], newHead('r'))
    using _stays = watch()
    await log.append(runKey('r'), 0, [token('x')])
    await turns()
    const before = heapBytes()
    const left = 200_000
    for (let n = 0; n < left; n++) watch()[Symbol.dispose]()
    const each = (heapBytes() - before) / left
    assert.ok(each < 10, `each that has left holds ${each} bytes`)
  })

  promise('many readers hear the end of a run that is dropped behind it', async log => {
    const ended = await manyFollow(log)
    await log.append(runKey('r'), 0, [complete()])
    await log.drop(runKey('r'))
    await until('all have heard the end', () => ended() === crowd)
  })

  promise('many readers hear what was appended when the log is closed behind it', async log => {
    const ended = await manyFollow(log)
    await log.append(runKey('r'), 0, [complete()])
    await log[Symbol.asyncDispose]()
    await until('all have heard the end', () => ended() === crowd)
  })

  promise('what a ring throws is thrown, and keeps nobody else from being rung', async log => {
    const ended = await manyFollow(log)
    using _bell = log.watch(runKey('r'), () => {
      throw new Error('from a ring')
    })
    const others = await manyFollow(log)
    const thrown: Error[] = []
    process.setUncaughtExceptionCaptureCallback(error => thrown.push(error))
    try {
      await log.append(runKey('r'), 0, [token('a')])
      await log.append(runKey('r'), 1, [complete()])
      await until('all have heard the end', () => ended() + others() === 2 * crowd)
    } finally {
      process.setUncaughtExceptionCaptureCallback(null)
    }
    assert.ok(thrown.length > 0)
    for (const { message } of thrown) assert.equal(message, 'from a ring')
  })

  promise('heads are listed newest first, filtered, page by page, tenants apart', async log => {
    for (let n = 0; n < 7; n++) {
      const more = { created_at: time + (n >> 1), tenant: n === 6 ? 'other' : 'default', agent: n % 2 ? 'odd' : 'even' }
      await log.append(runKey(`r${n}`), 0, [], newHead(`r${n}`, more))
    }
    await log.append(runKey('r2'), 0, [complete()], { status: 'completed' })
    const all = await log.list({ tenant: 'default', limit: 10 })
    assert.deepEqual(all.map(ids), ['r5', 'r4', 'r3', 'r2', 'r1', 'r0'])
    const page = await log.list({ tenant: 'default', limit: 2, before: all[1] as Head })
    assert.deepEqual(page.map(ids), ['r3', 'r2'])
    assert.deepEqual((await log.list({ tenant: 'default', agent: 'odd', limit: 9 })).map(ids), ['r5', 'r3', 'r1'])
    assert.deepEqual((await log.list({ tenant: 'default', status: 'completed', limit: 9 })).map(ids), ['r2'])
    assert.deepEqual((await log.list({ tenant: 'other', limit: 9 })).map(ids), ['r6'])
  })

  promise('DK70 a cursor older than what is kept gets a gap and continues from the oldest', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('a'), token('b')])
    await log.append(runKey('r'), 2, [token('c'), token('d')])
    await log.drop(runKey('r'), 2, Buffer.from('{"view":1}'))
    const batch = await log.read(runKey('r'), 0, 10)
    assert.deepEqual(batch.gap && [batch.gap.requested, batch.gap.oldest], [1, 3])
    assert.equal(Buffer.from(batch.gap?.snapshot ?? []).toString(), '{"view":1}')
    assert.equal(batch.after, 2)
    assert.deepEqual(await contents(log, runKey('r')), ['c', 'd'])
    assert.equal((await log.read(runKey('r'), 2, 10)).gap, undefined)
    assert.equal((await log.head('r'))?.first, 3)
    assert.equal(await log.append(runKey('r'), 4, [token('e')]), 5)
    await log.drop(runKey('r'), 5)
    assert.deepEqual((await log.read(runKey('r'), 0, 10)).gap, { requested: 1, oldest: 6 })
    assert.equal(await log.append(runKey('r'), 5, [token('f')]), 6)
    assert.deepEqual(await contents(log, runKey('r'), 5), ['f'])
  })

  promise('DK73 a dropped log is absent, with its head', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [complete()], { status: 'completed' })
    await log.drop(runKey('r'))
    assert.equal((await log.read(runKey('r'), 0, 10)).state, 'absent')
    assert.equal(await log.head('r'), undefined)
    assert.deepEqual(await log.list({ tenant: 'default', limit: 9 }), [])
  })

  promise('H69 what was dropped stays dropped, whatever was on its way to it', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    await log.append(runKey('r'), 0, [token('a')])
    const late = async () => log.append(runKey('r'), 1, [token('late')], { status: 'running' })
    await Promise.allSettled([late(), log.drop(runKey('r')), late(), late()])
    await assert.rejects(late(), hasCode('conflict'))
    assert.equal((await log.read(runKey('r'), 0, 10)).state, 'absent')
    assert.equal(await log.head('r'), undefined)
    assert.deepEqual(await log.list({ tenant: 'default', limit: 9 }), [])
  })

  promise('inboxes and feeds are logs that never seal', async log => {
    for (const key of [inboxKey('r'), tenantFeed('default')]) {
      assert.equal((await log.read(key, 0, 10)).state, 'absent')
      assert.equal(await log.append(key, 0, [plainEntry({ type: 'ended', run_id: 'complete' } as never, time)]), 1)
      assert.equal(await log.append(key, 1, [plainEntry({ type: 'cancelled' }, time)]), 2)
      assert.equal(await log.append(key, 2, [plainEntry({ type: 'closed' }, time)]), 3)
      const batch = await log.read(key, 1, 10)
      assert.deepEqual(
        batch.events.map(event => [event.type, event.sequence]),
        [
          ['cancelled', 2],
          ['closed', 3],
        ],
      )
    }
  })

  promise(
    'H140 a bell that is armed before the read rings for an append that lands between read and wait',
    async log => {
      await log.append(runKey('r'), 0, [], newHead('r'))
      const seen: number[] = []
      const following = follow(log, runKey('r'), {}, batch => {
        for (const event of batch.events) seen.push(event.sequence)
      })
      await turns()
      await log.append(runKey('r'), 0, [token('a')])
      await log.append(runKey('r'), 1, [complete()], { status: 'completed' })
      await following
      assert.deepEqual(seen, [1, 2])
    },
  )

  promise('DK20 DK21 readers at every cursor see the rest exactly once, live or late', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const total = 60
    const readers = Array.from({ length: total + 2 }, async (_, after) => {
      if (after % 2) await turns(after)
      const seen: number[] = []
      for await (const batch of tail(log, runKey('r'), { after, limit: 1 + (after % 7) })) {
        for (const event of batch.events) seen.push(event.sequence)
        if (after % 3 === 0) await turns(1)
      }
      return seen
    })
    for (let n = 0; n < total; n++) {
      const end = n === total - 1
      await log.append(runKey('r'), n, [end ? complete() : token(`${n}`)], end ? { status: 'completed' } : undefined)
      if (n % 5 === 0) await turns(1)
    }
    for (const [after, reader] of readers.entries()) {
      const expected = Array.from({ length: Math.max(0, total - after) }, (_, index) => after + 1 + index)
      assert.deepEqual(await reader, expected)
    }
  })

  promise('a reader that leaves leaves no bell behind and ends without an error', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const leaving = new AbortController()
    const following = follow(log, runKey('r'), { signal: leaving.signal }, () => {})
    await turns()
    leaving.abort()
    await following
    await follow(log, runKey('r'), { signal: leaving.signal }, () => assert.fail('delivered after the abort'))
  })

  promise('DK16 following a run that does not exist throws not_found; one that is dropped meanwhile too', async log => {
    await assert.rejects(
      follow(log, runKey('nobody'), {}, () => {}),
      hasCode('not_found'),
    )
    await log.append(runKey('r'), 0, [], newHead('r'))
    const following = follow(log, runKey('r'), {}, () => {})
    await turns()
    await log.drop(runKey('r'))
    await assert.rejects(following, hasCode('not_found'))
  })

  promise('an absent feed is waited for', async log => {
    const feed = tail(log, tenantFeed('later'))
    const first = feed.next()
    await turns()
    await log.append(tenantFeed('later'), 0, [plainEntry({ type: 'accepted' }, time)])
    assert.equal((await first).value?.last, 1)
    await feed.return()
  })

  promise('H64 a large entry and ten thousand small ones come back whole, page by page', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const large = 'x'.repeat(300_000)
    await log.append(runKey('r'), 0, [token('small'), token(large), token('small')])
    assert.deepEqual(await readAll(log, 'r', 0), ['small', large, 'small'])
    for (let n = 0; n < 100; n++) {
      const hundred = Array.from({ length: 100 }, (_, index) => token(`${n * 100 + index}`))
      await log.append(runKey('r'), 3 + n * 100, hundred)
    }
    const rest = await readAll(log, 'r', 3)
    assert.equal(rest.length, 10_000)
    assert.ok(rest.every((content, index) => content === `${index}`))
  })

  promise('H12 U+0000 to U+FFFF survive in contents', async log => {
    await log.append(runKey('r'), 0, [], newHead('r'))
    const every = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit)).filter(
      unit => unit < '\ud800' || unit > '\udfff',
    )
    await log.append(runKey('r'), 0, [token(every.join(''))])
    assert.deepEqual(await contents(log, runKey('r')), [every.join('')])
  })
}

const ids = (head: Head) => head.run_id

async function readAll(log: Log, run: string, after: number): Promise<string[]> {
  const seen: string[] = []
  for (;;) {
    const batch = await log.read(runKey(run), after, 1_000)
    if (batch.count === 0) return seen
    assert.equal(batch.after, after)
    after = batch.last
    seen.push(...batch.events.map(event => (event.type === 'token' ? event.content : event.type)))
  }
}

/** What is alive in the heap. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  return process.memoryUsage().heapUsed
}

/** More readers than are rung in one turn. */
const crowd = 200

/** Lets many follow the run `r`; says how many of them have come to its end. */
async function manyFollow(log: Log): Promise<() => number> {
  if (!(await log.head('r'))) await log.append(runKey('r'), 0, [], newHead('r'))
  let ended = 0
  for (let n = 0; n < crowd; n++) {
    const following = follow(log, runKey('r'), {}, () => {})
    following.then(
      () => ended++,
      () => {},
    )
  }
  await turns(crowd)
  return () => ended
}

/** Lets the event loop turn, so that bells ring. */
export async function turns(count = 3): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(resolve => setImmediate(resolve))
}
