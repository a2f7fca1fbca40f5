// `runcast doctor`: looks at everything that a run needs, one line each, and says how to mend what is wrong; with --url at
// a server somewhere, through whatever lies between. It must never start an agent, nor leave anything behind.
import { once } from 'node:events'
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { defineAgent } from '../agent/define.ts'
import { sqlite } from '../backends/sqlite.ts'
import { type Config, loadConfig } from '../config/load.ts'
import { showProblem } from '../config/problem.ts'
import { unsupported } from '../config/unsupported.ts'
import { RuncastError } from '../error.ts'
import { certificates, clientOptions, kafkaError, loadKafka } from '../kafka/client.ts'
import { authOf, serve } from '../server.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import { probeStream } from './probe.ts'
import { loadAllAgents } from './project.ts'
import { type RemoteOptions, remoteHeaders, remoteUrl } from './remote.ts'
import { coloursOf, counted, harmless, say } from './terminal.ts'

export interface DoctorOptions extends RemoteOptions {
  readonly dockfile?: string
}

/** Says what it found, or throws what is wrong. */
type Check = readonly [name: string, look: () => Promise<string>]

export async function doctor({ dockfile = '.', ...remote }: DoctorOptions): Promise<ExitCode> {
  const failed = remote.url === undefined ? await checkHere(dockfile) : await checkThere(remote)
  say()
  say(failed === 0 ? 'everything is well' : `${counted(failed, 'problem')}, see above`)
  return failed === 0 ? exitCodes.ok : exitCodes.failed
}

async function checkHere(dockfile: string): Promise<number> {
  let config: Config | undefined
  const failed = await checkAll([
    ['node', async () => `${process.versions.node}, in ${process.execPath}`],
    [
      'configuration',
      async () => {
        config = await loadConfig({ path: dockfile, env: process.env })
        const later = unsupported(config)
        if (later.length > 0) throw new RuncastError('invalid_request', later.map(showProblem).join('\n'))
        return config.file
      },
    ],
  ])
  if (config === undefined) return failed
  const known = config
  const { kafka } = known
  return (
    failed +
    (await checkAll([
      ['agents', async () => agentNames(known)],
      ...(known.auth.mode === 'api_key' ? [['keys', async () => checkKeys(known)] satisfies Check] : []),
      ['port', () => checkPort(known)],
      ['storage', () => checkStorage(known)],
      ...services(known).map(([name, address]): Check => [name, () => checkReachable(address)]),
      ...(kafka ? [['kafka', () => checkKafka(kafka)] as Check] : []),
      ['streaming', checkStreaming],
    ]))
  )
}

/** As `run` loads them; that it refuses some keys is said already. */
async function agentNames(config: Config): Promise<string> {
  Object.assign(process.env, config.env)
  return (await loadAllAgents(config, [])).map(({ name }) => name).join(', ')
}

/** As `run` reads them; their values are shown to nobody. */
function checkKeys({ auth, env }: Config): string {
  authOf(auth, { ...env, ...process.env })
  return `API keys are asked for in ${auth.apiKeys.header}`
}

async function checkAll(checks: readonly Check[]): Promise<number> {
  const { green, red } = coloursOf(process.stdout)
  let failed = 0
  for (const [name, look] of checks) {
    const title = name.padEnd(14)
    try {
      say(`${green('ok  ')} ${title} ${await look()}`)
    } catch (thrown) {
      failed++
      const [first = '', ...more] = harmless(messageOf(thrown)).split('\n')
      say(`${red('FAIL')} ${title} ${first}`)
      for (const line of more) say(`${' '.repeat(20)}${line}`)
    }
  }
  return failed
}

async function checkPort({ expose: { host, port } }: Config): Promise<string> {
  const server = createServer()
  try {
    server.listen({ host, port })
    await once(server, 'listening')
    return `${host}:${port} is free`
  } catch (thrown) {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
    const health = await fetch(`${url}/health`, { signal: AbortSignal.timeout(healthMsMax) }).catch(() => undefined)
    const body = (await health?.json().catch(() => undefined)) as { version?: string } | undefined
    if (body?.version !== undefined)
      return `${host}:${port} is taken by a server that is well (version ${body.version})`
    throw new RuncastError(
      'conflict',
      `${host}:${port}: ${messageOf(thrown)}; set expose.port, or stop what listens there`,
    )
  } finally {
    server.close()
  }
}

/** A server that is well answers at once. */
const healthMsMax = 2_000

async function checkStorage({ file, streaming, sqlite: { path } }: Config): Promise<string> {
  if (streaming.backend === 'memory') return 'memory: runs are gone with the process'
  if (streaming.backend !== 'sqlite') return streaming.backend
  const folder = dirname(resolve(dirname(file), path))
  mkdirSync(folder, { recursive: true })
  accessSync(folder, constants.W_OK)
  // A file of its own: the real one may belong to a server that runs.
  const trial = join(folder, `doctor-${process.pid}.db`)
  try {
    await using log = sqlite({ path: trial })
    await log.append('feed/doctor' as never, 0, [])
  } finally {
    for (const file of [trial, `${trial}-wal`, `${trial}-shm`, `${trial}-lock`, `${trial}.lock`])
      rmSync(file, { force: true })
  }
  return `SQLite can be written in ${folder}`
}

function services({ streaming: { redis }, postgres, otel }: Config): [string, string][] {
  return [
    ...(redis ? [['redis', redis.url] as [string, string]] : []),
    ...(postgres ? [['postgres', postgres.url] as [string, string]] : []),
    ...(otel ? [['otel', otel.endpoint] as [string, string]] : []),
  ]
}

const portsUsual: Readonly<Record<string, number>> = {
  'redis:': 6379,
  'rediss:': 6379,
  'postgres:': 5432,
  'postgresql:': 5432,
  'https:': 443,
  'http:': 80,
}

async function checkReachable(address: string): Promise<string> {
  const { hostname, port, protocol } = new URL(address)
  const where = { host: hostname, port: Number(port) || (portsUsual[protocol] ?? 0) }
  const socket = connect({ ...where, timeout: healthMsMax })
  try {
    await Promise.race([
      once(socket, 'connect'),
      once(socket, 'timeout').then(() => {
        throw new RuncastError('unavailable', `${where.host}:${where.port} does not answer within ${healthMsMax} ms`)
      }),
    ])
    return `${where.host}:${where.port} answers`
  } finally {
    socket.destroy()
  }
}

/** As the export would come: with its certificates and its login. */
async function checkKafka(kafka: NonNullable<Config['kafka']>): Promise<string> {
  const { Admin } = await loadKafka()
  const place = { ...kafka, ...certificates(kafka, 'runcast.kafka.') }
  const once = { retries: 0, connectTimeout: healthMsMax }
  const admin = new Admin({ ...clientOptions(place, 'runcast-doctor'), ...once })
  try {
    const { brokers } = await admin.metadata({ topics: [] })
    return `${counted(brokers.size, 'broker')} at ${kafka.brokers.join(', ')} let us in`
  } catch (thrown) {
    throw kafkaError(thrown)
  } finally {
    await admin.close()
  }
}

/** A server of our own on a free port, and one run through it. */
async function checkStreaming(): Promise<string> {
  const words = ['one ', 'two ', 'three']
  const agent = defineAgent({ name: 'doctor' }, async function* () {
    for (const word of words) yield word
  })
  await using served = await serve({ agents: [agent], port: 0 })
  const response = await fetch(`${served.url}/runs`, {
    method: 'POST',
    headers: { accept: 'text/event-stream' },
    signal: AbortSignal.timeout(runMsMax),
  })
  const text = await response.text()
  const seen = text.match(/^id: \d+$/gm)?.length ?? 0
  // started, the words, complete
  if (seen !== words.length + 2)
    throw new RuncastError('internal', `a run of ${words.length + 2} events arrived with ${seen}`)
  const probed = await probeStream(served.url, {})
  if (probed.buffered) throw new RuncastError('internal', `even here the first bytes took ${probed.firstMs} ms`)
  return `a run came through, and a stream's first bytes take ${probed.firstMs} ms`
}

/** The run takes milliseconds; a loaded machine gets its time. */
const runMsMax = 10_000

async function checkThere(remote: RemoteOptions): Promise<number> {
  const url = remoteUrl(remote)
  const headers = remoteHeaders(remote)
  const ask = async (path: string) => {
    const signal = AbortSignal.timeout(runMsMax)
    const response = await fetch(`${url}${path}`, { headers, signal }).catch(error => {
      const fix = 'is a server running there (npx runcast run)?'
      throw new RuncastError('unavailable', `nothing answers at ${url}: ${messageOf(error)}; ${fix}`)
    })
    const body = (await response.json().catch(() => ({}))) as Record<string, unknown> & { error?: string }
    if (!response.ok) throw new RuncastError('unavailable', `${path} answered ${response.status}: ${body.error ?? ''}`)
    return body
  }
  const health: Check = ['health', async () => `version ${String((await ask('/health'))['version'])} at ${url}`]
  const failed = await checkAll([health])
  if (failed > 0) return failed // all that follows would say the same
  return checkAll([
    ['ready', async () => readiness(await ask('/ready'))],
    ['access', async () => `${counted(((await ask('/runs?limit=1'))['runs'] as unknown[]).length, 'run')} seen`],
    [
      'streaming',
      async () => {
        const { buffered, firstMs, endMs, changes } = await probeStream(url, headers)
        if (!buffered) return [`first bytes after ${firstMs} ms of ${endMs}: nothing buffers`, ...changes].join('; ')
        const fix =
          'turn buffering off there (nginx: proxy_buffering off; many others: no response compression or caching)'
        throw new RuncastError(
          'unavailable',
          `something between here and the server buffers: the first bytes came after ${firstMs} ms, with the end\n${[...changes, fix].join('\n')}`,
        )
      },
    ],
  ])
}

/** Who only serves what others write has no agent. */
function readiness({ agent }: Record<string, unknown>): string {
  return typeof agent === 'string' ? `agent ${agent}` : 'read only, no agent'
}

/** fetch says only "fetch failed"; why is in its cause. */
function messageOf(thrown: unknown): string {
  const { message, cause } = RuncastError.from(thrown)
  const deeper = cause instanceof Error ? ((cause.cause as Error | undefined) ?? cause) : undefined
  const why = deeper && deeper.message !== message ? deeper.message || (deeper as { code?: string }).code : undefined
  return why ? `${message}: ${why}` : message || String(thrown)
}
