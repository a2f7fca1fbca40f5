// The list of conversations, kept fresh: after what this page does, when another tab says so, when somebody comes back to
// the page, and now and then. A server without conversations leaves it empty.
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { RuncastError } from '../../../src/client/index.ts'
import type { Conversation, Server } from '../server.ts'

export interface ConversationList {
  readonly conversations: readonly Conversation[]
  readonly state: 'loading' | 'ready' | 'none' | RuncastError
  readonly more: (() => void) | undefined
  /** Something changed here: looks again, and tells the other tabs. */
  readonly refresh: () => void
}

/** What another browser did is seen by then; where all is done by others, sooner. */
const freshMs = { own: 15_000, others: 2_000 }
/** Changes come in bursts: a run begins, its title, its end. */
const settleMs = 150

/** `others`: whoever publishes seldom names a conversation, and nobody here could: its id is its name. */
export function useConversations(server: Server, others: boolean): ConversationList {
  const [conversations, setConversations] = useState<readonly Conversation[]>([])
  const [state, setState] = useState<ConversationList['state']>('loading')
  const [next, setNext] = useState<string>()
  const tabs = useRef<BroadcastChannel>(undefined)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const shown = useRef(1)

  const look = useCallback(async () => {
    try {
      const found: Conversation[] = []
      let cursor: string | undefined
      for (let page = 0; page < shown.current; page++) {
        const answer = await server.list(cursor)
        found.push(...answer.conversations)
        cursor = answer.next
        if (cursor === undefined) break
      }
      setConversations(found)
      setNext(cursor)
      setState('ready')
    } catch (thrown) {
      const error = RuncastError.from(thrown)
      setState(error.code === 'not_found' ? 'none' : error)
    }
  }, [server])

  const soon = useCallback(() => {
    clearTimeout(timer.current)
    timer.current = setTimeout(() => void look(), settleMs)
  }, [look])

  useEffect(() => {
    const channel = new BroadcastChannel('runcast.conversations')
    tabs.current = channel
    channel.onmessage = soon
    const seen = () => document.visibilityState === 'visible' && soon()
    document.addEventListener('visibilitychange', seen)
    addEventListener('online', soon)
    const leave = server.connection.subscribe(() => server.connection.get() === 'open' && soon())
    const often = setInterval(seen, others ? freshMs.others : freshMs.own)
    void look()
    return () => {
      channel.close()
      leave()
      document.removeEventListener('visibilitychange', seen)
      removeEventListener('online', soon)
      clearInterval(often)
      clearTimeout(timer.current)
    }
  }, [server, others, look, soon])

  const refresh = useCallback(() => {
    soon()
    tabs.current?.postMessage('changed')
  }, [soon])
  const more = () => {
    shown.current++
    void look()
  }
  const named = useMemo(
    () => (others ? conversations.map(one => ({ ...one, title: one.title ?? one.id })) : conversations),
    [conversations, others],
  )
  return { conversations: named, state, more: next === undefined ? undefined : more, refresh }
}
