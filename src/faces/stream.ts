// How a face serves a run: its encoder's frames over the common stream writer. What every face needs of the server is
// here too. It must never end a body cleanly before its encoder has said the end: clients take that for a whole answer.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Batch } from '../batch.ts'
import type { Event } from '../event.ts'
import type { Runs } from '../runs.ts'
import type { RouteParts } from '../transports/http/parts.ts'

/** Routes in somebody else's protocol; `serve` registers ours by default. */
export type Face = (fastify: FastifyInstance, parts: RouteParts) => void

/** A run as frames of another protocol; see formats/agui.ts and formats/aisdk.ts. */
export interface FaceEncoder {
  readonly opening: readonly object[]
  take(events: readonly Event[]): readonly object[]
  /** The last frame was said, maybe before the run's end. */
  readonly ended: boolean
}

export interface FaceStream {
  readonly runs: Runs
  readonly run: string
  /** The cursor of the view that the encoder began with. */
  readonly after: number
  readonly encoder: FaceEncoder
  readonly headers: Readonly<Record<string, string>>
  /** A whole comment frame. */
  readonly comment: string
  /** Behind the last frame. */
  readonly ending: string
}

export function serveRun(
  request: FastifyRequest,
  reply: FastifyReply,
  { streams, idleMs }: RouteParts,
  { runs, run, after, encoder, headers, comment, ending }: FaceStream,
): Promise<FastifyReply> {
  const work = {
    subject: { run_id: run },
    wire: 'sse' as const,
    idleMs,
    resumable: false,
    foreign: {
      headers: { 'x-runcast-run-id': run, ...headers },
      opening: framesOf(encoder.opening),
      encode: (batch: Batch) => framesOf(encoder.take(batch.events)),
      comment,
      ending,
    },
  }
  return streams.serve(reply, work, ({ signal, opened }, deliver) => {
    const over = new AbortController()
    if (encoder.ended) over.abort()
    const either = AbortSignal.any([signal, over.signal])
    return runs.follow(run, { after, signal: either, opened }, batch => {
      const blocked = deliver(batch)
      if (encoder.ended) over.abort()
      return blocked
    })
  })
}

/** U+2028 is legal in JSON and in SSE; nothing here splits lines at it. */
function framesOf(frames: readonly object[]): string {
  return frames.map(frame => `data: ${JSON.stringify(frame)}\n\n`).join('')
}
