// The entry of the page. It chooses between the chat and the inspector, which is loaded when it is first opened.
import { lazy, StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'
import { ChatPage } from './chat/ChatPage.tsx'
import { useRoute } from './route.ts'
import { connectHere } from './server.ts'

const Inspector = lazy(() => import('./inspect/Inspector.tsx'))
const server = connectHere()

function Page() {
  const route = useRoute()
  if (route.page === 'chat') return <ChatPage server={server} thread={route.thread} />
  return (
    <Suspense fallback={<p className="loading">Loading the inspector…</p>}>
      <Inspector server={server} runs={route.runs} />
    </Suspense>
  )
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <Page />
  </StrictMode>,
)
