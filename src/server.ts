// Composes a server: log, runs, HTTP; listens, drains, stops. The only place that knows everything, and with deps.ts
// and the CLI the only one that touches the clock. Everything that it opens it closes, in the opposite order.
import type { Agent } from './agent/define.ts'
import { memory } from './backends/memory.ts'
import type { Config } from './config/config.ts'
import type { Conversations } from './conversations/conversations.ts'
import { realDeps } from './deps.ts'
import { type DirectStream, settle } from './direct.ts'
import { RuncastError } from './error.ts'
import { aguiRoutes } from './faces/agui.ts'
import { aisdkRoutes } from './faces/aisdk.ts'
import { certificates } from './kafka/client.ts'
import { type Behind, listen, type Listening, type ListenOptions } from './listen.ts'
import { everyTenant, type Head, type Log } from './log.ts'
import { version } from './package.ts'
import { compilePatterns } from './redact.ts'
import type { RetentionLimits } from './retention.ts'
import { createRuns } from './local-runs.ts'
import type { Deps, LocalRuns, RunsOptions } from './runs.ts'
import type { Sink } from './sinks/sink.ts'
import type { AppOptions } from './transports/http/parts.ts'
import { apiKeys, keysFrom } from './transports/http/auth.ts'
import { createMetrics } from './transports/http/metrics.ts'

export interface ServeOptions
  extends ListenOptions,
    Partial<Omit<AppOptions, 'runs' | 'deps' | 'source'>>,
    Partial<Omit<RunsOptions, 'log' | 'agents' | 'deps'>> {
  readonly agents: readonly Agent[]
  /** Default: memory, gone with the process. The server disposes of it. */
  readonly log?: Log
  readonly deps?: Deps
  /** Served under /conversations, over the same log. The server disposes of it. */
  readonly conversations?: Conversations | undefined
  /**
   * Exports what the same log gets, of every tenant that has runs; retention waits for it. Disposed of by the server,
   * which lets it send the rest.
   */
  readonly sink?: Sink | undefined
  /** How long running runs may finish when the server stops. Default 10 s. */
  readonly shutdownGraceMs?: number
}

/** Stopping it lets what runs finish first. */
export interface Served extends Listening {
  readonly runs: LocalRuns
}

/** What stands behind a server's routes. */
export interface Composed {
  readonly log: Log
  readonly runs: LocalRuns
  readonly appOptions: AppOptions
  /** Gives what runs time to end, then interrupts it; default: `shutdownGraceMs`. */
  settle(graceMs?: number): Promise<void>
}

/** Long enough for most answers, short enough for whoever waits for a restart. */
const shutdownGraceMsDefault = 10_000

/** Puts log, runs and the options of the routes together, and repairs what a dead process left. */
export async function compose(options: ServeOptions): Promise<Composed> {
  const { agents, log = memory(), deps = realDeps, metrics = createMetrics() } = options
  if (agents.length === 0) throw new RuncastError('invalid_request', 'a server needs at least one agent')
  const attend = (tenant: string) => options.sink?.attend(tenant)
  if (options.sink) for (const tenant of await tenantsOf(log)) attend(tenant)
  const observer = { accepted: attend, started: metrics.runStarted, ended: metrics.runEnded }
  const retention = { ...options.retention, hold: holdOf(options) }
  const runs = createRuns({ ...options, log, agents, deps, observer, retention })
  await runs.recover()
  const running = new Set<DirectStream>()
  const direct = { ...directOf(options), observer, running, ...options.direct }
  const faces = options.faces ?? [aguiRoutes, aisdkRoutes]
  return {
    log,
    runs,
    async settle(graceMs = options.shutdownGraceMs ?? shutdownGraceMsDefault) {
      await Promise.all([runs.stop(graceMs), settle(running, graceMs, deps)])
    },
    appOptions: { ...options, runs, deps, metrics, direct, faces, version: options.version ?? version },
  }
}

/** Whose runs are there already. */
async function tenantsOf(log: Log): Promise<Set<string>> {
  const tenants = new Set<string>()
  for (let before: Head | undefined; ; ) {
    const page = await log.list({ tenant: everyTenant, limit: headsPerPage, ...(before && { before }) })
    for (const { tenant } of page) tenants.add(tenant)
    before = page.at(-1)
    if (before === undefined) return tenants
  }
}

const headsPerPage = 1_000

/** A run is kept while anyone who follows the log still needs it. */
function holdOf({ retention, conversations, sink }: ServeOptions): NonNullable<RetentionLimits['hold']> {
  const holds = [retention?.hold, conversations?.holds, sink?.holds].filter(hold => hold !== undefined)
  return async run => {
    for (const hold of holds) if (await hold(run)) return true
    return false
  }
}

/** Starts a server for agents. */
export async function serve(options: ServeOptions): Promise<Served> {
  const { conversations, sink, shutdownGraceMs = shutdownGraceMsDefault } = options
  const { log, runs, appOptions, settle } = await compose(options)
  const behind: Behind = {
    appOptions,
    conversations,
    risk: options.authenticate ? undefined : openRisk,
    settle,
    async close() {
      await sink?.[Symbol.asyncDispose]()
      await conversations?.[Symbol.asyncDispose]()
      await log[Symbol.asyncDispose]()
    },
  }
  try {
    return { ...(await listen(options, behind, shutdownGraceMs)), runs }
  } catch (error) {
    await settle(0) // log and sink are their owner's still, to try again
    throw error
  }
}

const openRisk = 'can start and read runs. Set auth.mode to api_key, or bind to 127.0.0.1.'

/** What direct streams share with managed runs. */
function directOf({
  allowed,
  redactPatterns,
  outputCharsMax,
  pendingBytesMax,
  eventBytesMax,
  maxRunDurationMs,
  cancelGraceMs,
}: ServeOptions) {
  return {
    ...(allowed !== undefined && { allowed }),
    ...(redactPatterns && { redactPatterns }),
    ...(outputCharsMax !== undefined && { outputCharsMax }),
    ...(pendingBytesMax !== undefined && { pendingBytesMax }),
    ...(eventBytesMax !== undefined && { eventBytesMax }),
    ...(maxRunDurationMs !== undefined && { maxRunDurationMs }),
    ...(cancelGraceMs !== undefined && { cancelGraceMs }),
  }
}

/** A configuration as options of {@link serve}. Its agents are loaded by the caller, who knows how. */
export async function optionsOf(
  config: Config,
  agents: readonly Agent[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ServeOptions> {
  const { expose, streaming, policies, retention, limits, auth } = config
  const { events, connection } = streaming
  const log = await logOf(config)
  const conversations = await conversationsOf(config, log)
  return {
    agents,
    log,
    conversations,
    sink: await sinkOf(config, log),
    web: true,
    host: expose.host,
    port: expose.port,
    rest: expose.rest,
    streaming: expose.streaming !== 'none',
    asyncRuns: streaming.asyncRuns,
    cors: expose.cors,
    authenticate: auth.mode === 'api_key' ? authOf(config.auth, env) : undefined,
    allowed: events.allowed.types,
    heartbeatEvents: events.allowed.heartbeat,
    heartbeatMs: events.heartbeatIntervalMs,
    maxRunDurationMs: events.maxRunDurationMs,
    idleMs: connection.defaultTimeoutMs,
    readersPerRunMax: connection.maxSubscribersPerRun,
    allowClientIds: streaming.allowClientIds,
    retryMs: config.retryIntervalMs,
    connectionsMax: limits.maxConnections,
    bodyBytesMax: limits.bodyBytes,
    pendingBytesMax: limits.emitBytes,
    eventBytesMax: limits.eventBytes,
    outputCharsMax: policies.maxOutputChars,
    redactPatterns: compilePatterns(policies.redactPatterns),
    cancelGraceMs: config.cancelGraceMs,
    cancelWhenUnwatchedMs: config.cancelWhenUnwatchedMs,
    shutdownGraceMs: config.shutdownGraceMs,
    onBusy: config.onBusy,
    retention: {
      ageMs: retention.ageMs,
      runsMax: retention.runsMax,
      bytesPerRunMax: retention.bytesPerRun,
      bytesTotalMax: retention.bytesTotal,
      eventsPerRunMax: retention.eventsPerRun,
    },
    direct: {
      bounds: {
        size: config.direct.bufferSize,
        overflow: config.direct.overflowStrategy,
        threshold: config.direct.threshold,
        strategy: config.direct.strategy,
      },
    },
  }
}

async function logOf({ streaming, sqlite }: Config): Promise<Log> {
  if (streaming.backend !== 'sqlite') return memory()
  const { sqlite: open } = await import('./backends/sqlite.ts')
  return open({ path: sqlite.path, durability: sqlite.durability })
}

/** Topics that are not as they must be are a reason not to start; a broker that is away for a while is not. */
async function sinkOf({ kafka }: Config, log: Log): Promise<Sink | undefined> {
  if (kafka === undefined) return undefined
  const { kafkaSink } = await import('./sinks/kafka/sink.ts')
  const tls = certificates(kafka, 'runcast.kafka.')
  const onError = ({ message }: RuncastError) => console.warn(`WARNING: export to Kafka: ${message}`)
  const sink = kafkaSink({ ...kafka, ...tls, log, tenants: [tenantDefault], deps: realDeps, onError })
  await sink.opened
  return sink
}

/** Whose runs a server without tenants has; its topics are checked before the server listens. */
const tenantDefault = 'default'

/** Beside the log: as lasting as it is, or in the Postgres that is named. */
async function conversationsOf({ streaming, sqlite, postgres }: Config, log: Log): Promise<Conversations> {
  const file = streaming.backend === 'sqlite' ? `${sqlite.path}-conversations` : ':memory:'
  const db = postgres ? { postgres: postgres.url } : { sqlite: file }
  const open = async () => {
    const { createConversations } = await import('./conversations/conversations.ts')
    return createConversations({ log, db, deps: realDeps })
  }
  // A database that is not there is a reason not to start; a library of hundreds of files is none to start late.
  return postgres ? open() : later(open)
}

/** As long as a server takes to listen. */
const laterMs = 200

/** An object of asynchronous methods that is made a moment later, or when the first of them is called. */
function later<T extends object>(make: () => Promise<T>): T {
  let made: Promise<T> | undefined
  const get = () => (made ??= make())
  setTimeout(() => void get().catch(() => {}), laterMs).unref() // whoever calls a method is told
  const method =
    (name: PropertyKey) =>
    async (...args: unknown[]) => {
      const methods = (await get()) as Record<PropertyKey, (...args: unknown[]) => unknown>
      return methods[name]?.(...args)
    }
  return new Proxy({} as T, { get: (_target, name) => (name === 'then' ? undefined : method(name)) })
}

/** The keys of the environment, asked for as the configuration says. */
export function authOf(auth: Config['auth'], env: Readonly<Record<string, string | undefined>>) {
  const { envVar, prefix, header, allowBearer } = auth.apiKeys
  const keys = keysFrom(env, envVar, prefix)
  if (keys.size === 0) {
    throw new RuncastError(
      'invalid_request',
      `auth.mode is api_key, but ${prefix ? `no variable begins with ${prefix}` : `${envVar} is not set`}; set it to a long random key`,
    )
  }
  return apiKeys({ keys, header, allowBearer })
}
