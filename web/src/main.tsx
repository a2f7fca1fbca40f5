// The entry of the page. It chooses between the chat and the inspector, which is loaded when it is first opened.
import { lazy, StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'
import { ChatPage } from './chat/ChatPage.tsx'
import { useRoute } from './route.ts'
import { connectHere } from './server.ts'

const Inspector = lazy(() => import('./inspect/Inspector.tsx'))
const server = connectHere()
/** Reloading did not help a moment ago: it will not now. */
const reloadMsMin = 60_000

function Page() {
  const route = useRoute()
  if (route.page === 'chat') return <ChatPage server={server} thread={route.thread} />
  return (
    <Suspense fallback={<p className="loading">Loading the inspector…</p>}>
      <Inspector server={server} runs={route.runs} />
    </Suspense>
  )
}

/** A page that is open for days meets a server with newer files: then a part that was not loaded yet is gone. */
addEventListener('vite:preloadError', event => {
  event.preventDefault()
  const before = Number(sessionStorage.getItem('runcast.reloaded') ?? 0)
  sessionStorage.setItem('runcast.reloaded', String(Date.now()))
  if (Date.now() - before > reloadMsMin) location.reload()
})

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <Page />
  </StrictMode>,
)
