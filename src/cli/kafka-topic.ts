// `kafka://BROKER:PORT,…/TOPIC,…?format=chat`: a topic as a source of the commands. It reads the topic from its start, in a
// group of its own, so that it takes no partition from anyone, and leaves no position and no dead letter behind.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Runs } from '../client/index.ts'
import { realDeps } from '../deps.ts'
import { RuncastError } from '../error.ts'
import type { KafkaSource, KafkaSourceOptions } from '../sources/kafka.ts'
import { counted, note, oneLine } from './terminal.ts'

export interface TopicOptions {
  /** Whose runs; default: the source's own. */
  readonly tenant?: string | undefined
  /** Never gives up a broker that is away. */
  readonly patient: boolean
}

/** A broker that is away is found out within some seconds. */
const triesMax = 3
const lookMs = 100

export async function openTopic(spec: string, { tenant, patient }: TopicOptions): Promise<Runs> {
  const place = placeOf(spec)
  const { kafkaSource } = await import('../sources/kafka.ts')
  const failures: RuncastError[] = []
  const source = kafkaSource({
    ...place,
    tenant,
    group: `runcast-cli-${realDeps.id()}`,
    from: 'always',
    deadLetters: false,
    deps: realDeps,
    onError: error => {
      if (failures.push(error) === 1 && patient) note(`${oneLine(error.message)}; trying again until it is back`)
    },
  })
  try {
    await caughtUp(source, () => (patient || failures.length < triesMax ? undefined : failures.at(-1)))
  } catch (error) {
    await source[Symbol.asyncDispose]()
    const { code, message } = RuncastError.from(error)
    // Named, because nobody would look for it where a server is.
    throw RuncastError.of(code, `${spec}: ${message}`, { details: { source: spec }, cause: error })
  }
  tellProblems(source)
  const dispose = () => source[Symbol.asyncDispose]()
  return tenant === undefined ? source : { ...source.as({ tenant }), [Symbol.asyncDispose]: dispose }
}

/** A run that is read in part would look like another run: what the topic has now is read first. */
async function caughtUp(source: KafkaSource, failure: () => RuncastError | undefined): Promise<void> {
  const tty = process.stderr.isTTY
  for (;;) {
    const { state, records, lag } = source.status()
    const error = failure()
    if (error) throw error
    if (state === 'live') break
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

type Place = Pick<KafkaSourceOptions, 'brokers' | 'topics' | 'format' | 'tls' | 'ca' | 'sasl'>

/** Throws `invalid_request` saying what the address should look like. */
export function placeOf(spec: string): Place {
  const [, hosts = '', topics = '', query = ''] = /^kafka:\/\/([^/?]+)\/([^/?]+)(?:\?(.*))?$/.exec(spec) ?? []
  const params = new URLSearchParams(query)
  const { format = 'dashstream', tls, ...others } = Object.fromEntries(params)
  const brokers = hosts.split(',')
  const wrong =
    !brokers.every(broker => /^[^:@]+:\d+$/.test(broker)) ||
    (format !== 'dashstream' && format !== 'chat') ||
    (tls !== undefined && tls !== 'true' && tls !== 'false') ||
    Object.keys(others).length > 0
  if (wrong) {
    const fix =
      'give kafka://BROKER:PORT/TOPIC, with more brokers or topics behind commas, and ?format=chat or &tls=true'
    throw new RuncastError('invalid_request', `--source: ${JSON.stringify(spec)} is not the address of a topic; ${fix}`)
  }
  return {
    brokers,
    topics: topics.split(',').map(decodeURIComponent),
    format: format === 'chat' ? 'chat' : 'dashstream',
    ...(tls === 'true' && { tls: true }),
    ...saslOf(process.env),
  }
}

/** A password has no place in an address that shells remember. */
function saslOf(env: NodeJS.ProcessEnv): Pick<Place, 'sasl'> {
  const { RUNCAST_KAFKA_USERNAME: username, RUNCAST_KAFKA_PASSWORD: password } = env
  if (!username || password === undefined) return {}
  const mechanism = env['RUNCAST_KAFKA_MECHANISM'] ?? 'PLAIN'
  if (mechanism === 'PLAIN' || mechanism === 'SCRAM-SHA-256' || mechanism === 'SCRAM-SHA-512') {
    return { sasl: { mechanism, username, password } }
  }
  const known = 'PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512'
  throw new RuncastError('invalid_request', `RUNCAST_KAFKA_MECHANISM is ${JSON.stringify(mechanism)}; give ${known}`)
}
