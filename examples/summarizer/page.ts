// Fetches a page that a stranger names, without becoming their way into this machine's network: http and https
// only, public addresses only (checked on the address that is really connected to), text only, bounded in bytes and time.
// It must never resolve a name twice between the check and the connection, nor follow a redirect unchecked.

import { lookup as resolve } from 'node:dns'
import { get as getHttp } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import { BlockList, isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import { RuncastError } from '../../src/error.ts'
import { textOf } from './html.ts'

/** HTML around a long article; a page above it is a file. */
const pageBytesMax = 1_048_576
/** For the whole fetch, redirects included: a reader waits for it. */
const fetchMsMax = 10_000
/** http to https, to www, to a language: more is a loop. */
const redirectsMax = 3

export interface PageOptions {
  signal: AbortSignal
  /** Also loopback and private networks. Only for people who run this for themselves, and for tests. */
  allowPrivate: boolean
}

/** The readable text behind a URL. */
export async function fetchText(url: string, options: PageOptions): Promise<string> {
  const deadline = AbortSignal.timeout(fetchMsMax)
  const signal = AbortSignal.any([options.signal, deadline])
  try {
    return await follow(url, { ...options, signal })
  } catch (thrown) {
    options.signal.throwIfAborted()
    if (deadline.aborted) throw new RuncastError('timeout', `url took longer than ${fetchMsMax} ms`)
    throw RuncastError.from(thrown, 'unavailable')
  }
}

async function follow(first: string, options: PageOptions): Promise<string> {
  let url = checkedUrl(first, undefined, options)
  for (let hops = 0; hops <= redirectsMax; hops++) {
    const response = await request(url, options)
    const status = response.statusCode ?? 0
    const { location } = response.headers
    if (status >= 300 && status < 400 && location !== undefined) {
      response.destroy()
      url = checkedUrl(location, url, options)
      continue
    }
    try {
      return await readText(response, status)
    } finally {
      response.destroy()
    }
  }
  throw refused(`it redirects more than ${redirectsMax} times`)
}

function checkedUrl(text: string, base: URL | undefined, { allowPrivate }: PageOptions): URL {
  if (!URL.canParse(text, base)) throw refused('it is not a URL; send one like https://example.org/page')
  const url = new URL(text, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refused(`only http and https are fetched, not ${url.protocol}`)
  if (url.username !== '' || url.password !== '') throw refused('a URL with a user name or password is not fetched')
  // Node asks no resolver about literal addresses, so they are checked here.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !allowPrivate && !isPublic(host)) throw refusedAddress(host)
  return url
}

function request(url: URL, { signal, allowPrivate }: PageOptions): Promise<IncomingMessage> {
  const { promise, resolve: answered, reject } = Promise.withResolvers<IncomingMessage>()
  const get = url.protocol === 'https:' ? getHttps : getHttp
  const options = {
    signal,
    // No pooled connection: it might have been opened under another check.
    agent: false as const,
    headers: { accept: 'text/html, text/*;q=0.9', 'accept-encoding': 'identity', 'user-agent': 'runcast-summarizer' },
    ...(allowPrivate ? {} : { lookup: publicLookup }),
  }
  get(url, options, answered).on('error', reject)
  return promise
}

/** A resolver that fails when any address of the name is not public; the socket connects to what it returns. */
const publicLookup: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, '')
    const [first] = addresses
    const hidden = addresses.find(({ address }) => !isPublic(address))
    if (hidden !== undefined || first === undefined) return done(refusedAddress(hidden?.address ?? 'no address'), '')
    return options.all ? done(null, addresses) : done(null, first.address, first.family)
  })
}

/** Whether an address is one of the open internet. */
export function isPublic(address: string): boolean {
  const family = isIP(address)
  return family === 4 ? !special4.check(address, 'ipv4') : family === 6 && !special6.check(address, 'ipv6')
}

// Two lists, because a BlockList compares an IPv4 address with its IPv6 ranges as well, and ::/3 would hold them all.
/** IANA's special-purpose IPv4 addresses, with multicast and the reserved end. */
const special4 = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  special4.addSubnet(network, prefix, 'ipv4')
}

/** Of IPv6 only 2000::/3 is given out; within it, Teredo, documentation and 6to4 are special. */
const special6 = new BlockList()
for (const [network, prefix] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  special6.addSubnet(network, prefix, 'ipv6')
}

async function readText(response: IncomingMessage, status: number): Promise<string> {
  const type = response.headers['content-type'] ?? ''
  if (status !== 200) throw refused(`it answered with status ${status}`)
  if (!/^text\//i.test(type)) throw refused(`its content is ${type || 'of no known type'}, not text`)
  if (response.headers['content-encoding'] !== undefined)
    throw refused('it is compressed though that was not asked for')
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > pageBytesMax)
      throw new RuncastError('too_large', `url has more than ${pageBytesMax} bytes; send a part of it as text`)
    chunks.push(chunk)
  }
  const text = decoderOf(type).decode(Buffer.concat(chunks))
  return /^text\/html\b/i.test(type) ? textOf(text) : text
}

function decoderOf(type: string): TextDecoder {
  const label = /charset="?([\w-]{1,40})/i.exec(type)?.[1] ?? 'utf-8'
  try {
    return new TextDecoder(label)
  } catch {
    throw refused(`its character set ${label} is not known`)
  }
}

function refused(why: string): RuncastError {
  return new RuncastError('invalid_input', `url: ${why}`)
}

function refusedAddress(address: string): RuncastError {
  return refused(
    `it leads to ${address}, which is not a public address; where that is meant, set SUMMARIZER_ALLOW_PRIVATE_ADDRESSES=1`,
  )
}
