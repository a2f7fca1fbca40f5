// Where the page is, in the hash: `#/c/THREAD`, `#/inspect`, `#/inspect/RUN`, `#/inspect/RUN/RUN`. A new chat has none.
import { useSyncExternalStore } from 'react'

export type Route =
  | { readonly page: 'chat'; readonly thread?: string }
  | { readonly page: 'inspect'; readonly runs: readonly string[] }

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash)
  return routeOf(hash)
}

export function routeOf(hash: string): Route {
  const [page, ...rest] = hash.replace(/^#\/?/, '').split('/').map(decoded)
  if (page === 'inspect') return { page, runs: rest.filter(run => run !== '').slice(0, 2) }
  const [thread] = rest
  return page === 'c' && thread ? { page: 'chat', thread } : { page: 'chat' }
}

export const chatHref = (thread?: string) => (thread === undefined ? '#/' : `#/c/${encodeURIComponent(thread)}`)
export const inspectHref = (...runs: string[]) => ['#/inspect', ...runs.map(encodeURIComponent)].join('/')

/** Goes there without a step in the history, for a new chat that got its first message. */
export function replaceRoute(href: string): void {
  history.replaceState(null, '', href)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function subscribe(listener: () => void): () => void {
  addEventListener('hashchange', listener)
  return () => removeEventListener('hashchange', listener)
}
