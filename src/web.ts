// The built page over HTTP, as a Fastify plugin: index.html at `/`, its hashed files under `/assets/`. It reads what
// `vite build` left in web/dist and nothing else on disk, and what it sends may run only scripts that came with it.
import { readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { packageFile } from './package.ts'
import { preferred } from './transports/http/accept.ts'

export interface WebOptions {
  /** The folder that holds the built page. Default: web/dist of this package. */
  readonly dir?: string | undefined
}

/** No inline script, no other origin: what a model writes cannot run, nor send anything away by an image. */
const policy = [
  "default-src 'self'",
  // React, the graph and the charts place things by styles; a style cannot run.
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "worker-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'self'",
].join('; ')

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
}

/** A year; the name of a hashed file changes with its content. */
const hashedFor = 'public, max-age=31536000, immutable'

/** Names that Vite gives; anything else, a path above all, is not looked for. */
const assetName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/

export function webRoutes({ dir = fileURLToPath(packageFile('web/dist')) }: WebOptions = {}): FastifyPluginAsync {
  return async fastify => {
    const packed = new Map<string, Promise<Buffer>>()
    const route = { config: { public: true }, schema: { hide: true } as object }

    fastify.get('/', route, async (request, reply) => {
      const page = await readFile(join(dir, 'index.html')).catch(() => undefined)
      const body = page ?? Buffer.from(notBuilt)
      reply.code(page === undefined ? 503 : 200)
      return send(request, reply, body, { type: types['.html'] as string, cache: 'no-cache' })
    })

    fastify.get('/favicon.svg', route, async (request, reply) => {
      const body = await readFile(join(dir, 'favicon.svg')).catch(() => undefined)
      if (body === undefined) return reply.callNotFound()
      return send(request, reply, body, { type: types['.svg'] as string, cache: 'public, max-age=86400' })
    })

    fastify.get('/assets/:name', route, async (request, reply) => {
      const { name } = request.params as { name: string }
      const type = types[extname(name)]
      if (!assetName.test(name) || type === undefined) return reply.callNotFound()
      const body = await readFile(join(dir, 'assets', basename(name))).catch(() => undefined)
      if (body === undefined) return reply.callNotFound()
      const pack = () => {
        // Packed once: the name says the content.
        const known = packed.get(name) ?? promisify(gzip)(body)
        packed.set(name, known)
        return known
      }
      return send(request, reply, body, { type, cache: hashedFor, pack })
    })
  }
}

interface Sent {
  readonly type: string
  readonly cache: string
  readonly pack?: () => Promise<Buffer>
}

async function send(request: FastifyRequest, reply: FastifyReply, body: Buffer, { type, cache, pack }: Sent) {
  reply.headers({
    'content-type': type,
    'cache-control': cache,
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    vary: 'accept-encoding',
  })
  const packs =
    pack !== undefined && preferred(String(request.headers['accept-encoding'] ?? ''), ['identity', 'gzip']) === 'gzip'
  if (!packs) return reply.send(body)
  return reply.header('content-encoding', 'gzip').send(await pack())
}

const notBuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Runcast</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }
</style>
<h1>The page is not built yet</h1>
<p>Run <code>npm run build:web</code> once, then load this page again. <code>npm start</code> does it by itself.</p>
<p>The API works without it: see <a href="docs">its documentation</a>.</p>
</html>
`
