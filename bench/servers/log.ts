// Runcast's own stack below the routes: memory log, follow, pipe.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { memory } from '../../src/backends/memory.ts'
import { entryOf, type SlabBatch } from '../../src/batch.ts'
import { follow } from '../../src/follow.ts'
import { runKey } from '../../src/log.ts'
import { lastOf, openPipe, sharedChunk } from '../../src/transports/http/pipe.ts'
import { serveQuestions } from '../contender.ts'
import { content } from '../frames.ts'

const log = memory()
const chunkOf = lastOf((batch: SlabBatch) => sharedChunk(batch.bytes))
let run = 'run1'
let runs = 1
const create = () =>
  log.append(runKey(run), 0, [], {
    run_id: run,
    status: 'running',
    agent: 'a',
    framework: 'f',
    tenant: 't',
    input: null,
    owner: 'o',
    created_at: 0,
  })
create()

const server = createServer((_request, response) => {
  const pipe = openPipe(response, 200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    connection: 'close',
  })
  pipe.write('retry: 1000\n')
  const leaving = new AbortController()
  response.once('close', () => leaving.abort())
  void follow(log, runKey(run), { signal: leaving.signal }, batch => {
    pipe.share(chunkOf(batch))
    return pipe.drained()
  }).then(pipe.end, pipe.destroy)
})

server.listen(0, '127.0.0.1', () => {
  serveQuestions((server.address() as AddressInfo).port, {
    async emit({ events, perTick }: { events: number; perTick: number }) {
      for (let n = 0; n < events; n++) {
        log.append(runKey(run), n, [entryOf({ type: 'token', content }, Date.now())])
        if ((n + 1) % perTick === 0) await new Promise(resolve => setImmediate(resolve))
      }
      log.append(runKey(run), events, [entryOf({ type: 'complete', output: null, latency_seconds: 0 }, Date.now())], {
        status: 'completed',
      })
      run = `run${++runs}`
      create()
    },
  })
})
