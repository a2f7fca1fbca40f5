// The examples of examples/mount, each run as it stands: the same API inside four kinds of servers.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { connect } from '../src/client/index.ts'
import { api, fetchHandler, nodeHandler } from '../src/http.ts'
import { defineAgent } from '../src/index.ts'
import { start as startExpress } from '../examples/mount/express.ts'
import { start as startFastify } from '../examples/mount/fastify.ts'
import { start as startHono } from '../examples/mount/hono.ts'
import { start as startNode } from '../examples/mount/node-http.ts'
import { freePort } from './services/child.ts'
import { until } from './until.ts'

async function listening(server: Server): Promise<{ url: string } & AsyncDisposable> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function fastifyServer(): Promise<{ url: string } & AsyncDisposable> {
  const server = await startFastify()
  return { url: await server.listen({ port: 0, host: '127.0.0.1' }), [Symbol.asyncDispose]: () => server.close() }
}

async function honoServer(): Promise<{ url: string } & AsyncDisposable> {
  const answer = getRequestListener((await startHono()).fetch)
  return listening(createServer((request, response) => void answer(request, response)))
}

const rows: { name: string; prefix: string; open: () => Promise<{ url: string } & AsyncDisposable> }[] = [
  { name: 'node:http', prefix: '', open: async () => listening(await startNode()) },
  { name: 'Express', prefix: '/agents', open: async () => listening(createServer(await startExpress())) },
  { name: 'Fastify', prefix: '/agents', open: fastifyServer },
  {
    name: 'Hono',
    prefix: '/agents',
    open: honoServer,
  },
]

for (const { name, prefix, open } of rows) {
  test(`mounted in ${name}: its own page stays, runs start, stream and resume, errors have the one body`, async () => {
    await using server = await open()
    assert.equal(await (await fetch(`${server.url}/`)).text(), 'my own page')
    await using runs = connect(server.url + prefix)
    const { run_id } = await runs.start(undefined, { who: name })
    const tokens: string[] = []
    for await (const batch of runs.tail(run_id)) {
      for (const event of batch.events) if (event.type === 'token') tokens.push(event.content)
    }
    assert.equal(tokens.join(''), `Hello, ${name}!`)
    assert.equal((await runs.get(run_id)).status, 'completed')
    const direct = await fetch(`${server.url}${prefix}/invoke/stream`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    assert.match(await direct.text(), /^retry: \d+\nevent: started\n[\s\S]*event: complete\n[^\n]*\n\n$/)
    const post = { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } }
    const accepted = await fetch(`${server.url}${prefix}/runs`, post)
    const { events_url } = (await accepted.json()) as { events_url: string }
    assert.equal(accepted.headers.get('location'), events_url.replace(/\/events$/, ''))
    assert.match(await (await fetch(server.url + events_url)).text(), /event: complete/, events_url)
    const missing = await fetch(`${server.url}${prefix}/runs/nobody`)
    assert.equal(missing.status, 404)
    assert.equal(((await missing.json()) as { code: string }).code, 'not_found')
    const gone = await fetch(`${server.url}${prefix}/runs/${run_id}/events?after=4`)
    assert.equal(gone.status, 204)
  })
}

test('behind a body parser, node:http and Express are told at once where the handler belongs', async () => {
  const agent = defineAgent({ name: 'echo' }, input => input)
  await using app = await api({ agents: [agent] })
  const express = (await import('express')).default
  const server = express().use(express.json()).use('/agents', nodeHandler(app))
  await using listens = await listening(createServer(server))
  const post = { method: 'POST', body: '{"a":1}', headers: { 'content-type': 'application/json' } }
  const refused = await fetch(`${listens.url}/agents/invoke`, post)
  assert.equal(refused.status, 500)
  const { code, error } = (await refused.json()) as { code: string; error: string }
  assert.equal(code, 'internal')
  assert.match(error, /body was read before.*before any body parser/)
  assert.equal((await fetch(`${listens.url}/agents/health`)).status, 200)
})

/** Talks until it is stopped, and says so; or as much as it is told to, at once. */
const talker = (stopped: () => void, begun = () => {}) =>
  defineAgent({ name: 'talker' }, async function* (input: { burst?: number }, context) {
    try {
      for (let n = 0; n < (input.burst ?? 0); n++) yield 'x'.repeat(1_000)
      while (input.burst === undefined) {
        yield 'on and on '
        begun()
        await new Promise(resolve => setTimeout(resolve, 5))
      }
    } finally {
      if (context.signal.aborted) stopped()
    }
  })

const asking = (path: string, input: unknown, signal?: AbortSignal) =>
  new Request(`http://here/agents${path}`, {
    method: 'POST',
    body: JSON.stringify(input),
    headers: { 'content-type': 'application/json' },
    ...(signal && { signal }),
  })

const limit = { timeout: 120_000 }

test(
  'DK12 through a web handler, too, the agent stops when its reader cancels, aborts or is cut off',
  limit,
  async () => {
    let stopped = Promise.withResolvers<void>()
    let begun = Promise.withResolvers<void>()
    const agent = talker(
      () => stopped.resolve(),
      () => begun.resolve(),
    )
    await using app = await api({ agents: [agent], shutdownGraceMs: 0 })
    const handler = fetchHandler(app, '/agents')
    const readSome = async (answer: Response) => {
      const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
      for (let n = 0; n < 3; n++) await reader.read()
      return reader
    }

    await (await readSome(await handler(asking('/invoke/stream', {})))).cancel()
    await stopped.promise

    for (const path of ['/invoke/stream', '/invoke']) {
      stopped = Promise.withResolvers()
      begun = Promise.withResolvers()
      const leaving = new AbortController()
      const answer = handler(asking(path, {}, leaving.signal))
      if (path === '/invoke') await begun.promise
      else await readSome(await answer)
      leaving.abort()
      await answer.catch(() => {})
      await stopped.promise
    }

    stopped = Promise.withResolvers()
    const hono = new Hono().all('/agents/*', context => handler(context.req.raw))
    const listener = getRequestListener(hono.fetch)
    await using server = await listening(createServer((request, response) => void listener(request, response)))
    const cutting = new AbortController()
    const request = asking('/invoke/stream', {}, cutting.signal)
    const { method, headers, signal } = request
    const body = await request.text()
    await readSome(await fetch(`${server.url}/agents/invoke/stream`, { method, headers, body, signal }))
    cutting.abort()
    await stopped.promise
    while (app.streams.open > 0) await new Promise(resolve => setTimeout(resolve, 5))
  },
)

test(
  'DK28 H112 through a web handler a reader that does not read is not read ahead for, and has all once it does',
  limit,
  async () => {
    await using app = await api({ agents: [talker(() => {})] })
    const handler = fetchHandler(app, '/agents')
    const accepted = await handler(asking('/runs', { burst: 4_000 }))
    const { events_url } = (await accepted.json()) as { events_url: string }
    await (await handler(new Request(`http://here${events_url}`))).text() // ended: nothing more is made of it
    const answer = await handler(new Request(`http://here${events_url}`))
    await new Promise(resolve => setTimeout(resolve, 200))
    assert.equal(app.streams.open, 1, 'a server that had written all would have let go of it')
    const ids = [...(await answer.text()).matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
    assert.deepEqual(
      ids,
      Array.from({ length: 4_002 }, (_, index) => index + 1),
    )
    assert.equal(app.streams.open, 0)
  },
)

test(
  'PX48 through a web handler, too, closing ends what runs as interrupted, and its readers hear it',
  limit,
  async () => {
    const stopped = Promise.withResolvers<void>()
    await using app = await api({ agents: [talker(stopped.resolve)], shutdownGraceMs: 0 })
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' }
    const answer = await fetchHandler(app)(new Request('http://here/runs', { method: 'POST', body: '{}', headers }))
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    const closed = app.fastify.close()
    let said = ''
    for (let read = await reader.read(); !read.done; read = await reader.read())
      said += Buffer.from(read.value).toString()
    assert.match(said, /event: error\ndata: .*"code":"interrupted"/)
    await Promise.all([closed, stopped.promise])
  },
)

test(
  'a body beyond its limit is refused by a web handler, and a path that only looks mounted is not',
  limit,
  async () => {
    await using app = await api({ agents: [talker(() => {})], bodyBytesMax: 1_000 })
    const handler = fetchHandler(app, '/agents')
    const large = await handler(asking('/runs', { text: 'x'.repeat(2_000) }))
    assert.equal(large.status, 413)
    assert.equal((await handler(new Request('http://here/agents-of-others/health'))).status, 404)
    assert.equal((await handler(new Request('http://here/agents/health'))).status, 200)
  },
)

for (const name of ['node-http', 'express', 'fastify', 'hono']) {
  test(`${name}: the example runs as a program, and says where`, async () => {
    const file = fileURLToPath(new URL(`../examples/mount/${name}.ts`, import.meta.url))
    const child = spawn(process.execPath, [file], {
      env: { ...process.env, PORT: String(await freePort()) },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'close')
    try {
      const [told] = (await Promise.race([once(child.stdout, 'data'), ended])) as [Buffer]
      const docs = String(told).trim()
      await until('it answers', async () => (await fetch(docs).catch(() => undefined))?.status === 200)
      const answer = await fetch(docs.replace(/docs$/, 'invoke'), { method: 'POST' })
      assert.match(await answer.text(), /"output":\{"greeted":"world"\}/)
    } finally {
      child.kill('SIGKILL')
      await ended
    }
  })
}
