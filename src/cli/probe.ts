// Whether a stream really streams, measured through everything that lies between: proxies that collect a response before
// they pass it on are the most common reason why live events come late. It starts no agent of anybody.
import { randomUUID } from 'node:crypto'
import { RuncastError } from '../error.ts'

export interface Probed {
  /** From the request to the first bytes, and to the end. */
  readonly firstMs: number
  readonly endMs: number
  /** The first bytes came only when the server ended the stream. */
  readonly buffered: boolean
  /** What between us and the server was seen to change. */
  readonly changes: readonly string[]
}

/** How long the stream is idle and open: well above any latency, short enough to wait for. */
const openMs = 2_000
/** An answer that takes longer never comes. */
const answerMsMax = 15_000

/** Opens the feed of a thread that does not exist: the server says a line at once, and ends it when nothing came. */
export async function probeStream(url: string, headers: Record<string, string>): Promise<Probed> {
  const started = performance.now()
  const since = () => Math.round(performance.now() - started)
  const response = await fetch(`${url}/threads/doctor-${randomUUID()}/events?timeout=${openMs / 1000}`, {
    headers: { ...headers, accept: 'text/event-stream' },
    signal: AbortSignal.timeout(answerMsMax),
  })
  const type = response.headers.get('content-type') ?? 'nothing'
  if (!response.ok || !type.startsWith('text/event-stream')) {
    await response.body?.cancel()
    throw new RuncastError('unavailable', `it answered ${response.status} with ${type} in place of an event stream`)
  }
  let firstMs: number | undefined
  try {
    for await (const _piece of response.body ?? []) firstMs ??= since()
  } catch {
    // Cut at its end, as streams may be.
  }
  const endMs = since()
  firstMs ??= endMs
  return { firstMs, endMs, buffered: endMs - firstMs < openMs / 2, changes: changesOf(response) }
}

function changesOf({ headers }: Response): string[] {
  const encoding = headers.get('content-encoding')
  const caching = headers.get('cache-control') ?? ''
  return [
    ...(encoding ? [`compressed with ${encoding}, which some proxies do only to whole bodies`] : []),
    ...(caching.includes('no-transform')
      ? []
      : [`cache-control is ${caching || 'gone'}; it was "no-cache, no-transform"`]),
  ]
}
