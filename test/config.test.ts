// What a configuration file may say, and what it becomes: every key acts or is refused, every bound holds at its edge,
// and the values of both file kinds arrive in the same Config.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { durationMs, parseDuration, rateLimit, showDuration, sizeBytes } from '../src/config/duration.ts'
import { type Config, parseConfig, type Problem } from '../src/config/load.ts'
import { dockfileSchema, tomlSchema } from '../src/config/schema.ts'
import { notYet, unsupported } from '../src/config/unsupported.ts'
import { RuncastError } from '../src/error.ts'

type Tree = { [key: string]: unknown }

const base = { version: '1.0', agent: { name: 'a', handler: './a.ts:run' } }
const env = { SECRET: 'set' }

/** A valid Dockfile with `value` at a dotted path, and what else that key needs in order to have an effect. */
function withKey(path: string, value: unknown, context: Record<string, unknown> = {}): Tree {
  const tree = structuredClone(base) as Tree
  for (const [key, inner] of [...Object.entries(context), [path, value] as const]) {
    const parts = key.split('.')
    let at = tree
    for (const part of parts.slice(0, -1)) at = (at[part] ??= {}) as Tree
    at[parts.at(-1) ?? ''] = structuredClone(inner)
  }
  return tree
}

function parse(tree: Tree): Config {
  return parseConfig(stringify(tree), { file: 'Dockfile.yaml', format: 'yaml', env })
}

function parseToml(text: string): Config {
  return parseConfig(text, { file: 'runcast.toml', format: 'toml', env })
}

function problemsOf(run: () => unknown): readonly Problem[] {
  try {
    run()
  } catch (thrown) {
    assert.ok(thrown instanceof RuncastError)
    assert.equal(thrown.code, 'invalid_request')
    return thrown.details['problems'] as readonly Problem[]
  }
  return []
}

/** What consumers see: without the origin, which differs between any two texts. */
function effect({ file: _file, format: _format, lines: _lines, ...rest }: Config) {
  return rest
}

const redis = { 'streaming.backend': 'redis' }
const sqlite = { 'streaming.backend': 'sqlite' }
const apiKey = { 'auth.mode': 'api_key' }
const jwt = { 'auth.mode': 'jwt', 'auth.jwt': { jwks_url: 'https://id.example/keys' } }

/** [path, least, most, unit below the least and above the most, what else is needed] */
const bounds: [string, number, number, Record<string, unknown>?][] = [
  ['expose.port', 1, 65_535],
  ['streaming.events.heartbeat_interval', 1, 300],
  ['streaming.events.max_run_duration', 1, 86_400],
  ['streaming.connection.default_timeout', 1, 3600],
  ['streaming.connection.max_subscribers_per_run', 1, 1000],
  ['streaming.redis.stream_ttl_seconds', 60, 604_800, redis],
  ['streaming.redis.max_events_per_run', 10, 100_000, redis],
  ['streaming.redis.connection_pool_size', 1, 1000, redis],
  ['auth.jwt.leeway_seconds', 0, 300, jwt],
  ['policies.safety.max_output_chars', 1, 100_000_000],
  ['runcast.retention.runs_max', 1, 100_000_000],
  ['runcast.retention.events_per_run', 10, 100_000_000],
  ['runcast.retention.bytes_per_run', 65_536, 2 ** 40],
  ['runcast.retention.bytes_total', 2 ** 20, 2 ** 50],
  ['runcast.cancel_when_unwatched_seconds', 1, 86_400],
  ['runcast.limits.body_bytes', 1024, 2 ** 30],
  ['runcast.limits.max_connections', 1, 1_000_000],
  ['runcast.limits.emit_bytes', 1024, 2 ** 30],
  ['runcast.limits.event_bytes', 1024, 2 ** 26],
  ['runcast.direct.buffer_size', 1, 1_000_000],
  ['runcast.direct.threshold', 1, 1_000_000],
]

for (const [path, least, most, context] of bounds) {
  test(`DK74 H49 ${path} takes ${least} and ${most}, and refuses one beyond either`, () => {
    for (const value of [least, most]) parse(withKey(path, value, context))
    for (const value of [least - 1, most + 1]) {
      const problems = problemsOf(() => parse(withKey(path, value, context)))
      assert.deepEqual(
        problems.map(problem => [problem.path, problem.value]),
        [[path, String(value)]],
      )
      assert.match(problems[0]?.message ?? '', value < least ? /is (below|not a)/ : /is above/)
      assert.match(problems[0]?.fix ?? '', /give .+ to .+/)
    }
  })
}

for (const [path, least, most, below, above] of [
  ['runcast.retention.age', '1s', '3650d', '999ms', '3651d'],
  ['runcast.cancel_grace', '0s', '5m', '-1s', '300001ms'],
  ['runcast.shutdown_grace', '0s', '1h', '-1s', '3601s'],
  ['runcast.retry_interval', '10ms', '1h', '9ms', '3600001ms'],
] as const) {
  test(`DK74 ${path} takes ${least} and ${most}, and refuses ${below}, ${above} and a number without unit`, () => {
    for (const value of [least, most]) parse(withKey(path, value))
    for (const value of [below, above, 5]) {
      assert.deepEqual(
        problemsOf(() => parse(withKey(path, value))).map(problem => problem.path),
        [path],
      )
    }
  })
}

test('DK74 an agent name has 1 to 63 of a-z, 0-9 and -, and no hyphen at its ends', () => {
  for (const name of ['a', '9', 'a-b', 'a'.repeat(63)])
    assert.equal(parse(withKey('agent.name', name)).agents[0]?.name, name)
  for (const name of ['', 'a'.repeat(64), '-a', 'a-', 'A', 'a_b', 'a b', 'ä', 'a\n']) {
    assert.deepEqual(
      problemsOf(() => parse(withKey('agent.name', name))).map(problem => problem.path),
      ['agent.name'],
      JSON.stringify(name),
    )
  }
})

test('DK66 DK74 what is left out has the documented default', () => {
  const config = parse(base)
  assert.deepEqual(config.expose, { rest: true, streaming: 'sse', port: 8080, host: '127.0.0.1' })
  assert.deepEqual(config.streaming, {
    asyncRuns: true,
    backend: 'memory',
    allowClientIds: true,
    events: {
      allowed: { types: 'all', heartbeat: true },
      heartbeatIntervalMs: 15_000,
      maxRunDurationMs: 3_600_000,
    },
    connection: { defaultTimeoutMs: 300_000, maxSubscribersPerRun: 100 },
  })
  assert.deepEqual(config.auth, {
    mode: 'none',
    apiKeys: { envVar: 'DOCKRION_API_KEY', header: 'X-API-Key', allowBearer: true },
    roles: [],
    rateLimits: {},
  })
  assert.deepEqual(parse(withKey('streaming.backend', 'redis')).streaming.redis, {
    url: 'redis://localhost:6379',
    streamTtlMs: 3_600_000,
    maxEventsPerRun: 100_000,
    connectionPoolSize: 10,
  })
  const { jwt: filled } = parse(withKey('auth.jwt.issuer', 'me', jwt)).auth
  assert.deepEqual([filled?.algorithms, filled?.leewayMs, filled?.issuer], [['RS256'], 30_000, 'me'])
  assert.deepEqual(
    [config.cancelGraceMs, config.shutdownGraceMs, config.onBusy, config.retryIntervalMs],
    [1000, 10_000, 'reject', 1000],
  )
})

/** Every leaf of the schema with a value that is not its default, and what else it needs. */
const keys: [string, unknown, Record<string, unknown>?][] = [
  ['version', '1.0'],
  ['agent.name', 'other'],
  ['agent.handler', './b.ts:go'],
  ['agent.entrypoint', './b.ts:build', { 'agent.handler': undefined }],
  ['agent.framework', 'langgraph'],
  ['io_schema.input', { type: 'object' }],
  ['io_schema.output', { type: 'string' }],
  ['expose.rest', false],
  ['expose.streaming', 'none'],
  ['expose.port', 9000],
  ['expose.host', '0.0.0.0'],
  ['expose.cors.origins', ['https://app.example']],
  ['expose.cors.methods', ['GET'], { 'expose.cors.origins': ['*'] }],
  ['streaming.async_runs', false],
  ['streaming.backend', 'sqlite'],
  ['streaming.allow_client_ids', false],
  ['streaming.events.allowed', 'chat'],
  ['streaming.events.heartbeat_interval', 16],
  ['streaming.events.max_run_duration', '2h'],
  ['streaming.connection.default_timeout', 301],
  ['streaming.connection.max_subscribers_per_run', 101],
  ['streaming.redis.url', 'rediss://cache.example', redis],
  ['streaming.redis.stream_ttl_seconds', 61, redis],
  ['streaming.redis.max_events_per_run', 11, redis],
  ['streaming.redis.connection_pool_size', 11, redis],
  ['auth.mode', 'api_key'],
  ['auth.api_keys.env_var', 'OTHER', apiKey],
  ['auth.api_keys.prefix', 'KEY_', apiKey],
  ['auth.api_keys.header', 'X-Other', apiKey],
  ['auth.api_keys.allow_bearer', false, apiKey],
  ['auth.jwt.jwks_url', 'https://other.example/keys', jwt],
  ['auth.jwt.public_key_env', 'PUBLIC', { 'auth.mode': 'jwt', 'auth.jwt': {} }],
  ['auth.jwt.issuer', 'me', jwt],
  ['auth.jwt.audience', 'you', jwt],
  ['auth.jwt.algorithms', ['ES256'], jwt],
  ['auth.jwt.leeway_seconds', 31, jwt],
  ['auth.jwt.claims', { user_id: 'sub' }, jwt],
  ['auth.roles', [{ name: 'reader', permissions: ['read'] }]],
  ['auth.rate_limits', { default: '60/m' }],
  ['policies.safety.redact_patterns', ['sk-[a-z]+']],
  ['policies.safety.max_output_chars', 100],
  ['policies.safety.block_prompt_injection', true],
  ['secrets.required', [{ name: 'SECRET', description: 'x' }]],
  ['secrets.optional', [{ name: 'REGION', default: 'eu' }]],
  ['runcast.agents', { more: { handler: './c.ts:run' } }],
  ['runcast.sqlite.path', 'x.db', sqlite],
  ['runcast.sqlite.durability', 'power', sqlite],
  ['runcast.retention.age', '3d'],
  ['runcast.retention.runs_max', 7],
  ['runcast.retention.events_per_run', 50],
  ['runcast.retention.bytes_per_run', '1MiB'],
  ['runcast.retention.bytes_total', '10MB'],
  ['runcast.cancel_grace', '2s'],
  ['runcast.cancel_when_unwatched_seconds', 5],
  ['runcast.shutdown_grace', '2s'],
  ['runcast.on_busy', 'queue'],
  ['runcast.limits.body_bytes', '2MiB'],
  ['runcast.limits.max_connections', 3],
  ['runcast.limits.emit_bytes', '2MiB'],
  ['runcast.limits.event_bytes', '2MiB'],
  ['runcast.direct.buffer_size', 3],
  ['runcast.direct.overflow_strategy', 'drop_newest'],
  ['runcast.direct.threshold', 3],
  ['runcast.direct.strategy', 'drop'],
  ['runcast.retry_interval', '2s'],
  ['runcast.kafka.brokers', ['a:1'], { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.format', 'chat', { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.topic', 't', { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.topic_prefix', 't', { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.tls', true, { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.ca', 'ca.pem', { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.kafka.cert', 'c.pem', { 'runcast.kafka.brokers': ['b:1'], 'runcast.kafka.key': 'k.pem' }],
  ['runcast.kafka.key', 'k.pem', { 'runcast.kafka.brokers': ['b:1'], 'runcast.kafka.cert': 'c.pem' }],
  ['runcast.kafka.sasl', { mechanism: 'PLAIN', username: 'u', password: 'p' }, { 'runcast.kafka.brokers': ['b:1'] }],
  ['runcast.postgres.url', 'postgres://db.example/x'],
  ['runcast.otel.endpoint', 'https://otel.example'],
  ['runcast.otel.headers', { a: 'b' }, { 'runcast.otel.endpoint': 'https://otel.example' }],
  ['runcast.tls', { cert: 'c.pem', key: 'k.pem' }],
]

for (const [path, value, context] of keys.slice(1)) {
  test(`H49 H109 ${path} changes what the consumers see`, () => {
    const around = withKey('version', '1.0', context)
    // Where the surroundings need the key to be valid, the plain base is what to compare with.
    const without = problemsOf(() => parse(around)).length > 0 ? base : around
    assert.notDeepEqual(effect(parse(withKey(path, value, context))), effect(parse(without)))
  })
}

test('H49 the table above has a row for every key of the schema', () => {
  const tabled = keys.map(([path]) => path)
  const missing = leaves(dockfileSchema()).filter(
    leaf => !tabled.some(path => leaf === path || leaf.startsWith(`${path}.`)),
  )
  assert.deepEqual(missing, [])
})

function leaves(schema: Tree, path = ''): string[] {
  const properties = schema['properties'] as Tree | undefined
  if (properties === undefined) return [path]
  return Object.entries(properties).flatMap(([key, inner]) =>
    leaves(inner as Tree, path === '' ? key : `${path}.${key}`),
  )
}

test('DK74 a Dockfile that uses every section arrives in camelCase, with its units', async () => {
  const text = await readFile(new URL('fixtures/config/full.yaml', import.meta.url), 'utf8')
  const config = parseConfig(text, { file: 'full.yaml', format: 'yaml', env: { OPENAI_API_KEY: 'k', PORT: '9999' } })
  assert.deepEqual(
    config.agents.map(({ name, target }) => [name, target.kind, target.module, target.function]),
    [
      ['first', 'handler', './agents/first.ts', 'run'],
      ['second', 'entrypoint', 'agents.second', 'build'],
      ['third', 'handler', './third.ts', 'run'],
    ],
  )
  assert.deepEqual(config.agents[0]?.io.output, { type: 'string' })
  assert.deepEqual(config.expose.cors, { origins: ['https://app.example'], methods: ['GET', 'POST'] })
  assert.deepEqual([config.expose.port, config.expose.host], [9999, '0.0.0.0'])
  assert.equal(config.streaming.events.maxRunDurationMs, 7_200_000)
  assert.deepEqual(config.streaming.events.allowed, { types: new Set(['token', 'custom:fraud']), heartbeat: true })
  assert.deepEqual(config.auth.apiKeys, { envVar: 'KEY', prefix: 'KEY_', header: 'X-Key', allowBearer: false })
  assert.deepEqual(config.sqlite, { path: 'data/runs.db', durability: 'power' })
  assert.deepEqual(config.retention, {
    ageMs: 30 * 86_400_000,
    runsMax: 500,
    bytesPerRun: 2 ** 20,
    bytesTotal: 2_000_000_000,
    eventsPerRun: 5000,
  })
  assert.deepEqual([config.cancelGraceMs, config.cancelWhenUnwatchedMs, config.shutdownGraceMs], [500, 60_000, 20_000])
  assert.deepEqual(config.limits, { bodyBytes: 65_536, maxConnections: 50, emitBytes: 2 ** 20, eventBytes: 4096 })
  assert.deepEqual(config.env, { REGION: 'eu' })
  assert.deepEqual(config.secrets, [
    { name: 'OPENAI_API_KEY', description: 'for the model', required: true },
    { name: 'REGION', required: false },
  ])
  assert.equal(config.lines.get('runcast.on_busy'), 36)
  assert.deepEqual(unsupported(config), [])
})

test('PX33 the sample of Patinox is a Config, in which every key of it can be seen', async () => {
  const text = await readFile(new URL('fixtures/config/patinox.toml', import.meta.url), 'utf8')
  const config = parseToml(text)
  assert.deepEqual(config.direct, {
    bufferSize: 1000,
    overflowStrategy: 'drop_oldest',
    threshold: 100,
    strategy: 'pause',
  })
  assert.deepEqual([config.retryIntervalMs, config.limits.maxConnections], [5000, 10_000])
  assert.equal(config.streaming.events.heartbeatIntervalMs, 30_000)
  assert.deepEqual(config.websocket, { maxFrameBytes: 65_536, compression: true, pingIntervalMs: 30_000 })
  const changes = [
    ['buffer_size = 1000', 'buffer_size = 7'],
    ['"drop_oldest"', '"block"'],
    ['"5s"', '"6s"'],
    ['max_connections = 10000', 'max_connections = 3'],
    ['heartbeat_interval = "30s"', 'heartbeat_interval = "1m"'],
    ['65536', '2048'],
    ['compression = true', 'compression = false'],
    ['ping_interval = "30s"', 'ping_interval = "31s"'],
    ['threshold = 100', 'threshold = 9'],
    ['"pause"', '"buffer"'],
  ] as const
  for (const [from, to] of changes) {
    assert.ok(text.includes(from))
    assert.notDeepEqual(effect(parseToml(text.replace(from, to))), effect(config), to)
  }
  const rows = leaves(tomlSchema())
  assert.equal(rows.length, changes.length)
})

test('every part that is not built yet is accepted by validate, and refused by name and line before it runs', () => {
  const asked: Record<string, Tree> = {
    'streaming.backend': withKey('streaming.backend', 'redis'),
    'streaming.redis': withKey('streaming.redis', {}, redis),
    'expose.streaming': withKey('expose.streaming', 'websocket'),
    'auth.mode': withKey('auth.mode', 'jwt', jwt),
    'auth.jwt': withKey('auth.mode', 'jwt', jwt),
    'auth.roles': withKey('auth.roles', [{ name: 'x', permissions: ['read'] }]),
    'auth.rate_limits': withKey('auth.rate_limits', { default: '10/s' }),
    'policies.safety.block_prompt_injection': withKey('policies.safety.block_prompt_injection', true),
    'runcast.postgres': withKey('runcast.postgres', { url: 'postgresql://db/x' }),
    'runcast.otel': withKey('runcast.otel', { endpoint: 'http://otel:4318' }),
    'runcast.tls': withKey('runcast.tls', { cert: 'c', key: 'k' }),
  }
  for (const { path } of notYet) {
    const tree = asked[path]
    const config = tree === undefined ? parseToml('[streaming]\n[streaming.websocket]\n') : parse(tree)
    const problem = unsupported(config).find(found => found.path === path)
    assert.ok(problem, path)
    const line = config.lines.get(path)
    assert.ok(line !== undefined && problem.line === line, path)
    assert.ok(problem.message.length > 0 && problem.fix.length > 0)
  }
  assert.deepEqual(unsupported(parse(base)), [])
})

test('a duration is digits and a unit, a bare number is seconds, and nothing else', () => {
  const rows = {
    '15': 15_000,
    '500ms': 500,
    '30s': 30_000,
    '5m': 300_000,
    '1h': 3_600_000,
    '7d': 604_800_000,
    '1.5s': 1500,
    '0s': 0,
  }
  for (const [written, ms] of Object.entries(rows)) assert.equal(parseDuration(written), ms, written)
  assert.equal(parseDuration(15), 15_000)
  for (const bad of [
    '',
    ' ',
    's',
    '-1s',
    '+1s',
    '1e3',
    '5 minutes',
    '5M',
    '1w',
    '0.5ms',
    '1h30m',
    '٣s',
    'Infinity',
    '1s\n2',
    -1,
    Number.NaN,
    Infinity,
    1e21,
    2 ** 53,
  ]) {
    assert.equal(durationMs(bad), undefined, String(bad))
    assert.throws(() => parseDuration(bad, 'timeout'), /timeout: .*is not a duration/)
  }
  assert.equal(durationMs(15, 'refused'), undefined)
  assert.equal(durationMs('15', 'refused'), undefined)
})

test('a duration that is shown can be read again', () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 31 }), ms => assert.equal(durationMs(showDuration(ms)), ms)))
})

test('a size is a number of bytes or a number with KB, KiB, MB, MiB, GB, GiB', () => {
  const rows = { '64KiB': 65_536, '10MB': 10_000_000, '1 GiB': 2 ** 30, '1.5KiB': 1536, '12': 12, '7b': 7, '1kb': 1000 }
  for (const [written, size] of Object.entries(rows)) assert.equal(sizeBytes(written), size, written)
  assert.equal(sizeBytes(1024), 1024)
  for (const bad of ['', 'KiB', '1K', '1 XB', '-1KB', '1.5b', '1e3', Number.NaN, -1, 1.5])
    assert.equal(sizeBytes(bad), undefined, String(bad))
})

test('DK79 60/m, 1000/minute, 500/hour, 10/s and 5000/d are rates', () => {
  assert.deepEqual(rateLimit('60/m'), { calls: 60, windowMs: 60_000 })
  assert.deepEqual(rateLimit('1000/minute'), { calls: 1000, windowMs: 60_000 })
  assert.deepEqual(rateLimit('500/hour'), { calls: 500, windowMs: 3_600_000 })
  assert.deepEqual(rateLimit('10/s'), { calls: 10, windowMs: 1000 })
  assert.deepEqual(rateLimit('5000/d'), { calls: 5000, windowMs: 86_400_000 })
  for (const bad of ['', '60', '60/', '/m', '0/m', '60/ms', '60/fortnight', '-1/s', '1.5/s'])
    assert.equal(rateLimit(bad), undefined, bad)
})
