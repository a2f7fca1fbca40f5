// Runcast as a user runs it: `serve` with the memory log and everything on (resume ids, filters, gap checks, heartbeats).
// Its agent emits what the harness tells it, when it tells it.
import { defineAgent } from '../../src/agent/define.ts'
import type { Context } from '../../src/agent/context.ts'
import { serve } from '../../src/server.ts'
import { serveQuestions } from '../contender.ts'
import { content } from '../frames.ts'

interface Open {
  readonly ctx: Context
  readonly end: () => void
}
const open: Open[] = []

const puppet = defineAgent({ name: 'puppet' }, async (_input, ctx) => {
  await new Promise<void>(end => open.push({ ctx, end }))
})
const burst = defineAgent({ name: 'burst' }, async (count: number, ctx) => {
  for (let n = 0; n < count; n++) {
    ctx.token(content)
    if (n % 500 === 499) await ctx.token(content)
  }
})

const served = await serve({
  agents: [puppet, burst],
  port: 0,
  readersPerRunMax: 100_000,
  pendingBytesMax: 1e9,
  retention: { eventsPerRunMax: 10_000_000, bytesPerRunMax: 1e10, bytesTotalMax: 1e10 },
})

const turn = () => new Promise<void>(resolve => setImmediate(resolve))

serveQuestions(Number(new URL(served.url).port), {
  async start({ runs, input = null, agent = 'puppet' }: { runs: readonly string[]; input?: unknown; agent?: string }) {
    for (const run of runs) await served.runs.start(agent, input, { run })
    if (agent !== 'puppet') while (served.runs.running > 0) await turn()
  },
  /** Each open run emits `perTurn` tokens in each turn, and ends. */
  async emit({ events, perTurn, everyMs }: { events: number; perTurn: number; everyMs?: number }) {
    const puppets = open.splice(0)
    const began = performance.now()
    for (let n = 0; n < events; n += perTurn) {
      const text = everyMs === undefined ? content : String(process.hrtime.bigint())
      for (const { ctx } of puppets) for (let k = 0; k < perTurn; k++) ctx.token(text)
      if (everyMs === undefined) await turn()
      else while (performance.now() - began < (n + perTurn) * everyMs) await turn()
    }
    for (const { end } of puppets) end()
  },
})
