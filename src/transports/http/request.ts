// What a request says beside its body: cursor, types, the wire it wants, where the API is mounted, when its sender leaves.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { RuncastError } from '../../error.ts'
import { eventTypes, isTypeName } from '../../event.ts'
import { traceContextOf } from '../../formats/trace-context.ts'
import { preferred } from './accept.ts'
import type { Wire } from './frames.ts'
import type { cancelQuery, EventsQuery } from './schemas.ts'

/** Several ways to say one cursor; an EventSource repeats its URL, so the header it adds wins. */
export function cursorOf(request: FastifyRequest, query: EventsQuery): number {
  const header = request.headers['last-event-id']
  if (typeof header === 'string' && header !== '') {
    const id = Number(header)
    if (/^\d+$/.test(header) && Number.isSafeInteger(id)) return id
    throw new RuncastError(
      'invalid_request',
      `Last-Event-ID must be a sequence, got ${JSON.stringify(header.slice(0, 80))}`,
    )
  }
  return query.after ?? Math.max(0, (query.from_sequence ?? 1) - 1)
}

export function typesOf(types: string | undefined): ReadonlySet<string> | undefined {
  if (types === undefined) return undefined
  const names = types.split(',').map(name => name.trim())
  for (const name of names) {
    if (!isTypeName(name)) {
      throw new RuncastError(
        'invalid_request',
        `types: there is no event type ${JSON.stringify(name)}; there are ${eventTypes.join(', ')} and custom:NAME`,
      )
    }
  }
  return new Set(names)
}

const ndjson = 'application/x-ndjson'

export function wantsStream(request: FastifyRequest): boolean {
  return preferred(request.headers.accept, ['application/json', 'text/event-stream', ndjson]) !== 'application/json'
}

export function wireOf(request: FastifyRequest): Wire {
  return preferred(request.headers.accept, ['text/event-stream', ndjson]) === ndjson ? 'ndjson' : 'sse'
}

export function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

export function reasonOf(request: FastifyRequest): string | undefined {
  return (request.query as z.infer<typeof cancelQuery>).reason
}

/** The trace that the request belongs to, as labels of the run that it starts. */
export function traceLabelsOf({ headers }: FastifyRequest): Record<string, string> | undefined {
  const context = traceContextOf(headers['traceparent'], headers['tracestate'])
  return context && { ...context }
}

export function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? ''
}

/** What a web handler knows of its request, and Fastify's request, which has no socket, does not. */
export interface Mounted {
  readonly basePath: string
  readonly left: AbortSignal
}

/** Read once, when the request comes in: reading a body loses the context. */
export const mounted = new AsyncLocalStorage<Mounted>()

/** Where the API stands in somebody else's server: what goes before every path that we tell. */
export function baseOf(request: FastifyRequest): string {
  return (request.raw as { baseUrl?: string }).baseUrl ?? request.mounted?.basePath ?? '' // baseUrl: Express
}

/** Aborts when whoever asked goes away before the answer is complete; at once where they have gone already. */
export function leavingOf(reply: FastifyReply): AbortController {
  const leaving = new AbortController()
  const left = reply.request.mounted?.left
  const { raw } = reply // not the reply: a stream would hold it until its end
  if (left?.aborted || raw.destroyed) leaving.abort()
  left?.addEventListener('abort', () => leaving.abort(), { once: true })
  raw.on('close', () => {
    if (!raw.writableFinished) leaving.abort()
  })
  return leaving
}
