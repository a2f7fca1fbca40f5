// Runs over HTTP: the client in front of a real server keeps every promise of the core.
import { connect } from '../src/client/index.ts'
import { serve } from '../src/server.ts'
import { runsSuite } from './suites/runs.suite.ts'

runsSuite({
  name: 'http',
  async open(agents, options = {}) {
    const server = await serve({ agents, port: 0, ...options })
    const runs = connect(server.url)
    return {
      runs,
      async [Symbol.asyncDispose]() {
        await runs[Symbol.asyncDispose]()
        await server[Symbol.asyncDispose]()
      },
    }
  },
})
