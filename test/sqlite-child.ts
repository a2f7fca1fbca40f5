// A process of its own over a log file, for sqlite.test.ts: `write FILE ROUND` until it is killed, or `follow FILE RUN`
// until the run ends. It tells what it knows in lines: an acknowledgement stands there only after the append resolved.
import { writeSync } from 'node:fs'
import { sqlite } from '../src/backends/sqlite.ts'
import { type Entry, entryOf } from '../src/batch.ts'
import { tail } from '../src/follow.ts'
import { runKey } from '../src/log.ts'

/** What an event of a run says is a function of run and sequence, so that whoever reads can check it. */
export function contentOf(run: string, sequence: number): string {
  // Up to 12 KiB, so that some appends go their own way and a few seconds fill more than one pack.
  return `${run}:${sequence}:${'é'.repeat((sequence * 7919) % 6_000)}`
}

export const eventsPerRun = 40

export function entriesFrom(run: string, after: number, count: number): Entry[] {
  return Array.from({ length: Math.min(count, eventsPerRun - after) }, (_, index) => {
    const sequence = after + 1 + index
    const last = sequence === eventsPerRun
    return entryOf(
      last
        ? { type: 'complete', output: null, latency_seconds: 1, metadata: {} }
        : { type: 'token', content: contentOf(run, sequence) },
      0,
    )
  })
}

async function write(path: string, round: string): Promise<void> {
  const log = sqlite({ path })
  const oneAfterAnother = async (lane: number) => {
    for (let number = 0; ; number++) {
      const run = `r${round}-${lane}-${number}`
      const head = { status: 'running', agent: 'a', framework: 'f', tenant: 't', input: null, owner: 'o' } as const
      await log.append(runKey(run), 0, [], { ...head, run_id: run, created_at: number })
      writeSync(1, `${run} 0\n`)
      for (let after = 0; after < eventsPerRun; ) {
        const entries = entriesFrom(run, after, 1 + ((lane + after) % 4))
        const ends = after + entries.length === eventsPerRun
        after = await log.append(runKey(run), after, entries, ends ? { status: 'completed' } : undefined)
        writeSync(1, `${run} ${after}\n`)
      }
    }
  }
  await Promise.all([0, 1, 2, 3, 4].map(oneAfterAnother))
}

async function followRun(path: string, run: string): Promise<void> {
  const alive = setInterval(() => {}, 1_000)
  await using log = sqlite({ path, readOnly: true, pollMs: 5 })
  writeSync(1, 'following\n')
  for await (const batch of tail(log, runKey(run))) {
    for (const event of batch.events) {
      const right = event.type !== 'token' || event.content === contentOf(run, event.sequence)
      writeSync(1, `${event.sequence} ${event.type} ${right ? 'right' : 'WRONG'}\n`)
    }
  }
  clearInterval(alive)
}

const [, script, verb, path = '', name = ''] = process.argv
if (script === import.meta.filename) await (verb === 'write' ? write(path, name) : followRun(path, name))
