// Readers that nobody here wrote, against the server that everybody gets, through a pipe that cuts, crumbles and stalls.
// What they see must be the run: every event once, in order, byte for byte, however their library reconnects.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from '../src/agent/define.ts'
import { serve } from '../src/server.ts'
import { cutPipe, seeded } from './cut-pipe.ts'
import { type ReadEvent, readers } from './readers/readers.ts'
import { needs } from './services/require.ts'

/** Enough for a dozen cuts of every reader, few enough for some seconds. */
const tokens = 50
/** The headers and an event fit, so that every connection gets further. */
const cutBytes = [900, 3_000] as const
/** In the middle of the run nothing is said for longer than the server keeps a connection: it ends cleanly. */
const idleMs = 300
const silenceMs = 1_000
const enough = { timeout: 240_000 }

const talks = defineAgent({ name: 'talks' }, async function* () {
  for (let n = 1; n <= tokens; n++) {
    yield payload(n)
    if (n === tokens / 2) await sleep(silenceMs)
    else if (n % 5 === 0) await sleep(20)
  }
  return 'done'
})

describe('readers of the server', { concurrency: 2 }, () => {
  for (const reader of readers) {
    for (const heartbeat of ['comments', 'events']) {
      const title = `${reader.name} sees a live run once and in order through cuts, crumbs, stalls and a deadline, with ${heartbeat} as heartbeats`
      test(`DK24 DK25 DK63 ${title}`, enough, async t => {
        if (!needs(t, reader.name, reader.available())) return
        await using server = await serve({
          agents: [talks],
          port: 0,
          retryMs: 20,
          idleMs,
          heartbeatMs: 1,
          heartbeatEvents: heartbeat === 'events',
        })
        const plan = { cutAfterBytes: cutBytes, resetShare: 0.5, crumbBytesMax: 300, stallShare: 0.05, stallMsMax: 5 }
        await using pipe = await cutPipe({ port: Number(new URL(server.url).port) }, { random: seeded(11), plan })
        const { run_id } = await server.runs.start('talks', null)
        const events: ReadEvent[] = []
        for await (const event of reader.read(`${pipe.url}/runs/${run_id}/events`)) {
          if (event.event !== 'heartbeat') events.push(event)
        }
        assert.deepEqual(
          events.map(({ id, event, data }) => ({ id, event, data })),
          await written(server.url, run_id),
        )
        const contents = events.flatMap(({ event, data }) => (event === 'token' ? [contentOf(data)] : []))
        assert.deepEqual(
          contents,
          Array.from({ length: tokens }, (_, index) => payload(index + 1)),
        )
        assert.ok(pipe.cuts >= 3, `the pipe cut ${pipe.cuts} times only`)
      })
    }
  }
})

/** The run as it stands on the wire, without a pipe. */
async function written(url: string, run: string): Promise<ReadEvent[]> {
  const text = await (await fetch(`${url}/runs/${run}/events?after=0`)).text()
  return [...text.matchAll(/^event: (.*)\ndata: (.*)\nid: (.*)$/gm)].map(([, event = '', data = '', id = '']) => ({
    id,
    event,
    data,
  }))
}

const contentOf = (data: string) => (JSON.parse(data) as { content: string }).content

/** What breaks careless parsers: leading space, line and paragraph separators, an emoji, a colon, a CR, a newline. */
function payload(n: number): string {
  const parts = [' space first', 'a\u2028b\u2029c', '😀 smile', 'id: 99', 'data: x\n\nevent: y', '\r', '']
  return `${parts[n % parts.length]}${n}`
}
