// The conversations over HTTP, as a Fastify plugin that the server registers. It only translates: who asks, and the checks
// and errors of every route, come from the server, what may be asked from the schemas below, every answer from the store.
import { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Principal } from '../runs.ts'
import { type Content, pageSizeMax } from './content.ts'
import type { Conversations } from './conversations.ts'
import { exportFormats } from './export.ts'
import { responses } from './responses.ts'

export interface ConversationRoutesOptions {
  readonly principalOf: (request: FastifyRequest) => Principal | Promise<Principal>
}

const limit = z.number().int().min(1).max(pageSizeMax).optional()
const position = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional()

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
    const tags = ['conversations']
    const placeOf = async (request: FastifyRequest) => {
      const { tenant, user } = await principalOf(request)
      return { tenant, user, thread: (request.params as { id: string }).id }
    }

    fastify.get(
      '/conversations',
      {
        schema: {
          summary: 'Lists conversations, newest change first.',
          tags,
          querystring: listQuery,
          'x-responses': () => responses().list,
        },
      },
      async request => {
        const { user_id: user, ...filter } = request.query as z.infer<typeof listQuery>
        const { tenant } = await principalOf(request)
        return conversations.list({ tenant, user, ...filter })
      },
    )

    fastify.post(
      '/conversations',
      {
        schema: {
          summary: 'Begins a conversation.',
          tags,
          body: createBody,
          'x-responses': () => responses().create,
        },
      },
      async (request, reply) => {
        const { id: thread, title } = request.body as z.infer<typeof createBody>
        const { tenant, user } = await principalOf(request)
        const conversation = await conversations.create({ tenant, user, thread, title })
        const location = `${fastify.prefix}/conversations/${encodeURIComponent(conversation.id)}`
        return reply.code(201).header('location', location).send(conversation)
      },
    )

    fastify.get(
      '/conversations/:id',
      { schema: { summary: 'A conversation.', tags, 'x-responses': () => responses().show } },
      async request => conversations.get(await placeOf(request)),
    )

    fastify.patch(
      '/conversations/:id',
      {
        schema: {
          summary: 'Renames a conversation.',
          tags,
          body: renameBody,
          'x-responses': () => responses().show,
        },
      },
      async request => {
        const { title } = request.body as z.infer<typeof renameBody>
        return conversations.rename({ ...(await placeOf(request)), title })
      },
    )

    fastify.delete(
      '/conversations/:id',
      {
        schema: {
          summary: 'Deletes a conversation with its messages.',
          tags,
          'x-responses': () => responses().delete,
        },
      },
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
          'x-responses': () => responses().messages,
        },
      },
      async request => {
        const page = request.query as z.infer<typeof pageQuery>
        return conversations.messages({ ...(await placeOf(request)), ...page })
      },
    )

    fastify.post(
      '/conversations/:id/messages',
      {
        schema: {
          summary: 'Appends a message that no run made.',
          tags,
          body: appendBody,
          'x-responses': () => responses().append,
        },
      },
      async (request, reply) => {
        const { role, content } = request.body as z.infer<typeof appendBody>
        const place = await placeOf(request)
        return reply.code(201).send(await conversations.append({ ...place, role, content: content as Content }))
      },
    )

    fastify.get(
      '/conversations/:id/export',
      {
        schema: {
          summary: 'The whole conversation as a file.',
          tags,
          querystring: exportQuery,
          'x-responses': () => responses().export,
        },
      },
      async (request, reply) => {
        const { format } = request.query as z.infer<typeof exportQuery>
        const { contentType, extension, chunks } = await conversations.export({ ...(await placeOf(request)), format })
        return reply
          .type(contentType)
          .header('content-disposition', `attachment; filename="conversation.${extension}"`)
          .send(Readable.from(chunks))
      },
    )
  }
}
