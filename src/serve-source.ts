// A server for runs that others write: the same API over a source, with the conversations and the page, and without
// agents. It opens nothing that could write: what would start, answer, cancel or rename is refused.
import type { Conversations } from './conversations/conversations.ts'
import { realDeps } from './deps.ts'
import { type Behind, listen, type Listening, type ListenOptions } from './listen.ts'
import { version } from './package.ts'
import type { Deps } from './runs.ts'
import { refused, type Source } from './sources/read-only.ts'
import { anonymous } from './transports/http/auth.ts'
import type { AppOptions } from './transports/http/parts.ts'

/** What has to do with agents has no place here. */
type Unused = 'runs' | 'deps' | 'source' | 'sink' | 'rest' | 'streaming' | 'asyncRuns' | 'direct' | 'faces'

export interface ServeSourceOptions extends ListenOptions, Partial<Omit<AppOptions, Unused>> {
  /** What is shown. The server disposes of it, once it listens. */
  readonly source: Source
  /** Whose runs everyone sees, whoever they are. Default: those of who asks; without `authenticate`, of `default`. */
  readonly tenant?: string | undefined
  readonly deps?: Deps
}

/**
 * Serves what a source reads: `await serveSource({ source: kafkaSource({ … }), web: true })`. Threads of its runs are the
 * conversations of the page; they are folded from what the source keeps, into a file that has no name and goes with it.
 */
export async function serveSource(options: ServeSourceOptions): Promise<Listening> {
  const { source, tenant, deps = realDeps, ...given } = options
  const { authenticate } = given
  // A library of hundreds of files, which a server for agents may never need.
  const { createConversations } = await import('./conversations/conversations.ts')
  const tenants = tenant === undefined ? [] : [tenant]
  const folded = await createConversations({ log: source.log, db: { sqlite: '' }, deps, tenants })
  const behind: Behind = {
    appOptions: {
      ...given,
      // A file has nothing to tell of how its reading goes.
      ...(source.status && { source: { status: source.status } }),
      runs: source,
      deps,
      direct: {},
      rest: false,
      streaming: false,
      version: given.version ?? version,
      ...(tenant !== undefined && {
        authenticate: async headers => ({ ...(await (authenticate ?? anonymous)(headers)), tenant }),
      }),
    },
    conversations: readOnlyConversations(folded, source.name),
    risk: authenticate ? undefined : 'can read its runs. Ask for API keys, or bind to 127.0.0.1.',
    async settle() {},
    async close() {
      await folded[Symbol.asyncDispose]()
      await source[Symbol.asyncDispose]()
    },
  }
  try {
    return await listen(given, behind, 0)
  } catch (error) {
    await folded[Symbol.asyncDispose]() // the source is its owner's still, to try again
    throw error
  }
}

function readOnlyConversations(conversations: Conversations, name: string): Conversations {
  return {
    ...conversations,
    create: refused(name, 'begin a conversation'),
    rename: refused(name, 'rename the conversation'),
    delete: refused(name, 'delete the conversation'),
    append: refused(name, 'write'),
  }
}
