// How the sink and the source reach Kafka: one place for brokers, TLS, SASL and the client's traps. The client is an
// optional package, loaded when it is first needed. It must never retry for ever: what fails for long is begun anew by
// its user, who knows where to go on, and a list of errors that grows without end would fill the memory.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type * as Client from '@platformatic/kafka'
import { RuncastError } from '../error.ts'
import type { KafkaPlace } from './place.ts'

export type Kafka = typeof Client

type Certificates = Pick<KafkaPlace, 'ca' | 'cert' | 'key'>

const contents = {
  ca: "the PEM certificate of the brokers' authority",
  cert: 'our PEM certificate',
  key: 'the PEM private key of cert, without a passphrase',
}

/** The files of these paths as they are to be in a place. `section` stands before the names of the fields. */
export function certificates({ ca, cert, key }: Certificates, section = ''): Certificates {
  const read = (field: keyof Certificates, path: string | undefined, check: (pem: string) => void) => {
    if (path === undefined) return undefined
    try {
      const pem = readFileSync(path, 'utf8')
      check(pem)
      return pem
    } catch (cause) {
      const message = `${section}${field}: ${path} cannot be read (${(cause as Error).message}); give a file with ${contents[field]}`
      throw new RuncastError('invalid_request', message, { cause })
    }
  }
  const parsed = (pem: string) => new X509Certificate(pem)
  const ours = read('cert', cert, parsed)
  const checkKey = (pem: string) => {
    const key = createPrivateKey(pem)
    if (ours && !parsed(ours).checkPrivateKey(key)) throw new Error('it is the key of another certificate')
  }
  return { ca: read('ca', ca, parsed), cert: ours, key: read('key', key, checkKey) }
}

/** The client library, or an error that says how to get it. */
export async function loadKafka(): Promise<Kafka> {
  try {
    return await import('@platformatic/kafka')
  } catch (cause) {
    const message = 'Kafka needs the package @platformatic/kafka 2; run npm install @platformatic/kafka@2'
    throw new RuncastError('refused_by_policy', message, { cause })
  }
}

/** What all clients of a place share. */
export function clientOptions({ brokers, tls, ca, cert, key, sasl }: KafkaPlace, clientId: string) {
  return {
    clientId,
    context: ours,
    bootstrapBrokers: [...brokers],
    connectTimeout: connectMsMax,
    retries: retriesMax,
    retryDelay: (_client: object, _operation: string, attempt: number, _retries: number, error: Error) => {
      // Right after a commit the broker answers so for some milliseconds; the client's own second would be all the time.
      if (answered(error, 'CONCURRENT_TRANSACTIONS')) return busyMs
      // Whoever is refused or finds nobody is told soon: its user knows better when to try again.
      return isDenied(error) || attempt > patientAttempts ? 0 : retryMs
    },
    ...(tls || ca !== undefined || cert !== undefined ? { tls: { ca, cert, key } } : {}),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
  }
}

const ours = Symbol('runcast')

// A connection that is reset while we log in has its error emitted once to who waits for it, and once more to nobody, which
// would end the process.
subscribe('plt:kafka:instances', message => {
  const { type, instance } = message as { type: string; instance: Client.Connection }
  if (type === 'connection' && instance.context === ours) instance.on('error', () => {})
})

/** A broker that runs answers within milliseconds; one that is starting refuses at once. */
const connectMsMax = 3_000
/** How often the client asks again while the broker ends the transaction before: 200 ms in all. */
const retriesMax = 20
/** A transaction of 500 records takes 54 ms when it is asked again after 10 ms. */
const busyMs = 10
/** Of other failures: a leader that moves is found again within them. The client's retries stand within its retries. */
export const patientAttempts = 5
export const retryMs = 50

/** One request and its answer, over the client's wire layer; for the versions of today's encoding. */
export function ask<Answer>(
  connection: Client.Connection,
  { key, version }: { readonly key: number; readonly version: number },
  request: () => Client.Writer,
  read: Client.ResponseParser<Answer>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const answered = (error: Error | null, answer?: Answer) => (error ? reject(error) : resolve(answer as Answer))
    connection.send(key, version, request, read, true, true, answered)
  })
}

/** Whether the same request may well be answered otherwise a little later: a leader that moves, a connection that broke. */
export function isPassing(thrown: unknown): boolean {
  return within(thrown, error => (error as { canRetry?: unknown }).canRetry === true)
}

/** Whether Kafka's answer, or one within it, is this one. */
export function answered(thrown: unknown, ...ids: readonly string[]): boolean {
  return within(thrown, error => ids.includes(String((error as { apiId?: unknown }).apiId)))
}

/** A thrown value of the client as ours. Refused credentials are told apart: no retry mends them. */
export function kafkaError(thrown: unknown): RuncastError {
  if (thrown instanceof RuncastError) return thrown
  const code = isDenied(thrown) ? 'unauthenticated' : 'unavailable'
  return new RuncastError(code, `Kafka: ${deepest(thrown)}`, { cause: thrown })
}

function isDenied(thrown: unknown): boolean {
  return (
    within(thrown, error => (error as { code?: unknown }).code === 'PLT_KFK_AUTHENTICATION') ||
    // The broker's alert to a certificate of ours, or to none.
    within(thrown, error =>
      /ALERT_(BAD_CERT|CERTIFICATE|UNKNOWN_CA)/.test(String((error as { code?: unknown }).code)),
    ) ||
    answered(thrown, 'SASL_AUTHENTICATION_FAILED', 'TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED') ||
    answered(thrown, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'GROUP_AUTHORIZATION_FAILED')
  )
}

/** The client wraps errors in errors, side by side and as causes. */
function within(thrown: unknown, is: (error: Error) => boolean): boolean {
  if (!(thrown instanceof Error)) return false
  const inner: unknown[] = thrown instanceof AggregateError ? thrown.errors : []
  return is(thrown) || within(thrown.cause, is) || inner.some(one => within(one, is))
}

/** The innermost error says what happened. */
function deepest(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return deepest(thrown.errors.at(-1))
  if (!(thrown instanceof Error)) return String(thrown)
  // The broker's own words name what the client's do not, such as the topic in the way.
  const said = (thrown as { serverErrorMessage?: unknown }).serverErrorMessage
  if (typeof said === 'string' && said !== '') return said
  // Of TLS, where the message is the path through OpenSSL.
  const { reason } = thrown as { reason?: unknown }
  if (typeof reason === 'string') return reason
  const cause = thrown.cause instanceof Error ? deepest(thrown.cause) : thrown.message
  return cause === thrown.message ? cause : `${thrown.message} (${cause})`
}
