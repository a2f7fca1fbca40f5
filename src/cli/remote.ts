// The runs of a server somewhere, as the commands that talk to one see them. It must never print a token.
import { connect, type ConnectOptions, RuncastError, type Runs } from '../client/index.ts'

export interface RemoteOptions {
  readonly url?: string | undefined
  readonly token?: string | undefined
}

/** Where `runcast run` listens unless told otherwise. */
const urlDefault = 'http://127.0.0.1:8080'

export function remoteUrl({ url = process.env['RUNCAST_URL'] || urlDefault }: RemoteOptions): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed && /^https?:$/.test(parsed.protocol)) return url.replace(/\/+$/, '')
  throw new RuncastError(
    'invalid_request',
    `${JSON.stringify(url)} is not the address of a server; give one such as ${urlDefault}, or a file or topic as --source`,
  )
}

/** A key may be asked for in either header; the server takes the one it knows. */
export function remoteHeaders({ token = process.env['RUNCAST_TOKEN'] }: RemoteOptions): Record<string, string> {
  return token ? { authorization: `Bearer ${token}`, 'x-api-key': token } : {}
}

export function remoteRuns(options: RemoteOptions, more: ConnectOptions = {}): Runs {
  return connect(remoteUrl(options), { headers: remoteHeaders(options), ...more })
}

/** For a person who waits: a server that restarts is found again, one that is not there is said to be so within a second. */
export const impatient = { triesMax: 3, backoff: { baseMs: 200 } } as const satisfies ConnectOptions
