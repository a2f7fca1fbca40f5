// One connection to an event stream: ask, read, and tell why it is over. The loop that tries again is client/resume.ts;
// this must never retry, wait, or read on while the reader is busy.
import type { Attach, Lost } from '../../client/resume.ts'
import type { Arrival } from '../../client/seam.ts'
import { RuncastError } from '../../error.ts'
import { errorOf, mayPass, messageOf, retryAfterMs } from './answer.ts'
import { arrivalOf } from './arrivals.ts'
import { createSseParser } from './sse-parser.ts'

export interface Wire {
  readonly fetch: typeof fetch
  /** Where the events behind a cursor are. */
  readonly url: (after: number) => string
  readonly headers: () => Promise<Record<string, string>>
}

export function attachTo(wire: Wire): Attach {
  return async ({ after, signal, opened, take }) => {
    let response: Response
    try {
      const headers = await wire.headers()
      response = await wire.fetch(wire.url(after), { headers, signal, cache: 'no-store' })
    } catch (cause) {
      if (cause instanceof RuncastError && !cause.retryable) throw cause
      return { error: cutOff(messageOf(cause), cause) }
    }
    if (response.status === 204) return 'ended'
    if (!response.ok) {
      const waitMs = retryAfterMs(response)
      const error = await errorOf(response)
      if (!mayPass(response.status)) throw error
      return { error, ...(waitMs !== undefined && { waitMs }) }
    }
    const type = response.headers.get('content-type') ?? 'nothing'
    if (!response.body || !type.startsWith('text/event-stream')) {
      await response.body?.cancel().catch(() => {})
      const what = `${wire.url(after)} answered ${type} in place of an event stream; is it a Runcast server?`
      return { error: new RuncastError('internal', what), broken: true }
    }
    opened(heartbeatMsOf(response))
    return read(response.body.getReader(), take)
  }
}

/** Reads a body to its end or its cut, no faster than the reader takes it. The signal closes what is left of it. */
async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  take: (arrivals: readonly Arrival[]) => Promise<boolean>,
): Promise<Lost> {
  const decoder = new TextDecoder()
  const parse = createSseParser()
  for (;;) {
    let piece: Awaited<ReturnType<typeof reader.read>>
    try {
      piece = await reader.read()
    } catch (cause) {
      return { error: cutOff(messageOf(cause), cause) }
    }
    if (piece.done) return { error: cutOff('the response ended before the run'), clean: true }
    const arrivals: Arrival[] = []
    for (const parsed of parse(decoder.decode(piece.value, { stream: true }))) {
      const arrival = arrivalOf(parsed)
      if (arrival) arrivals.push(arrival)
    }
    if (!(await take(arrivals))) return { error: cutOff('the reader left') }
  }
}

function cutOff(what: string, cause?: unknown): RuncastError {
  return new RuncastError('unavailable', `the stream was cut: ${what}`, { cause })
}

function heartbeatMsOf(response: Response): number | undefined {
  const ms = Number(response.headers.get('x-runcast-heartbeat-ms'))
  return ms > 0 && Number.isFinite(ms) ? ms : undefined
}
