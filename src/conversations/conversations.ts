// Conversations: threads and their messages, for whoever opens a chat again. A sink that follows each tenant's feed and
// keeps what runs left behind in SQL. Commands are entries of the thread's feed and come back by the same fold, so there
// is no second write that could drift. Reading a conversation first catches up with its feed.
import { RuncastError, shown } from '../error.ts'
import type { Json } from '../event.ts'
import {
  checkThread,
  type ConversationEntry,
  type FeedEntry,
  type Log,
  type Numbered,
  readLimitEntries,
  tenantFeed,
} from '../log.ts'
import type { RunPlace } from '../retention.ts'
import type { Deps } from '../runs.ts'
import { createAppend } from './append.ts'
import { createCatchUp, viewOf } from './catch-up.ts'
import { blocksOf, type Content, pageSizeMax, titleCharsMax, titleOf } from './content.ts'
import type { Conversation as Folded } from './entries.ts'
import { type Exported, type ExportFormat, exported } from './export.ts'
import { createFollowers } from './followers.ts'
import { assistantMessage, type Message, type Role } from './message.ts'
import { createQueries, listCursor, sizeOf } from './queries.ts'
import { type DatabasePlace, openDatabase } from './tables.ts'

export interface Conversation {
  /** The thread. */
  readonly id: string
  readonly title?: string
  readonly user_id?: string
  /** ISO 8601, UTC. */
  readonly created_at: string
  readonly updated_at: string
}

export interface ConversationPage {
  /** Newest change first. One that changes while its list is paged moves to the front. */
  readonly conversations: readonly Conversation[]
  /** The `cursor` of the next page; absent on the last. */
  readonly next?: string
}

export interface MessagePage {
  /** Oldest first. */
  readonly messages: readonly Message[]
  /** `before` of the page with older messages; absent when there is none. */
  readonly before?: number
  /** `after` of the page with newer messages, also of those that do not exist yet. */
  readonly after: number
  /** On the page that reaches the newest message: what the running run of the thread has said so far. */
  readonly partial?: Message
}

export interface ThreadPlace {
  readonly tenant: string
  readonly thread: string
}

export interface Conversations extends AsyncDisposable {
  list(filter: {
    readonly tenant: string
    readonly user?: string | undefined
    readonly cursor?: string | undefined
    readonly limit?: number | undefined
  }): Promise<ConversationPage>
  get(place: ThreadPlace): Promise<Conversation>
  /** Throws `conflict` when the thread has a conversation already. */
  create(options: {
    readonly tenant: string
    readonly thread?: string | undefined
    readonly title?: string | undefined
    readonly user?: string | undefined
  }): Promise<Conversation>
  rename(options: ThreadPlace & { readonly title: string; readonly user?: string | undefined }): Promise<Conversation>
  /** Removes its messages and hides it; the logs of its runs go by retention. A run that goes on is not disturbed. */
  delete(options: ThreadPlace & { readonly user?: string | undefined }): Promise<void>
  append(
    options: ThreadPlace & { readonly role: Role; readonly content: Content; readonly user?: string | undefined },
  ): Promise<Message>
  /** The newest messages, or those next to a cursor. */
  messages(
    options: ThreadPlace & {
      readonly before?: number | undefined
      readonly after?: number | undefined
      readonly limit?: number | undefined
    },
  ): Promise<MessagePage>
  /** What the running run of the thread has said so far. */
  partial(place: ThreadPlace): Promise<Message | undefined>
  export(options: ThreadPlace & { readonly format: ExportFormat }): Promise<Exported>
  /** Makes the rows again from what the log still has; what it has no more stays as it is. */
  rebuild(tenant: string): Promise<void>
  /** For `retention.hold`: whether the run is not folded yet. Bound, so that it can be passed on. */
  readonly holds: (run: RunPlace) => Promise<boolean>
}

export interface ConversationsOptions {
  readonly log: Log
  readonly db: DatabasePlace
  readonly deps: Pick<Deps, 'now' | 'id' | 'sleep'>
  /** Tenants followed from the start, besides those that the store knows; others are from their first call or run. */
  readonly tenants?: readonly string[]
  /** A tenant's feed could not be folded; it is tried again. */
  readonly onError?: (error: RuncastError) => void
}

export async function createConversations(options: ConversationsOptions): Promise<Conversations> {
  const { log, deps, onError = () => {} } = options
  const database = await openDatabase(options.db)
  const { db } = database
  const queries = createQueries(db)
  const catchUp = createCatchUp(database, log)
  const followers = createFollowers({ log, deps, onError, fold: catchUp.tenant })
  const { attend } = followers
  const append = createAppend({ log, now: deps.now, onError })

  const found = async ({ tenant, thread }: ThreadPlace): Promise<Folded> => {
    attend(tenant)
    const conversation = await catchUp.thread(tenant, thread)
    if (conversation.shown_at === undefined) throw notFound(thread)
    return conversation
  }

  /** Appends to the thread's feed if `check` lets it pass in the state that the entry will meet. */
  const command = async (
    { tenant, thread }: ThreadPlace,
    entry: ConversationEntry,
    check: (conversation: Folded) => void,
  ): Promise<Folded> => {
    attend(tenant)
    for (let done = false; !done; ) {
      const conversation = await catchUp.thread(tenant, thread)
      check(conversation)
      done = await append({ tenant, thread }, conversation.cursor, entry)
    }
    return catchUp.thread(tenant, thread)
  }

  const partialOf = async (place: ThreadPlace, conversation: Folded): Promise<Message | undefined> => {
    const claim = conversation.claims.find(one => !one.hidden)
    const head = claim && (await log.head(claim.run_id))
    if (!head || head.last === 0 || head.tenant !== place.tenant) return undefined
    return assistantMessage(await viewOf(log, head.run_id), head, place.thread)
  }

  async function* allMessages(place: ThreadPlace): AsyncGenerator<Message> {
    for (let after = 0; ; ) {
      const messages = await queries.messages(place, { after, limit: pageSizeMax })
      yield* messages
      const last = messages.at(-1)?.position
      if (last === undefined) return
      after = last
    }
  }

  for (const tenant of await queries.tenants()) attend(tenant)
  for (const tenant of options.tenants ?? []) attend(tenant)

  const conversations: Conversations = {
    async list({ tenant, limit, ...filter }) {
      const size = sizeOf(limit)
      attend(tenant)
      await catchUp.tenant(tenant)
      const found = await queries.conversations({ tenant, ...filter, limit: size + 1 })
      const last = found.length > size ? found[size - 1] : undefined
      return {
        conversations: found.slice(0, size).map(({ thread, conversation }) => shownAs(thread, conversation)),
        ...(last && { next: listCursor(last) }),
      }
    },

    async get(place) {
      return shownAs(place.thread, await found(place))
    },

    async create({ tenant, thread = deps.id(), title, user }) {
      const entry: ConversationEntry = {
        type: 'created',
        ...(title !== undefined && { title: checkedTitle(title) }),
        ...(user !== undefined && { user_id: user }),
      }
      checkThread(thread, 'id')
      const conversation = await command({ tenant, thread }, entry, ({ shown_at }) => {
        if (shown_at === undefined) return
        throw new RuncastError('conflict', `the conversation ${JSON.stringify(thread)} exists; choose another id`)
      })
      return shownAs(thread, conversation)
    },

    async rename({ user, title, ...place }) {
      const entry: ConversationEntry = { type: 'titled', title: checkedTitle(title), ...byOf(user) }
      return shownAs(place.thread, await command(place, entry, isShown(place.thread)))
    },

    async delete({ user, ...place }) {
      await command(place, { type: 'deleted', ...byOf(user) }, isShown(place.thread))
    },

    async append({ role, content, user, ...place }) {
      const blocks = await blocksOf(content)
      const id = deps.id()
      await command(
        place,
        {
          type: 'appended',
          message_id: id,
          role,
          content: blocks as unknown as Json[],
          ...(user !== undefined && { user_id: user }),
        },
        isShown(place.thread),
      )
      const message = await queries.message(place.tenant, id)
      if (!message) throw notFound(place.thread) // deleted in the same moment
      return message
    },

    async messages({ before, after, limit, ...place }) {
      if (before !== undefined && after !== undefined) {
        throw new RuncastError('invalid_request', 'before and after exclude each other; send one of them')
      }
      const size = sizeOf(limit)
      const conversation = await found(place)
      const rows = await queries.messages(place, { before, after, limit: size + 1 })
      const more = rows.length > size
      const messages = after === undefined ? rows.slice(-size) : rows.slice(0, size)
      const first = messages[0]?.position
      const last = messages.at(-1)?.position
      const isNewest = before === undefined && (after === undefined || !more)
      const partial = isNewest ? await partialOf(place, conversation) : undefined
      const hasOlder =
        first !== undefined &&
        (after === undefined ? more : (await queries.messages(place, { before: first, limit: 1 })).length > 0)
      return {
        messages,
        ...(hasOlder && { before: first }),
        after: last ?? after ?? (before === undefined ? 0 : before - 1),
        ...(partial && { partial }),
      }
    },

    partial: async place => partialOf(place, await found(place)),

    async export({ format, ...place }) {
      const conversation = shownAs(place.thread, await found(place))
      return exported(format, conversation, allMessages(place))
    },

    async rebuild(tenant) {
      attend(tenant)
      await catchUp.tenant(tenant)
      for (const thread of await threadsOf(tenant)) await catchUp.rebuild(tenant, thread)
    },

    async holds({ run_id, tenant, thread_id }) {
      if (thread_id === undefined) return false
      attend(tenant)
      const { claims } = await catchUp.thread(tenant, thread_id)
      return claims.some(claim => claim.run_id === run_id)
    },

    async [Symbol.asyncDispose]() {
      await followers.stop()
      await db.destroy()
    },
  }
  return guarded(conversations)

  /** Those that the store has, and those that only the log has: rows may have been lost. */
  async function threadsOf(tenant: string): Promise<Set<string>> {
    const threads = new Set(await queries.threads(tenant))
    for (let after = 0; ; ) {
      const batch = await log.read(tenantFeed(tenant), after, readLimitEntries)
      if (batch.last <= after) return threads
      after = batch.last
      for (const entry of batch.events as unknown as readonly Numbered<FeedEntry>[]) {
        const thread = entry.type === 'thread' ? entry.thread_id : 'run_id' in entry && (await threadOf(tenant, entry))
        if (thread) threads.add(thread)
      }
    }
  }

  async function threadOf(tenant: string, { run_id }: { run_id: string }): Promise<string | undefined> {
    const head = await log.head(run_id)
    return head?.tenant === tenant ? head.thread_id : undefined
  }
}

/** What the database throws is told as `unavailable`: the same call may succeed later. */
function guarded(conversations: Conversations): Conversations {
  const guard =
    <A, R>(method: (argument: A) => Promise<R>) =>
    (argument: A) =>
      method(argument).catch((error: unknown) => {
        throw RuncastError.from(error, 'unavailable')
      })
  return {
    list: guard(conversations.list),
    get: guard(conversations.get),
    create: guard(conversations.create),
    rename: guard(conversations.rename),
    delete: guard(conversations.delete),
    append: guard(conversations.append),
    messages: guard(conversations.messages),
    partial: guard(conversations.partial),
    export: guard(conversations.export),
    rebuild: guard(conversations.rebuild),
    holds: guard(conversations.holds),
    [Symbol.asyncDispose]: conversations[Symbol.asyncDispose],
  }
}

function isShown(thread: string): (conversation: Folded) => void {
  return ({ shown_at }) => {
    if (shown_at === undefined) throw notFound(thread)
  }
}

function notFound(thread: string): RuncastError {
  return new RuncastError('not_found', `there is no conversation ${shown(thread)}`)
}

function shownAs(id: string, { title, user_id, created_at, updated_at }: Folded): Conversation {
  return {
    id,
    ...(title !== undefined && { title }),
    ...(user_id !== undefined && { user_id }),
    created_at: new Date(created_at).toISOString(),
    updated_at: new Date(updated_at).toISOString(),
  }
}

function byOf(user: string | undefined): { by?: string } {
  return user === undefined ? {} : { by: user }
}

function checkedTitle(text: string): string {
  const title = titleOf(text, titleCharsMax + 1)
  if (title !== undefined && Array.from(title).length <= titleCharsMax) return title
  throw new RuncastError('invalid_request', `title has 1 to ${titleCharsMax} visible characters; write another`, {
    details: { field: 'title', limit: titleCharsMax },
  })
}
