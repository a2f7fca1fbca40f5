// Runcast as a web handler: Hono here; a Next route handler is the same one line.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { api, fetchHandler } from '../../src/http.ts'
import { greet } from './agent.ts'

export async function start() {
  const handler = fetchHandler(await api({ agents: [greet] }), '/agents')
  const server = new Hono()
  server.get('/', context => context.text('my own page'))
  server.all('/agents/*', context => handler(context.req.raw))
  return server
}

if (import.meta.main) {
  const port = Number(process.env['PORT'] ?? 8080)
  serve({ fetch: (await start()).fetch, port, hostname: '127.0.0.1' })
  console.log(`http://127.0.0.1:${port}/agents/docs`)
}
