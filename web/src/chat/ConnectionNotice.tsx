// Says when the page is cut off, and for a moment that it is back. Short cuts, which the client mends at once, stay unsaid.
import { useEffect, useState } from 'react'
import type { Server } from '../server.ts'
import { useSignal } from '../signal.ts'

/** A reconnect that works at once is nobody's business. */
const patienceMs = 700
const gladMs = 2_500

export function ConnectionNotice({ server }: { server: Server }) {
  const connection = useSignal(server.connection)
  const offline = useOffline()
  const [cut, setCut] = useState(false)
  const [back, setBack] = useState(false)
  const bad = offline || connection === 'waiting'
  useEffect(() => {
    if (bad) {
      const timer = setTimeout(() => setCut(true), offline ? 0 : patienceMs)
      return () => clearTimeout(timer)
    }
    if (!cut) return undefined
    setCut(false)
    setBack(true)
    return undefined
  }, [bad, offline, cut])
  useEffect(() => {
    if (!back) return undefined
    const timer = setTimeout(() => setBack(false), gladMs)
    return () => clearTimeout(timer)
  }, [back])
  const words = cut
    ? offline
      ? 'You are offline. What happens meanwhile will appear when you are back.'
      : 'The connection is lost. Trying again…'
    : back
      ? 'Connected again.'
      : undefined
  return (
    <div role="status" className="connection">
      {words !== undefined && <p className={`banner ${cut ? 'warning' : 'good'}`}>{words}</p>}
    </div>
  )
}

function useOffline(): boolean {
  const [offline, setOffline] = useState(!navigator.onLine)
  useEffect(() => {
    const look = () => setOffline(!navigator.onLine)
    addEventListener('online', look)
    addEventListener('offline', look)
    return () => {
      removeEventListener('online', look)
      removeEventListener('offline', look)
    }
  }, [])
  return offline
}
