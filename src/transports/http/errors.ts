// What comes in and goes out around the routes: bodies as the agent's input, failures as the one error body. It must
// never show a caller what went wrong inside.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Code, RuncastError } from '../../error.ts'

/** The raw body is the agent's input: JSON, or text as it is; nothing at all is null. */
export function parseBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, null)
    try {
      done(null, JSON.parse(body as string))
    } catch (error) {
      done(new RuncastError('invalid_request', `the body is no JSON: ${(error as Error).message}`), undefined)
    }
  })
  fastify.addContentTypeParser(/^text\//, { parseAs: 'string' }, (_request, body, done) => done(null, body))
}

const fastifyCodes: Readonly<Record<string, Code>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
  FST_ERR_BAD_URL: 'invalid_request',
}

export function sendError(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const { code: own = '', statusCode = 500 } = thrown as { code?: string; statusCode?: number }
  if (own === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return sendError(request, reply, strangeType(request))
  const error = RuncastError.from(thrown, fastifyCodes[own] ?? (statusCode < 500 ? 'invalid_request' : 'internal'))
  if (error.code === 'internal') {
    request.log.error({ err: thrown }, 'unexpected')
    const hidden = new RuncastError('internal', 'something went wrong here; the server log says what')
    return reply.code(500).send(hidden.toJSON())
  }
  if (error.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  return reply.code(error.http).send(error.toJSON())
}

function strangeType({ headers }: FastifyRequest): RuncastError {
  const type = JSON.stringify((headers['content-type'] ?? '').slice(0, 80))
  return new RuncastError(
    'invalid_request',
    `the content-type ${type} is not read here; send JSON as application/json, or a text as text/plain`,
  )
}
