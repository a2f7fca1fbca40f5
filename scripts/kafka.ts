// A Kafka broker on this machine, from its jars: `node scripts/kafka.ts start [--port N] [--dir DIR] [--tls]`.
// Why: developers and CI need the real thing and neither has Docker for sure. Java 17 and Maven are enough.
// It must never listen anywhere but on 127.0.0.1, nor keep its data in the repository.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { findProgram, freePort, type ServiceProcess, startService, temporaryDir } from '../test/services/child.ts'

const kafkaVersion = '4.1.1'
const cache = join(dirname(import.meta.dirname), '.cache', 'kafka')
const libs = join(cache, 'libs')
/** A broker for tests holds little: this heap starts fast and lets two brokers and a browser share a small machine. */
const heap = ['-Xms128m', '-Xmx512m', '-XX:+UseSerialGC']
const run = promisify(execFile)

export interface KafkaOptions {
  /** Default: a temporary directory, removed at the end. One that is given is kept, and found again by the next start. */
  readonly dir?: string
  /** Of the listener without TLS or SASL; default: a free one. */
  readonly port?: number
  /** Where clients are told to come instead, such as the port of a proxy. Default: `port`. */
  readonly advertisedPort?: number
  /** Adds a listener with TLS, `secure`, with a certificate made for it. */
  readonly tls?: boolean
  /** With `tls`: `secure` takes only who shows the certificate of `secure.client`. */
  readonly mutual?: boolean
  /** The user of the `secure` listener, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
  readonly sasl?: { readonly username: string; readonly password: string }
}

export interface Kafka extends ServiceProcess {
  readonly brokers: string[]
  /** The second listener, when `tls` or `sasl` asked for it. `ca` is the PEM of the certificate to trust. */
  readonly secure?: { readonly brokers: string[]; readonly ca?: string; readonly client?: Identity }
}

/** Who one is by TLS, both as PEM. */
interface Identity {
  readonly cert: string
  readonly key: string
}

export const install = 'sudo apt-get install openjdk-17-jre-headless maven'

/** Why a broker cannot be started here, or nothing. */
export function missing(): string | undefined {
  if (findProgram('java') === undefined) return `java is not installed: ${install}`
  // Where a Java of Debian is, there it is too.
  if (findProgram('openssl') === undefined) return 'openssl, which makes certificates, is not installed'
  if (!existsSync(libs) && findProgram('mvn') === undefined)
    return `mvn, which fetches Kafka, is not installed: ${install}`
  return undefined
}

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  await installKafka()
  const dir = options.dir === undefined ? temporaryDir('kafka') : resolve(options.dir)
  mkdirSync(dir, { recursive: true })
  const port = options.port ?? (await freePort())
  const isSecure = options.tls === true || options.sasl !== undefined
  const securePort = isSecure ? await freePort() : undefined
  const broker = options.tls ? await makeIdentity(dir, 'broker') : undefined
  const client = options.mutual ? await makeIdentity(dir, 'client') : undefined
  const file = join(dir, 'server.properties')
  writeFileSync(file, properties({ dir, port, securePort, controllerPort: await freePort(), options }))
  await formatStorage(dir, file, options.sasl)
  const service = await startService({
    name: 'kafka',
    command: findProgram('java') ?? 'java',
    args: [...heap, '-cp', join(libs, '*'), 'kafka.Kafka', file],
    dir,
    port,
    // The port opens a little before the broker is a leader of anything; this line comes after.
    readyLine: 'Kafka Server started',
    removeDir: options.dir === undefined,
  })
  const secure = {
    brokers: [`localhost:${securePort}`],
    ...(broker && { ca: broker.cert }),
    ...(client && { client }),
  }
  return Object.assign(service, { brokers: [`127.0.0.1:${port}`], ...(isSecure ? { secure } : {}) })
}

/** The jars of the broker into `.cache/kafka`, once: 46 files, 43 MB. */
export async function installKafka(): Promise<void> {
  if (existsSync(libs)) return
  const fresh = join(cache, `libs-${process.pid}`)
  const pom = join(import.meta.dirname, 'kafka', 'pom.xml')
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${fresh}`, `-Dkafka.version=${kafkaVersion}`]
  await run('mvn', ['--batch-mode', '--quiet', '--file', pom, ...goal])
  try {
    renameSync(fresh, libs)
  } catch (error) {
    // Another process was faster; its jars are the same.
    rmSync(fresh, { recursive: true, force: true })
    if (!existsSync(libs)) throw error
  }
}

interface Layout {
  readonly dir: string
  readonly port: number
  readonly controllerPort: number
  readonly securePort: number | undefined
  readonly options: KafkaOptions
}

function properties({ dir, port, controllerPort, securePort, options }: Layout): string {
  const open = `OPEN://127.0.0.1:${port}`
  // By name, not by address: clients check the certificate against a host name.
  const secure = securePort === undefined ? '' : `,SECURE://localhost:${securePort}`
  const security = `${options.sasl ? 'SASL_' : ''}${options.tls ? 'SSL' : 'PLAINTEXT'}`
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
    'controller.listener.names=CONTROLLER',
    'inter.broker.listener.name=OPEN',
    `listeners=${open},CONTROLLER://127.0.0.1:${controllerPort}${secure}`,
    `advertised.listeners=OPEN://127.0.0.1:${options.advertisedPort ?? port}${secure}`,
    `listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:${security}`,
    `log.dirs=${join(dir, 'data')}`,
    // A topic that nobody made is an error of ours, to be seen.
    'auto.create.topics.enable=false',
    'default.replication.factor=1',
    'offsets.topic.replication.factor=1',
    'offsets.topic.num.partitions=4',
    // Each partition is recovered after kill -9: the 50 of a default are a minute on a machine with other work.
    'transaction.state.log.num.partitions=4',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    // After kill -9 the broker waits until its own old session has expired: 9 s by default.
    'broker.session.timeout.ms=2000',
    'broker.heartbeat.interval.ms=500',
    ...(options.tls ? tlsProperties(dir, options.mutual === true) : []),
    ...(options.sasl ? saslProperties(options.sasl) : []),
    '',
  ].join('\n')
}

function tlsProperties(dir: string, mutual: boolean): string[] {
  const stores = { keystore: 'broker.both.pem', ...(mutual && { truststore: 'client.pem' }) }
  return [
    ...Object.entries(stores).flatMap(([store, file]) => [
      `listener.name.secure.ssl.${store}.location=${join(dir, file)}`,
      `listener.name.secure.ssl.${store}.type=PEM`,
    ]),
    ...(mutual ? ['listener.name.secure.ssl.client.auth=required'] : []),
  ]
}

function saslProperties({ username, password }: NonNullable<KafkaOptions['sasl']>): string[] {
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule'
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule'
  return [
    'listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    `listener.name.secure.plain.sasl.jaas.config=${plain} required user_${username}="${password}";`,
    `listener.name.secure.scram-sha-256.sasl.jaas.config=${scram} required;`,
    `listener.name.secure.scram-sha-512.sasl.jaas.config=${scram} required;`,
  ]
}

/** Writes the identity of the cluster into its directory, once; a directory used before keeps its own. */
async function formatStorage(dir: string, file: string, sasl: KafkaOptions['sasl']): Promise<void> {
  const user = sasl && `[name=${sasl.username},password=${sasl.password}]`
  const scram = user ? ['--add-scram', `SCRAM-SHA-256=${user}`, '--add-scram', `SCRAM-SHA-512=${user}`] : []
  const clusterId = randomBytes(16).toString('base64url').replace(/^-/, '_')
  const args = ['format', '-t', clusterId, '-c', file, '--ignore-formatted', ...scram]
  if (existsSync(join(dir, 'data', 'meta.properties'))) return
  await run('java', [...heap, '-cp', join(libs, '*'), 'kafka.tools.StorageTool', ...args])
}

/** A key and a certificate that is signed by itself, each in a file of its own, and both in one as the broker wants them. */
async function makeIdentity(dir: string, name: string): Promise<Identity> {
  const [certFile, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key.pem`)]
  if (!existsSync(certFile)) {
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    await run('openssl', ['req', '-x509', ...kind, ...names, '-keyout', keyFile, '-out', certFile])
  }
  const [cert, key] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')]
  writeFileSync(join(dir, `${name}.both.pem`), key + cert)
  return { cert, key }
}

const usage = `node scripts/kafka.ts start [--port N] [--dir DIR] [--tls] [--username U --password P]
node scripts/kafka.ts install       fetches the jars only`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      port: { type: 'string', default: '9092' },
      dir: { type: 'string' },
      tls: { type: 'boolean', default: false },
      username: { type: 'string' },
      password: { type: 'string' },
    },
  })
  const [command] = positionals
  if (values.help) return console.log(usage)
  if (command === 'install') return installKafka()
  if (command !== 'start') {
    console.error(usage)
    process.exitCode = 2
    return
  }
  const { dir, username, password = '' } = values
  const kafka = await startKafka({
    port: Number(values.port),
    tls: values.tls,
    ...(dir === undefined ? {} : { dir }),
    ...(username === undefined ? {} : { sasl: { username, password } }),
  })
  console.log(`Kafka ${kafkaVersion} on ${kafka.brokers.join()}, data in ${kafka.dir}. Ctrl-C stops it.`)
  if (kafka.secure)
    console.log(`With TLS or SASL on ${kafka.secure.brokers.join()}${values.tls ? `, ${kafka.dir}/broker.pem` : ''}`)
  // The broker does not keep this process alive: this timer does, until a signal stops both.
  const alive = setInterval(() => {}, 2 ** 30)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clearInterval(alive)
      void kafka[Symbol.asyncDispose]()
    })
  }
}

if (import.meta.main) await main()
