// The client, for browsers and for Node: `connect(url)` is a `Runs`, like the server's core. What is exported here is the
// whole of `runcast/client`; nothing of Node is reachable from it. The fold of a view is apart, as `runcast/view`.
import { RuncastError } from '../error.ts'
import type { Deps, Runs } from '../runs.ts'
import { type HttpOptions, httpRuns } from '../transports/http/client.ts'
import { webDeps } from './deps.ts'

export interface ConnectOptions extends Omit<HttpOptions, 'url' | 'deps'> {
  readonly deps?: Partial<Deps> | undefined
}

/** The runs of a server: `connect('https://example.org')`, or in a page also `connect('/api')`. */
export function connect(url: string | URL, options: ConnectOptions = {}): Runs {
  const page = (globalThis as { location?: { href: string } }).location?.href
  if (!URL.canParse(url, page) || !/^https?:$/.test(new URL(url, page).protocol)) {
    throw new RuncastError(
      'invalid_request',
      `${JSON.stringify(url)} is no address of a server; give one such as http://127.0.0.1:8080`,
    )
  }
  const { origin, pathname } = new URL(url, page)
  return httpRuns({ ...options, url: origin + pathname, deps: { ...webDeps, ...options.deps } })
}

export { codes, type Code, RuncastError } from '../error.ts'
export { type Event, type EventOf, type EventType, eventTypes, isTerminal } from '../event.ts'
export type { Batch, Gap, State } from '../batch.ts'
export type { Deliver } from '../iterate.ts'
export type { RunInfo } from '../run-info.ts'
export type { Deps, FollowRunOptions, ListFilter, Message, Page, Runs, StartOptions, Target } from '../runs.ts'
export type { View } from '../state/view.ts'
export type { BackoffOptions } from './backoff.ts'
export type { Connection } from './resume.ts'
export { followThread, type FollowThreadOptions, type ThreadBatch, type ThreadCursor } from './thread.ts'
