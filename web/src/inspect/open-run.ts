// A run that is being inspected, as the page has it: how far the worker is, and questions to it.
import { createSignal, type Signal } from '../signal.ts'
import type { Ask, Filter, Moment, Reading, Rows, Tell } from './protocol.ts'

export interface OpenRun {
  readonly reading: Signal<Reading>
  rows(from: number, count: number, filter: Filter): Promise<Rows>
  moment(at: number): Promise<Moment>
  events(): Promise<Blob>
  close(): void
}

export function openRun(run: string): OpenRun {
  const worker = new Worker(new URL('./run-worker.ts', import.meta.url), { type: 'module' })
  const reading = createSignal<Reading>({ count: 0, ended: false })
  const waiting = new Map<number, (value: never) => void>()
  let asked = 0
  worker.onmessage = ({ data }: MessageEvent<Tell>) => {
    if (data.kind === 'progress') {
      const { kind: _, ...now } = data
      reading.set(now)
    } else {
      waiting.get(data.id)?.(data.value as never)
      waiting.delete(data.id)
    }
  }
  const send = (ask: Ask) => worker.postMessage(ask)
  const ask = <T>(question: (id: number) => Ask) =>
    new Promise<T>(resolve => {
      const id = ++asked
      waiting.set(id, resolve as (value: never) => void)
      send(question(id))
    })
  const base = new URL('.', document.baseURI).href.replace(/[?#].*$/, '')
  send({ kind: 'open', base, apiKey: localStorage.getItem('runcast.api_key') ?? undefined, run })
  return {
    reading,
    rows: (from, count, filter) => ask(id => ({ kind: 'rows', id, from, count, filter })),
    moment: at => ask(id => ({ kind: 'moment', id, at })),
    events: () => ask(id => ({ kind: 'export', id })),
    close: () => worker.terminate(),
  }
}
