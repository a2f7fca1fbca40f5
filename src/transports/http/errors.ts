// Failures as the one error body, also of what never becomes a request. It must never show a caller what went wrong
// inside, nor send back more of what was sent than names it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { RuncastError, shown } from '../../error.ts'
import { pathOf } from './request.ts'

/** Not imported: that would evaluate all that node:http exports, also what loads fetch, for 20 ms of every start. */
const { STATUS_CODES } = process.getBuiltinModule('node:http')

/** What Fastify refuses, in our words. */
const refusals: Readonly<Record<string, (request: FastifyRequest) => RuncastError>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ({ headers }) => {
    const type = shown(headers['content-type'] ?? '')
    const fix = 'send JSON as application/json, or a text as text/plain'
    return new RuncastError('invalid_request', `the content-type ${type} is not read here; ${fix}`)
  },
  FST_ERR_CTP_BODY_TOO_LARGE: ({ routeOptions }) => {
    const limit = routeOptions.bodyLimit
    const message = `the body is larger than the ${limit} bytes that are taken here; send less, or a reference`
    return new RuncastError('too_large', message, { details: { limit } })
  },
  FST_ERR_BAD_URL: request =>
    new RuncastError(
      'invalid_request',
      `the path ${shown(pathOf(request))} is no percent-encoded UTF-8; encode its parts`,
    ),
  FST_ERR_MAX_PARAM_LENGTH: request =>
    new RuncastError(
      'invalid_request',
      `a part of the path ${shown(pathOf(request))} has more than ${pathPartCharsMax} characters`,
    ),
}

/** More than a thread's name or a run's id can have. */
export const pathPartCharsMax = 256

export function sendError(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const { code: own = '', statusCode = 500 } = thrown as { code?: string; statusCode?: number }
  const error = refusals[own]?.(request) ?? RuncastError.from(thrown, statusCode < 500 ? 'invalid_request' : 'internal')
  if (error.code === 'internal') {
    request.log.error({ err: thrown }, 'unexpected')
    const hidden = new RuncastError('internal', 'something went wrong here; the server log says what')
    return reply.code(500).send(hidden.toJSON())
  }
  if (error.code === 'unauthenticated') reply.header('www-authenticate', 'Bearer')
  return reply.code(error.http).send(error.toJSON())
}

/** Bytes that are no request, headers beyond their limit, a request that stops half-way: Node answers these by itself. */
export function refuseConnection(error: Error & { code?: string; reason?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const [status, refused] = connectionRefusal(error)
  if (socket.writable) socket.write(answerOf(status, refused))
  socket.destroy(error)
}

function connectionRefusal({ code, message, reason }: Error & { code?: string; reason?: string }) {
  if (code === 'HPE_HEADER_OVERFLOW')
    return [
      431,
      new RuncastError('too_large', 'the head of the request is too large; send fewer or shorter headers'),
    ] as const
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return [408, new RuncastError('timeout', 'the request did not arrive in time; send it whole')] as const
  return [400, new RuncastError('invalid_request', `this is no HTTP/1.1 request: ${reason ?? message}`)] as const
}

/** An expectation that Node does not know: `Expect: 100-continue` is all there is. */
export function refuseExpectation({ headers }: IncomingMessage, response: ServerResponse): void {
  const message = `the header Expect: ${shown(headers.expect ?? '')} cannot be met; leave it out`
  const body = JSON.stringify(new RuncastError('invalid_request', message))
  response.writeHead(417, { 'content-type': 'application/json; charset=utf-8', connection: 'close' }).end(body)
}

/** A body that a parser in front of a mounted handler has taken. Who mounts it is to read this: it is no secret. */
export function refuseRead(response: ServerResponse): void {
  const message = "the request's body was read before it came here; mount runcast before any body parser"
  const body = JSON.stringify(new RuncastError('internal', message))
  response.writeHead(500, { 'content-type': 'application/json; charset=utf-8' }).end(body)
}

function answerOf(status: number, error: RuncastError): string {
  const body = JSON.stringify(error)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
