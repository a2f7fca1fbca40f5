// Runcast as a web handler: Hono here; a Next route handler is the same one line.
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
