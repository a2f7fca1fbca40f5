// The conversations, newest change first. On a phone it slides over the chat and gives the keyboard back when it closes.
import { Fragment, useEffect, useRef } from 'react'
import { Icon } from '../Icon.tsx'
import { chatHref, inspectHref } from '../route.ts'
import { useMedia } from './use-media.ts'
import type { ConversationList } from './use-conversations.ts'

export interface SidebarProps {
  readonly list: ConversationList
  readonly open: string | undefined
  readonly shown: boolean
  /** Absent where nobody can begin one. */
  readonly begin: (() => void) | undefined
  readonly close: () => void
}

export function Sidebar({ list, open, shown, begin, close }: SidebarProps) {
  const { conversations, state, more } = list
  const narrow = useMedia('(max-width: 760px)')
  const place = useRef<HTMLElement>(null)
  useEffect(() => {
    if (!narrow || !shown) return
    place.current?.querySelector<HTMLElement>('button')?.focus()
    const escape = (event: KeyboardEvent) => event.key === 'Escape' && close()
    addEventListener('keydown', escape)
    return () => removeEventListener('keydown', escape)
  }, [narrow, shown, close])
  return (
    <>
      {narrow && shown && <div className="veil" onClick={close} />}
      <nav
        ref={place}
        id="sidebar"
        className={`sidebar ${shown ? 'shown' : ''}`}
        aria-label="Conversations"
        inert={narrow && !shown}
      >
        <div className="brand">
          <img src="favicon.svg" alt="" width="24" height="24" />
          <span>Runcast</span>
          {narrow && (
            <button type="button" className="quiet only-icon" aria-label="Close the list" onClick={close}>
              <Icon name="close" />
            </button>
          )}
        </div>
        {begin && (
          <button type="button" className="new-chat" onClick={begin}>
            <Icon name="plus" /> New chat
          </button>
        )}
        {state instanceof Error && <p className="muted small">The list cannot be loaded: {state.message}</p>}
        {state === 'none' && <p className="muted small">This server keeps no conversations.</p>}
        {state === 'ready' && conversations.length === 0 && (
          <p className="muted small">{begin ? 'Your conversations' : 'Conversations'} appear here.</p>
        )}
        <ul>
          {conversations.map(({ id, title, updated_at }, index) => {
            const day = dayOf(updated_at)
            const before = conversations[index - 1]
            const begins = before === undefined || dayOf(before.updated_at) !== day
            return (
              <Fragment key={id}>
                {begins && <li className="day">{day}</li>}
                <li>
                  <a
                    href={chatHref(id)}
                    aria-current={id === open ? 'page' : undefined}
                    title={titled(title, updated_at)}
                  >
                    <span className="title">{title ?? 'Untitled'}</span>
                  </a>
                </li>
              </Fragment>
            )
          })}
        </ul>
        {more && (
          <button type="button" className="quiet" onClick={more}>
            Show more
          </button>
        )}
        <a className="foot" href={inspectHref()}>
          <Icon name="graph" /> Run inspector
        </a>
      </nav>
    </>
  )
}

const dayMs = 86_400_000

/** The list is newest first, so each of these is a part of it. */
function dayOf(iso: string): string {
  const date = new Date(iso)
  const today = new Date().setHours(0, 0, 0, 0)
  if (date.getTime() >= today) return 'Today'
  if (date.getTime() >= today - dayMs) return 'Yesterday'
  if (date.getTime() >= today - 6 * dayMs) return date.toLocaleDateString('en', { weekday: 'long' })
  return date.toLocaleDateString('en', { month: 'long', year: 'numeric' })
}

function titled(title: string | undefined, iso: string): string {
  return `${title ?? 'Untitled'}, ${new Date(iso).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' })}`
}
