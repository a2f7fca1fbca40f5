// The server as the page sees it: `runcast/client` for the runs, three kinds of requests beside it (agents, conversations,
// API key). Everything that the page asks of the network goes through here.
import { type Connection, codes, connect, RuncastError, type Runs } from '../../src/client/index.ts'
import type { Conversation, ConversationPage, MessagePage } from '../../src/conversations/conversations.ts'
import { agentChoices, type InfoAnswer, type Offer, type SchemaAnswer } from './agents.ts'
import { createSignal, type Signal } from './signal.ts'

export type { Conversation, MessagePage } from '../../src/conversations/conversations.ts'
export type { Message } from '../../src/conversations/message.ts'

export interface Server {
  readonly runs: Runs
  /** How the stream that is being read fares. */
  readonly connection: Signal<Connection['state']>
  offer(): Promise<Offer>
  list(cursor?: string): Promise<ConversationPage>
  messages(thread: string, before?: number): Promise<MessagePage>
  get(thread: string): Promise<Conversation>
  rename(thread: string, title: string): Promise<Conversation>
  remove(thread: string): Promise<void>
  /** The whole conversation as a file. */
  exported(thread: string, format: string): Promise<Blob>
}

const keyName = 'runcast.api_key'

export function saveApiKey(key: string): void {
  localStorage.setItem(keyName, key)
}

/** The server that this page came from, below whatever prefix. */
export function connectHere(): Server {
  const base = new URL('.', document.baseURI).href.replace(/[?#].*$/, '')
  const apiKey = localStorage.getItem(keyName) ?? undefined
  const connection = createSignal<Connection['state']>('open')
  const runs = connect(base, { apiKey, onConnection: (_target, { state }) => connection.set(state) })

  const request = async (
    path: string,
    init: RequestInit & { json?: unknown; accept?: string } = {},
  ): Promise<Response> => {
    const { json, accept = 'application/json', ...rest } = init
    const headers: Record<string, string> = {
      accept,
      ...(apiKey !== undefined && { 'x-api-key': apiKey }),
      ...(json !== undefined && { 'content-type': 'application/json' }),
    }
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    const response = await fetch(base + path, { ...rest, headers, ...body }).catch((cause: unknown) => {
      throw new RuncastError('unavailable', 'The server cannot be reached.', { cause })
    })
    if (!response.ok) throw await errorOf(response)
    return response
  }
  const ask = async <T>(path: string, init: RequestInit & { json?: unknown } = {}): Promise<T> => {
    const response = await request(path, init)
    return (response.status === 204 ? undefined : await response.json()) as T
  }
  const place = (thread: string) => `conversations/${encodeURIComponent(thread)}`

  return {
    runs,
    connection,
    async offer() {
      const [schemas, info] = await Promise.all([ask<SchemaAnswer>('schema'), ask<InfoAnswer>('info')])
      return { agents: agentChoices(schemas, info), readOnly: info.read_only === true }
    },
    list: cursor => ask(`conversations?limit=50${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`),
    messages: (thread, before) =>
      ask(`${place(thread)}/messages?limit=50${before === undefined ? '' : `&before=${before}`}`),
    get: thread => ask(place(thread)),
    rename: (thread, title) => ask(place(thread), { method: 'PATCH', json: { title } }),
    remove: thread => ask(place(thread), { method: 'DELETE' }),
    exported: async (thread, format) =>
      (await request(`${place(thread)}/export?format=${encodeURIComponent(format)}`, { accept: '*/*' })).blob(),
  }
}

async function errorOf(response: Response): Promise<RuncastError> {
  const body = (await response.json().catch(() => undefined)) as { error?: unknown; code?: unknown } | undefined
  const known = typeof body?.code === 'string' && Object.hasOwn(codes, body.code)
  if (known && typeof body?.error === 'string') return new RuncastError(body.code as keyof typeof codes, body.error)
  return new RuncastError(
    response.status === 404 ? 'not_found' : 'unavailable',
    `The server answered ${response.status}.`,
  )
}
