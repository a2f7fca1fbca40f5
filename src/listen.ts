// An application that listens, whatever stands behind its routes: with the conversations and the page beside the API, and
// stopped in an order in which no reader is cut before it has what was said, or told when to come back.
import type { AddressInfo } from 'node:net'
import type { Conversations } from './conversations/conversations.ts'
import { conversationRoutes } from './conversations/routes.ts'
import { type App, createApp } from './transports/http/app.ts'
import type { AppOptions } from './transports/http/parts.ts'
import { type WebOptions, webRoutes } from './web.ts'

export interface ListenOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 8080; 0 = any free one. */
  readonly port?: number
  /** Serves the page at `/`. */
  readonly web?: boolean | WebOptions | undefined
  readonly warn?: (message: string) => void
}

export interface Listening extends AsyncDisposable {
  readonly url: string
  readonly app: App
  /** Tells readers to come back, closes. */
  stop(graceMs?: number): Promise<void>
}

/** What is served, and how it ends. */
export interface Behind {
  readonly appOptions: AppOptions
  /** Served under /conversations. */
  readonly conversations: Conversations | undefined
  /** What everyone may do, and how to ask for keys; absent where they are asked for. */
  readonly risk: string | undefined
  /** Brings to an end what runs; readers are there for so long. */
  settle(graceMs: number): Promise<void>
  /** Once the last reader has gone. */
  close(): Promise<void>
}

/** How long a connection may take to close by itself when the server stops. */
const closeMs = 500

/** `graceMs` is the default of `stop`. */
export async function listen(options: ListenOptions, behind: Behind, graceMs: number): Promise<Listening> {
  const { host = '127.0.0.1', port = 8080, web } = options
  const { appOptions, conversations } = behind
  const app = await createApp(appOptions)
  const { fastify, streams } = app
  if (conversations) {
    await fastify.register(conversationRoutes(conversations, { principalOf: request => request.principal }))
  }
  if (web) await fastify.register(webRoutes(web === true ? {} : web))
  await fastify.listen({ host, port })
  if (behind.risk !== undefined && !loopback.has(host)) {
    const { warn = console.warn } = options
    warn(`WARNING: the server listens on ${host} without authentication: everyone who reaches it ${behind.risk}`)
  }

  let stopped: Promise<void> | undefined
  const stop = async (grace: number) => {
    const closed = new Promise<void>(resolve => fastify.server.close(() => resolve())) // no new connections
    await behind.settle(grace)
    await streams.drain()
    fastify.server.closeIdleConnections()
    const { sleep } = appOptions.deps
    await Promise.race([closed, sleep(closeMs).then(() => fastify.server.closeAllConnections())])
    streams.stop()
    await fastify.close()
    await behind.close()
  }
  const listening: Listening = {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(fastify.server.address() as AddressInfo).port}`,
    app,
    stop: (grace = graceMs) => (stopped ??= stop(grace)),
    [Symbol.asyncDispose]: () => listening.stop(0),
  }
  return listening
}

const loopback = new Set(['127.0.0.1', 'localhost', '::1'])
