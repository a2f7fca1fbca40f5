// `runcast/http`: agents over HTTP. `serve` listens by itself; for whoever has a server already, `api` composes runs and
// routes without listening, and the handlers carry requests to it.
import type { FastifyPluginAsync } from 'fastify'
import { compose, type ServeOptions } from './server.ts'
import { type App, createApp } from './transports/http/app.ts'
import { fastifyPlugin as pluginOf } from './transports/http/mount.ts'

export { serve, type Served, type ServeOptions } from './server.ts'
export type { App } from './transports/http/app.ts'
export { apiKeys, type Authenticate } from './transports/http/auth.ts'
export { fetchHandler, nodeHandler } from './transports/http/mount.ts'

/** The runs API as an application, to be given to `nodeHandler` or `fetchHandler`. */
export async function api(options: ServeOptions): Promise<App> {
  return createApp((await compose(options)).appOptions)
}

/** A Fastify plugin: `fastify.register(fastifyPlugin({ agents }), { prefix: '/agents' })`. */
export function fastifyPlugin(options: ServeOptions): FastifyPluginAsync {
  return async scope => {
    const composed = await compose(options)
    await scope.register(pluginOf(composed.appOptions))
    scope.addHook('onClose', async () => composed.runs.stop(options.shutdownGraceMs ?? 10_000))
  }
}
