// The conversations over HTTP, as a Fastify plugin that the server registers. It only translates: who asks comes from
// the server, what may be asked from the schemas below, and every answer and refusal from the store.
import { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { checked } from '../agent/schema.ts'
import { RuncastError } from '../error.ts'
import type { Principal } from '../runs.ts'
import { type Content, pageSizeMax } from './content.ts'
import type { Conversations } from './conversations.ts'
import { exportFormats } from './export.ts'

export interface ConversationRoutesOptions {
  readonly principalOf: (request: FastifyRequest) => Principal | Promise<Principal>
}

const limit = z.coerce.number().int().min(1).max(pageSizeMax).optional()
const position = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional()

const listQuery = z.strictObject({
  cursor: z.string().optional().describe('`next` of the page before.'),
  limit,
  user_id: z.string().optional().describe('Only conversations that this user began.'),
})
const createBody = z.strictObject({
  id: z.string().optional().describe('The thread; made up when absent.'),
  title: z.string().optional(),
})
const renameBody = z.strictObject({ title: z.string() })
const pageQuery = z.strictObject({
  before: position.describe('Messages older than this position.'),
  after: position.describe('Messages newer than this position.'),
  limit,
})
const appendBody = z.strictObject({
  role: z.enum(['user', 'assistant']).default('user'),
  content: z.unknown().describe('Text, or a list of blocks: {type: text | chart | tool | item | custom, …}.'),
})
const exportQuery = z.strictObject({ format: z.enum(exportFormats).default('json') })

export function conversationRoutes(
  conversations: Conversations,
  { principalOf }: ConversationRoutesOptions,
): FastifyPluginAsync {
  return async fastify => {
    // The schemas stand in the routes for the server's OpenAPI; the handlers check, with the one error body.
    fastify.setValidatorCompiler(() => value => ({ value }))
    fastify.setErrorHandler((thrown, request, reply) => {
      const error = errorOf(thrown)
      if (error.code === 'internal') request.log.error({ err: thrown }, 'unexpected')
      return reply.code(error.http).send(error.toJSON())
    })
    const tags = ['conversations']
    const query = <T>(schema: z.ZodType<T>, request: FastifyRequest) =>
      checked<T>(schema, request.query, 'query', 'invalid_request')
    const body = <T>(schema: z.ZodType<T>, request: FastifyRequest) =>
      checked<T>(schema, request.body ?? {}, 'body', 'invalid_request')
    const placeOf = async (request: FastifyRequest) => {
      const { tenant, user } = await principalOf(request)
      return { tenant, user, thread: (request.params as { id: string }).id }
    }

    fastify.get(
      '/conversations',
      { schema: { summary: 'Lists conversations, newest change first.', tags, querystring: listQuery } },
      async request => {
        const { user_id: user, ...filter } = await query(listQuery, request)
        const { tenant } = await principalOf(request)
        return conversations.list({ tenant, user, ...filter })
      },
    )

    fastify.post(
      '/conversations',
      { schema: { summary: 'Begins a conversation.', tags, body: createBody } },
      async (request, reply) => {
        const { id: thread, title } = await body(createBody, request)
        const { tenant, user } = await principalOf(request)
        const conversation = await conversations.create({ tenant, user, thread, title })
        const location = `${fastify.prefix}/conversations/${encodeURIComponent(conversation.id)}`
        return reply.code(201).header('location', location).send(conversation)
      },
    )

    fastify.get('/conversations/:id', { schema: { summary: 'A conversation.', tags } }, async request =>
      conversations.get(await placeOf(request)),
    )

    fastify.patch(
      '/conversations/:id',
      { schema: { summary: 'Renames a conversation.', tags, body: renameBody } },
      async request => {
        const { title } = await body(renameBody, request)
        return conversations.rename({ ...(await placeOf(request)), title })
      },
    )

    fastify.delete(
      '/conversations/:id',
      { schema: { summary: 'Deletes a conversation with its messages.', tags } },
      async (request, reply) => {
        await conversations.delete(await placeOf(request))
        return reply.code(204).send()
      },
    )

    fastify.get(
      '/conversations/:id/messages',
      {
        schema: {
          summary: 'Messages, oldest first: the newest page, or the one before or after a position.',
          tags,
          querystring: pageQuery,
        },
      },
      async request => {
        const page = await query(pageQuery, request)
        return conversations.messages({ ...(await placeOf(request)), ...page })
      },
    )

    fastify.post(
      '/conversations/:id/messages',
      { schema: { summary: 'Appends a message that no run made.', tags, body: appendBody } },
      async (request, reply) => {
        const { role, content } = await body(appendBody, request)
        const place = await placeOf(request)
        return reply.code(201).send(await conversations.append({ ...place, role, content: content as Content }))
      },
    )

    fastify.get(
      '/conversations/:id/export',
      { schema: { summary: 'The whole conversation as a file.', tags, querystring: exportQuery } },
      async (request, reply) => {
        const { format } = await query(exportQuery, request)
        const { contentType, extension, chunks } = await conversations.export({ ...(await placeOf(request)), format })
        return reply
          .type(contentType)
          .header('content-disposition', `attachment; filename="conversation.${extension}"`)
          .send(Readable.from(chunks))
      },
    )
  }
}

/** Fastify's own refusals, such as a body that is no JSON, carry a status. */
function errorOf(thrown: unknown): RuncastError {
  const { statusCode = 500 } = thrown as { statusCode?: number }
  if (statusCode === 413) return RuncastError.from(thrown, 'too_large')
  const error = RuncastError.from(thrown, statusCode < 500 ? 'invalid_request' : 'internal')
  if (error.code !== 'internal') return error
  return new RuncastError('internal', 'something went wrong here; the server log says what', { cause: thrown })
}
