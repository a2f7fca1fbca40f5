// The proxy of the reconnect tests is judged first: a pipe that loses a byte by itself would accuse the product.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type CutPlan, cutPipe, seeded } from './cut-pipe.ts'

describe('cut pipe', () => {
  test('crumbs and stalls change no byte in either direction', async () => {
    await using echo = await echoServer()
    const plans = fc.record({
      crumbBytesMax: fc.integer({ min: 1, max: 40 }),
      stallShare: fc.constantFrom(0, 0.1),
      stallMsMax: fc.constant(1),
    })
    const sent = fc.uint8Array({ minLength: 1, maxLength: 2_000 })
    const property = fc.asyncProperty(plans, sent, async (plan, bytes) => {
      await using pipe = await cutPipe({ port: echo.port }, { random: Math.random, plan })
      const socket = connect(pipe.port, '127.0.0.1')
      socket.end(bytes)
      assert.deepEqual(await readAll(socket), { bytes: Buffer.from(bytes), end: 'end' })
    })
    await fc.assert(property, { numRuns: 20 })
  })

  test('many bytes to a slow reader arrive whole: the pipe waits for it', async () => {
    await using echo = await echoServer()
    await using pipe = await cutPipe({ port: echo.port }, { random: Math.random })
    const bytes = Buffer.alloc(8 * 2 ** 20, 'abcdefg')
    const socket = connect(pipe.port, '127.0.0.1')
    socket.pause().end(bytes)
    await new Promise(resolve => setTimeout(resolve, 50))
    const read = await readAll(socket)
    assert.equal(read.bytes.equals(bytes), true)
  })

  for (const [resetShare, end] of [
    [0, 'end'],
    [1, 'ECONNRESET'],
  ] as const) {
    test(`a cut after 10 bytes with a reset share of ${resetShare} is seen by the client as ${end}`, async () => {
      await using echo = await echoServer()
      const plan: CutPlan = { cutAfterBytes: [10, 10], resetShare, crumbBytesMax: 1 }
      await using pipe = await cutPipe({ port: echo.port }, { random: Math.random, plan })
      const socket = connect(pipe.port, '127.0.0.1')
      socket.write('0123456789abcdef')
      const read = await readAll(socket)
      assert.equal(read.end, end)
      assert.equal('0123456789'.startsWith(read.bytes.toString()), true)
      if (end === 'end') assert.equal(read.bytes.length, 10)
      assert.equal(pipe.cuts, 1)
    })
  }

  test('a cut of the upload gives the server the drawn number of bytes at most and a reset', async () => {
    await using sink = await echoServer()
    await using pipe = await cutPipe({ port: sink.port }, { random: Math.random, plan: { cutUpAfterBytes: [4, 4] } })
    const socket = connect(pipe.port, '127.0.0.1')
    socket.write('0123456789')
    const read = await readAll(socket)
    assert.equal('0123'.startsWith(read.bytes.toString()), true)
  })

  test('the same seed cuts at the same places', async () => {
    await using echo = await echoServer()
    const lengths = async (seed: number) => {
      const plan: CutPlan = { cutAfterBytes: [1, 1_000] }
      await using pipe = await cutPipe({ port: echo.port }, { random: seeded(seed), plan })
      const seen: number[] = []
      for (let i = 0; i < 5; i++) {
        const socket = connect(pipe.port, '127.0.0.1')
        socket.write(Buffer.alloc(1_000))
        seen.push((await readAll(socket)).bytes.length)
      }
      return seen
    }
    assert.deepEqual(await lengths(1), await lengths(1))
    assert.notDeepEqual(await lengths(1), await lengths(2))
  })

  test('cutAll cuts what is open and leaves new connections alone', async () => {
    await using echo = await echoServer()
    await using pipe = await cutPipe({ port: echo.port }, { random: Math.random })
    const sockets = await Promise.all([1, 2, 3].map(() => ping(pipe.port)))
    assert.equal(pipe.connections, 3)
    const ends = sockets.map(readAll)
    pipe.cutAll()
    assert.deepEqual(
      (await Promise.all(ends)).map(read => read.end),
      ['ECONNRESET', 'ECONNRESET', 'ECONNRESET'],
    )
    assert.equal(pipe.connections, 0)
    const after = await ping(pipe.port)
    after.destroy()
  })

  test('refuse refuses new connections and keeps the open ones; accept takes new ones on the same port', async () => {
    await using echo = await echoServer()
    await using pipe = await cutPipe({ port: echo.port }, { random: Math.random })
    const { port } = pipe
    const before = await ping(port)
    pipe.refuse()
    await assert.rejects(ping(port), { code: 'ECONNREFUSED' })
    before.write('still')
    assert.equal(String((await once(before, 'data'))[0]), 'still')
    await pipe.accept()
    assert.equal(pipe.port, port)
    const after = await ping(port)
    for (const socket of [before, after]) socket.destroy()
  })

  test('a refused share of 1 resets every connection, until the plan is taken back', async () => {
    await using echo = await echoServer()
    await using pipe = await cutPipe({ port: echo.port }, { random: Math.random, plan: { refuseShare: 1 } })
    await assert.rejects(ping(pipe.port), { code: 'ECONNRESET' })
    pipe.plan = {}
    const after = await ping(pipe.port)
    after.destroy()
    assert.equal(pipe.accepted, 2)
  })

  test('a pipe can be closed though a client that was cut by FIN never hangs up', async () => {
    await using echo = await echoServer()
    let socket: Socket | undefined
    {
      await using pipe = await cutPipe({ port: echo.port }, { random: Math.random, plan: { cutAfterBytes: [1, 1] } })
      socket = connect({ port: pipe.port, host: '127.0.0.1', allowHalfOpen: true })
      socket.write('0123456789')
      await once(socket.resume(), 'end')
    }
    socket.destroy()
  })

  test('a server that is gone is gone for the client too', async () => {
    await using pipe = await cutPipe({ port: 1 }, { random: Math.random })
    await assert.rejects(ping(pipe.port), { code: 'ECONNRESET' })
    assert.equal(pipe.connections, 0)
  })
})

async function echoServer(): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => {}).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** A connection that is proved to reach the echo. */
async function ping(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.write('ping')
  await once(socket, 'data')
  return socket
}

/** Everything until the end, and how it ended: `end` or the code of the error. */
async function readAll(socket: Socket): Promise<{ bytes: Buffer; end: string }> {
  const chunks: Buffer[] = []
  let end = 'end'
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch (error) {
    end = (error as NodeJS.ErrnoException).code ?? 'unknown'
  }
  return { bytes: Buffer.concat(chunks), end }
}
