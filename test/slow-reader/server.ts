// A server in a process of its own, so that its memory is only its own: it tells its port, and on demand how much memory
// it takes and took at most.
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from '../../src/agent/define.ts'
import { serve } from '../../src/server.ts'

export interface Plan {
  readonly events: number
  readonly eventBytes: number
}

export interface Memory {
  readonly rss: number
  readonly peak: number
}

const floods = defineAgent({ name: 'floods' }, async function* ({ events, eventBytes }: Plan) {
  for (let n = 0; n < events; n++) {
    yield 'x'.repeat(eventBytes)
    // As a model would, only faster: what is emitted in one turn would be one batch.
    if (n % 4 === 3) await sleep(1)
  }
})

if (process.send) {
  const { url } = await serve({ agents: [floods], port: 0 })
  let peak = 0
  const look = () => (peak = Math.max(peak, process.memoryUsage.rss()))
  setInterval(look, 20).unref()
  process.on('message', what => {
    look()
    process.send?.({ rss: process.memoryUsage.rss(), peak } satisfies Memory)
    if (what === 'reset') peak = 0
  })
  process.on('disconnect', () => process.exit())
  process.send({ url })
}
