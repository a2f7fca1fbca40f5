// What a request says beside its body: cursor, types, the wire it wants. Pure functions of a request.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { RuncastError } from '../../error.ts'
import { eventTypes } from '../../event.ts'
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
    if (
      !/^(custom:)?[A-Za-z_][A-Za-z0-9_]*$/.test(name) ||
      !(eventTypes.includes(name as never) || name.startsWith('custom:'))
    ) {
      throw new RuncastError(
        'invalid_request',
        `types: there is no event type ${JSON.stringify(name)}; there are ${eventTypes.join(', ')} and custom:NAME`,
      )
    }
  }
  return new Set(names)
}

export function wantsStream(request: FastifyRequest): boolean {
  return /text\/event-stream|application\/x-ndjson/.test(request.headers.accept ?? '')
}

export function wireOf(request: FastifyRequest): Wire {
  return request.headers.accept?.includes('application/x-ndjson') ? 'ndjson' : 'sse'
}

export function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

export function reasonOf(request: FastifyRequest): string | undefined {
  return (request.query as z.infer<typeof cancelQuery>).reason
}

export function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? ''
}

export function leavingOf(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) leaving.abort()
  })
  return leaving.signal
}
