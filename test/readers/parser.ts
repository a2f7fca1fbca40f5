// eventsource-parser over bytes of fetch or of curl, with the reconnect loop that its users write around it.
// It must never deliver an event that was not complete: the parser holds half a frame back, and so do we.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import type { ReadEvent, ReadOptions } from './readers.ts'

/** The reconnect delay until a server says `retry:`; browsers take the same. */
const retryMsDefault = 3_000

interface Body {
  readonly bytes: AsyncIterable<Uint8Array>
  /** Known at the latest after the bytes; 0 when there was no answer. */
  readonly status: () => Promise<number>
}

type Open = (headers: Record<string, string>, signal?: AbortSignal) => Body

export async function* reconnecting(open: Open, { lastEventId, signal }: ReadOptions): AsyncGenerator<ReadEvent> {
  let last = lastEventId
  let retryMs = retryMsDefault
  while (true) {
    const body = open({ accept: 'text/event-stream', ...(last === undefined ? {} : { 'last-event-id': last }) }, signal)
    for await (const event of parse(body.bytes, ms => void (retryMs = ms))) {
      last = event.id ?? last
      yield event
    }
    const status = await body.status()
    if (status === 204) return
    if (status !== 200 && status !== 0) throw new Error(`status ${status}`)
    await sleep(retryMs, undefined, signal === undefined ? {} : { signal })
  }
}

export function fetchBody(url: string): Open {
  return (headers, signal) => {
    const answer = fetch(url, { headers, ...(signal === undefined ? {} : { signal }) })
    const response = answer.catch(() => undefined)
    return {
      bytes: (async function* () {
        yield* (await response)?.body ?? []
      })(),
      status: async () => (await response)?.status ?? 0,
    }
  }
}

export function curlBody(url: string): Open {
  return (headers, signal) => {
    const lines = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`])
    const args = ['--silent', '--no-buffer', '--write-out', '%{stderr}%{http_code}', ...lines, url]
    const child = spawn('curl', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal === undefined ? {} : { signal }),
    })
    child.on('error', () => {})
    const code = text(child.stderr)
    return {
      bytes: (async function* () {
        try {
          yield* child.stdout as AsyncIterable<Uint8Array>
        } finally {
          child.kill('SIGKILL')
          if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
        }
      })(),
      status: async () => Number(await code),
    }
  }
}

async function* parse(bytes: AsyncIterable<Uint8Array>, onRetry: (ms: number) => void): AsyncGenerator<ReadEvent> {
  const events: ReadEvent[] = []
  const parser = createParser({
    onEvent: ({ id, event = 'message', data }) => events.push({ ...(id === undefined ? {} : { id }), event, data }),
    onRetry,
  })
  const decoder = new TextDecoder()
  const chunks = bytes[Symbol.asyncIterator]()
  try {
    while (true) {
      // Only the connection may fail here; what the consumer throws must not be taken for a cut.
      const next = await chunks.next().catch(() => ({ done: true, value: undefined }) as const)
      if (next.done) return
      parser.feed(decoder.decode(next.value, { stream: true }))
      yield* events.splice(0)
    }
  } finally {
    await chunks.return?.()
  }
}
