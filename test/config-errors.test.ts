// What a person is told about a file that is wrong: each row names the line, the path and a word of the help.
// And what nobody may be told: the values of secrets.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { checkConfig, parseConfig } from '../src/config/load.ts'
import { showProblem } from '../src/config/problem.ts'
import { RuncastError } from '../src/error.ts'

/** Two good lines; what a row adds begins at line 3. */
const head = 'version: "1.0"\nagent: {name: a, handler: "a:b"}\n'

function check(text: string, env: Record<string, string> = {}, format: 'yaml' | 'toml' = 'yaml') {
  return checkConfig(text, { file: format === 'yaml' ? 'Dockfile.yaml' : 'runcast.toml', format, env }).problems
}

/** [what follows the head, line, path, what the message says] */
const malformed: [string, number, string, RegExp][] = [
  ['streeming: {}', 3, 'streeming', /did you mean streaming\?/],
  ['expose:\n  prot: 1', 4, 'expose.prot', /did you mean expose\.port\?/],
  ['expose:\n  zzz: 1', 4, 'expose.zzz', /the keys here are rest, streaming, port, host, cors/],
  ['heartbeat_interval: 3', 3, 'heartbeat_interval', /did you mean streaming\.events\.heartbeat_interval\?/],
  ['heartbeat-interval: 3', 3, 'heartbeat-interval', /did you mean streaming\.events\.heartbeat_interval\?/],
  [
    'streaming:\n  events:\n    heartbeat_intervall: 3',
    5,
    'streaming.events.heartbeat_intervall',
    /mean streaming\.events\.heartbeat_interval\?/,
  ],
  ['"a.b\\nc": 1', 3, '"a.b\\nc"', /this key is unknown/],
  ['__proto__: {x: 1}', 3, '__proto__', /this key is unknown/],
  ['expose:', 3, 'expose', /it is empty; give a map .* or delete the key/],
  ['expose: [1]', 3, 'expose', /a list stands where a map belongs/],
  ['expose: yes please', 3, 'expose', /"yes please" is not a map/],
  ['expose:\n  port: "8080"', 4, 'expose.port', /"8080" is not a number; give 1 to 65535, without quotes/],
  ['expose:\n  port: 80.5', 4, 'expose.port', /80\.5 is not a whole number/],
  ['expose:\n  port: .nan', 4, 'expose.port', /NaN is not a number/],
  ['expose:\n  port: 99999999999999999999', 4, 'expose.port', /is above/],
  ['expose:\n  rest: "true"', 4, 'expose.rest', /"true" is not true or false; .*without quotes/],
  ['expose:\n  rest: yes', 4, 'expose.rest', /"yes" is not true or false/],
  ['expose:\n  streaming: ssse', 4, 'expose.streaming', /give sse, websocket or none; did you mean sse\?/],
  ['expose:\n  host: "http://x/"', 4, 'expose.host', /does not have the right form; give a host name/],
  ['expose:\n  cors: {origins: ["https://a.example/"]}', 4, 'expose.cors.origins[0]', /without path or slash/],
  [
    'expose:\n  cors:\n    methods:\n      - GET\n      - FETCH',
    7,
    'expose.cors.methods[1]',
    /"FETCH" is not known here; give GET/,
  ],
  [
    'streaming: {backend: sqlite}\nruncast:\n  sqlite:\n    path: ":memory:"',
    6,
    'runcast.sqlite.path',
    /":memory:" is no file; .* set streaming\.backend: memory/,
  ],
  ['streaming:\n  backend: sqllite', 4, 'streaming.backend', /did you mean sqlite\?/],
  [
    'streaming:\n  events:\n    max_run_duration: 2 weeks',
    5,
    'streaming.events.max_run_duration',
    /"2 weeks" is not a duration/,
  ],
  [
    'streaming:\n  events:\n    heartbeat_interval: 301',
    5,
    'streaming.events.heartbeat_interval',
    /301 is above 300; give 1 to 300 \(seconds\)/,
  ],
  [
    'streaming:\n  events:\n    allowed:\n      - token\n      - stpe',
    7,
    'streaming.events.allowed[1]',
    /"stpe" is not an event type; .*did you mean step\?/,
  ],
  ['streaming:\n  backend: redis\n  redis: {url: "http://x"}', 5, 'streaming.redis.url', /give redis:/],
  ['streaming:\n  redis: {}', 4, 'streaming.redis', /no effect while streaming\.backend is memory/],
  ['auth:\n  api_keys: {}', 4, 'auth.api_keys', /no effect while auth\.mode is none; set auth\.mode: api_key/],
  ['auth:\n  mode: jwt', 3, 'auth.jwt', /it is missing while auth\.mode is jwt/],
  ['auth:\n  mode: jwt\n  jwt: {issuer: x}', 5, 'auth.jwt', /it has 0 sources of keys/],
  ['auth:\n  mode: jwt\n  jwt: {jwks_url: "https://x", public_key_env: P}', 5, 'auth.jwt', /it has 2 sources of keys/],
  [
    'auth:\n  mode: jwt\n  jwt: {jwks_url: "https://x", algorithms: [HS256]}',
    5,
    'auth.jwt.algorithms[0]',
    /"HS256" is not known here/,
  ],
  [
    'auth:\n  mode: api_key\n  roles: [{name: r, permissions: [invok]}]',
    5,
    'auth.roles[0].permissions[0]',
    /did you mean invoke\?/,
  ],
  ['auth:\n  rate_limits:\n    default: 60 per minute', 5, 'auth.rate_limits.default', /is not a rate; .*60\/m/],
  [
    'auth:\n  roles: [{name: staff, permissions: []}]\n  rate_limits: {staf: 1/s}',
    5,
    'auth.rate_limits.staf',
    /"staf" is not a role; .*mean staff\?/,
  ],
  [
    'policies:\n  safety:\n    redact_patterns:\n      - "(["',
    6,
    'policies.safety.redact_patterns[0]',
    /is not a regular expression/,
  ],
  [
    'policies:\n  safety:\n    redact_patterns: ["a*"]',
    5,
    'policies.safety.redact_patterns[0]',
    /also matches empty text/,
  ],
  ['io_schema:\n  input: {type: objekt}', 4, 'io_schema.input', /it is not a JSON Schema; mend it: \/type/],
  ['io_schema:\n  input: {items: [{type: integer}]}', 4, 'io_schema.input', /mend it: \/items must be object,boolean/],
  [
    'io_schema:\n  output: {$ref: "#/$defs/no"}',
    4,
    'io_schema.output',
    /mend it: can't resolve reference #\/\$defs\/no/,
  ],
  ['io_schema:\n  input: {pattern: "["}', 4, 'io_schema.input', /mend it: Invalid regular expression/],
  ['io_schema:\n  input: {$schema: "urn:mine"}', 4, 'io_schema.input', /mend it: \$schema "urn:mine" is not read here/],
  ['io_schema:\n  input: text', 4, 'io_schema.input', /is not a map; give a JSON Schema/],
  ['secrets:\n  required:\n    - {name: 9X}', 5, 'secrets.required[0].name', /"9X" does not have the right form/],
  [
    'secrets:\n  required:\n    - {name: NOT_SET}',
    5,
    'secrets.required[0].name',
    /the required secret "NOT_SET" is not set/,
  ],
  ['secrets:\n  optional:\n    - {name: A}\n    - {name: A}', 6, 'secrets.optional[1].name', /"A" is listed twice/],
  ['runcast:\n  agents:\n    B: {handler: "x:y"}', 5, 'runcast.agents.B', /"B" is not a legal name/],
  [
    'runcast:\n  agents:\n    b: {handler: "x:y", hander: 1}',
    5,
    'runcast.agents.b.hander',
    /did you mean runcast\.agents\.b\.handler\?/,
  ],
  ['runcast:\n  agents:\n    - {name: b, framework: x}', 5, 'runcast.agents[0]', /neither entrypoint nor handler/],
  ['runcast:\n  agents:\n    - {name: a, handler: "x:y"}', 5, 'runcast.agents[0]', /another agent has the same name/],
  ['runcast:\n  cancel_grace: 1', 4, 'runcast.cancel_grace', /1 is not a duration with a unit/],
  ['runcast:\n  limits:\n    body_bytes: 1 parsec', 5, 'runcast.limits.body_bytes', /"1 parsec" is not a size/],
  ['runcast:\n  kafka: {brokers: []}', 4, 'runcast.kafka.brokers', /the list is empty; give at least one HOST:PORT/],
  ['runcast:\n  kafka: {topic: x}', 4, 'runcast.kafka.brokers', /it is missing; give a list such as/],
  [
    'runcast:\n  kafka: {brokers: ["a:1"], topic: x, topic_prefix: y}',
    4,
    'runcast.kafka.topic_prefix',
    /topic is given too/,
  ],
  [
    'runcast:\n  kafka: {brokers: ["a:1"], sasl: {mechanism: GSSAPI, username: u, password: p}}',
    4,
    'runcast.kafka.sasl.mechanism',
    /"GSSAPI" is not known/,
  ],
  [
    'runcast:\n  kafka: {brokers: ["a:1"], cert: c.pem}',
    4,
    'runcast.kafka.cert',
    /no key with it; give .* or delete cert/,
  ],
  ['runcast:\n  kafka: {brokers: ["a:1"], key: k.pem}', 4, 'runcast.kafka.key', /there is no cert with it/],
  ['runcast:\n  tls: {cert: x}', 4, 'runcast.tls.key', /it is missing/],
  ['expose:\n  port: 1\n  port: 2', 5, '', /not valid YAML: Map keys must be unique; delete one/],
  ['expose:\n\tport: 1', 4, '', /not valid YAML: .*; indent with spaces/],
  ['expose: [1', 3, '', /not valid YAML/],
  ['expose: {port: ${PORT}}', 3, '', /not valid YAML: .*; put \$\{…\} in quotes/],
  ['expose: *nobody', 3, '', /not valid YAML/],
  ['? [x]\n: 1', 3, '', /a key is not a text/],
  ['expose: !secret x', 3, '', /not valid YAML: .*; delete the tag/],
  ['---\nversion: "1.0"', 3, '', /several documents/],
]

for (const [text, line, path, says] of malformed) {
  test(`DK74 ${JSON.stringify(text)} is refused at line ${line} with the path and the fix`, () => {
    const problems = check(head + text)
    assert.equal(problems.length, 1, problems.map(showProblem).join('\n'))
    const [problem] = problems
    assert.ok(problem)
    assert.deepEqual([problem.line, problem.path], [line, path])
    assert.match(showProblem(problem), says)
    assert.ok(showProblem(problem).startsWith(`Dockfile.yaml:${line}${path === '' ? ':' : ` ${path}:`}`))
  })
}

/** Texts that stand alone. */
const alone: [string, number, string, RegExp][] = [
  ['', 1, '', /the file is empty; .*runcast init/],
  ['# only a comment\n', 1, '', /the file is empty/],
  ['just words', 1, '', /"just words" is not a map/],
  ['agent: {name: a, handler: "a:b"}', 1, 'version', /it is missing; write version: "1\.0"/],
  ['version: 1.0\nagent: {name: a, handler: "a:b"}', 1, 'version', /write version: "1\.0", with its quotes/],
  ['version: "2.0"\nagent: {name: a, handler: "a:b"}', 1, 'version', /"2\.0" is not known here/],
  ['version: "1.0"', 1, 'agent', /there is no agent/],
  ['version: "1.0"\nagent: {name: a}', 2, 'agent', /neither entrypoint nor handler/],
  [
    'version: "1.0"\nagent:\n  name: a\n  handler: "a:b"\n  entrypoint: "a:c"',
    2,
    'agent',
    /an entrypoint and a handler/,
  ],
  [
    'version: "1.0"\nagent:\n  name: a\n  handler: "ab"',
    4,
    'agent.handler',
    /"ab" does not have the right form; give module:function/,
  ],
  ['version: "1.0"\nagent:\n  name: My Agent\n  handler: "a:b"', 3, 'agent.name', /give 1 to 63 of a-z/],
  [
    'version: "1.0"\nio_schema: {}\nruncast: {agents: {b: {handler: "x:y"}}}',
    2,
    'io_schema',
    /belongs to agent, which is missing/,
  ],
]

for (const [text, line, path, says] of alone) {
  test(`DK74 the whole file ${JSON.stringify(text)} is refused at line ${line}`, () => {
    const problems = check(text)
    assert.deepEqual(
      problems.map(problem => [problem.line, problem.path]),
      [[line, path]],
    )
    assert.match(problems.map(showProblem).join(), says)
  })
}

const toml: [string, number, string, RegExp][] = [
  ['[streaming]\nbuffer_size = 0', 2, 'streaming.buffer_size', /0 is below 1/],
  ['[streaming]\noverflow_strategy = "drop_newst"', 2, 'streaming.overflow_strategy', /did you mean drop_newest\?/],
  [
    '[streaming]\n[streaming.sse]\nretry_interval = "5 sec"',
    3,
    'streaming.sse.retry_interval',
    /"5 sec" is not a duration/,
  ],
  [
    '[streaming]\n[streaming.sse]\nretry_interval = 5',
    3,
    'streaming.sse.retry_interval',
    /5 is not a duration with a unit/,
  ],
  [
    '[streaming]\n[streaming.sse]\n\nheartbeat_interval = "6m"',
    4,
    'streaming.sse.heartbeat_interval',
    /"6m" is above 300/,
  ],
  ['[streaming.websocket]\nping_interval = "soon"', 2, 'streaming.websocket.ping_interval', /"soon" is not a duration/],
  ['[streaming.websocket]\ncompression = "on"', 2, 'streaming.websocket.compression', /"on" is not true or false/],
  [
    '[streaming.backpressure]\nthreshold = 1979-05-27',
    2,
    'streaming.backpressure.threshold',
    /a date stands where a number belongs/,
  ],
  ['[streaming]\nbuffer_size = 1979-05-27T07:32:00Z', 2, 'streaming.buffer_size', /a date stands where/],
  ['[streaming]\nbuffer_size = inf', 2, 'streaming.buffer_size', /Infinity is not a number/],
  ['[streaming]\nbuffer_size = 9223372036854775807', 2, '', /not valid TOML: .*losslessly/],
  ['[[streaming]]', 1, 'streaming', /a list stands where a map belongs/],
  ['[streaming.backpressure]\nstrategy = "paus"', 2, 'streaming.backpressure.strategy', /did you mean pause\?/],
  ['[streaming]\nbackpresure = {}', 2, 'streaming.backpresure', /did you mean streaming\.backpressure\?/],
  ['streaming.sse.max_connections = 0', 1, 'streaming.sse.max_connections', /0 is below 1/],
  ['[server]\nport = 1\n[streaming]', 1, 'server', /this key is unknown/],
  ['[streaming]\nbuffer_size = ', 2, '', /not valid TOML: /],
  ['[streaming]\nbuffer_size = 1\nbuffer_size = 2', 3, '', /not valid TOML: /],
  ['', 1, 'streaming', /it is missing/],
]

for (const [text, line, path, says] of toml) {
  test(`PX33 the TOML ${JSON.stringify(text)} is refused at line ${line}`, () => {
    const problems = check(text, {}, 'toml')
    assert.deepEqual(
      problems.map(problem => [problem.line, problem.path]),
      [[line, path]],
    )
    assert.match(problems.map(showProblem).join(), says)
  })
}

test('DK65 rest false and streaming none together are refused, each alone is legal', () => {
  const [problem, ...more] = check(`${head}expose:\n  rest: false\n  streaming: none\n`)
  assert.deepEqual(more, [])
  assert.deepEqual([problem?.line, problem?.path], [3, 'expose'])
  assert.match(problem?.message ?? '', /nothing is served/)
  assert.deepEqual(check(`${head}expose: {rest: false}\n`), [])
  assert.deepEqual(check(`${head}expose: {streaming: none}\n`), [])
})

test('DK64 async_runs false reaches the consumers', () => {
  const config = parseConfig(`${head}streaming: {async_runs: false}\n`, { file: 'd', format: 'yaml', env: {} })
  assert.equal(config.streaming.asyncRuns, false)
})

test('all problems come in one error, in the order of the lines', () => {
  const text = `${head}expose:\n  port: 0\n  rest: false\n  streaming: none\nx: 1\nauth: {mode: "\${NOPE}"}\nsecrets: {required: [{name: GONE}]}\n`
  assert.throws(
    () => parseConfig(text, { file: 'Dockfile.yaml', format: 'yaml', env: {} }),
    (thrown: unknown) => {
      assert.ok(thrown instanceof RuncastError)
      assert.equal(thrown.code, 'invalid_request')
      assert.deepEqual(
        thrown.message.split('\n').map(line => line.split(': ')[0]),
        [
          'Dockfile.yaml:3 expose',
          'Dockfile.yaml:4 expose.port',
          'Dockfile.yaml:7 x',
          'Dockfile.yaml:8 auth.mode',
          'Dockfile.yaml:9 secrets.required[0].name',
        ],
      )
      assert.equal((thrown.details['problems'] as unknown[]).length, 5)
      return true
    },
  )
})

const secret = 'hunter2-hunter2'
const leaks: [string, string][] = [
  ['a value from the environment', 'expose: {port: "${S}"}'],
  ['a part of a value from the environment', 'streaming: {backend: redis, redis: {url: "http://u:${S}@h"}}'],
  ['an entry of a list from the environment', 'streaming: {events: {allowed: ["${S}"]}}'],
  [
    'a name from the environment',
    'runcast: {agents: [{name: "${S}", handler: "a:b"}, {name: "${S}", handler: "a:b"}, {name: X}]}',
  ],
  ['a secret named by the environment', 'secrets: {required: [{name: "${T}"}]}'],
  [
    'a literal password',
    `runcast: {kafka: {brokers: ["a:1"], sasl: {mechanism: PLAIN, username: u, password: [${secret}]}}}`,
  ],
  [
    'a password under a mistyped key',
    `runcast: {kafka: {brokers: ["a:1"], sasl: {mechanism: PLAIN, username: u, pasword: ${secret}}}}`,
  ],
  ['a password in a literal URL', `runcast: {postgres: {url: "mysql://u:${secret}/x@h/d"}}`],
  ['a header of an exporter', `runcast: {otel: {endpoint: "http://o", headers: {authorization: ["${secret}"]}}}`],
  ['the default of a secret', `secrets: {optional: [{name: A, default: ["${secret}"]}]}`],
  ['a secret where the list of secrets belongs', `secrets: ${secret}`],
  ['a secret on a line that is not YAML', `a: "x" ${secret}`],
  ['a secret in a line that is no key', `${secret}`],
]

for (const [what, text] of leaks) {
  test(`H109 an error does not show ${what}`, () => {
    const env = { S: secret, T: secret.replace('-', '_') }
    try {
      parseConfig(`${head}${text}\n`, { file: 'Dockfile.yaml', format: 'yaml', env })
    } catch (thrown) {
      assert.ok(thrown instanceof RuncastError)
      assert.doesNotMatch(thrown.message + JSON.stringify(thrown), /hunter2/)
      return
    }
    assert.fail('it was accepted')
  })
}

test('no text makes anything but a Config or an error with lines inside the text', () => {
  const piece = fc.constantFrom(
    'version: "1.0"\n',
    'agent:\n',
    '  name: a\n',
    '  handler: "a:b"\n',
    '- x\n',
    '${',
    '}',
    '&a ',
    '*a ',
    '[',
    '{',
    '"',
    ': ',
    '\t',
    '\n',
    '? ',
    '<<: ',
    '!!binary ',
    '\uFEFF',
    '\r\n',
    '__proto__: 1\n',
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('')),
  )
  fc.assert(
    fc.property(text, fc.constantFrom('yaml' as const, 'toml' as const), (written, format) => {
      const { config, problems } = checkConfig(written, { file: 'f', format, env: {} })
      assert.equal(config === undefined, problems.length > 0)
      const lines = written.split('\n').length
      for (const { line } of problems) assert.ok(line >= 1 && line <= lines + 1, `line ${line} of ${lines}`)
    }),
  )
})

test('a list that contains itself is refused, not followed for ever', () => {
  assert.notEqual(check(`${head}secrets: &a\n  required: [*a]\n`).length, 0)
})
