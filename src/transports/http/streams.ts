// The open streams of a server: each is one follow into one pipe. One sweep looks after all of them, for heartbeats and
// idle deadlines, so that a reader costs no timer. It must never end a body cleanly before the terminal event, but for
// a deadline: many readers take a clean end for the end of the run.
import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { Batch } from '../../batch.ts'
import { RuncastError } from '../../error.ts'
import type { Deliver } from '../../follow.ts'
import type { Deps } from '../../runs.ts'
import {
  bodyOf,
  contentTypes,
  countOf,
  gapNotice,
  heartbeat,
  notice,
  streamHeaders,
  type Subject,
  type Wire,
} from './frames.ts'
import { type Chunk, lastOf, Pipe, sharedChunk } from './pipe.ts'
import { leavingOf } from './request.ts'

export interface StreamsOptions {
  readonly deps: Deps
  readonly log: FastifyBaseLogger
  readonly heartbeatMs: number
  /** Heartbeats as events; else as comments. */
  readonly heartbeatEvents: boolean
  readonly retryMs: number
  /** Open streams of the whole server. */
  readonly connectionsMax: number
}

/** A body in another protocol than ours (a face). It has no notices: what its client must know stands in its own frames. */
export interface ForeignBody {
  /** Goes before our own headers' values of the same name. */
  readonly headers: Readonly<Record<string, string>>
  /** Frames before the first batch. */
  readonly opening: string
  encode(batch: Batch): string
  /** A whole comment, for silence. */
  readonly comment: string
  /** What stands behind the last frame. */
  readonly ending: string
}

export interface StreamWork {
  readonly subject: Subject
  readonly wire: Wire
  /** The response ends when no event came for so long. */
  readonly idleMs: number
  /** Whether ids may move a reader's cursor over what its filter skips. */
  readonly resumable: boolean
  /** The reader came with a cursor. */
  readonly resumed?: boolean
  /** Instead of our events. */
  readonly foreign?: ForeignBody | undefined
}

/** Where a stream's batches come from; `opened` when it is found, before the first of them. */
export type Follow = (opts: { signal: AbortSignal; opened: () => void }, deliver: Deliver) => Promise<void>

export interface Streams {
  readonly open: number
  /** Resolves when the response has begun: an idle reader holds nothing of its request's handling. */
  serve(reply: FastifyReply, work: StreamWork, follow: Follow): Promise<FastifyReply>
  /** Lets every reader hear what was said, tells it to come back with its cursor, and closes. */
  drain(): Promise<void>
  stop(): void
}

interface Stream {
  readonly work: StreamWork
  readonly pipe: Pipe
  readonly leaving: AbortController
  readonly foreign: ForeignBody | undefined
  /** Makes the bytes of a batch, once for all streams of this wire. */
  readonly chunkOf: (batch: Batch) => Chunk
  /** In ms since these streams were made: small integers stand in the object itself. */
  lastSentAt: number
  lastEventAt: number
  cursor: number
  /** The last id that the reader has; behind the cursor when a filter skips. */
  idSent: number
  cancelTold: boolean
  /** The last thing sent was a comment. */
  commented: boolean
  /** Answers with an error instead; undefined once the response has begun. */
  refuse: ((error: unknown) => void) | undefined
}

/** How precise deadlines and heartbeats are. */
const sweepMs = 200
/** Turns of the event loop without the end of a stream, some milliseconds: more than ten thousand others may be woken first. */
const turnsStill = 200

export function createStreams(options: StreamsOptions): Streams {
  const { deps, log, heartbeatMs, heartbeatEvents, retryMs, connectionsMax } = options
  const streams = new Set<Stream>()
  /** Those that are looked up: they have a place already. */
  let opening = 0
  const stopping = new AbortController()
  const chunks: Record<Wire, (batch: Batch) => Chunk> = {
    sse: lastOf(batch => sharedChunk(bodyOf('sse', batch))),
    ndjson: lastOf(batch => sharedChunk(bodyOf('ndjson', batch))),
  }
  const madeAt = deps.now()
  /** The time of the last sweep, in ms since `madeAt`: exact enough for deadlines, and free on the hot path. */
  let clock = 0
  let sweeping = false

  const sweep = async () => {
    if (sweeping) return
    sweeping = true
    while (streams.size > 0 && !stopping.signal.aborted) {
      await deps.sleep(sweepMs, stopping.signal).catch(() => {})
      clock = deps.now() - madeAt
      for (const stream of streams) look(stream)
    }
    sweeping = false
  }

  const look = (stream: Stream) => {
    const { work, pipe } = stream
    if (clock - stream.lastEventAt >= work.idleMs) {
      stream.leaving.abort()
      // A clean end right behind a comment stops some readers for good (go-sse); a cut brings all of them back.
      // A face's client takes any clean end for the end of the run (wire.md §7.2).
      if (stream.commented || work.foreign) pipe.hangUp()
      else pipe.end()
      return
    }
    if (clock - stream.lastSentAt < heartbeatMs || pipe.full) return
    stream.lastSentAt = clock
    if (work.foreign) return pipe.write(work.foreign.comment)
    if (work.resumable && work.wire === 'sse' && stream.cursor > stream.idSent) {
      stream.idSent = stream.cursor
      pipe.write(`id: ${stream.cursor}\n\n`)
    }
    // An event without an id makes some readers (httpx-sse, as its README has it) forget the cursor that they came with:
    // until this connection has brought an id, a resumed reader hears comments.
    const asEvent = heartbeatEvents && (!work.resumed || stream.idSent > 0)
    stream.commented = !asEvent
    pipe.write(heartbeat(work.wire, asEvent, work.subject, new Date(madeAt + clock).toISOString()))
  }

  const deliver = (stream: Stream, batch: Batch): void | Promise<void> => {
    const { pipe, foreign } = stream
    if (foreign) return deliverForeign(stream, batch, foreign)
    if (batch.gap) pipe.write(gapNotice(stream.work.wire, stream.work.subject, batch.gap))
    if (batch.state === 'cancelling' && !stream.cancelTold) {
      const { work } = stream
      stream.cancelTold = true
      pipe.write(notice(work.wire, 'cancel_requested', work.subject, { timestamp: new Date(deps.now()).toISOString() }))
    }
    stream.cursor = batch.last
    if (countOf(batch) > 0) {
      stream.idSent = batch.last
      stream.commented = false
      stream.lastEventAt = stream.lastSentAt = clock
      pipe.share(stream.chunkOf(batch))
    }
    return pipe.drained()
  }

  const deliverForeign = (stream: Stream, batch: Batch, foreign: ForeignBody): void | Promise<void> => {
    const body = foreign.encode(batch)
    stream.cursor = batch.last
    if (countOf(batch) > 0) stream.lastEventAt = clock
    if (body !== '') {
      stream.lastSentAt = clock
      stream.pipe.write(body)
    }
    return stream.pipe.drained()
  }

  async function serve(reply: FastifyReply, work: StreamWork, follow: Follow): Promise<FastifyReply> {
    if (streams.size + opening >= connectionsMax) {
      throw new RuncastError('overloaded', `the server has ${connectionsMax} open streams, its limit; try again later`)
    }
    const stream = newStream(reply, work)
    opening++
    await new Promise<void>((resolve, reject) => {
      stream.refuse = reject
      const opened = () => {
        reply.hijack()
        begin(stream, { ...replyHeaders(reply), ...headersOf(work), ...work.foreign?.headers })
        resolve()
      }
      outlast(stream, follow({ signal: stream.leaving.signal, opened }, deliverTo(stream)))
    })
    return reply
  }

  const newStream = (reply: FastifyReply, work: StreamWork): Stream => ({
    work,
    pipe: new Pipe(reply.raw),
    leaving: leavingOf(reply),
    foreign: work.foreign,
    chunkOf: chunks[work.wire],
    lastSentAt: 0,
    lastEventAt: 0,
    cursor: 0,
    idSent: 0,
    cancelTold: false,
    commented: false,
    refuse: undefined,
  })

  const headersOf = (work: StreamWork) => ({
    ...streamHeaders,
    'content-type': contentTypes[work.wire],
    'x-runcast-heartbeat-ms': String(heartbeatMs),
  })

  const begin = (stream: Stream, headers: Record<string, string>) => {
    const { work, pipe } = stream
    pipe.begin(200, headers)
    stream.refuse = undefined
    opening--
    if (work.foreign) pipe.write(work.foreign.opening)
    else if (work.wire === 'sse') pipe.write(`retry: ${retryMs}\n`)
    clock = stream.lastSentAt = stream.lastEventAt = deps.now() - madeAt
    streams.add(stream)
    void sweep()
  }

  // These two stand apart from `serve`: what they make lasts as long as the stream, and would hold all that it knows.
  const deliverTo =
    (stream: Stream): Deliver =>
    batch =>
      deliver(stream, batch)

  const outlast = (stream: Stream, following: Promise<void>): void => {
    following.then(
      () => ended(stream),
      error => failed(stream, error),
    )
  }

  const leave = (stream: Stream) => {
    if (stream.refuse) opening--
    else streams.delete(stream)
  }

  const ended = (stream: Stream) => {
    leave(stream)
    if (stream.leaving.signal.aborted) return
    if (stream.foreign) stream.pipe.write(stream.foreign.ending)
    stream.pipe.end()
  }

  const failed = (stream: Stream, thrown: unknown) => {
    leave(stream)
    if (stream.refuse) return stream.refuse(thrown)
    const { work, pipe } = stream
    const error = RuncastError.from(thrown)
    if (error.code === 'cursor_gone' && !work.foreign) {
      const { requested, oldest } = error.details as { requested: number; oldest: number }
      pipe.write(gapNotice(work.wire, work.subject, { requested, oldest }))
      pipe.end()
      return
    }
    log.warn({ err: error, ...work.subject }, 'a stream broke')
    pipe.destroy()
  }

  /** Readers are woken over several turns: the ends reach all of them before the rest is told to leave. */
  const told = async () => {
    for (let still = 0, open = streams.size; still < turnsStill; still++) {
      await new Promise(resolve => setImmediate(resolve))
      if (streams.size < open) still = 0
      open = streams.size
    }
  }

  return {
    get open() {
      return streams.size
    },
    serve,
    async drain() {
      await told()
      for (const { work, pipe, cursor, leaving } of streams) {
        const resumes = !work.foreign && !('request_id' in work.subject)
        if (resumes) pipe.write(notice(work.wire, 'reconnect', work.subject, { after: cursor }))
        leaving.abort() // what the run says from now on is for the next connection
        pipe.hangUp()
      }
    },
    stop: () => stopping.abort(),
  }
}

/** What plugins (CORS) have put on the reply, which a hijacked one would lose. */
function replyHeaders(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
  )
}
