// `kafka://BROKER:PORT,…/TOPIC,…?format=chat`: a topic as a source of the commands. It reads the topic from its start, in a
// group of its own, so that it takes no partition from anyone, and leaves no position and no dead letter behind.
import { setTimeout as sleep } from 'node:timers/promises'
import { realDeps } from '../deps.ts'
import { RuncastError } from '../error.ts'
import { chatTopics } from '../formats/chat.ts'
import { certificates } from '../kafka/client.ts'
import type { KafkaSource, KafkaSourceOptions } from '../sources/kafka.ts'
import { counted, note, oneLine } from './terminal.ts'

export interface TopicOptions {
  /** Of chat.v1, which says no tenant; default: the source's own. */
  readonly tenant?: string | undefined
  /** Never gives up a broker that is away. */
  readonly patient: boolean
  /** Whether it is given back once all is read that is there now, or as soon as it reads. */
  readonly from: 'caught up' | 'begun'
  readonly warn?: (message: string) => void
  /** Ends the wait for a topic that has not been reached. */
  readonly signal?: AbortSignal | undefined
  /** Whether the brokers are away, as long as the topic has not been reached. */
  readonly onAway?: ((away: boolean) => void) | undefined
}

/** A broker that is away is found out within some seconds. */
const triesMax = 3
const lookMs = 100
/** Tries come every 5 s at least: what fails so long after the failure before has worked in between. */
const outageMs = 30_000

export async function openTopic(spec: string, options: TopicOptions): Promise<KafkaSource> {
  const { tenant, patient, warn = note } = options
  const place = placeOf(spec)
  const { kafkaSource } = await import('../sources/kafka.ts')
  let tries = 0
  let failure: RuncastError | undefined
  let failedAt = -Infinity
  let given = false
  const source = kafkaSource({
    ...place,
    tenant,
    group: `runcast-cli-${realDeps.id()}`,
    from: 'always',
    deadLetters: false,
    deps: realDeps,
    onError: error => {
      const isNew = performance.now() - failedAt > outageMs
      failedAt = performance.now()
      failure = error
      // No other try mends what is refused.
      tries += error.code === 'unauthenticated' ? triesMax : 1
      if (!given) options.onAway?.(true)
      if (isNew && (patient || given))
        warn(`${oneLine(error.message).replace(/\.$/, '')}; trying again until it is back`)
    },
  })
  try {
    await reached(source, options, () => (patient || tries < triesMax ? undefined : failure))
  } catch (error) {
    await source[Symbol.asyncDispose]()
    const { code, message } = RuncastError.from(error)
    // Named, because nobody would look for it where a server is.
    throw RuncastError.of(code, `${spec}: ${message}`, { details: { source: spec }, cause: error })
  }
  given = true
  tellProblems(source)
  return source
}

/** A run that is read in part would look like another run to who reads it once: what the topic has now is read first. */
async function reached(
  source: KafkaSource,
  { from, signal, onAway }: TopicOptions,
  failure: () => RuncastError | undefined,
): Promise<void> {
  const tty = process.stderr.isTTY
  for (;;) {
    const { state, records, lag } = source.status()
    signal?.throwIfAborted()
    if (state === 'live' || state === 'catching_up') onAway?.(false)
    if (state === 'live' || (from === 'begun' && state === 'catching_up')) break
    const error = failure()
    if (error) throw error
    if (tty) process.stderr.write(`\r\u001b[K  ${counted(records, 'record')} read, ${lag ?? 'unknown'} to go`)
    await sleep(lookMs)
  }
  if (tty) process.stderr.write('\r\u001b[K')
}

function tellProblems(source: KafkaSource): void {
  const { problems } = source.status()
  const told = Object.entries(problems).map(([kind, count]) => `${count} ${kind}`)
  if (told.length > 0) note(`the topic has problems: ${told.join(', ')}`)
}

type Place = Pick<KafkaSourceOptions, 'brokers' | 'topics' | 'format' | 'tls' | 'ca' | 'cert' | 'key' | 'sasl'>

/** Throws `invalid_request` saying what the address should look like. */
export function placeOf(spec: string, env: NodeJS.ProcessEnv = process.env): Place {
  const [, hosts = '', topics = '', query = ''] = /^kafka:\/\/([^/?]+)\/([^/?]+)(?:\?(.*))?$/.exec(spec) ?? []
  const params = new URLSearchParams(query)
  const { format = 'dashstream', tls, ca, cert, key, ...others } = Object.fromEntries(params)
  const brokers = hosts.split(',')
  const wrong =
    !brokers.every(broker => /^[^:@]+:\d+$/.test(broker)) ||
    (format !== 'dashstream' && format !== 'chat') ||
    (tls !== undefined && tls !== 'true' && tls !== 'false') ||
    [ca, cert, key].some(path => path === '' || (path !== undefined && tls === 'false')) ||
    (cert === undefined) !== (key === undefined) ||
    Object.keys(others).length > 0
  if (wrong) {
    const fix =
      'give kafka://BROKER:PORT/TOPIC, with more brokers or topics behind commas, and ?format=chat, &tls=true, &ca=FILE or &cert=FILE&key=FILE'
    throw new RuncastError('invalid_request', `${JSON.stringify(spec)} is not the address of a topic; ${fix}`)
  }
  const isChat = format === 'chat'
  return {
    brokers,
    topics: topics.split(',').flatMap(topic => topicsOf(decodeURIComponent(topic), isChat)),
    format: isChat ? 'chat' : 'dashstream',
    ...(tls === 'true' && { tls: true }),
    ...certificates({ ca, cert, key }),
    ...saslOf(env),
  }
}

/** What chat.v1 says of a run is in five topics, of which none is enough: `PREFIX.*` is all of them. */
function topicsOf(topic: string, isChat: boolean): string[] {
  if (!topic.includes('*')) return [topic]
  if (isChat && /^[^*]+\.\*$/.test(topic)) return chatTopics.map(end => topic.slice(0, -1) + end)
  const fix = 'name each topic; only PREFIX.* with ?format=chat stands for several'
  throw new RuncastError('invalid_request', `${JSON.stringify(topic)} is not the name of a topic; ${fix}`)
}

/** A password has no place in an address that shells remember. Half of it would be a login as nobody. */
function saslOf(env: NodeJS.ProcessEnv): Pick<Place, 'sasl'> {
  const {
    RUNCAST_KAFKA_USERNAME: username,
    RUNCAST_KAFKA_PASSWORD: password,
    RUNCAST_KAFKA_MECHANISM: mechanism = 'PLAIN',
  } = env
  if (!username && !password && env['RUNCAST_KAFKA_MECHANISM'] === undefined) return {}
  if (!username || !password) {
    const missing = username ? 'RUNCAST_KAFKA_PASSWORD' : 'RUNCAST_KAFKA_USERNAME'
    const message = `${missing} is not set; brokers that ask who we are want a user name and a password`
    throw new RuncastError('invalid_request', message)
  }
  if (mechanism === 'PLAIN' || mechanism === 'SCRAM-SHA-256' || mechanism === 'SCRAM-SHA-512') {
    return { sasl: { mechanism, username, password } }
  }
  const known = 'PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512'
  throw new RuncastError('invalid_request', `RUNCAST_KAFKA_MECHANISM is ${JSON.stringify(mechanism)}; give ${known}`)
}
