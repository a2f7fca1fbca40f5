// The examples of examples/mount, each run as it stands: the same API inside four kinds of servers.
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { getRequestListener } from '@hono/node-server'
import { connect } from '../src/client/index.ts'
import { start as startExpress } from '../examples/mount/express.ts'
import { start as startFastify } from '../examples/mount/fastify.ts'
import { start as startHono } from '../examples/mount/hono.ts'
import { start as startNode } from '../examples/mount/node-http.ts'

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
    const missing = await fetch(`${server.url}${prefix}/runs/nobody`)
    assert.equal(missing.status, 404)
    assert.equal(((await missing.json()) as { code: string }).code, 'not_found')
    const gone = await fetch(`${server.url}${prefix}/runs/${run_id}/events?after=4`)
    assert.equal(gone.status, 204)
  })
}
