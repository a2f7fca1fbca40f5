// The title of a conversation and what one may do with it: rename, export, delete.
import { useRef, useState } from 'react'
import { RuncastError } from '../../../src/client/index.ts'
import { Icon } from '../Icon.tsx'
import { save } from '../save.ts'
import type { Server } from '../server.ts'

export interface ChatHeaderProps {
  readonly server: Server
  readonly thread: string
  readonly title: string | undefined
  readonly begun: boolean
  readonly isKnown: boolean
  readonly readOnly: boolean
  readonly changed: () => void
  readonly gone: () => void
  readonly showMenu: () => void
  readonly menuShown: boolean
}

const formats = [
  ['markdown', 'Markdown', 'md'],
  ['json', 'JSON', 'json'],
  ['chat.v1', 'chat.v1', 'binpb'],
] as const

export function ChatHeader(props: ChatHeaderProps) {
  const { server, thread, title, begun, isKnown, readOnly, changed, gone, showMenu, menuShown } = props
  const [editing, setEditing] = useState(false)
  const [failed, setFailed] = useState<string>()
  const asking = useRef<HTMLDialogElement>(null)
  const menu = useRef<HTMLDetailsElement>(null)
  const closeMenu = () => menu.current?.removeAttribute('open')
  const attempt = async (work: Promise<unknown>, then: () => void) => {
    try {
      await work
      setFailed(undefined)
      then()
    } catch (error) {
      setFailed(RuncastError.from(error).message)
    }
    changed()
  }
  const exportAs = async (format: string, ending: string) => {
    const name = title?.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'conversation'
    save(await server.exported(thread, format), `${name}.${ending}`)
  }
  const kept = begun && title !== undefined
  return (
    <header className="chat-header">
      <button
        type="button"
        className="quiet only-icon menu-button"
        aria-label="Conversations"
        aria-expanded={menuShown}
        aria-controls="sidebar"
        onClick={showMenu}
      >
        <Icon name="menu" />
      </button>
      {editing ? (
        <form
          className="rename"
          onSubmit={event => {
            event.preventDefault()
            const next = (new FormData(event.currentTarget).get('title') as string | null)?.trim() ?? ''
            setEditing(false)
            if (next !== '' && next !== title) void attempt(server.rename(thread, next), () => {})
          }}
        >
          <input
            name="title"
            aria-label="Title"
            defaultValue={title}
            maxLength={200}
            autoFocus
            onKeyDown={event => event.key === 'Escape' && setEditing(false)}
          />
          <button type="submit" className="button">
            Save
          </button>
        </form>
      ) : (
        <h1>{title ?? (readOnly ? 'Conversations' : isKnown ? 'New chat' : '')}</h1>
      )}
      {kept && !editing && (
        <details
          className="menu"
          ref={menu}
          onBlur={event => event.currentTarget.contains(event.relatedTarget) || closeMenu()}
          onKeyDown={event => event.key === 'Escape' && closeMenu()}
        >
          <summary aria-label="Options of this conversation">
            <span aria-hidden="true">⋯</span>
          </summary>
          <div className="menu-items">
            {!readOnly && (
              <button
                type="button"
                onClick={() => {
                  closeMenu()
                  setEditing(true)
                }}
              >
                <Icon name="edit" /> Rename
              </button>
            )}
            {formats.map(([format, name, ending]) => (
              <button
                key={format}
                type="button"
                onClick={() => {
                  closeMenu()
                  void attempt(exportAs(format, ending), () => {})
                }}
              >
                <Icon name="download" /> Export as {name}
              </button>
            ))}
            {!readOnly && (
              <button
                type="button"
                className="bad"
                onClick={() => {
                  closeMenu()
                  asking.current?.showModal()
                }}
              >
                <Icon name="trash" /> Delete
              </button>
            )}
          </div>
        </details>
      )}
      {failed !== undefined && (
        <p className="note error" role="alert">
          {failed}
        </p>
      )}
      <dialog ref={asking} className="card" aria-label="Delete this conversation?">
        <form method="dialog">
          <p>
            Delete <strong>{title}</strong> with all its messages?
          </p>
          <div className="choices">
            <button type="submit" className="button">
              Keep
            </button>
            <button type="submit" className="primary bad" onClick={() => void attempt(server.remove(thread), gone)}>
              Delete
            </button>
          </div>
        </form>
      </dialog>
    </header>
  )
}
