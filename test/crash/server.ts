// A server on SQLite in a process of its own, for crash.test.ts to kill: `FILE PORT`, and a line on stdin when it may
// begin, so that the next one can wait with everything loaded. It tells on stdout which tokens it saw stored, and must
// tell that only then.
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from '../../src/agent/define.ts'
import { sqlite } from '../../src/backends/sqlite.ts'
import { serve } from '../../src/server.ts'

interface Input {
  readonly count: number
  readonly pauseMs: number
}

const counts = defineAgent({ name: 'counts' }, async ({ count, pauseMs }: Input, ctx) => {
  for (let n = 1; n <= count; n++) {
    // Some are awaited, some share a batch with those before.
    const stored = ctx.token(`${n}`)
    if (n % 3 !== 0) continue
    await stored
    writeSync(1, `${ctx.run_id} ${n}\n`)
    await sleep(Math.random() * pauseMs)
  }
  return count
})

process.stdin.on('end', () => process.exit()) // the test is gone
await once(process.stdin, 'data')
const [, , path = '', port] = process.argv
await serve({ agents: [counts], log: sqlite({ path }), port: Number(port) })
writeSync(1, 'listening\n')
