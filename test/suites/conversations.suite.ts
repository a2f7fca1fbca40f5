// What the conversation store promises, whichever database keeps it. Plain functions, called once per row. Runs are
// written into a log as the core writes them, or by the core itself where its behaviour matters.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { memory } from '../../src/backends/memory.ts'
import { entryOf, plainEntry } from '../../src/batch.ts'
import { type Conversations, createConversations } from '../../src/conversations/conversations.ts'
import { assistantMessage, type Message } from '../../src/conversations/message.ts'
import type { DatabasePlace } from '../../src/conversations/tables.ts'
import { RuncastError } from '../../src/error.ts'
import type { Body, Event, Json } from '../../src/event.ts'
import { type FeedEntry, type Head, type Key, type Log, runKey, tenantFeed, threadFeed } from '../../src/log.ts'
import { createRuns } from '../../src/local-runs.ts'
import type { Deps, RunsOptions } from '../../src/runs.ts'
import { emptyView, fold, usageOf } from '../../src/state/fold.ts'
import { arbitraryEndedRun } from '../arbitrary-events.ts'
import { until } from '../until.ts'

export interface ConversationsRow {
  readonly name: string
  /** A new, empty database that outlives the store; undefined skips the test. */
  place(t: TestContext): Promise<DatabasePlace | undefined>
  readonly skip?: readonly { readonly test: string; readonly reason: string }[]
}

export const deps: Deps = {
  now: Date.now,
  id: randomUUID,
  random: Math.random,
  sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: false }),
}

/** A clock that never stands still, so that lists have one order. */
export function ticking(): Deps {
  let now = Date.UTC(2026, 0, 1)
  return { ...deps, now: () => ++now }
}

const hasCode = (code: string) => (error: unknown) =>
  (error instanceof RuncastError && error.code === code) || assert.fail(`expected ${code}, got ${String(error)}`)

/** A feed's next entry, behind whatever is there. */
async function announce(log: Log, feed: Key, entry: FeedEntry, now: number): Promise<void> {
  let after = 0
  for (;;) {
    const { last } = await log.read(feed, after, 1_000)
    if (last === after) break
    after = last
  }
  await log.append(feed, after, [plainEntry(entry, now)])
}

export interface WrittenRun {
  readonly tenant?: string
  readonly thread?: string
  readonly run?: string
  readonly input?: Json
  readonly user?: string
  readonly bodies?: readonly Body[]
  readonly now?: () => number
}

const done: Body[] = [
  { type: 'token', content: 'fine' },
  { type: 'complete', output: null, latency_seconds: 0.5 },
]

/** A whole run as the core leaves it in the log: head, events, and the entries of both feeds. */
export async function writeRun(log: Log, written: WrittenRun): Promise<Head> {
  const { tenant = 'default', thread, input = 'hello', bodies = done, now = deps.now } = written
  const run_id = written.run ?? randomUUID()
  const feeds = [...(thread === undefined ? [] : [threadFeed(tenant, thread)]), tenantFeed(tenant)]
  for (const feed of feeds) await announce(log, feed, { type: 'accepted', run_id, owner: 'test' }, now())
  await log.append(runKey(run_id), 0, [], {
    run_id,
    status: 'accepted',
    agent: 'echo',
    framework: 'custom',
    tenant,
    input,
    owner: 'test',
    created_at: now(),
    ...(thread !== undefined && { thread_id: thread }),
    ...(written.user !== undefined && { user_id: written.user }),
  })
  for (const feed of feeds) await announce(log, feed, { type: 'started', run_id, thread_base: 0 }, now())
  const entries = bodies.map(body => entryOf(body, now()))
  await log.append(runKey(run_id), 0, entries, { status: 'completed', completed_at: now() })
  const ended: FeedEntry = { type: 'ended', run_id, status: 'completed', last: bodies.length, thread_base: 0 }
  for (const feed of feeds) await announce(log, feed, ended, now())
  return (await log.head(run_id)) as Head
}

/** All that a tenant can see, page by page. */
export async function everything(store: Conversations, tenant: string) {
  const conversations = []
  for (let cursor: string | undefined; ; ) {
    const page = await store.list({ tenant, limit: 3, cursor })
    conversations.push(...page.conversations)
    cursor = page.next
    if (cursor === undefined) break
  }
  return Promise.all(
    conversations.map(async conversation => ({
      conversation,
      messages: await allMessages(store, tenant, conversation.id),
    })),
  )
}

export async function allMessages(store: Conversations, tenant: string, thread: string): Promise<Message[]> {
  const messages: Message[] = []
  for (let after = 0; ; ) {
    const page = await store.messages({ tenant, thread, after, limit: 4 })
    messages.push(...page.messages)
    if (page.messages.length === 0) return messages
    after = page.after
  }
}

const texts = (messages: readonly Message[]) =>
  messages.map(({ role, content }) => [
    role,
    ...content.map(block => (block.type === 'text' ? block.text : `(${block.type})`)),
  ])

export function conversationsSuite(row: ConversationsRow): void {
  interface Opened {
    readonly store: Conversations
    readonly log: Log
    readonly place: DatabasePlace
    /** Another store on the same database; both are closed with the test. */
    reopen(log?: Log): Promise<Conversations>
  }

  const promise = (
    title: string,
    body: (opened: Opened) => Promise<void>,
    options: { log?: () => Log; deps?: Deps; timeout?: number } = {},
  ) => {
    const skipped = row.skip?.find(entry => entry.test === title)
    test(`${row.name}: ${title}`, { skip: skipped?.reason ?? false, timeout: options.timeout ?? 120_000 }, async t => {
      const place = await row.place(t)
      if (!place) return
      await using log = options.log?.() ?? memory()
      const opened = new AsyncDisposableStack()
      const open = async (from: Log) =>
        opened.use(await createConversations({ log: from, db: place, deps: options.deps ?? deps }))
      const store = await open(log)
      try {
        await body({ store, log, place, reopen: (other = log) => open(other) })
      } finally {
        await opened.disposeAsync()
      }
    })
  }

  const tenant = 'default'

  promise('ON9 a run on a thread leaves what its user said and what it answered', async ({ store, log }) => {
    const head = await writeRun(log, {
      thread: 't',
      input: { question: 'How are sales?' },
      user: 'ada',
      bodies: [
        {
          type: 'started',
          agent_name: 'echo',
          framework: 'custom',
          thread_id: 't',
          scenario: 'report',
          company_id: 'c1',
        },
        { type: 'text', content: 'Here they are', position: 'before' },
        { type: 'chart', chart_id: 'c', chart_type: 'bar', option: { series: [] }, title: 'Sales' },
        { type: 'tool', call_id: '1', tool_name: 'sql', stage: 'completed', arguments: { q: 1 }, result: [2] },
        { type: 'item', data: { rows: 3 } },
        { type: 'custom', name: 'fraud_check', data: { passed: true } },
        { type: 'text', content: 'up in Q4', position: 'after' },
        { type: 'complete', output: null, latency_seconds: 2.5 },
      ],
    })
    const { messages } = await store.messages({ tenant, thread: 't' })
    assert.deepEqual(
      messages.map(({ timestamp: _timestamp, position: _position, ...message }) => message),
      [
        {
          id: `${head.run_id}-user`,
          conversation_id: 't',
          role: 'user',
          content: [{ id: 'p1', type: 'text', text: 'How are sales?' }],
          metadata: {},
          user_id: 'ada',
          run_id: head.run_id,
        },
        {
          id: `${head.run_id}-assistant`,
          conversation_id: 't',
          role: 'assistant',
          content: [
            { id: 'p2', type: 'text', text: 'Here they are', position: 'before' },
            { id: 'p3', type: 'chart', chart_id: 'c', chart_type: 'bar', option: { series: [] }, title: 'Sales' },
            {
              id: 'p4',
              type: 'tool',
              call_id: '1',
              tool_name: 'sql',
              stage: 'completed',
              arguments: { q: 1 },
              result: [2],
            },
            { id: 'p5', type: 'item', data: { rows: 3 } },
            { id: 'p6', type: 'custom', name: 'fraud_check', data: { passed: true } },
            { id: 'p7', type: 'text', text: 'up in Q4', position: 'after' },
          ],
          metadata: {
            tasks: [{ task_id: head.run_id, scenario: 'report', state: 'completed' }],
            execution_time_ms: 2500,
            completion: { type: 'TASK_COMPLETED' },
          },
          user_id: 'ada',
          company_id: 'c1',
          run_id: head.run_id,
        },
      ],
    )
    const { title, user_id } = await store.get({ tenant, thread: 't' })
    assert.deepEqual([title, user_id], ['How are sales?', 'ada'])
  })

  promise('runs without a thread are no conversation', async ({ store, log }) => {
    await writeRun(log, {})
    await writeRun(log, { thread: 'one' })
    const { conversations } = await store.list({ tenant })
    assert.deepEqual(
      conversations.map(one => one.id),
      ['one'],
    )
  })

  promise('ON11 ON12 the stored message equals the fold of the events, for any run', async ({ store, log }) => {
    let count = 0
    await fc.assert(
      fc.asyncProperty(arbitraryEndedRun(), async events => {
        const [run, thread] = [`r${++count}`, `t${count}`]
        const bodies = events.map(bodyOf)
        const head = await writeRun(log, { run, thread, bodies })
        const stored = (await store.messages({ tenant, thread })).messages[1]
        assert.ok(stored)
        const own: Event[] = []
        while (own.length < bodies.length) own.push(...(await log.read(runKey(run), own.length, 1_000)).events)
        const view = fold(emptyView(run), own)
        const { position: _position, ...message } = stored
        assert.deepEqual(message, JSON.parse(JSON.stringify(assistantMessage(view, head, thread))))
        assert.deepEqual(
          stored.content.map(block => block.id),
          view.parts.map(part => part.part_id),
        )
        assert.equal(stored.metadata.tokens_used, usageOf(view).total_tokens)
        const shown = stored.content.flatMap(block =>
          block.type === 'text' && block.channel === undefined ? [block.text] : [],
        )
        const said = view.parts.flatMap(part =>
          part.kind === 'text' || part.kind === 'text_block' ? [part.content] : [],
        )
        assert.deepEqual(shown, said)
      }),
      { numRuns: 60 },
    )
  })

  promise('a thousand tokens are one block of one row, written once', async ({ store, log }) => {
    const tokens = Array.from({ length: 1_000 }, (_, n): Body => ({ type: 'token', content: `${n} ` }))
    await writeRun(log, { thread: 't', bodies: [...tokens, { type: 'complete', output: null, latency_seconds: 1 }] })
    const { messages } = await store.messages({ tenant, thread: 't' })
    assert.equal(messages.length, 2)
    assert.equal(messages[1]?.content.length, 1)
    assert.deepEqual(texts(messages)[1], ['assistant', Array.from({ length: 1_000 }, (_, n) => `${n} `).join('')])
  })

  promise('ON9 a store opened again has everything once, and goes on', async ({ store, log, reopen }) => {
    for (let n = 0; n < 3; n++) await writeRun(log, { thread: 't', input: `question ${n}` })
    const before = await allMessages(store, tenant, 't')
    assert.equal(before.length, 6)
    await store[Symbol.asyncDispose]()
    await writeRun(log, { thread: 't', input: 'while closed' })
    await using again = await reopen()
    const after = await allMessages(again, tenant, 't')
    assert.deepEqual(after.slice(0, 6), before)
    assert.deepEqual(texts(after.slice(6)), [
      ['user', 'while closed'],
      ['assistant', 'fine'],
    ])
  })

  promise(
    'any history of runs and commands, with restarts anywhere, is what one fold of the log gives',
    async ({ store: first, log, reopen }) => {
      const thread = fc.constantFrom('a', 'b')
      const command = fc.oneof(
        { arbitrary: fc.record({ type: fc.constant('run' as const), thread, events: arbitraryEndedRun() }), weight: 3 },
        fc.record({ type: fc.constantFrom('create', 'delete', 'open', 'close', 'restart'), thread }),
        fc.record({ type: fc.constantFrom('append', 'rename'), thread, text: fc.string({ minLength: 1 }) }),
      )
      let store = first
      let count = 0
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 12 }), async commands => {
          const own = `tenant ${++count}`
          const open: { run: string; thread: string }[] = []
          for (const one of commands) {
            const at = { tenant: own, thread: one.thread }
            if (one.type === 'run' && 'events' in one) {
              const bodies = one.events.map(bodyOf)
              await writeRun(log, { ...at, bodies, run: `h${count}-${randomUUID()}` })
            } else if (one.type === 'open') {
              const run = randomUUID()
              for (const type of ['accepted', 'started'] as const) {
                const entry = type === 'accepted' ? { owner: 'test' } : { thread_base: 0 }
                await announce(
                  log,
                  threadFeed(own, one.thread),
                  { type, run_id: run, ...entry } as FeedEntry,
                  Date.now(),
                )
                if (type === 'accepted') await createHead(log, own, one.thread, run)
              }
              open.push({ run, thread: one.thread })
            } else if (one.type === 'close') {
              const last = open.pop()
              if (!last) continue
              await log.append(runKey(last.run), 0, [entryOf(done[1] as Body, Date.now())], { status: 'completed' })
              const ended = { type: 'ended', run_id: last.run, status: 'completed', last: 1, thread_base: 0 } as const
              await announce(log, threadFeed(own, last.thread), ended, Date.now())
            } else if (one.type === 'restart') {
              await store[Symbol.asyncDispose]()
              store = await reopen()
            } else {
              await perform(store, at, one as never).catch(allowed)
            }
          }
          for (const name of ['a', 'b']) await store.partial({ tenant: own, thread: name }).catch(allowed)
          const folded = await everything(store, own)
          await store.rebuild(own)
          assert.deepEqual(await everything(store, own), folded)
          await using other = await createConversations({ log, db: { sqlite: ':memory:' }, deps })
          await other.rebuild(own)
          for (const name of ['a', 'b']) await other.partial({ tenant: own, thread: name }).catch(allowed)
          assert.deepEqual(await everything(other, own), folded)
        }),
        { numRuns: 25 },
      )
      await store[Symbol.asyncDispose]()
    },
  )

  promise('ON10 conversations are begun, named, renamed and deleted', async ({ store }) => {
    const { id, ...begun } = await store.create({ tenant, title: '  Sales\n in  May ', user: 'ada' })
    assert.deepEqual([begun.title, begun.user_id], ['Sales in May', 'ada'])
    await assert.rejects(store.create({ tenant, thread: id }), hasCode('conflict'))
    assert.equal((await store.rename({ tenant, thread: id, title: 'Sales in June' })).title, 'Sales in June')
    assert.equal((await store.get({ tenant, thread: id })).title, 'Sales in June')
    await store.append({ tenant, thread: id, role: 'user', content: 'hello' })
    await store.delete({ tenant, thread: id })
    const at = { tenant, thread: id }
    await assert.rejects(store.get(at), hasCode('not_found'))
    await assert.rejects(store.messages(at), hasCode('not_found'))
    await assert.rejects(store.rename({ ...at, title: 'x' }), hasCode('not_found'))
    await assert.rejects(store.append({ ...at, role: 'user', content: 'x' }), hasCode('not_found'))
    await assert.rejects(store.export({ ...at, format: 'json' }), hasCode('not_found'))
    await assert.rejects(store.delete(at), hasCode('not_found'))
    assert.deepEqual((await store.list({ tenant })).conversations, [])
    assert.equal((await store.create({ tenant, thread: id })).title, undefined)
    assert.deepEqual((await store.messages({ tenant, thread: id })).messages, [])
  })

  promise('ON10 a message is appended with its blocks in order, and found behind the runs', async ({ store, log }) => {
    await writeRun(log, { thread: 't' })
    const appended = await store.append({
      tenant,
      thread: 't',
      role: 'assistant',
      content: [
        { type: 'text', text: 'see', position: 'before' },
        { id: 'mine', type: 'chart', chart_id: 'c', chart_type: 'pie', option: {} },
        { type: 'item', data: null },
      ] as never,
      user: 'bob',
    })
    assert.deepEqual(
      appended.content.map(block => [block.id, block.type]),
      [
        ['p1', 'text'],
        ['mine', 'chart'],
        ['p3', 'item'],
      ],
    )
    const { messages } = await store.messages({ tenant, thread: 't' })
    assert.deepEqual(messages.at(-1), appended)
    assert.equal(messages.length, 3)
    assert.equal(appended.user_id, 'bob')
  })

  promise('what is no message is refused with the field named, and leaves nothing', async ({ store }) => {
    await store.create({ tenant, thread: 't' })
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [[], /content/],
      [7, /content/],
      [[{ type: 'text' }], /0\.text/],
      [[{ type: 'text', text: 'x', colour: 'red' }], /colour/],
      [[{ type: 'film', text: 'x' }], /0\.type/],
      [[{ type: 'item' }], /data or bytes/],
      [[{ type: 'item', bytes: 'no base64!' }], /0\.bytes/],
    ]
    for (const [content, message] of wrong) {
      await assert.rejects(store.append({ tenant, thread: 't', role: 'user', content: content as never }), error => {
        assert.ok(error instanceof RuncastError && error.code === 'invalid_request')
        assert.match(error.message, message)
        return true
      })
    }
    assert.deepEqual((await store.messages({ tenant, thread: 't' })).messages, [])
  })

  promise('H49 titles, ids and pages are held at their bounds and refused one beyond', async ({ store }) => {
    const long = '😀'.repeat(200)
    assert.equal((await store.create({ tenant, thread: 'x'.repeat(200), title: long })).title, long)
    await assert.rejects(store.create({ tenant, thread: 'x'.repeat(201) }), hasCode('invalid_request'))
    await assert.rejects(store.create({ tenant, thread: '' }), hasCode('invalid_request'))
    await assert.rejects(store.create({ tenant, title: `${long}a` }), hasCode('invalid_request'))
    await assert.rejects(store.create({ tenant, title: ' \n ' }), hasCode('invalid_request'))
    const at = { tenant, thread: 'x'.repeat(200) }
    for (const limit of [1, 500]) assert.equal((await store.messages({ ...at, limit })).messages.length, 0)
    for (const limit of [0, 501, 1.5]) {
      await assert.rejects(store.messages({ ...at, limit }), hasCode('invalid_request'))
      await assert.rejects(store.list({ tenant, limit }), hasCode('invalid_request'))
    }
    await assert.rejects(store.messages({ ...at, before: 1, after: 1 }), hasCode('invalid_request'))
    await assert.rejects(store.list({ tenant, cursor: 'junk' }), hasCode('invalid_request'))
  })

  promise('a title is the first thing said, cut at sixty code points', async ({ store, log }) => {
    const cases: readonly (readonly [Json, string | undefined])[] = [
      ['short', 'short'],
      [`${'a'.repeat(59)}😀b`, `${'a'.repeat(59)}😀`],
      ['two\n\nlines\0here', 'two lines here'],
      [
        {
          messages: [
            { role: 'user', content: 'first' },
            { role: 'user', content: [{ type: 'text', text: 'last' }] },
          ],
        },
        'last',
      ],
      [{ rows: 3 }, '{"rows":3}'],
      ['broken \ud83d half', 'broken \ufffd half'],
      [null, undefined],
    ]
    for (const [index, [input, title]] of cases.entries()) {
      await writeRun(log, { thread: `${index}`, input })
      assert.equal((await store.get({ tenant, thread: `${index}` })).title, title)
    }
  })

  promise('ON10 messages are paged both ways, each once and in order', async ({ store }) => {
    await store.create({ tenant, thread: 't' })
    const all: string[] = []
    for (let n = 0; n < 20; n++) {
      const { id } = await store.append({ tenant, thread: 't', role: n % 2 ? 'assistant' : 'user', content: `${n}` })
      all.push(id)
    }
    const ids = (page: { messages: readonly Message[] }) => page.messages.map(message => message.id)
    const back: string[] = []
    for (let before: number | undefined; ; ) {
      const page = await store.messages({ tenant, thread: 't', before, limit: 6 })
      back.unshift(...ids(page))
      before = page.before
      if (before === undefined) break
    }
    assert.deepEqual(back, all)
    const forth: string[] = []
    let after = 0
    for (;;) {
      const page = await store.messages({ tenant, thread: 't', after, limit: 6 })
      forth.push(...ids(page))
      after = page.after
      if (page.messages.length === 0) break
    }
    assert.deepEqual(forth, all)
    const { id } = await store.append({ tenant, thread: 't', role: 'user', content: 'later' })
    assert.deepEqual(ids(await store.messages({ tenant, thread: 't', after })), [id])
  })

  promise(
    'ON10 conversations are listed newest change first, page by page',
    async ({ store }) => {
      for (let n = 0; n < 7; n++) await store.create({ tenant, thread: `t${n}`, user: n % 2 ? 'ada' : 'bob' })
      await store.append({ tenant, thread: 't2', role: 'user', content: 'x' })
      const ids = (page: { conversations: readonly { id: string }[] }) => page.conversations.map(one => one.id)
      const first = await store.list({ tenant, limit: 4 })
      assert.deepEqual(ids(first), ['t2', 't6', 't5', 't4'])
      const second = await store.list({ tenant, limit: 4, cursor: first.next })
      assert.deepEqual(ids(second), ['t3', 't1', 't0'])
      assert.equal(second.next, undefined)
      assert.deepEqual(ids(await store.list({ tenant, user: 'ada' })), ['t5', 't3', 't1'])
    },
    { deps: ticking() },
  )

  promise('ON16 tenants are apart, whatever names they share', async ({ store, log }) => {
    for (const own of ['one', 'two']) {
      await writeRun(log, { tenant: own, thread: 't', input: `for ${own}`, user: `user of ${own}` })
    }
    for (const own of ['one', 'two']) {
      assert.deepEqual(texts(await allMessages(store, own, 't'))[0], ['user', `for ${own}`])
      assert.equal((await store.list({ tenant: own })).conversations[0]?.user_id, `user of ${own}`)
    }
    await store.create({ tenant: 'one', thread: 'secret' })
    const foreign = { tenant: 'two', thread: 'secret' }
    await assert.rejects(store.get(foreign), hasCode('not_found'))
    await assert.rejects(store.messages(foreign), hasCode('not_found'))
    await assert.rejects(store.append({ ...foreign, role: 'user', content: 'x' }), hasCode('not_found'))
    await store.delete({ tenant: 'two', thread: 't' })
    assert.equal((await allMessages(store, 'one', 't')).length, 2)
    // An entry in one tenant's feed that names a run of the other shows nothing of it.
    const run = await writeRun(log, { tenant: 'one', thread: 'x' })
    const ended = { type: 'ended', run_id: run.run_id, status: 'completed', last: 2, thread_base: 0 } as const
    await announce(log, threadFeed('two', 'x'), ended, Date.now())
    await assert.rejects(store.messages({ tenant: 'two', thread: 'x' }), hasCode('not_found'))
  })

  promise('threads, users and titles may have any name', async ({ store, log }) => {
    const names = ['a/b', '"quoted"', 'back\\slash', 'nul\0', '\ud800', '\ufffd', '%00', 'ß…', "'; drop table x --"]
    const tenantOf = (name: string) => `of ${name.toWellFormed()} ${names.indexOf(name)}`
    for (const name of names) await writeRun(log, { tenant: tenantOf(name), thread: name, user: name, input: name })
    for (const name of names) {
      const { conversations } = await store.list({ tenant: tenantOf(name) })
      assert.deepEqual(
        conversations.map(({ id, user_id }) => [id, user_id]),
        [[name, name]],
      )
      assert.deepEqual(texts(await allMessages(store, tenantOf(name), name))[0], ['user', name])
    }
  })

  promise('a running run can be read as far as it is, and its user at once', async ({ store, log }) => {
    const go = Promise.withResolvers<void>()
    const slow = defineAgent({ name: 'slow' }, async function* () {
      yield 'so far'
      await go.promise
      yield ' and done'
    })
    await using runs = createRuns({ log, agents: [slow] as unknown as Agent[], deps })
    const { run_id } = await runs.start('slow', 'wait for it', { thread: 't' })
    const partial = await until('a partial message', async () => {
      const page = await store.messages({ tenant, thread: 't' }).catch(allowed)
      return page?.partial && page.partial.content.length > 0 && page
    })
    assert.deepEqual(texts(partial.messages), [['user', 'wait for it']])
    assert.deepEqual(texts([partial.partial as Message]), [['assistant', 'so far']])
    assert.equal(partial.partial?.partial, true)
    assert.deepEqual(partial.partial?.metadata.tasks, [{ task_id: run_id, state: 'running' }])
    go.resolve()
    const whole = await until('the end', async () => {
      const page = await store.messages({ tenant, thread: 't' })
      return page.messages.length === 2 && page
    })
    assert.equal(whole.partial, undefined)
    assert.equal(await store.partial({ tenant, thread: 't' }), undefined)
    assert.equal(whole.messages[1]?.id, partial.partial?.id)
    assert.deepEqual(texts(whole.messages)[1], ['assistant', 'so far and done'])
  })

  promise('a run that ends in a conversation deleted meanwhile stays unseen', async ({ store, log }) => {
    const go = Promise.withResolvers<void>()
    const slow = defineAgent({ name: 'slow' }, async () => {
      await go.promise
      return 'too late'
    })
    await using runs = createRuns({ log, agents: [slow] as unknown as Agent[], deps })
    const { run_id } = await runs.start('slow', 'old', { thread: 't' })
    await until('the conversation', () => store.get({ tenant, thread: 't' }).catch(allowed))
    await store.delete({ tenant, thread: 't' })
    go.resolve()
    await until('the end', async () => !(await store.holds({ run_id, tenant, thread_id: 't' })))
    await assert.rejects(store.get({ tenant, thread: 't' }), hasCode('not_found'))
    await runs.start('slow', 'new', { thread: 't' })
    const messages = await until('the new run', async () => {
      const page = await store.messages({ tenant, thread: 't' }).catch(allowed)
      return page?.messages.length === 2 && page.messages
    })
    assert.deepEqual(texts(messages), [
      ['user', 'new'],
      ['assistant', 'too late'],
    ])
  })

  promise(
    'a feed that says the start or the end of a run twice moves nothing and brings nothing back',
    async opened => {
      const { store, log } = opened
      const { run_id } = await writeRun(log, { thread: 't', input: 'first' })
      await writeRun(log, { thread: 't', input: 'second' })
      const once = await everything(store, tenant)
      const again = async () => {
        const feed = threadFeed(tenant, 't')
        await announce(log, feed, { type: 'started', run_id, thread_base: 0 }, Date.now())
        await announce(log, feed, { type: 'ended', run_id, status: 'completed', last: 2, thread_base: 0 }, Date.now())
      }
      await again()
      assert.deepEqual(await everything(store, tenant), once)
      await store.delete({ tenant, thread: 't' })
      await again()
      await assert.rejects(store.get({ tenant, thread: 't' }), hasCode('not_found'))
    },
  )

  promise('what a feed says of a conversation disturbs no run of its thread', async ({ store, log }) => {
    const echo = defineAgent({ name: 'echo' }, async (input: string) => input)
    const bases = new Map<string, number | undefined>()
    const hold = async (run: Parameters<Conversations['holds']>[0]) => {
      bases.set(run.run_id, (await log.head(run.run_id))?.thread_base)
      return store.holds(run)
    }
    const retention: RunsOptions['retention'] = { runsMax: 0, hold }
    await using runs = createRuns({ log, agents: [echo] as unknown as Agent[], deps, retention })
    await store.create({ tenant, thread: 't', title: 'kept' })
    for (let n = 0; n < 4; n++) {
      const { run_id } = await until('a free thread', () => runs.start('echo', `${n}`, { thread: 't' }).catch(busy))
      await store.rename({ tenant, thread: 't', title: `kept ${n}` })
      await until('the drop', async () => (await log.head(run_id)) === undefined)
      await store.append({ tenant, thread: 't', role: 'user', content: `note ${n}` })
    }
    assert.deepEqual([...bases.values()], [0, 2, 4, 6])
    const said = texts(await allMessages(store, tenant, 't')).map(([, text]) => text)
    assert.deepEqual(said, ['0', '0', 'note 0', '1', '1', 'note 1', '2', '2', 'note 2', '3', '3', 'note 3'])
    const before = await everything(store, tenant)
    await store.rebuild(tenant)
    assert.deepEqual(await everything(store, tenant), before)
  })

  promise('retention keeps a run until the store has it, and its messages stay when it is dropped', async opened => {
    const { store, log } = opened
    const echo = defineAgent({ name: 'echo' }, async (input: string) => input)
    let reads = false
    const hold = async (run: Parameters<Conversations['holds']>[0]) => !reads || store.holds(run)
    const limits: RunsOptions['retention'] = { runsMax: 1, hold }
    await using runs = createRuns({ log, agents: [echo] as unknown as Agent[], deps, retention: limits })
    for (let n = 0; n < 4; n++) {
      await until('a free thread', () => runs.start('echo', `${n}`, { thread: 't' }).catch(busy))
      await until('the run', async () => (await runs.list({ status: 'completed' })).runs.length === n + 1)
    }
    assert.equal((await runs.list()).runs.length, 4)
    reads = true
    await until('a free thread', () => runs.start('echo', 'last', { thread: 't' }).catch(busy))
    await until('retention', async () => (await runs.list()).runs.length === 1)
    const messages = await allMessages(store, tenant, 't')
    assert.equal(messages.length, 10)
    await store.rebuild(tenant)
    assert.deepEqual(await allMessages(store, tenant, 't'), messages)
  })

  promise('a log that was lost takes no message along, and new ones stand behind the old', async opened => {
    const { store, log, reopen } = opened
    for (let n = 0; n < 3; n++) await writeRun(log, { thread: 't', input: `old ${n}` })
    const old = await allMessages(store, tenant, 't')
    await store[Symbol.asyncDispose]()
    await using other = memory()
    await using again = await reopen(other)
    assert.deepEqual(await allMessages(again, tenant, 't'), old)
    for (let n = 0; n < 5; n++) await writeRun(other, { thread: 't', input: `new ${n}` })
    const after = await allMessages(again, tenant, 't')
    assert.deepEqual(after.slice(0, 6), old)
    assert.deepEqual(
      texts(after.slice(6)).filter(([role]) => role === 'user'),
      [0, 1, 2, 3, 4].map(n => ['user', `new ${n}`]),
    )
    await again.rebuild(tenant)
    assert.deepEqual(await allMessages(again, tenant, 't'), after)
  })

  promise('two stores on one database fold each run once', async ({ store, log, reopen }) => {
    await using other = await reopen()
    for (let n = 0; n < 10; n++) {
      await writeRun(log, { thread: 't', input: `${n}` })
      const both = await Promise.all([store, other].map(one => one.messages({ tenant, thread: 't' })))
      assert.equal(both[0]?.messages.length, 2 * n + 2)
      assert.deepEqual(both[0]?.messages, both[1]?.messages)
    }
    const same = { tenant, thread: 't', role: 'user', content: 'at the same time' } as const
    await Promise.all([store.append(same), other.append(same)])
    assert.equal((await allMessages(store, tenant, 't')).length, 22)
  })
}

function bodyOf(event: Event): Body {
  const { id: _id, run_id: _run, sequence: _sequence, timestamp: _timestamp, ...body } = event
  return body as Body
}

async function createHead(log: Log, tenant: string, thread: string, run_id: string): Promise<void> {
  await log.append(runKey(run_id), 0, [], {
    run_id,
    status: 'running',
    agent: 'echo',
    framework: 'custom',
    tenant,
    thread_id: thread,
    input: 'open',
    owner: 'test',
    created_at: Date.now(),
  })
}

async function perform(
  store: Conversations,
  at: { tenant: string; thread: string },
  one: { type: 'create' | 'delete' | 'append' | 'rename'; text: string },
): Promise<unknown> {
  if (one.type === 'create') return store.create(at)
  if (one.type === 'delete') return store.delete(at)
  if (one.type === 'append') return store.append({ ...at, role: 'user', content: one.text })
  return store.rename({ ...at, title: one.text })
}

/** Refusals that the state of a conversation may bring. */
function allowed(error: unknown): undefined {
  const code = error instanceof RuncastError ? error.code : undefined
  if (code !== 'not_found' && code !== 'conflict' && code !== 'invalid_request') throw error
}

function busy(error: unknown): undefined {
  if (!(error instanceof RuncastError) || error.code !== 'thread_busy') throw error
}
