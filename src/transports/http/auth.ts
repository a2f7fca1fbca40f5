// Who asks. API keys come from the environment, one or several, by header or as a bearer token; roles, rates and JWT
// have their place in `Authenticate` and are not built yet. Keys are compared in constant time and never logged.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { RuncastError } from '../../error.ts'
import type { Principal } from '../../runs.ts'

/** Names whoever sent the headers, or throws `unauthenticated`. */
export type Authenticate = (headers: IncomingHttpHeaders) => Principal | Promise<Principal>

export interface ApiKeyOptions {
  /** Key id to key; the id is the principal's user. */
  readonly keys: ReadonlyMap<string, string>
  /** Lower case. */
  readonly header: string
  readonly allowBearer: boolean
}

const tenant = 'default'

/** Everyone is the same nobody: for a server on loopback. */
export const anonymous: Authenticate = () => ({ tenant })

export function apiKeys({ keys, header, allowBearer }: ApiKeyOptions): Authenticate {
  const digests = [...keys].map(([id, key]) => ({ id, digest: digestOf(key) }))
  return headers => {
    const given = keyOf(headers, header.toLowerCase(), allowBearer)
    if (given === undefined) {
      const bearer = allowBearer ? ' or as "Authorization: Bearer …"' : ''
      throw new RuncastError('unauthenticated', `send an API key in the header ${header}${bearer}`)
    }
    const digest = digestOf(given)
    // Every key is compared, so that the time tells nothing about which one was near.
    const found = digests.filter(one => timingSafeEqual(one.digest, digest))[0]
    if (!found) throw new RuncastError('unauthenticated', 'this API key is not known')
    return { tenant, user: found.id }
  }
}

function keyOf(headers: IncomingHttpHeaders, header: string, allowBearer: boolean): string | undefined {
  const own = headers[header]
  if (typeof own === 'string' && own !== '') return own
  const bearer = allowBearer ? /^Bearer (.+)$/i.exec(headers.authorization ?? '') : null
  return bearer?.[1]
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** The keys of the environment: the one variable, and every variable that begins with the prefix. */
export function keysFrom(
  env: Readonly<Record<string, string | undefined>>,
  variable: string,
  prefix?: string,
): Map<string, string> {
  const keys = new Map<string, string>()
  for (const [name, key] of Object.entries(env)) {
    if (key === undefined || key === '') continue
    if (name === variable) keys.set('default', key)
    else if (prefix && name.startsWith(prefix)) keys.set(name.slice(prefix.length).replace(/^_/, '') || name, key)
  }
  return keys
}
