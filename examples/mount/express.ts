// Runcast inside Express, under /agents. Mount it before any body parser: the raw body is the agent's input.
import express from 'express'
import { api, nodeHandler } from '../../src/http.ts'
import { greet } from './agent.ts'

export async function start() {
  const app = await api({ agents: [greet] })
  const server = express()
  server.use('/agents', nodeHandler(app))
  server.get('/', (_request, response) => void response.send('my own page'))
  return server
}

if (import.meta.main) {
  const port = Number(process.env['PORT'] ?? 8080)
  ;(await start()).listen(port, '127.0.0.1')
  console.log(`http://127.0.0.1:${port}/agents/docs`)
}
