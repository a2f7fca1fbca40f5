// How the sink and the source reach Kafka: one place for brokers, TLS, SASL and the client's traps. The client is an
// optional package, loaded when it is first needed. It must never retry for ever: what fails for long is begun anew by
// its user, who knows where to go on, and a list of errors that grows without end would fill the memory.
import type * as Client from '@platformatic/kafka'
import { RuncastError } from '../error.ts'

export type Kafka = typeof Client

/** Where Kafka is, and who we are there. */
export interface KafkaPlace {
  /** `host:port`. */
  readonly brokers: readonly string[]
  readonly tls?: boolean | undefined
  /** PEM of the authority to trust instead of the system's; implies `tls`. */
  readonly ca?: string | undefined
  readonly sasl?:
    | {
        readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
        readonly username: string
        readonly password: string
      }
    | undefined
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
export function clientOptions(kafka: Kafka, { brokers, tls, ca, sasl }: KafkaPlace, clientId: string) {
  return {
    clientId,
    bootstrapBrokers: [...brokers],
    connectTimeout: connectMsMax,
    retries: retriesMax,
    retryDelay: (_client: object, _operation: string, attempt: number, _retries: number, error: Error) =>
      // Right after a commit the broker answers so for some milliseconds; the client's own second would be all the time.
      kafka.findErrorBy(error, 'apiId', 'CONCURRENT_TRANSACTIONS') ? retryMs * attempt : retryMs * 2 ** attempt,
    ...(tls || ca !== undefined ? { tls: ca === undefined ? {} : { ca } } : {}),
    ...(sasl === undefined ? {} : { sasl: { ...sasl } }),
  }
}

/** A broker that runs answers within milliseconds; one that is starting refuses at once. */
const connectMsMax = 3_000
/** The client retries within its retries: six of six end after seconds, not minutes. */
const retriesMax = 6
/** A transaction of 500 records takes 54 ms when what the broker is not ready for is asked again after 10 ms. */
const retryMs = 10

/** Whether Kafka's answer, or one within it, is this one. */
export function answered(kafka: Kafka, thrown: unknown, ...ids: readonly string[]): boolean {
  return thrown instanceof Error && ids.some(id => kafka.findErrorBy(thrown, 'apiId', id) !== null)
}

/** A thrown value of the client as ours: refused credentials are for good, all else may pass. */
export function kafkaError(kafka: Kafka, thrown: unknown): RuncastError {
  if (thrown instanceof RuncastError) return thrown
  const denied =
    thrown instanceof Error &&
    (kafka.findErrorBy(thrown, 'code', 'PLT_KFK_AUTHENTICATION') !== null ||
      answered(kafka, thrown, 'SASL_AUTHENTICATION_FAILED', 'TOPIC_AUTHORIZATION_FAILED') ||
      answered(kafka, thrown, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED'))
  return new RuncastError(denied ? 'unauthenticated' : 'unavailable', `Kafka: ${deepest(thrown)}`, { cause: thrown })
}

/** The client wraps errors in errors; the innermost says what happened. */
function deepest(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return deepest(thrown.errors.at(-1))
  if (!(thrown instanceof Error)) return String(thrown)
  return thrown.cause instanceof Error ? `${thrown.message} (${deepest(thrown.cause)})` : thrown.message
}
