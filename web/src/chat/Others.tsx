// The first page where others talk and nobody here can write: what this is, and the conversations that had news last.
import { chatHref } from '../route.ts'
import type { ConversationList } from './use-conversations.ts'

/** More is in the list at the side. */
const shownMax = 5

export function Others({ list: { conversations, state } }: { list: ConversationList }) {
  return (
    <section className="welcome" aria-labelledby="welcome">
      <img src="favicon.svg" alt="" width="48" height="48" />
      <h2 id="welcome">What others say, as they say it</h2>
      <p className="muted">
        {state === 'ready' && conversations.length === 0
          ? 'Nothing yet. Conversations appear here when they are published.'
          : 'This server shows the conversations of another system. Choose one.'}
      </p>
      <ul className="examples">
        {conversations.slice(0, shownMax).map(({ id, title }) => (
          <li key={id}>
            <a href={chatHref(id)}>{title ?? id}</a>
          </li>
        ))}
      </ul>
    </section>
  )
}
