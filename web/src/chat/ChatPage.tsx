// The chat: conversations at the left, the open one in the middle. It holds what both need: the agents, if there are any,
// the list, and the thread of a chat that has not begun.
import { useCallback, useEffect, useMemo, useState } from 'react'
import { RuncastError } from '../../../src/client/index.ts'
import type { Offer } from '../agents.ts'
import { ApiKey } from './ApiKey.tsx'
import { chatHref, replaceRoute } from '../route.ts'
import type { Server } from '../server.ts'
import { Chat } from './Chat.tsx'
import { Sidebar } from './Sidebar.tsx'
import { useConversations } from './use-conversations.ts'

export function ChatPage({ server, thread }: { server: Server; thread: string | undefined }) {
  const [draft, setDraft] = useState(newThread)
  const [offer, setOffer] = useState<Offer>()
  const [failed, setFailed] = useState<RuncastError>()
  const [menu, setMenu] = useState(false)
  const { agents, readOnly } = offer ?? unknownOffer
  // Until then nothing is shown that would be taken away again: a place to write, over what others write.
  const isKnown = offer !== undefined || failed !== undefined
  const list = useConversations(server, readOnly)
  const open = thread ?? draft

  const learnOffer = useCallback(() => {
    server.offer().then(
      found => {
        setOffer(found)
        setFailed(undefined)
      },
      error => setFailed(RuncastError.from(error)),
    )
  }, [server])
  useEffect(learnOffer, [learnOffer])
  useEffect(() => {
    addEventListener('online', learnOffer)
    return () => removeEventListener('online', learnOffer)
  }, [learnOffer])
  useEffect(() => setMenu(false), [open])

  const conversation = useMemo(() => list.conversations.find(one => one.id === open), [list.conversations, open])
  const begin = () => {
    setDraft(newThread())
    location.hash = chatHref()
    setMenu(false)
  }

  if (failed?.code === 'unauthenticated') return <ApiKey reason={failed.message} />
  return (
    <div className="page">
      <Sidebar
        list={list}
        open={thread}
        shown={menu}
        begin={readOnly || !isKnown ? undefined : begin}
        close={() => setMenu(false)}
      />
      <Chat
        key={open}
        server={server}
        thread={open}
        isNew={thread === undefined}
        isKnown={isKnown}
        agents={agents}
        others={readOnly ? list : undefined}
        title={conversation?.title}
        unreachable={failed}
        retry={learnOffer}
        changed={list.refresh}
        begun={() => thread === undefined && replaceRoute(chatHref(open))}
        gone={begin}
        showMenu={() => setMenu(true)}
        menuShown={menu}
      />
    </div>
  )
}

const unknownOffer: Offer = { agents: [], readOnly: false }

function newThread(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), byte => byte.toString(16).padStart(2, '0')).join('')
}
