// Says when the page is cut off, and for a moment that it is back. Short cuts, which the client mends at once, stay unsaid.
import { useEffect, useState } from 'react'
import type { Server } from '../server.ts'
import { useSignal } from '../signal.ts'

/** A reconnect that works at once is nobody's business. */
const patienceMs = 700
const gladMs = 2_500

export type CutOff = 'offline' | 'lost' | undefined

/** Whether the server cannot be reached, once that has lasted long enough to be said. */
export function useCutOff(server: Server): CutOff {
  const connection = useSignal(server.connection)
  const offline = useOffline()
  const [cut, setCut] = useState(false)
  const bad = offline || connection === 'waiting'
  useEffect(() => {
    if (!bad) {
      setCut(false)
      return undefined
    }
    const timer = setTimeout(() => setCut(true), offline ? 0 : patienceMs)
    return () => clearTimeout(timer)
  }, [bad, offline])
  if (!cut) return undefined
  return offline ? 'offline' : 'lost'
}

export function ConnectionNotice({ cutOff }: { cutOff: CutOff }) {
  const [back, setBack] = useState(false)
  const cut = cutOff !== undefined
  useEffect(() => {
    if (!cut) return undefined
    // Run when it is over.
    return () => setBack(true)
  }, [cut])
  useEffect(() => {
    if (!back) return undefined
    const timer = setTimeout(() => setBack(false), gladMs)
    return () => clearTimeout(timer)
  }, [back])
  const words =
    cutOff === 'offline'
      ? 'You are offline. What happens meanwhile will appear when you are back.'
      : cutOff === 'lost'
        ? 'The connection is lost. Trying again…'
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
