// The same API inside somebody else's server: node:http, Express, Fastify, or anything that speaks Request and Response
// (Hono, Next). One application serves them all; this file only carries requests to it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import type { FastifyPluginAsync } from 'fastify'
import { refuseRead } from './errors.ts'
import { type App, registerApi, streamsOf } from './app.ts'
import type { AppOptions } from './parts.ts'
import { mounted } from './request.ts'

/** A handler for `node:http` and, mounted before any body parser, for Express. */
export function nodeHandler({ fastify }: App): (request: IncomingMessage, response: ServerResponse) => void {
  const ready = fastify.ready()
  return (request, response) => {
    // Nothing would ever come of waiting for it again.
    if (request.readableDidRead) return refuseRead(response)
    ready.then(
      () => fastify.routing(request, response),
      error => response.destroy(error),
    )
  }
}

/** A Fastify plugin: `fastify.register(fastifyPlugin(options), { prefix: '/agents' })`. */
export function fastifyPlugin(options: AppOptions): FastifyPluginAsync {
  return async scope => {
    const streams = streamsOf(options, scope.log)
    scope.addHook('onClose', async () => streams.stop())
    scope.addHook('preClose', async () => streams.drain())
    await registerApi(scope, options, streams)
  }
}

/** A web handler. `basePath` is taken off the URL's path: `/api/agents` in a Next route of that name. */
export function fetchHandler({ fastify }: App, basePath = ''): (request: Request) => Promise<Response> {
  return async request => {
    await fastify.ready()
    const { pathname, search } = new URL(request.url)
    const isBelow = pathname === basePath || pathname.startsWith(`${basePath}/`)
    const url = (isBelow ? pathname.slice(basePath.length) || '/' : pathname) + search
    const leaving = new AbortController()
    const leave = () => leaving.abort()
    request.signal.addEventListener('abort', leave, { once: true })
    const answer = await mounted.run(
      { basePath: isBelow ? basePath : '', left: leaving.signal },
      async () =>
        // Awaited in here: it begins only then.
        await fastify.inject({
          method: request.method as 'GET',
          url,
          headers: Object.fromEntries(request.headers),
          signal: request.signal,
          payloadAsStream: true,
          // Not read ahead: a body beyond its limit is refused before it is here.
          ...(request.body && { payload: Readable.fromWeb(request.body as WebStream) }),
        }),
    )
    const headers = new Headers()
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value !== undefined && name !== 'transfer-encoding' && name !== 'connection') headers.set(name, String(value))
    }
    const empty = answer.statusCode === 204 || answer.statusCode === 304
    const body = answer.stream()
    // There is no socket to close: a reader that cancels its body leaves through this.
    body.once('close', leave)
    const stream = empty ? null : (Readable.toWeb(body) as ReadableStream<Uint8Array>)
    return new Response(stream, { status: answer.statusCode, headers })
  }
}
