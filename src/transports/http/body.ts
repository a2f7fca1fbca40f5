// What comes in as a body: UTF-8, as JSON or as a text. What JSON lets through and we could not keep, or give back as it
// came, is refused here, before anything is stored: later it would be a run that nobody can read.
import { isUtf8 } from 'node:buffer'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RuncastError, shown } from '../../error.ts'

/** Inputs come back some levels deeper, in events and views, to readers of which many stop at 128 levels (serde_json). */
const depthMax = 100

/** The raw body is the agent's input: JSON, or text as it is; nothing at all is null. */
export function parseBodies(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      const text = textOf(request, body)
      return text === '' ? null : jsonOf(text)
    },
  )
  fastify.addContentTypeParser(/^text\//, { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer) =>
    textOf(request, body),
  )
}

function textOf({ headers }: FastifyRequest, body: Buffer): string {
  const coding = headers['content-encoding'] ?? 'identity'
  if (coding !== 'identity') {
    throw new RuncastError(
      'invalid_request',
      `the content-encoding ${shown(coding)} is not read here; send the body as it is`,
    )
  }
  // Read leniently it would be another text than was sent, without a word.
  if (!isUtf8(body)) throw new RuncastError('invalid_request', 'the body is not UTF-8; encode it as UTF-8')
  return body.toString('utf8').replace(/^\uFEFF/, '')
}

function jsonOf(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new RuncastError('invalid_request', `the body is no JSON: ${(error as Error).message}`)
  }
  check(value, [])
  return value
}

/** JSON has numbers beyond every double, and no end of levels; what is stored has neither. */
function check(value: unknown, path: readonly string[]): void {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw refused(path, 'is a number beyond 1.8e308, which cannot be kept; send it as text')
  }
  if (typeof value !== 'object' || value === null) return
  if (path.length >= depthMax)
    throw refused(path, `is nested deeper than ${depthMax} levels; send it flatter, or as text`)
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner === 'object' || inner === Infinity || inner === -Infinity) check(inner, [...path, key])
  }
}

function refused(path: readonly string[], says: string): RuncastError {
  const field = path.join('.').slice(0, 140)
  return new RuncastError('invalid_request', `body: ${field === '' ? 'it' : shown(field)} ${says}`, {
    details: { field },
  })
}
