// Whether the page is dark, and when that changes: for what is drawn on a canvas, which CSS cannot colour.
import { useSyncExternalStore } from 'react'

const query = '(prefers-color-scheme: dark)'

export function useDark(): boolean {
  return useSyncExternalStore(subscribe, () => matchMedia(query).matches)
}

function subscribe(listener: () => void): () => void {
  const media = matchMedia(query)
  media.addEventListener('change', listener)
  return () => media.removeEventListener('change', listener)
}
