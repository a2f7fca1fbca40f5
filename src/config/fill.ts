// A valid Dockfile or TOML as a Config: names in camelCase, and the defaults that depend on another key.
// Every key of the schema must be read here; the types see to it that nothing is passed on by accident.

import type { AgentConfig, Backend, Config } from './config.ts'
import { type Dockfile, dockfile, type Toml } from './schema.ts'

/** What a Config has from the file as a whole. */
export type Origin = Pick<Config, 'file' | 'format' | 'lines' | 'env'>

const mib = 1024 * 1024

/** A run that is longer shows its gap; 100,000 events of 200 bytes are 20 MB. */
const eventsPerRunMax = 100_000

/** What is kept when the file does not say: memory must stay small, a disk may remember a week. */
const retentionOf = {
  memory: { ageMs: 3_600_000, runsMax: 1000, bytesPerRun: 64 * mib, bytesTotal: 256 * mib },
  sqlite: { ageMs: 7 * 86_400_000, runsMax: 100_000, bytesPerRun: 256 * mib, bytesTotal: 10 * 1024 * mib },
  redis: { ageMs: 3_600_000, runsMax: 100_000, bytesPerRun: 64 * mib, bytesTotal: 1024 * mib },
} as const satisfies Record<Backend, unknown>

const websocketDefaults = { maxFrameBytes: 65_536, compression: true, pingIntervalMs: 30_000 }

export function fromDockfile(from: Dockfile, origin: Origin): Config {
  const { expose, policies, runcast } = from
  return {
    ...origin,
    agents: agentsOf(from),
    expose: {
      rest: expose.rest,
      streaming: expose.streaming,
      port: expose.port,
      host: expose.host,
      ...given('cors', expose.cors),
    },
    streaming: streamingOf(from.streaming),
    auth: authOf(from.auth),
    policies: {
      redactPatterns: policies.safety.redact_patterns,
      ...given('maxOutputChars', policies.safety.max_output_chars),
      blockPromptInjection: policies.safety.block_prompt_injection,
    },
    secrets: [
      ...from.secrets.required.map(secret => ({ ...described(secret), required: true })),
      ...from.secrets.optional.map(secret => ({ ...described(secret), required: false })),
    ],
    sqlite: runcast.sqlite ?? { path: '.runcast/runs.db', durability: 'process' },
    retention: retention(from),
    cancelGraceMs: runcast.cancel_grace,
    ...given('cancelWhenUnwatchedMs', runcast.cancel_when_unwatched_seconds),
    shutdownGraceMs: runcast.shutdown_grace,
    onBusy: runcast.on_busy,
    limits: {
      bodyBytes: runcast.limits.body_bytes,
      maxConnections: runcast.limits.max_connections,
      emitBytes: runcast.limits.emit_bytes,
      eventBytes: runcast.limits.event_bytes,
    },
    direct: {
      bufferSize: runcast.direct.buffer_size,
      overflowStrategy: runcast.direct.overflow_strategy,
      threshold: runcast.direct.threshold,
      strategy: runcast.direct.strategy,
    },
    retryIntervalMs: runcast.retry_interval,
    ...(expose.streaming === 'websocket' && { websocket: websocketDefaults }),
    ...given('kafka', kafkaOf(runcast.kafka)),
    ...given('postgres', runcast.postgres),
    ...given('otel', runcast.otel),
    ...given('tls', runcast.tls),
  }
}

/** A TOML is the defaults of an empty Dockfile, with its own keys over them. */
export function fromToml({ streaming }: Toml, origin: Origin): Config {
  const base = fromDockfile(dockfile.parse({ version: '1.0' }), origin)
  const { sse, websocket, backpressure } = streaming
  return {
    ...base,
    streaming: { ...base.streaming, events: { ...base.streaming.events, heartbeatIntervalMs: sse.heartbeat_interval } },
    limits: { ...base.limits, maxConnections: sse.max_connections },
    direct: {
      bufferSize: streaming.buffer_size,
      overflowStrategy: streaming.overflow_strategy,
      threshold: backpressure.threshold,
      strategy: backpressure.strategy,
    },
    retryIntervalMs: sse.retry_interval,
    ...given(
      'websocket',
      websocket && {
        maxFrameBytes: websocket.max_frame_size,
        compression: websocket.compression,
        pingIntervalMs: websocket.ping_interval,
      },
    ),
  }
}

function agentsOf({ agent, io_schema, runcast: { agents } }: Dockfile): AgentConfig[] {
  const list = ['runcast', 'agents']
  const several = Array.isArray(agents)
    ? agents.map((parts, index) => ({ ...parts, at: [...list, index] }))
    : Object.entries(agents).map(([name, parts]) => ({ ...parts, name, at: [...list, name] }))
  const single = agent === undefined ? [] : [{ ...agent, io_schema, at: ['agent'] }]
  return [...single, ...several].map(({ name, framework, at, ...rest }) => {
    const [, module = '', called = ''] = /^(.*):(.*)$/.exec(rest.handler ?? rest.entrypoint ?? '') ?? []
    const kind = rest.handler === undefined ? 'entrypoint' : 'handler'
    const io = { ...given('input', rest.io_schema?.input), ...given('output', rest.io_schema?.output) }
    return { name, target: { kind, module, function: called, path: [...at, kind] }, framework, io }
  })
}

function streamingOf({ events, connection, redis, ...rest }: Dockfile['streaming']): Config['streaming'] {
  const wanted = redis ?? (rest.backend === 'redis' ? redisDefaults() : undefined)
  return {
    asyncRuns: rest.async_runs,
    backend: rest.backend,
    allowClientIds: rest.allow_client_ids,
    events: {
      allowed: events.allowed,
      heartbeatIntervalMs: events.heartbeat_interval,
      maxRunDurationMs: events.max_run_duration,
    },
    connection: {
      defaultTimeoutMs: connection.default_timeout,
      maxSubscribersPerRun: connection.max_subscribers_per_run,
    },
    ...given(
      'redis',
      wanted && {
        url: wanted.url,
        streamTtlMs: wanted.stream_ttl_seconds,
        maxEventsPerRun: wanted.max_events_per_run ?? eventsPerRunMax,
        connectionPoolSize: wanted.connection_pool_size,
      },
    ),
  }
}

function redisDefaults() {
  return dockfile.parse({ version: '1.0', streaming: { redis: {} } }).streaming.redis
}

function authOf({ mode, api_keys, jwt, roles, rate_limits }: Dockfile['auth']): Config['auth'] {
  return {
    mode,
    apiKeys: {
      envVar: api_keys.env_var,
      ...given('prefix', api_keys.prefix),
      header: api_keys.header,
      allowBearer: api_keys.allow_bearer,
    },
    ...given(
      'jwt',
      jwt && {
        keys: jwt.jwks_url === undefined ? { publicKeyEnv: jwt.public_key_env ?? '' } : { jwksUrl: jwt.jwks_url },
        ...given('issuer', jwt.issuer),
        ...given('audience', jwt.audience),
        algorithms: jwt.algorithms,
        leewayMs: jwt.leeway_seconds,
        claims: jwt.claims,
      },
    ),
    roles,
    rateLimits: rate_limits,
  }
}

function retention({ streaming: { backend, redis }, runcast }: Dockfile): Config['retention'] {
  const usual = retentionOf[backend]
  const { age, runs_max, events_per_run, bytes_per_run, bytes_total } = runcast.retention
  return {
    ageMs: age ?? (backend === 'redis' ? redis?.stream_ttl_seconds : undefined) ?? usual.ageMs,
    runsMax: runs_max ?? usual.runsMax,
    bytesPerRun: bytes_per_run ?? usual.bytesPerRun,
    bytesTotal: bytes_total ?? usual.bytesTotal,
    eventsPerRun: events_per_run ?? (backend === 'redis' ? redis?.max_events_per_run : undefined) ?? eventsPerRunMax,
  }
}

function kafkaOf(kafka: Dockfile['runcast']['kafka']): Config['kafka'] {
  if (kafka === undefined) return undefined
  const { brokers, format, tls, topic, topic_prefix, ca, cert, key, sasl } = kafka
  return {
    brokers,
    format,
    tls,
    ...given('topic', topic),
    ...given('topicPrefix', topic_prefix),
    ...given('ca', ca),
    ...given('cert', cert),
    ...given('key', key),
    ...given('sasl', sasl),
  }
}

function described({ name, description }: { name: string; description?: string | undefined }) {
  return { name, ...given('description', description) }
}

/** `{ [key]: value }`, or nothing: an absent key and a key that is undefined are different things to a reader. */
function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V }
}
