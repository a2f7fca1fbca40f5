// The client behind everything that networks and servers do to it. The wire is judged by scripted answers of a real
// node:http server, and by a log served in the fewest lines; time is a clock that the test moves.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { memory } from '../src/backends/memory.ts'
import type { Batch } from '../src/batch.ts'
import { entryOf } from '../src/batch.ts'
import { createBackoff } from '../src/client/backoff.ts'
import { webDeps } from '../src/client/deps.ts'
import { type Connection, type ConnectOptions, connect, followThread, type Runs } from '../src/client/index.ts'
import { type Arrival, createSeam } from '../src/client/seam.ts'
import type { ThreadBatch } from '../src/client/thread.ts'
import { RuncastError } from '../src/error.ts'
import { type Event, type EventOf, isTerminal } from '../src/event.ts'
import { follow } from '../src/follow.ts'
import { type Log, runKey } from '../src/log.ts'
import { createRuns } from '../src/local-runs.ts'
import { defineAgent } from '../src/agent/define.ts'
import { createSseParser, type Parsed } from '../src/transports/http/sse-parser.ts'
import { cutPipe, seeded } from './cut-pipe.ts'

// --- Parsing ---

const parsedOf = (pieces: readonly Uint8Array[]): Parsed[] => {
  const decoder = new TextDecoder()
  const parse = createSseParser()
  return pieces.flatMap(piece => parse(decoder.decode(piece, { stream: true })))
}

const cutAt = (bytes: Uint8Array, places: readonly number[]): Uint8Array[] => {
  const at = [0, ...places.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

const line = fc.string({ unit: 'binary', maxLength: 12 }).map(text => text.replace(/[\r\n\0]/g, 'ß'))
const frame = fc.record(
  { event: line, data: fc.array(line, { minLength: 1, maxLength: 3 }), id: fc.nat().map(String), comment: line },
  { requiredKeys: [] },
)

test('any cut of the bytes gives the same frames, in every spelling of a line end', () => {
  const property = fc.property(
    fc.array(frame, { maxLength: 6 }),
    fc.constantFrom('\n', '\r\n', '\r'),
    fc.array(fc.nat(), { maxLength: 20 }),
    (frames, end, places) => {
      const lines = frames.flatMap(({ comment, event, data, id }) => [
        ...(comment === undefined ? [] : [`:${comment}`]),
        ...(event === undefined ? [] : [`event: ${event}`]),
        ...(data ?? []).map(text => `data: ${text}`),
        ...(id === undefined ? [] : [`id: ${id}`]),
        '',
      ])
      const bytes = new TextEncoder().encode([`retry: 700`, ...lines].map(text => text + end).join(''))
      const expected: Parsed[] = [
        { retryMs: 700 },
        ...frames.flatMap(({ event, data, id }) => {
          if (data === undefined && id === undefined) return []
          return [
            {
              ...(event !== undefined && { event }),
              ...(data && { data: data.join('\n') }),
              ...(id !== undefined && { id }),
            },
          ]
        }),
      ]
      assert.deepEqual(parsedOf(cutAt(bytes, places)), expected)
    },
  )
  fc.assert(property, { numRuns: 300 })
})

test('a frame cut at every single byte is whole or not there, 4-byte characters and CRLF included', () => {
  const bytes = new TextEncoder().encode('event: token\r\ndata: {"content":"Grüße 😀"}\r\nid: 7\r\n\r\n')
  const whole = [{ event: 'token', data: '{"content":"Grüße 😀"}', id: '7' }]
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(parsedOf([bytes.subarray(0, at), bytes.subarray(at)]), whole)
    // The blank line ends with its CR: an LF behind it belongs to it.
    assert.deepEqual(parsedOf([bytes.subarray(0, at)]), at >= bytes.length - 1 ? whole : [])
  }
})

test('what the standard ignores is ignored: comments, unknown fields, an id with NUL, an event without data', () => {
  const text = ': hb\nfoo: bar\nid: 1\0\n\nevent: lonely\n\nretry: soon\ndata\ndata:  two\n\n'
  assert.deepEqual(createSseParser()(text), [{ data: '\n two' }])
})

// --- The seam ---

const event = (sequence: number, type = 'token'): Arrival => ({
  kind: 'event',
  event: {
    id: `r:${sequence}`,
    type,
    run_id: 'r',
    sequence,
    timestamp: '',
    content: `t${sequence}`,
  } as unknown as Event,
})
const whole = (count: number): Arrival[] =>
  Array.from({ length: count }, (_, index) => event(index + 1, index + 1 === count ? 'complete' : 'token'))

test('H62 H71 whatever is repeated, and wherever it is cut, every event is joined once and the cursor only grows', () => {
  const pieces = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 30 })), { maxLength: 40 })
  const property = fc.property(pieces, drawn => {
    const all = whole(30)
    const seam = createSeam({ after: 0, filtered: false, ends: true })
    const seen: number[] = []
    let cursor = 0
    for (const [back, length] of [...drawn, [30, 30] as const]) {
      const from = Math.max(0, seam.cursor - back)
      const { batches, broken } = seam.join(all.slice(from, from + length))
      assert.equal(broken, undefined)
      for (const batch of batches) {
        assert.equal(batch.after, cursor)
        assert.ok(batch.last > cursor)
        cursor = batch.last
        seen.push(...batch.events.map(({ sequence }) => sequence))
      }
      assert.equal(seam.cursor, cursor)
    }
    assert.equal(seam.sealed, cursor === 30)
    assert.deepEqual(
      seen,
      Array.from({ length: cursor }, (_, index) => index + 1),
    )
  })
  fc.assert(property)
})

test('H65 a hole is never delivered: what is before it is, what is behind it is not', () => {
  const seam = createSeam({ after: 0, filtered: false, ends: true })
  const { batches, broken } = seam.join([event(1), event(2), event(4), event(5)])
  assert.deepEqual(
    batches.map(batch => batch.events.map(({ sequence }) => sequence)),
    [[1, 2]],
  )
  assert.match(broken ?? '', /events 3 to 3 are missing/)
  assert.equal(seam.cursor, 2)
})

test('H61 an id without its event is a hole for a reader of everything, and a step for a filtered one', () => {
  const step: Arrival[] = [{ kind: 'passed', sequence: 9 }]
  assert.match(createSeam({ after: 0, filtered: false, ends: true }).join(step).broken ?? '', /1 to 9/)
  const { batches } = createSeam({ after: 4, filtered: true, ends: true }).join(step)
  assert.deepEqual(batches, [{ after: 4, last: 9, events: [], state: 'open' }])
})

test('H75 DK70 a gap starts a batch of its own, and says so; an old one says nothing', () => {
  const seam = createSeam({ after: 0, filtered: false, ends: true })
  const gap = { requested: 3, oldest: 6 }
  const { batches } = seam.join([event(1), event(2), { kind: 'gap', gap }, event(6)])
  assert.deepEqual(
    batches.map(({ after, last, gap: told }) => [after, last, told]),
    [
      [0, 2, undefined],
      [5, 6, gap],
    ],
  )
  assert.deepEqual(seam.join([{ kind: 'gap', gap }]).batches, [])
})

test('nothing is joined behind the end', () => {
  const seam = createSeam({ after: 0, filtered: false, ends: true })
  const { batches } = seam.join([event(1, 'complete'), event(2)])
  assert.deepEqual(
    batches.map(({ last, state }) => [last, state]),
    [[1, 'sealed']],
  )
  assert.deepEqual(seam.join([event(2)]).batches, [])
})

// --- Backoff ---

test('H77 the backoff doubles to its cap, is drawn anew each time, never gives up and begins again after a reset', () => {
  const random = seeded(1)
  const backoff = createBackoff({}, random)
  const waits = Array.from({ length: 2_000 }, () => backoff.next())
  for (const [index, ms] of waits.entries()) {
    const base = Math.min(20_000, 500 * 2 ** index)
    assert.ok(ms >= base && ms <= base * 1.5 && ms <= 30_000, `wait ${index} is ${ms}`)
  }
  assert.equal(new Set(waits).size, waits.length)
  backoff.reset()
  assert.ok(backoff.next() <= 750)
  backoff.asked(2_000)
  backoff.reset()
  assert.ok(backoff.next() >= 2_000)
})

// --- The wire ---

type Serve = (request: IncomingMessage, response: ServerResponse, nth: number) => unknown

async function wire(serve: Serve): Promise<{ url: string; port: number; requests: string[] } & AsyncDisposable> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    serve(request, response, requests.length)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

const sse = { 'content-type': 'text/event-stream; charset=utf-8' }

const sseFrame = (sequence: number, type = 'token') =>
  `event: ${type}\ndata: ${JSON.stringify({ id: `r:${sequence}`, type, run_id: 'r', sequence, timestamp: '', content: `t${sequence} 😀` })}\nid: ${sequence}\n\n`
const noticeFrame = (type: string, fields: object = {}) =>
  `event: ${type}\ndata: ${JSON.stringify({ type, run_id: 'r', ...fields })}\n\n`

const refuse = (response: ServerResponse, status: number, code: string, details: object = {}, headers = {}) =>
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify({ success: false, error: `refused with ${code}`, code, details }))

/** Waits that cost nothing, and are remembered; a wait that aborts ends like any other. */
function hurried(): { deps: NonNullable<ConnectOptions['deps']>; waits: number[] } {
  const waits: number[] = []
  return {
    waits,
    deps: {
      random: seeded(7),
      sleep: (ms, signal) => {
        if (ms >= idleMsMin) return webDeps.sleep(ms, signal) // a watchdog or a deadline, not a wait
        waits.push(ms)
        return webDeps.sleep(0, signal)
      },
    },
  }
}
const idleMsMin = 35_000

/** A clock that stands still until it is moved. */
function stoppedClock() {
  let now = 0
  const sleepers = new Set<{ at: number; wake: () => void }>()
  return {
    deps: {
      random: () => 0,
      now: () => now,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve, reject) => {
          const sleeper = { at: now + ms, wake: resolve }
          sleepers.add(sleeper)
          const stop = () => {
            sleepers.delete(sleeper)
            reject(new Error('the sleep was ended'))
          }
          if (signal?.aborted) stop()
          else signal?.addEventListener('abort', stop, { once: true })
        }),
    },
    advance(ms: number) {
      now += ms
      for (const sleeper of sleepers) {
        if (sleeper.at > now) continue
        sleepers.delete(sleeper)
        sleeper.wake()
      }
    },
  }
}

async function allOf(runs: Runs, options: Parameters<Runs['tail']>[1] = {}, run = 'r'): Promise<Batch[]> {
  const batches: Batch[] = []
  for await (const batch of runs.tail(run, options)) batches.push(batch)
  return batches
}
const sequencesOf = (batches: readonly Batch[]) =>
  batches.flatMap(({ events }) => events.map(({ sequence }) => sequence))
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index)
const hasCode = (code: string) => (error: unknown) =>
  (error instanceof RuncastError && error.code === code) || assert.fail(`expected ${code}, got ${String(error)}`)
/** Throws long after anyone's patience, so that what never happens ends the test and not the suite. */
const until = async (happened: () => boolean) => {
  for (const since = Date.now(); !happened(); await new Promise(setImmediate)) {
    if (Date.now() - since > 60_000) throw new Error('it never happened')
  }
}
/** The body of the scripted answers ends as a cut does. */
const cut = (response: ServerResponse) => response.write('', () => (response.socket as Socket).destroy())

test('DK24 H62 a cut reader comes back with the last sequence it saw, and what is sent twice is seen once', async () => {
  await using served = await wire((_request, response, nth) => {
    response.writeHead(200, sse)
    if (nth === 1) {
      response.write(sseFrame(1) + sseFrame(2) + sseFrame(3).slice(0, 40))
      cut(response)
    } else response.end(sseFrame(1) + sseFrame(2) + sseFrame(3) + sseFrame(4, 'complete'))
  })
  await using runs = connect(served.url, hurried())
  const batches = await allOf(runs)
  assert.deepEqual(sequencesOf(batches), [1, 2, 3, 4])
  assert.equal(batches.at(-1)?.state, 'sealed')
  assert.deepEqual(served.requests, ['GET /runs/r/events?after=0', 'GET /runs/r/events?after=2'])
})

test('H77 after 11 failures of every kind the twelfth try succeeds, with waits that grow to the cap', async () => {
  const failures: ((response: ServerResponse) => void)[] = [
    response => response.socket?.destroy(),
    response => refuse(response, 503, 'not_ready'),
    response => refuse(response, 429, 'too_many_requests'),
    response => response.writeHead(502).end('<html>bad gateway</html>'),
    response => refuse(response, 500, 'internal'),
  ]
  await using served = await wire((_request, response, nth) => {
    const failure = nth <= 11 && failures[nth % failures.length]
    if (failure) failure(response)
    else response.writeHead(200, sse).end(sseFrame(1, 'complete'))
  })
  const { deps, waits } = hurried()
  const told: Connection[] = []
  await using runs = connect(served.url, { deps, onConnection: (_target, connection) => told.push(connection) })
  assert.deepEqual(sequencesOf(await allOf(runs)), [1])
  assert.equal(waits.length, 11)
  for (const [index, ms] of waits.entries()) {
    const base = Math.min(20_000, 500 * 2 ** index)
    assert.ok(ms >= base && ms <= 1.5 * base)
  }
  assert.deepEqual(
    told.map(({ state }) => state),
    [...upTo(11).map(() => 'waiting'), 'open'],
  )
})

test('H77 the wait is short again after progress, and never shorter than retry: or retry-after says', async () => {
  await using served = await wire((_request, response, nth) => {
    if (nth <= 6) response.socket?.destroy()
    else if (nth === 7) {
      response.writeHead(200, sse).write(sseFrame(1))
      cut(response)
    } else if (nth === 8) {
      response.writeHead(200, sse).write(`retry: 4000\n${sseFrame(2)}`)
      cut(response)
    } else if (nth === 9) refuse(response, 503, 'overloaded', {}, { 'retry-after': '17' })
    else response.writeHead(200, sse).end(sseFrame(3, 'complete'))
  })
  const { deps, waits } = hurried()
  await using runs = connect(served.url, { deps })
  assert.deepEqual(sequencesOf(await allOf(runs)), [1, 2, 3])
  assert.ok((waits[5] ?? 0) >= 16_000)
  assert.ok((waits[6] ?? Number.NaN) <= 750)
  assert.ok((waits[7] ?? 0) >= 4_000 && (waits[7] ?? 0) <= 6_000)
  assert.equal(waits[8], 17_000)
})

test('DK36 a response that the server ends is asked on at once, but one that ends empty again and again is not', async () => {
  await using served = await wire((_request, response, nth) => {
    response.writeHead(200, sse).end(nth === 1 ? sseFrame(1) : nth < 5 ? ': hb\n' : sseFrame(2, 'complete'))
  })
  const { deps, waits } = hurried()
  await using runs = connect(served.url, { deps })
  assert.deepEqual(sequencesOf(await allOf(runs)), [1, 2])
  assert.deepEqual(
    waits.map(ms => Math.min(ms, 1)),
    [0, 0, 1, 1],
  )
})

test('H77 a browser that is online again does not wait any longer', async () => {
  const network = new EventTarget()
  const globals = globalThis as unknown as Record<string, unknown>
  const before = [globals['addEventListener'], globals['removeEventListener']]
  globals['addEventListener'] = network.addEventListener.bind(network)
  globals['removeEventListener'] = network.removeEventListener.bind(network)
  try {
    await using served = await wire((_request, response, nth) => {
      if (nth === 1) response.socket?.destroy()
      else response.writeHead(200, sse).end(sseFrame(1, 'complete'))
    })
    const { deps } = stoppedClock() // a wait never ends by itself
    const onConnection = () => setImmediate(() => network.dispatchEvent(new Event_('online')))
    await using runs = connect(served.url, { deps, onConnection })
    assert.deepEqual(sequencesOf(await allOf(runs)), [1])
  } finally {
    ;[globals['addEventListener'], globals['removeEventListener']] = before
  }
})
const Event_ = globalThis.Event

test('a pipe that is silent for 2.4 heartbeats is left, and the reader goes on at its cursor', async () => {
  const clock = stoppedClock()
  const closed: number[] = []
  await using served = await wire((_request, response, nth) => {
    response.on('close', () => closed.push(nth))
    response.writeHead(200, { ...sse, 'x-runcast-heartbeat-ms': '1000' })
    response.write(nth === 1 ? `retry: 10\n${sseFrame(1)}` : sseFrame(2, 'complete'))
  })
  await using runs = connect(served.url, { deps: clock.deps })
  const batches: Batch[] = []
  const reading = runs.follow('r', {}, batch => void batches.push(batch))
  await until(() => batches.length === 1)
  clock.advance(2_399)
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.equal(served.requests.length, 1)
  clock.advance(1)
  await until(() => closed.includes(1))
  const waiting = setInterval(() => clock.advance(10), 1)
  await reading
  clearInterval(waiting)
  assert.deepEqual(sequencesOf(batches), [1, 2])
  assert.deepEqual(served.requests, ['GET /runs/r/events?after=0', 'GET /runs/r/events?after=1'])
})

test('H70 what an old connection still brings, while its reader is busy or behind its end, is no part of the new one', async () => {
  const clock = stoppedClock()
  const old: ServerResponse[] = []
  const word = (sequence: number, from: string) => sseFrame(sequence).replace('"type"', `"from":"${from}","type"`)
  await using served = await wire((request, response, nth) => {
    response.writeHead(200, { ...sse, 'x-runcast-heartbeat-ms': '1000' })
    response.on('error', () => {})
    if (nth === 1) {
      old.push(response)
      response.write(`retry: 10\n${word(1, 'old')}`)
      return
    }
    // The old one speaks up as soon as the new one is there, with the numbers that are now the new one's.
    old[0]?.write(word(2, 'old') + word(3, 'old'))
    const after = Number(new URL(request.url ?? '', 'http://x').searchParams.get('after'))
    for (let sequence = after + 1; sequence <= 3; sequence++) response.write(word(sequence, 'new'))
    response.write(sseFrame(4, 'complete'))
  })
  await using runs = connect(served.url, { deps: clock.deps })
  const seen: string[] = []
  const reading = runs.follow('r', {}, async ({ events }) => {
    for (const event of events) seen.push(`${event.sequence} ${String((event as { from?: string }).from)}`)
    await new Promise(resolve => setImmediate(resolve))
  })
  await until(() => seen.length === 1)
  clock.advance(2_400)
  await until(() => clock.advance(10) === undefined && seen.length >= 4)
  await reading
  assert.deepEqual(seen, ['1 old', '2 new', '3 new', '4 undefined'])
})

test('DK34 DK35 heartbeats, as events or comments, keep a connection, reach no reader and move no cursor', async () => {
  const clock = stoppedClock()
  let wireOf: ServerResponse | undefined
  await using served = await wire((_request, response) => {
    wireOf = response
    response.writeHead(200, { ...sse, 'x-runcast-heartbeat-ms': '1000' }).write(sseFrame(1))
  })
  let bytes = 0
  const counting: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    const counted = response.body?.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          bytes += chunk.length
          controller.enqueue(chunk)
        },
      }),
    )
    return new Response(counted, response)
  }
  await using runs = connect(served.url, { deps: clock.deps, fetch: counting })
  const batches: Batch[] = []
  const reading = runs.follow('r', {}, batch => void batches.push(batch))
  await until(() => batches.length === 1)
  for (let beat = 0; beat < 10; beat++) {
    const before = bytes
    wireOf?.write(beat % 2 ? ': hb\n' : noticeFrame('heartbeat', { timestamp: '' }))
    await until(() => bytes > before)
    await new Promise(resolve => setTimeout(resolve, 2))
    clock.advance(1_300)
  }
  wireOf?.end(sseFrame(2, 'complete'))
  await reading
  assert.deepEqual(
    batches.map(({ after, last }) => [after, last]),
    [
      [0, 1],
      [1, 2],
    ],
  )
  assert.equal(served.requests.length, 1)
})

test('a reader that is busy is not taken for a silent server, and nothing is read meanwhile', async () => {
  const clock = stoppedClock()
  let written = 0
  const chunk = Buffer.from(noticeFrame('padding', { text: 'x'.repeat(60_000) }))
  await using served = await wire((_request, response) => {
    response.writeHead(200, sse).write(sseFrame(1))
    const fill = () => {
      while (written < 4_000) {
        written++
        if (!response.write(chunk)) return void response.once('drain', fill)
      }
      response.end(sseFrame(2, 'complete'))
    }
    setImmediate(fill)
  })
  await using runs = connect(served.url, { deps: clock.deps })
  let release = () => {}
  const seen: number[] = []
  const reading = runs.follow('r', {}, ({ last }) => {
    seen.push(last)
    return last === 1 ? new Promise<void>(resolve => (release = resolve)) : undefined
  })
  await until(() => seen.length === 1)
  for (let before = -1; before !== written; ) {
    before = written
    await new Promise(resolve => setTimeout(resolve, 100))
    clock.advance(60_000)
  }
  assert.ok(written < 1_000, `the server could write ${written} chunks of 60 kB to a reader that takes nothing`)
  release()
  await reading
  assert.deepEqual(seen, [1, 2])
  assert.equal(served.requests.length, 1)
})

test('DK21 DK23 204 says that nothing remains: one sealed batch, and the end', async () => {
  await using served = await wire((_request, response) => response.writeHead(204).end())
  await using runs = connect(served.url, hurried())
  assert.deepEqual(await allOf(runs, { after: 9 }), [{ after: 9, last: 9, events: [], state: 'sealed' }])
  assert.equal(served.requests.length, 1)
})

for (const [status, code] of [
  [404, 'not_found'],
  [410, 'cursor_gone'],
  [401, 'unauthenticated'],
  [403, 'forbidden'],
  [422, 'invalid_input'],
  [400, 'invalid_request'],
] as const) {
  test(`DK16 ${status} is final: the reader gets ${code} with its details, and nothing is asked again`, async () => {
    await using served = await wire((_request, response) => refuse(response, status, code, { oldest: 40 }))
    await using runs = connect(served.url, hurried())
    await assert.rejects(allOf(runs), (error: unknown) => {
      assert.ok(error instanceof RuncastError)
      assert.deepEqual([error.code, error.message, error.details], [code, `refused with ${code}`, { oldest: 40 }])
      return true
    })
    assert.equal(served.requests.length, 1)
  })
}

test('DK27 too many readers is an answer for whoever comes, and a matter of waiting for whoever was cut', async () => {
  await using full = await wire((_request, response) => refuse(response, 429, 'too_many_readers'))
  await using newcomer = connect(full.url, hurried())
  await assert.rejects(allOf(newcomer), hasCode('too_many_readers'))

  await using served = await wire((_request, response, nth) => {
    if (nth === 2) return void refuse(response, 429, 'too_many_readers')
    response.writeHead(200, sse).write(nth === 1 ? sseFrame(1) : sseFrame(2, 'complete'))
    cut(response)
  })
  await using runs = connect(served.url, hurried())
  assert.deepEqual(sequencesOf(await allOf(runs)), [1, 2])
})

test('an error that a newer server invented keeps its words', async () => {
  await using served = await wire((_request, response) => refuse(response, 418, 'teapot', { cups: 2 }))
  await using runs = connect(served.url, hurried())
  await assert.rejects(runs.get('r'), (error: unknown) => {
    assert.ok(error instanceof RuncastError)
    assert.equal(error.code, 'internal')
    assert.deepEqual(error.details, { cups: 2, code: 'teapot', status: 418 })
    return true
  })
})

test('H65 a server that leaves holes is asked three times, then the reader is told, and never sees what is behind', async () => {
  await using served = await wire((_request, response) =>
    response.writeHead(200, sse).end(sseFrame(1) + sseFrame(2) + sseFrame(4) + sseFrame(5, 'complete')),
  )
  await using runs = connect(served.url, hurried())
  const seen: number[] = []
  const reading = runs.follow('r', {}, ({ events }) => void seen.push(...events.map(({ sequence }) => sequence)))
  await assert.rejects(reading, /events 3 to 3 are missing/)
  assert.deepEqual(seen, [1, 2])
  assert.equal(served.requests.length, 3)
})

for (const [what, body, type] of [
  ['a page in place of a stream', '<html></html>', 'text/html'],
  ['an event that is no JSON', 'event: token\ndata: {"id"\nid: 1\n\n', 'text/event-stream'],
  ['an event with the id of another', sseFrame(1).replace('id: 1\n\n', 'id: 2\n\n'), 'text/event-stream'],
] as const) {
  test(`H61 ${what} is nonsense: asked three times, then told`, async () => {
    await using served = await wire((_request, response) => response.writeHead(200, { 'content-type': type }).end(body))
    await using runs = connect(served.url, hurried())
    await assert.rejects(allOf(runs), hasCode('internal'))
    assert.equal(served.requests.length, 3)
  })
}

test('DK70 H75 a gap reaches the reader with its bounds and its snapshot; in strict mode it is cursor_gone', async () => {
  const view = { view_version: 1, at: 4 }
  await using served = await wire((_request, response) =>
    response
      .writeHead(200, sse)
      .end(noticeFrame('gap', { requested: 2, oldest: 5, snapshot: view }) + sseFrame(5) + sseFrame(6, 'complete')),
  )
  await using runs = connect(served.url, hurried())
  const [first] = await allOf(runs, { after: 1 })
  assert.deepEqual([first?.after, first?.last, first?.gap?.requested, first?.gap?.oldest], [4, 6, 2, 5])
  assert.deepEqual(JSON.parse(new TextDecoder().decode(first?.gap?.snapshot)), view)
  await assert.rejects(allOf(runs, { after: 1, strict: true }), (error: unknown) => {
    assert.ok(error instanceof RuncastError && error.code === 'cursor_gone')
    assert.deepEqual(error.details, { requested: 2, oldest: 5 })
    return true
  })
  assert.deepEqual(served.requests, ['GET /runs/r/events?after=1', 'GET /runs/r/events?after=1&strict=1'])
})

test('a requested cancel is told once, as a state, and stays', async () => {
  await using served = await wire((_request, response, nth) => {
    response.writeHead(200, sse)
    if (nth === 1) {
      response.write(noticeFrame('cancel_requested', { timestamp: '' }))
      cut(response)
    } else
      response.end(
        noticeFrame('cancel_requested', { timestamp: '' }) + sseFrame(1) + noticeFrame('x') + sseFrame(2, 'cancelled'),
      )
  })
  await using runs = connect(served.url, hurried())
  const batches = await allOf(runs)
  assert.deepEqual(batches[0], { after: 0, last: 0, events: [], state: 'cancelling' })
  assert.deepEqual(sequencesOf(batches), [1, 2])
  assert.equal(batches.at(-1)?.state, 'sealed')
})

test('a server that goes away is left at its notice, whatever cursor it names', async () => {
  await using served = await wire((_request, response, nth) => {
    response.writeHead(200, sse)
    if (nth === 1) response.write(sseFrame(1) + noticeFrame('reconnect', { after: 7 }))
    else response.end(sseFrame(2, 'complete'))
  })
  await using runs = connect(served.url, hurried())
  assert.deepEqual(sequencesOf(await allOf(runs)), [1, 2])
  assert.deepEqual(served.requests, ['GET /runs/r/events?after=0', 'GET /runs/r/events?after=1'])
})

test('the cursor of a filtered reader moves over what it skips, also across a cut', async () => {
  await using served = await wire((_request, response, nth) => {
    response.writeHead(200, sse)
    if (nth === 1) {
      response.write(`${sseFrame(3)}id: 90\n\n`)
      cut(response)
    } else response.end(sseFrame(95) + sseFrame(120, 'complete'))
  })
  await using runs = connect(served.url, hurried())
  const batches = await allOf(runs, { types: new Set(['token', 'custom:a']) })
  let cursor = 0
  for (const { after, last } of batches) {
    assert.equal(after, cursor)
    cursor = last
  }
  assert.equal(cursor, 120)
  assert.deepEqual(sequencesOf(batches), [3, 95, 120])
  assert.deepEqual(served.requests, [
    'GET /runs/r/events?after=0&types=token%2Ccustom%3Aa',
    'GET /runs/r/events?after=90&types=token%2Ccustom%3Aa',
  ])
})

test('an address that is none, and a header that cannot be sent, are refused at once and not asked for again', async () => {
  for (const url of ['ftp://example.org', '/api', '', 'localhost:8080']) {
    assert.throws(
      () => connect(url),
      { code: 'invalid_request', message: /is no address of a server; give one such as/ },
      url,
    )
  }
  await using served = await wire((_request, response) => void response.writeHead(500).end())
  await using keyed = connect(served.url, hurried())
  await assert.rejects(keyed.start('a', {}, { idempotencyKey: '😀' }), {
    code: 'invalid_request',
    message: /"idempotency-key"/,
  })
  await using strange = connect(served.url, { ...hurried(), token: 'secret\n' + 'x' })
  for (const asked of [strange.get('r'), allOf(strange)]) {
    await assert.rejects(asked, error => {
      assert.match(String(error), /the header "authorization" has a character that no header can carry/)
      return !String(error).includes('secret')
    })
  }
  assert.deepEqual(served.requests, [])
})

test('a token that cannot be renewed for now is a cut: a reader comes back, a request is repeated', async () => {
  await using served = await wire((request, response) => {
    assert.equal(request.headers.authorization, 'Bearer t')
    if (request.url === '/runs/r') response.writeHead(200, { 'content-type': 'application/json' }).end('{"run_id":"r"}')
    else response.writeHead(200, sse).end(sseFrame(1, 'complete'))
  })
  let asked = 0
  const token = async () => {
    if (++asked % 3 !== 0) throw new TypeError('fetch failed')
    return 't'
  }
  await using runs = connect(served.url, { ...hurried(), token })
  assert.deepEqual(sequencesOf(await allOf(runs)), [1])
  assert.equal((await runs.get('r')).run_id, 'r')
  assert.equal(asked, 6)
})

test('a reader that throws ends its connection and gets its own error back', async () => {
  let closed = false
  await using served = await wire((_request, response) => {
    response.on('close', () => (closed = true))
    response.writeHead(200, sse).write(sseFrame(1))
  })
  await using runs = connect(served.url, hurried())
  const own = new Error('mine')
  for (const deliver of [
    () => Promise.reject(own),
    () => {
      throw own
    },
  ]) {
    closed = false
    await assert.rejects(runs.follow('r', {}, deliver), own)
    await until(() => closed)
  }
  assert.equal(served.requests.length, 2)
})

test('OL19 a reader that leaves, or whose client is closed, resolves at once, also when it is in the middle of a batch', async () => {
  let open = 0
  await using served = await wire((_request, response) => {
    open++
    response.on('close', () => open--)
    response.writeHead(200, sse).write(sseFrame(1))
  })
  const runs = connect(served.url, hurried())
  const leaving = new AbortController()
  let delivered = 0
  const never = () => {
    delivered++
    return new Promise<void>(() => {})
  }
  const left = runs.follow('r', { signal: leaving.signal }, never)
  const closed = runs.follow('r', {}, never)
  await until(() => delivered === 2)
  leaving.abort()
  await left
  await runs[Symbol.asyncDispose]()
  await closed
  await until(() => open === 0)
  await assert.rejects(runs.get('r'), hasCode('unavailable'))
})

// --- Requests ---

test('a start whose answer is lost is asked again with the same key, and is one run', async () => {
  const keys: (string | string[] | undefined)[] = []
  const bodies: unknown[] = []
  await using served = await wire(async (request, response, nth) => {
    keys.push(request.headers['idempotency-key'])
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    bodies.push(JSON.parse(Buffer.concat(parts).toString()))
    if (nth === 1) response.socket?.destroy()
    else if (nth === 2) refuse(response, 503, 'not_ready')
    else response.writeHead(202).end(JSON.stringify({ run_id: 'r', status: 'accepted', created_at: 'now' }))
  })
  await using runs = connect(served.url, {
    ...hurried(),
    token: async () => 't',
    apiKey: 'k',
    headers: { 'x-mine': '1' },
  })
  const info = await runs.start('a', { text: 'ä' }, { thread: 'x y', onBusy: 'queue', labels: { scenario: 's' } })
  assert.deepEqual([info.run_id, info.status, info.thread_id], ['r', 'accepted', 'x y'])
  assert.equal(keys.length, 3)
  assert.equal(new Set(keys).size, 1)
  assert.match(String(keys[0]), /^[0-9a-f]{32}$/)
  assert.deepEqual(bodies, [{ text: 'ä' }, { text: 'ä' }, { text: 'ä' }])
  assert.equal(served.requests[0], 'POST /runs?scenario=s&agent=a&thread_id=x+y&on_busy=queue')
})

test('a server that is not there is unavailable after a bounded number of tries, and the error says how many', async () => {
  const served = await wire(() => {})
  await served[Symbol.asyncDispose]()
  const { deps, waits } = hurried()
  await using runs = connect(served.url, { deps, triesMax: 4 })
  await assert.rejects(runs.start('a', {}), (error: unknown) => {
    assert.ok(error instanceof RuncastError && error.code === 'unavailable')
    assert.match(error.message, /ECONNREFUSED.*after 4 tries/)
    return true
  })
  assert.equal(waits.length, 3)
})

test('H76 a request that is never answered ends at its deadline', async () => {
  const clock = stoppedClock()
  await using served = await wire(() => {})
  await using runs = connect(served.url, { deps: clock.deps, triesMax: 1 })
  const asked = runs.get('r')
  await until(() => served.requests.length === 1)
  clock.advance(60_000)
  await assert.rejects(asked, hasCode('unavailable'))
})

test('an answer to a question is never sent twice, and a cancel whose answer was lost is found out', async () => {
  await using served = await wire((request, response, nth) => {
    if (request.method === 'POST' || nth === 2) response.socket?.destroy()
    else if (request.method === 'DELETE') refuse(response, 409, 'run_ended')
    else response.writeHead(200).end(JSON.stringify({ run_id: 'r', status: 'cancelled' }))
  })
  await using runs = connect(served.url, hurried())
  await assert.rejects(runs.tell('r', { type: 'input', input_id: 'i', value: 1 }), hasCode('unavailable'))
  assert.equal((await runs.cancel('r', 'why')).status, 'cancelled')
  assert.deepEqual(served.requests, [
    'POST /runs/r/input',
    'DELETE /runs/r?reason=why',
    'DELETE /runs/r?reason=why',
    'GET /runs/r',
  ])
})

test('names that a URL has no room for never reach another path', async () => {
  await using served = await wire((_request, response) => refuse(response, 404, 'not_found'))
  await using runs = connect(`${served.url}/api/`, hurried())
  for (const run of ['', '.', '..']) await assert.rejects(runs.get(run), hasCode('not_found'))
  assert.deepEqual(served.requests, [])
  await assert.rejects(runs.get('../x?y'), hasCode('not_found'))
  assert.deepEqual(served.requests, ['GET /api/runs/..%2Fx%3Fy'])
})

// --- A log behind cuts ---

/** Serves the runs of a log with nothing but the frames that it keeps. */
const logWire = (log: Log) =>
  wire(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://x')
    const leaving = new AbortController()
    response.on('close', () => leaving.abort())
    response.writeHead(200, sse).write('retry: 1\n')
    await follow(
      log,
      runKey(url.pathname.split('/')[2] ?? ''),
      { after: Number(url.searchParams.get('after')), signal: leaving.signal, limit: 7 },
      batch => {
        if (!response.write(batch.bytes)) return new Promise(resolve => response.once('drain', resolve))
      },
    )
    response.end()
  })

for (const [how, resetShare] of [
  ['FIN', 0],
  ['RST', 1],
] as const) {
  test(`DK24 DK25 H60 H62 H66 200 cuts by ${how}: every event exactly once, in order`, async () => {
    const log = memory()
    const random = seeded(3)
    await log.append(runKey('r'), 0, [], {
      run_id: 'r',
      status: 'running',
      agent: 'a',
      framework: 'runcast',
      tenant: 'default',
      input: null,
      owner: 'o',
      created_at: 0,
    })
    const tokens = 8_000
    for (let n = 0; n < tokens / 2; n++) {
      await log.append(runKey('r'), n, [entryOf({ type: 'token', content: `Grüße ${n} 😀` }, n)])
    }
    await using served = await logWire(log)
    const plan = { cutAfterBytes: [200, 12_000] as const, resetShare, crumbBytesMax: 4_000 }
    await using pipe = await cutPipe(served, { random, plan })
    await using runs = connect(pipe.url, { backoff: { baseMs: 1, capMs: 10 } })
    const events: EventOf<'token'>[] = []
    let cursor = 0
    let written = tokens / 2
    for await (const batch of runs.tail('r')) {
      assert.equal(batch.after, cursor)
      cursor = batch.last
      events.push(...(batch.events as EventOf<'token'>[]))
      if (pipe.cuts >= 200) pipe.plan = {}
      // The other half is written while it is read.
      for (const end = Math.min(tokens, cursor + tokens / 2); written < end; written++) {
        await log.append(runKey('r'), written, [entryOf({ type: 'token', content: `Grüße ${written} 😀` }, written)])
      }
      if (written === tokens) {
        written++
        await log.append(runKey('r'), tokens, [entryOf({ type: 'complete', output: 1, latency_seconds: 1 }, 0)])
      }
    }
    assert.ok(pipe.cuts >= 200, `only ${pipe.cuts} cuts`)
    assert.deepEqual(
      events.map(({ sequence }) => sequence),
      upTo(tokens + 1),
    )
    assert.ok(events.slice(0, -1).every(({ content }, index) => content === `Grüße ${index} 😀`))
    assert.ok(isTerminal(events.at(-1)?.type ?? ''))
  })
}

// --- Threads ---

const talks = defineAgent({ name: 'talks' }, async function* ({ text }: { text: string }) {
  yield text
})

const localRuns = () => createRuns({ log: memory(), agents: [talks as never], deps: webDeps })

test('H59 who follows a thread before it has a run sees each run of it, whoever starts it, in order', async () => {
  await using runs = localRuns()
  const leaving = new AbortController()
  const seen: string[] = []
  const following = followThread(runs, 't', { signal: leaving.signal }, ({ run_id, thread_base, batch }) => {
    for (const { type, sequence } of batch.events) seen.push(`${run_id} ${thread_base + sequence} ${type}`)
  })
  for (const run of ['a', 'b']) {
    await runs.start('talks', { text: run }, { run, thread: 't' })
    await until(() => seen.at(-1)?.startsWith(run) === true && seen.at(-1)?.endsWith('complete') === true)
    for await (const { events } of runs.tail({ thread: 't' })) {
      if (events.some(entry => String(entry.type) === 'ended' && entry.run_id === run)) break // the thread is free
    }
  }
  leaving.abort()
  await following
  assert.deepEqual(seen, ['a 1 started', 'a 2 token', 'a 3 complete', 'b 4 started', 'b 5 token', 'b 6 complete'])
})

test('H57 H60 H62 the cursor of a thread resumes it behind any batch: nothing lost, nothing twice', async () => {
  await using runs = localRuns()
  for (const run of ['a', 'b', 'c']) {
    await runs.start('talks', { text: run }, { run, thread: 't', onBusy: 'queue' })
    await allOf(runs, {}, run)
  }
  const one = (cursor: ThreadBatch['cursor'] | undefined) =>
    new Promise<ThreadBatch>((resolve, reject) => {
      const leaving = new AbortController()
      followThread(runs, 't', { cursor, signal: leaving.signal }, next => {
        leaving.abort()
        resolve(next)
      }).catch(reject)
    })
  let cursor: ThreadBatch['cursor'] | undefined
  const seen: string[] = []
  while (seen.length < 9) {
    const next = await one(cursor)
    for (const { sequence } of next.batch.events) seen.push(`${next.run_id}${sequence}`)
    cursor = next.cursor
  }
  assert.deepEqual(seen, ['a1', 'a2', 'a3', 'b1', 'b2', 'b3', 'c1', 'c2', 'c3'])
  const half = { feed: 0, run_id: 'a', after: 2 }
  assert.deepEqual(
    (await one(half)).batch.events.map(({ sequence }) => sequence),
    [3],
  )
})

test('a run that was dropped is passed over, and an error of the reader is not', async () => {
  await using runs = localRuns()
  for (const run of ['a', 'b']) {
    await runs.start('talks', {}, { run, thread: 't', onBusy: 'queue' })
    await allOf(runs, {}, run)
  }
  const forgetful: Runs = {
    ...runs,
    follow: (target, options, deliver) =>
      target === 'a' ? Promise.reject(new RuncastError('not_found', 'gone')) : runs.follow(target, options, deliver),
  }
  const mine = new RuncastError('not_found', 'mine')
  const seen: string[] = []
  const reading = followThread(forgetful, 't', {}, ({ run_id }) => {
    seen.push(run_id)
    throw mine
  })
  await assert.rejects(reading, mine)
  assert.deepEqual(seen, ['b'])
})
