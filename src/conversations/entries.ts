// What each entry of a thread's feed does to its conversation: a pure function from row to row and the changes of its
// messages. The store is nothing but this fold, so that it can be cut anywhere, repeated, and made again from the log.
import type { ConversationEntry, FeedEntry, Numbered } from '../log.ts'
import { titleCharsMax, titleFrom, titleOf } from './content.ts'
import type { Block, Message } from './message.ts'

/** A run of the thread that was accepted and has not ended. */
export interface Claim {
  readonly run_id: string
  /** What its user said is in the conversation. */
  readonly started?: true
  /** The conversation was deleted since: the run's messages belong to what is gone. */
  readonly hidden?: true
}

/** The state of the fold: a conversation as its feed tells it up to the cursor. Times are ms since the epoch. */
export interface Conversation {
  readonly cursor: number
  readonly cursor_time: string
  readonly base: number
  readonly shown_at?: number
  readonly title?: string
  readonly title_at?: number
  readonly user_id?: string
  readonly created_at: number
  readonly updated_at: number
  readonly claims: readonly Claim[]
}

/** What an entry needs to be known of its run: read from the log beforehand. None when the run is dropped. */
export interface RunMessages {
  readonly user: Message
  /** Once it ended. */
  readonly assistant?: Message
}

export type Change =
  | { readonly type: 'put'; readonly message: Message; readonly position: number }
  /** Forgets all messages before this place. */
  | { readonly type: 'clear'; readonly before: number }

export const emptyConversation: Conversation = {
  cursor: 0,
  cursor_time: '',
  base: 0,
  created_at: 0,
  updated_at: 0,
  claims: [],
}

/** The place of an entry: even numbers, so that a run's answer can stand behind what the user said in one entry. */
export const placeOf = (conversation: Conversation, sequence: number) => conversation.base + 2 * sequence

export function foldEntry(
  thread: string,
  before: Conversation,
  entry: Numbered<FeedEntry>,
  run: RunMessages | undefined,
): { readonly after: Conversation; readonly changes: readonly Change[] } {
  const place = placeOf(before, entry.sequence)
  const time = Date.parse(entry.timestamp)
  const at: Conversation = { ...before, cursor: entry.sequence, cursor_time: entry.timestamp }
  const none = (after: Conversation) => ({ after, changes: [] })
  switch (entry.type) {
    case 'accepted':
      if (claimOf(at, entry.run_id)) return none(at)
      return none({ ...at, claims: [...at.claims, { run_id: entry.run_id }] })
    case 'started': {
      const claim = claimOf(at, entry.run_id)
      if (!claim || claim.started || claim.hidden || !run) return none(at)
      const claims = at.claims.map(one => (one === claim ? { ...claim, started: true as const } : one))
      const shown = said(show({ ...at, claims }, place, time, run.user.user_id), place, time, run.user)
      return { after: shown, changes: [{ type: 'put', message: run.user, position: place }] }
    }
    case 'ended': {
      // A feed may say the same end twice; only the first gives up the place.
      const claim = claimOf(at, entry.run_id)
      const rest = { ...at, claims: at.claims.filter(one => one !== claim) }
      if (!claim || claim.hidden || !run?.assistant) return none(rest)
      const shown = said(show(rest, place, time, run.user.user_id), place, time, run.user)
      const answer: Change = { type: 'put', message: run.assistant, position: place + 1 }
      if (claim.started) return { after: shown, changes: [answer] }
      // A run that a crash left without its `started` still has what its user said.
      return { after: shown, changes: [{ type: 'put', message: run.user, position: place }, answer] }
    }
    case 'created': {
      if (at.shown_at !== undefined) return none(at)
      return none(titled(show(at, place, time, entry.user_id), place, entry.title))
    }
    case 'titled':
      if (at.shown_at === undefined) return none(at)
      return none(titled({ ...at, updated_at: time }, place, entry.title))
    case 'appended': {
      const message = appendedMessage(thread, entry)
      const shown = said(show(at, place, time, entry.user_id), place, time, message)
      return { after: shown, changes: [{ type: 'put', message, position: place }] }
    }
    case 'deleted': {
      const { shown_at: _shown, title: _title, title_at: _titled, user_id: _user, ...rest } = at
      const hidden = at.claims.map(({ run_id }): Claim => ({ run_id, hidden: true }))
      return { after: { ...rest, claims: hidden }, changes: [{ type: 'clear', before: place }] }
    }
    case 'thread':
      return none(at)
    default:
      // An entry of a newer server: it counts, and says nothing to us.
      entry satisfies never
      return none(at)
  }
}

function claimOf(at: Conversation, run_id: string): Claim | undefined {
  return at.claims.find(claim => claim.run_id === run_id)
}

/** The conversation with something to see in it. */
function show(at: Conversation, place: number, time: number, user_id: string | undefined): Conversation {
  if (at.shown_at !== undefined) return { ...at, updated_at: time }
  return { ...at, shown_at: place, created_at: time, updated_at: time, ...(user_id !== undefined && { user_id }) }
}

function titled(at: Conversation, place: number, given: string | undefined): Conversation {
  const title = titleOf(given ?? '', titleCharsMax)
  return title === undefined ? at : { ...at, title, title_at: place }
}

/** The first thing that its user says names a conversation that nobody named. */
function said(at: Conversation, place: number, time: number, message: Message): Conversation {
  if (at.title !== undefined || message.role !== 'user') return { ...at, updated_at: time }
  const title = titleFrom(message.content)
  return title === undefined ? at : { ...at, title, title_at: place }
}

function appendedMessage(thread: string, entry: Numbered<Extract<ConversationEntry, { type: 'appended' }>>): Message {
  const { message_id: id, role, content, user_id, timestamp } = entry
  return {
    id,
    conversation_id: thread,
    role,
    timestamp,
    content: content as unknown as Block[],
    metadata: {},
    ...(user_id !== undefined && { user_id }),
  }
}
