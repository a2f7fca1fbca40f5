// Readers of SSE that nobody here wrote: libraries of three languages, curl, and a browser, behind one shape.
// Why: our wire is right when they are content. They must be used as their documentation says, never made smarter.
import { EventSource } from 'eventsource'
import { findProgram } from '../services/child.ts'
import * as chromium from '../services/chromium.ts'
import { chromiumEvents } from './chromium.ts'
import { curlBody, fetchBody, reconnecting } from './parser.ts'
import {
  fetchEventSourceProgram,
  goProgram,
  missingGo,
  missingPython,
  programEvents,
  pythonProgram,
} from './programs.ts'

export interface ReadEvent {
  /** As the client tells it: most repeat the last id on an event that has none. */
  readonly id?: string
  readonly event: string
  readonly data: string
}

export interface ReadOptions {
  /** Only where `resumes`. */
  readonly lastEventId?: string
  /** Aborting ends the iteration without an error. */
  readonly signal?: AbortSignal
  /** Names to listen to besides {@link eventNames}: an EventSource hears only what it is told to. */
  readonly names?: readonly string[]
}

export interface Reader {
  readonly name: string
  /** Whether its user can choose the first Last-Event-ID. All of them send the right one when they reconnect. */
  readonly resumes: boolean
  /** Why it cannot run here, with the command that helps; or nothing. */
  available(): string | undefined
  /** Until a terminal event or a 204, reconnecting as the client does. */
  read(url: string, options?: ReadOptions): AsyncIterable<ReadEvent>
}

/** Terminal events of a run. A connection error is not one: EventSource calls it `error` too, but it has no data. */
const terminalNames: readonly string[] = ['complete', 'error', 'cancelled']

/** Every name that a stream of runs uses, notices included. */
export const eventNames: readonly string[] = [
  'started',
  'token',
  'step',
  'progress',
  'checkpoint',
  'state',
  'tool',
  'metrics',
  'text',
  'chart',
  'item',
  'warning',
  'input',
  'heartbeat',
  'gap',
  'message',
  ...terminalNames,
]

type Read = (url: string, options: ReadOptions & { names: readonly string[] }) => AsyncIterable<ReadEvent>

const here = () => undefined

export const readers: readonly Reader[] = [
  reader('eventsource', true, here, (url, options) => eventSourceEvents(url, options)),
  reader('eventsource-parser', true, here, (url, options) => reconnecting(fetchBody(url), options)),
  reader('@microsoft/fetch-event-source', true, here, (url, options) =>
    programEvents(fetchEventSourceProgram, [url, options.lastEventId ?? ''], options.signal),
  ),
  reader('httpx-sse', true, missingPython, (url, options) =>
    programEvents(pythonProgram, [url, options.lastEventId ?? ''], options.signal),
  ),
  // It drops a Last-Event-ID of ours when its first connection fails, so it cannot be relied on to start anywhere.
  reader('go-sse', false, missingGo, (url, options) => programEvents(goProgram, [url], options.signal)),
  reader('curl', true, missingCurl, (url, options) => reconnecting(curlBody(url), options)),
  reader('chromium', false, chromium.missing, (url, options) => chromiumEvents(url, options)),
]

function reader(name: string, resumes: boolean, available: () => string | undefined, read: Read): Reader {
  return {
    name,
    resumes,
    available,
    async *read(url, options = {}) {
      const { lastEventId, signal, names = [] } = options
      if (lastEventId !== undefined && !resumes) throw new Error(`${name} cannot be told a first Last-Event-ID`)
      if (signal?.aborted) return
      try {
        for await (const event of read(url, { ...options, names: [...eventNames, ...names] })) {
          yield event
          if (terminalNames.includes(event.event)) return
        }
      } catch (error) {
        if (!signal?.aborted) throw error
      }
    },
  }
}

function missingCurl(): string | undefined {
  return findProgram('curl') === undefined ? 'curl is not installed: sudo apt-get install curl' : undefined
}

function eventSourceEvents(url: string, { lastEventId, signal, names = [] }: ReadOptions): ReadableStream<ReadEvent> {
  // The only way in for a first id: the client sets the header itself from the first event on.
  const first = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...first, ...lowerCase(init.headers) } }),
  })
  return new ReadableStream<ReadEvent>({
    start(controller) {
      signal?.addEventListener('abort', () => {
        source.close()
        controller.error(signal.reason)
      })
      for (const name of new Set(names)) {
        source.addEventListener(name, event => {
          if (event.data !== undefined) controller.enqueue({ id: event.lastEventId, event: name, data: event.data })
        })
      }
      source.addEventListener('error', event => {
        if (source.readyState !== source.CLOSED) return
        if (event.code === 204) controller.close()
        else controller.error(new Error(`eventsource gave up: ${event.code} ${event.message}`))
      })
    },
    cancel: () => source.close(),
  })
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
