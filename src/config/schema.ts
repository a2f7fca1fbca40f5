// The shape of a Dockfile and of a `[streaming]` TOML: every key, its range and its default (PROTOCOL: Dockfile).
// One zod schema each, strict at every level, so that a key either acts or is refused (H49).
// It must hold nothing that needs two keys at once: that is rules.ts.

import { z } from 'zod'
import { compileSchema } from '../json-schema.ts'
import { allowedFaults, parseAllowed } from './allowed.ts'
import { rateLimit } from './duration.ts'
import {
  bytes,
  choice,
  duration,
  flag,
  integer,
  list,
  optionalSection,
  refuse,
  seconds,
  section,
  text,
} from './leaves.ts'

const kib = 1024
const mib = 1024 * kib
const gib = 1024 * mib
const dayMs = 86_400_000

const agentName = text('give 1 to 63 of a-z, 0-9 and -, no hyphen first or last', /^(?!-)[a-z0-9-]{1,63}(?<!-)$/)
const target = text('give module:function, such as ./agent.ts:run', /^[^\s:](?:.*[^\s:])?:[A-Za-z_$][\w$]*$/)
const variable = text('give the name of an environment variable: A-Z, 0-9 and _, no digit first', /^[A-Za-z_]\w*$/)
const words = text('give a text')
const redisUrl = text('give redis://HOST:PORT or rediss://HOST:PORT', /^rediss?:\/\/\S+$/)
const httpUrl = text('give a URL that begins with http:// or https://', /^https?:\/\/[^\s/]\S*$/)
const origin = text(
  'give "*" or an origin such as https://app.example, without path or slash',
  /^(?:\*|https?:\/\/[^\s/?#]+)$/,
)

const jsonSchema = z
  .record(z.string(), z.unknown(), { error: 'give a JSON Schema (a map)' })
  .transform((value, context) => {
    try {
      compileSchema(value)
      return value
    } catch (thrown) {
      return refuse(context, { says: 'it is not a JSON Schema', fix: `mend it: ${(thrown as Error).message}` })
    }
  })
const ioSchema = section({ input: jsonSchema.optional(), output: jsonSchema.optional() })
const agentParts = {
  entrypoint: target.optional(),
  handler: target.optional(),
  framework: text('give a short name such as custom or langgraph', /^[A-Za-z0-9._-]{1,63}$/).default('custom'),
}
const agentOfMap = section({ ...agentParts, io_schema: ioSchema.optional() })
const agentOfList = section({ name: agentName, ...agentParts, io_schema: ioSchema.optional() })

const allowed = z
  .union([z.string(), z.array(z.unknown())], {
    error: 'give a preset or a list of event types',
  })
  .transform((value, context) => {
    const faults = allowedFaults(value)
    for (const { index, message, fix } of faults)
      refuse(context, { says: message, fix, path: index === undefined ? [] : [index] })
    return faults.length === 0 ? parseAllowed(value) : z.NEVER
  })

const redactPattern = text('give a regular expression').transform((value, context) => {
  try {
    if (!new RegExp(value).test('')) return value
    return refuse(context, { says: '%v also matches empty text', fix: 'make it match at least one character' })
  } catch {
    return refuse(context, { says: '%v is not a regular expression', fix: 'give one that JavaScript accepts' })
  }
})

// Paths are made absolute: SQLite's own name for a database in memory would become a file of that name.
const sqlitePath = words.transform((value, context) => {
  if (value !== ':memory:') return value
  return refuse(context, {
    says: '%v is no file',
    fix: 'give the path of a file; to keep runs in memory set streaming.backend: memory and delete this section',
  })
})

const rate = text('give calls per window, such as 60/m, 1000/minute or 10/s').transform(
  (value, context) =>
    rateLimit(value) ??
    refuse(context, { says: '%v is not a rate', fix: 'give calls per window, such as 60/m, 1000/minute or 10/s' }),
)

/** What a role may be allowed. */
export const permissions = ['invoke', 'read', 'cancel', 'input', 'view_metrics', 'admin'] as const

const streaming = optionalSection({
  async_runs: flag().default(true),
  backend: choice(['memory', 'sqlite', 'redis']).default('memory'),
  allow_client_ids: flag().default(true),
  events: optionalSection({
    allowed: allowed.prefault('all'),
    heartbeat_interval: seconds(1, 300).prefault(15),
    max_run_duration: seconds(1, 86_400).prefault(3600),
  }),
  connection: optionalSection({
    default_timeout: seconds(1, 3600).prefault(300),
    max_subscribers_per_run: integer(1, 1000, 'readers').default(100),
  }),
  redis: section({
    url: redisUrl.default('redis://localhost:6379'),
    stream_ttl_seconds: seconds(60, 604_800).prefault(3600),
    max_events_per_run: integer(10, 100_000, 'events').optional(),
    connection_pool_size: integer(1, 1000, 'connections').default(10),
  }).optional(),
})

const jwt = section({
  jwks_url: httpUrl.optional(),
  public_key_env: variable.optional(),
  issuer: words.optional(),
  audience: words.optional(),
  // Only asymmetric ones: with HS256 a public key would be taken for a shared secret.
  algorithms: list(
    choice(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']),
    'give a list such as [RS256]',
  )
    .min(1, { error: 'give at least one, such as [RS256]' })
    .default(['RS256']),
  leeway_seconds: seconds(0, 300).prefault(30),
  claims: z.record(z.string(), words, { error: 'give a map of our name to the name of the claim' }).default({}),
})

const auth = optionalSection({
  mode: choice(['none', 'api_key', 'jwt']).default('none'),
  api_keys: optionalSection({
    env_var: variable.default('DOCKRION_API_KEY'),
    prefix: variable.optional(),
    header: text('give the name of an HTTP header', /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/).default('X-API-Key'),
    allow_bearer: flag().default(true),
  }),
  jwt: jwt.optional(),
  roles: list(
    section({ name: words, permissions: list(choice(permissions), 'give a list of permissions') }),
    'give a list of {name, permissions}',
  ).default([]),
  rate_limits: z.record(z.string(), rate, { error: 'give a map of role to rate, such as default: 60/m' }).default({}),
})

const policies = optionalSection({
  safety: optionalSection({
    redact_patterns: list(redactPattern, 'give a list of regular expressions').default([]),
    max_output_chars: integer(1, 100_000_000, 'characters').optional(),
    block_prompt_injection: flag().default(false),
  }),
})

const secrets = optionalSection({
  required: list(
    section({ name: variable, description: words.optional() }),
    'give a list of {name, description}',
  ).default([]),
  optional: list(
    section({ name: variable, description: words.optional(), default: z.string({ error: 'give a text' }).optional() }),
    'give a list of {name, description, default}',
  ).default([]),
})

/** What bounds a direct stream; the TOML has the same keys in other places. */
const bufferSize = integer(1, 1_000_000, 'events')
const overflow = choice(['drop_oldest', 'drop_newest', 'block'])
const pressure = choice(['pause', 'drop', 'buffer'])
const retryInterval = duration(10, 3_600_000)
const connectionsMax = integer(1, 1_000_000, 'connections')

const kafka = section({
  brokers: list(text('give HOST:PORT', /^[^\s:,]+:\d{1,5}$/), 'give a list such as [localhost:9092]').min(1, {
    error: 'give at least one HOST:PORT',
  }),
  format: choice(['dashstream', 'chat']).default('dashstream'),
  topic: text('give the name of a topic: letters, digits, . _ -', /^[A-Za-z0-9._-]{1,249}$/).optional(),
  topic_prefix: text('give the beginning of the topics: letters, digits, . _ -', /^[A-Za-z0-9._-]{1,200}$/).optional(),
  tls: flag().default(false),
  ca: words.optional(),
  cert: words.optional(),
  key: words.optional(),
  sasl: section({
    mechanism: choice(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']),
    username: words,
    password: words,
  }).optional(),
})

const runcast = optionalSection({
  agents: z
    .union([z.array(agentOfList), z.record(agentName, agentOfMap)], { error: 'give a map of name to agent, or a list' })
    .default([]),
  sqlite: section({
    path: sqlitePath.default('.runcast/runs.db'),
    durability: choice(['process', 'power']).default('process'),
  }).optional(),
  retention: optionalSection({
    age: duration(1000, 3650 * dayMs).optional(),
    runs_max: integer(1, 100_000_000, 'runs').optional(),
    events_per_run: integer(10, 100_000_000, 'events').optional(),
    bytes_per_run: bytes(64 * kib, 1024 * gib).optional(),
    bytes_total: bytes(mib, 1024 * 1024 * gib).optional(),
  }),
  cancel_grace: duration(0, 300_000).prefault('1s'),
  cancel_when_unwatched_seconds: seconds(1, 86_400).optional(),
  shutdown_grace: duration(0, 3_600_000).prefault('10s'),
  on_busy: choice(['reject', 'queue', 'interrupt']).default('reject'),
  limits: optionalSection({
    body_bytes: bytes(kib, gib).prefault(mib),
    max_connections: connectionsMax.default(10_000),
    // What one run may emit without awaiting before it fails with `overloaded`.
    emit_bytes: bytes(kib, gib).prefault(8 * mib),
    event_bytes: bytes(kib, 64 * mib).prefault(mib),
  }),
  direct: optionalSection({
    buffer_size: bufferSize.default(1000),
    // Its one owner may slow its agent; to lose events is a choice that somebody must make.
    overflow_strategy: overflow.default('block'),
    threshold: bufferSize.default(100),
    strategy: pressure.default('pause'),
  }),
  retry_interval: retryInterval.prefault('1s'),
  kafka: kafka.optional(),
  postgres: section({ url: text('give postgres://HOST/DATABASE', /^postgres(?:ql)?:\/\/\S+$/) }).optional(),
  otel: section({
    endpoint: httpUrl,
    headers: z.record(z.string(), words, { error: 'give a map of header to value' }).default({}),
  }).optional(),
  tls: section({ cert: words, key: words }).optional(),
})

export const dockfile = section({
  version: z.literal('1.0', { error: 'write version: "1.0", with its quotes' }),
  agent: section({ name: agentName, ...agentParts }).optional(),
  io_schema: ioSchema.optional(),
  expose: optionalSection({
    rest: flag().default(true),
    streaming: choice(['sse', 'websocket', 'none']).default('sse'),
    port: integer(1, 65_535).default(8080),
    // Nothing opens the machine unless asked to.
    host: text('give a host name or address', /^[^\s/]+$/).default('127.0.0.1'),
    cors: section({
      origins: list(origin, 'give a list such as ["https://app.example"]').default([]),
      methods: list(
        choice(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']),
        'give a list such as [GET, POST]',
      ).default(['GET', 'POST', 'DELETE']),
    }).optional(),
  }),
  streaming,
  auth,
  policies,
  secrets,
  runcast,
})

export const toml = section({
  streaming: section({
    buffer_size: bufferSize.default(1000),
    overflow_strategy: overflow.default('drop_oldest'),
    sse: optionalSection({
      retry_interval: retryInterval.prefault('5s'),
      max_connections: connectionsMax.default(10_000),
      heartbeat_interval: seconds(1, 300).prefault('30s'),
    }),
    websocket: section({
      max_frame_size: integer(1024, 16 * mib, 'bytes').default(65_536),
      compression: flag().default(true),
      ping_interval: seconds(1, 300).prefault('30s'),
    }).optional(),
    backpressure: optionalSection({ threshold: bufferSize.default(100), strategy: pressure.default('pause') }),
  }),
})

/** What a Dockfile is once it is valid: the seeds' names, defaults filled, durations in ms. */
export type Dockfile = z.output<typeof dockfile>
export type Toml = z.output<typeof toml>

/** The JSON Schema of a Dockfile, for editors (values as they are after substitution). */
export function dockfileSchema(): Record<string, unknown> {
  return z.toJSONSchema(dockfile, { io: 'input' })
}

/** The JSON Schema of a `[streaming]` TOML. */
export function tomlSchema(): Record<string, unknown> {
  return z.toJSONSchema(toml, { io: 'input' })
}
