// Runcast as a Fastify plugin, under a prefix, beside the routes that are there.
import Fastify from 'fastify'
import { fastifyPlugin } from '../../src/http.ts'
import { greet } from './agent.ts'

export async function start() {
  const server = Fastify({ forceCloseConnections: true })
  await server.register(fastifyPlugin({ agents: [greet] }), { prefix: '/agents' })
  server.get('/', async () => 'my own page')
  return server
}

if (import.meta.main) {
  const port = Number(process.env['PORT'] ?? 8080)
  await (await start()).listen({ port, host: '127.0.0.1' })
  console.log(`http://127.0.0.1:${port}/agents/docs`)
}
