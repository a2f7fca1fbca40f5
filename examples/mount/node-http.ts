// Runcast inside a bare node:http server: its API under every path that is not the server's own.
import { createServer } from 'node:http'
import { api, nodeHandler } from '../../src/http.ts'
import { greet } from './agent.ts'

export async function start() {
  const app = await api({ agents: [greet] })
  const handler = nodeHandler(app)
  return createServer((request, response) => {
    if (request.url === '/') response.end('my own page')
    else handler(request, response)
  })
}

if (import.meta.main) {
  const port = Number(process.env['PORT'] ?? 8080)
  ;(await start()).listen(port, '127.0.0.1')
  console.log(`http://127.0.0.1:${port}/docs`)
}
