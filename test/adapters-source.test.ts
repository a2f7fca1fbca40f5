// What adapters read from, apart from any package: ahead of a slow store, within a bound, and no longer than the run.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readAhead } from '../src/agent/adapters/source.ts'
import { modelError } from '../src/agent/adapters/model-error.ts'
import { limit } from './adapter-runs.ts'

test('what a stream brought before it broke is read, however slow the reader', limit, async () => {
  const stream = new ReadableStream<number>({
    async start(controller) {
      for (const n of [1, 2, 3]) {
        controller.enqueue(n)
        await sleep(1)
      }
      controller.error(new Error('broke')) // a ReadableStream forgets what nobody has read yet
    },
  })
  const read: number[] = []
  await assert.rejects(async () => {
    for await (const n of readAhead(stream, new AbortController().signal)) {
      read.push(n)
      await sleep(20)
    }
  }, /broke/)
  assert.deepEqual(read, [1, 2, 3])
})

test('a source is read no further ahead than the bound, and whole in the end', limit, async () => {
  let made = 0
  async function* source() {
    while (made < 5_000) yield ++made
  }
  let read = 0
  let furthest = 0
  for await (const n of readAhead(source(), new AbortController().signal)) {
    if (read % 500 === 0) await sleep(5)
    assert.equal(n, ++read)
    furthest = Math.max(furthest, made - read)
  }
  assert.equal(read, 5_000)
  assert.ok(furthest > 500 && furthest <= 2_048, `${furthest} ahead`)
})

test('an abort ends the reading at once and closes the source', limit, async () => {
  let closed = false
  async function* source() {
    try {
      yield 1
      await sleep(50)
      yield 2
    } finally {
      closed = true
    }
  }
  const aborting = new AbortController()
  const reading = readAhead(source(), aborting.signal)
  assert.deepEqual(await reading.next(), { value: 1, done: false })
  const pending = reading.next()
  aborting.abort(new Error('enough'))
  await assert.rejects(pending, /enough/)
  while (!closed) await sleep(5)
})

test('an error tells its code, its status and no part of the request', () => {
  const request = { requestBodyValues: { messages: ['secret'] }, headers: { authorization: 'Bearer sk-secret' } }
  const error = modelError(Object.assign(new Error('no'), { statusCode: 403, ...request })) as Error & { code: string }
  assert.deepEqual([error.code, error.message], ['http_403', '403 no'])
  assert.deepEqual(Object.keys(error), ['code'])
  const own = new Error('mine')
  assert.equal(modelError(own), own)
  assert.equal(modelError('text'), 'text')
})
