// `runcast/http`: agents over HTTP. `serve` listens by itself; for whoever has a server already, `api` composes runs and
// routes without listening, and the handlers carry requests to it.
import type { FastifyPluginAsync } from 'fastify'
import type { ListenOptions } from './listen.ts'
import { compose, type Composed, type ServeOptions } from './server.ts'
import { type App, createApp } from './transports/http/app.ts'
import { fastifyPlugin as pluginOf } from './transports/http/mount.ts'

export type { Listening } from './listen.ts'
export { serveSource, type ServeSourceOptions } from './serve-source.ts'
export { serve, type Served, type ServeOptions } from './server.ts'
export type { App } from './transports/http/app.ts'
export { apiKeys, type Authenticate } from './transports/http/auth.ts'
export { fetchHandler, nodeHandler } from './transports/http/mount.ts'

/** What a server of one's own takes: it listens itself, and the page and the conversations are those of `serve`. */
export type ApiOptions = Omit<ServeOptions, keyof ListenOptions | 'conversations'>

/**
 * The runs API as an application, to be given to `nodeHandler` or `fetchHandler`. Disposing of it, or `fastify.close()`,
 * lets runs end, tells readers to come back, and closes the log.
 */
export async function api(options: ApiOptions): Promise<App & AsyncDisposable> {
  const composed = await compose(options)
  const app = await createApp(composed.appOptions)
  const { fastify, streams } = app
  fastify.addHook('preClose', async () => {
    await composed.settle()
    await streams.drain()
  })
  fastify.addHook('onClose', async () => {
    await close(composed, options)
    streams.stop()
  })
  return { ...app, [Symbol.asyncDispose]: () => fastify.close().then(() => {}) }
}

/** A Fastify plugin: `fastify.register(fastifyPlugin({ agents }), { prefix: '/agents' })`. */
export function fastifyPlugin(options: ApiOptions): FastifyPluginAsync {
  return async scope => {
    const composed = await compose(options)
    scope.addHook('preClose', () => composed.settle()) // before the plugin's own: its readers hear the ends
    await scope.register(pluginOf(composed.appOptions))
    scope.addHook('onClose', async () => close(composed, options))
  }
}

async function close({ log }: Composed, { sink }: ApiOptions): Promise<void> {
  if (sink) await sink[Symbol.asyncDispose]()
  await log[Symbol.asyncDispose]()
}
