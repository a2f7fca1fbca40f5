// The commands over a Kafka topic: what they print of a run there is what they print of it in its own file, whether the
// topic has it event by event or in batches.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { placeOf } from '../src/cli/kafka-topic.ts'
import { createRuns } from '../src/local-runs.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { type Ended, folder } from './cli-process.ts'
import { canonicalJson } from '../src/state/canonical.ts'
import { deps, names } from './kafka-topics.ts'
import { until } from './until.ts'
import * as kafka from './services/kafka.ts'
import { needs, serviceOrSkip } from './services/require.ts'

const busy = defineAgent({ name: 'busy' }, async function* () {
  yield { type: 'step', node_name: 'plan', phase: 'start' }
  for (let n = 0; n < 300; n++) yield { type: 'token', content: `w${n} `, llm_request_id: 'q1', model: 'gpt-4o' }
  const metrics = { tokens_prompt: { value: 10 }, tokens_completion: { value: 0 } }
  yield { type: 'metrics', scope: 'llm', metrics, tags: { model: 'gpt-4o' } }
  yield { type: 'tool', call_id: 'c1', tool_name: '=cmd|x', stage: 'completed', result: 0, duration_ms: 7 }
  yield { type: 'checkpoint', name: 'mid', data: { n: 1 } }
  yield { type: 'state', version: 1, base_version: 0, snapshot: { n: 0, list: ['a'] } }
  yield { type: 'step', node_name: 'plan', phase: 'end', duration_ms: 20 }
  return { done: true }
})

/** Fields of an object have no order: over the topic's format they come in another one. */
function steady({ stdout, ...rest }: Ended): object {
  const lines = stdout.split('\n').map(line => (line.startsWith('{') ? canonicalJson(JSON.parse(line)) : line))
  return { ...rest, lines }
}

test('DF21 H134 H136 every command prints of a run on a topic what it prints of it in its file', async t => {
  const service = await serviceOrSkip(t, 'kafka')
  if (!service) return
  const own = names()
  using here = folder()
  const file = join(here.path, 'runs.db')
  const log = sqlite({ path: file })
  const runs = createRuns({ log, agents: [busy as Agent], deps })
  const sink = kafkaSink({ ...service, ...own, log, deps, tenants: ['default'], format: 'dashstream' })
  const { run_id } = await runs.start('busy', {}, { thread: 't1', labels: { company_id: 'acme' } })
  for await (const _ of runs.tail(run_id));
  await until('all is sent', async () => (await sink.lag())?.events === 0)
  await runs.stop(0)
  await sink[Symbol.asyncDispose]()
  await log[Symbol.asyncDispose]()
  const topic = `kafka://${service.brokers.join(',')}/${own.topic}`
  for (const args of [
    ['inspect', run_id, '--json'],
    ['replay', run_id, '--speed', 'max', '--json'],
    ['replay', run_id, '--at', '200', '--json'],
    ['diff', run_id, '--from', '100', '--to', '307', '--json'],
    ['export', run_id, '--format', 'csv'],
    ['flamegraph', run_id],
    ['costs', '--json'],
    ['profile', '--thread', 't1', '--json'],
    ['tail', run_id],
  ]) {
    const kept = await here.run([...args, '--source', file])
    const sent = await here.run([...args, '--source', topic])
    assert.equal(kept.code, 0, kept.stderr)
    assert.deepEqual(steady(sent), steady(kept), args.join(' '))
    assert.notEqual(kept.stdout, '')
  }
  const { stdout } = await here.run(['profile', '--json', '--source', topic, '--tenant', 'somebody'])
  assert.equal(stdout, '')
})

test('a broker that is away is a failure within some tries, not a wait', async () => {
  using here = folder()
  const { code, stderr } = await here.run(['inspect', 'r1', '--source', 'kafka://127.0.0.1:1/events'])
  assert.equal(code, 1)
  assert.match(stderr, /^error: kafka:\/\/127\.0\.0\.1:1\/events: Kafka: /m)
  assert.doesNotMatch(stderr, /Is the server running/)
  const mistaken = await here.run(['inspect', 'r1', '--url', 'kafka://127.0.0.1:1/events'])
  assert.match(mistaken.stderr, /is not the address of a server; give one such as .*, or a file or topic as --source/)
})

test('tail of a topic that is not there ends at once by Ctrl-C, and by itself once --max-wait is over', async () => {
  using here = folder()
  const away = ['tail', 'r1', '--source', 'kafka://127.0.0.1:1/nowhere']
  await using patient = here.start(away)
  await patient.saw(/trying again/)
  patient.child.kill('SIGINT')
  assert.equal((await patient.ended).code, 130)
  const { code, stderr } = await here.run([...away, '--max-wait', '500ms'])
  assert.equal(code, 4)
  assert.match(stderr, /gave up: the server was away for 500ms/)
})

test('H109 a kafka:// address takes TLS, an authority, a client certificate and each SASL mechanism, and each has an effect', async t => {
  if (!needs(t, 'kafka', kafka.missing())) return
  const sasl = { username: 'alice', password: 'open sesame' }
  await using broker = await kafka.startKafka({ tls: true, mutual: true, sasl })
  const { brokers, ca, client } = broker.secure ?? {}
  assert.ok(brokers !== undefined && ca !== undefined && client !== undefined)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  using here = folder({
    'ca.pem': ca,
    'us.pem': client.cert,
    'us.key.pem': client.key,
    'other.key.pem': String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    'no.pem': 'nothing',
  })
  const us = '?ca=ca.pem&cert=us.pem&key=us.key.pem'
  const own = names()
  await using log = memory()
  const runs = createRuns({ log, agents: [busy as Agent], deps })
  await using sink = kafkaSink({ ...broker, ...own, log, deps, tenants: ['default'], format: 'dashstream' })
  const { run_id } = await runs.start('busy', {})
  for await (const _ of runs.tail(run_id));
  await until('all is sent', async () => (await sink.lag())?.events === 0)
  const read = (query: string, env: Record<string, string>) =>
    here.run(['inspect', run_id, '--json', '--source', `kafka://${brokers.join(',')}/${own.topic}${query}`], env)
  const name = { RUNCAST_KAFKA_USERNAME: sasl.username }
  const login = { ...name, RUNCAST_KAFKA_PASSWORD: sasl.password }
  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']) {
    const { code, stdout, stderr } = await read(us, { ...login, RUNCAST_KAFKA_MECHANISM: mechanism })
    assert.equal(code, 0, `${mechanism}: ${stderr}`)
    assert.equal((JSON.parse(stdout) as { run_id: string }).run_id, run_id)
  }
  for (const [what, query, env, says] of [
    ['an authority that nobody here knows', us.replace('ca=ca.pem&', ''), login, /self-signed certificate/],
    ['no TLS', '', login, /Kafka: /],
    ['no certificate', '?ca=ca.pem', login, /Kafka: /],
    ['a wrong password', us, { ...login, RUNCAST_KAFKA_PASSWORD: 'guess' }, /Kafka: .*authentication/i],
    ['no login', us, {}, /Kafka: /],
    ['half a login', us, name, /RUNCAST_KAFKA_PASSWORD is not set/],
    ['a file that is not there', '?ca=nope.pem', login, /ca: nope\.pem cannot be read .*give a file with the PEM/],
    [
      'no certificate in the file',
      us.replace('us.pem', 'no.pem'),
      login,
      /cert: no\.pem cannot be read .*give .* our PEM/,
    ],
    ['no key in the file', us.replace('us.key', 'us'), login, /key: us\.pem cannot be read .*give .* private key/],
    [
      "another's key",
      us.replace('us.key', 'other.key'),
      login,
      /key: other\.key\.pem .*the key of another certificate/,
    ],
  ] as const) {
    const { code, stderr } = await read(query, env)
    assert.equal(code, 1, what)
    assert.match(stderr, says, what)
    assert.equal(stderr.includes(sasl.password), false, what)
  }
  const dockfile = (cert: string) =>
    `version: "1.0"\nagent: {name: a, handler: "./a.mjs:run"}\nruncast:\n  kafka:\n    brokers: ["${brokers[0]}"]\n    ca: ca.pem\n    ${cert}\n    sasl: {mechanism: PLAIN, username: alice, password: ${sasl.password}}\n`
  here.write('a.mjs', 'export const run = () => 1')
  here.write('Dockfile.yaml', dockfile('cert: us.pem\n    key: us.key.pem'))
  assert.match((await here.run(['doctor'])).stdout, /^ok +kafka +1 broker at localhost:\d+ let us in$/m)
  here.write('Dockfile.yaml', dockfile('tls: true'))
  assert.match((await here.run(['doctor'])).stdout, /^FAIL kafka +Kafka: /m)
})

test('the address of a topic is read as it is written, and refused by what is wrong', () => {
  const { brokers, topics, format, tls } = placeOf('kafka://a:9092,b:9093/one,two?format=chat&tls=true')
  assert.deepEqual(
    { brokers, topics, format, tls },
    { brokers: ['a:9092', 'b:9093'], topics: ['one', 'two'], format: 'chat', tls: true },
  )
  assert.equal(placeOf('kafka://a:1/t').format, 'dashstream')
  const five = ['status', 'text', 'chart', 'error', 'complete'].map(end => `ondash.llm.${end}`)
  assert.deepEqual(placeOf('kafka://a:1/ondash.llm.*?format=chat').topics, five)
  for (const spec of ['kafka://a:1/t.*', 'kafka://a:1/*?format=chat', 'kafka://a:1/t*?format=chat']) {
    assert.throws(() => placeOf(spec), /is not the name of a topic; name each topic/)
  }
  const wrong = ['kafka://a/t', 'kafka://a:1', 'kafka://u:p@a:1/t', 'kafka://a:1/t?format=x', 'kafka://a:1/t?x=1']
  const files = ['?ca=', '?tls=false&ca=ca.pem', '?cert=c.pem', '?key=k.pem', '?cert=&key=']
  for (const spec of [...wrong, ...files.map(query => `kafka://a:1/t${query}`)]) {
    assert.throws(() => placeOf(spec), /is not the address of a topic; give kafka:/)
  }
})

test('who we are for brokers is whole, or refused by the variable that is missing', () => {
  const [username, password] = ['alice', 'open sesame']
  const login = { RUNCAST_KAFKA_USERNAME: username, RUNCAST_KAFKA_PASSWORD: password }
  const of = (env: Record<string, string>) => placeOf('kafka://a:1/t', env).sasl
  assert.equal(of({}), undefined)
  assert.deepEqual(of(login), { mechanism: 'PLAIN', username, password })
  const mechanism = 'SCRAM-SHA-512'
  assert.deepEqual(of({ ...login, RUNCAST_KAFKA_MECHANISM: mechanism }), { mechanism, username, password })
  assert.throws(() => of({ RUNCAST_KAFKA_USERNAME: username }), /RUNCAST_KAFKA_PASSWORD is not set/)
  assert.throws(() => of({ RUNCAST_KAFKA_PASSWORD: password }), /RUNCAST_KAFKA_USERNAME is not set/)
  assert.throws(() => of({ RUNCAST_KAFKA_MECHANISM: mechanism }), /RUNCAST_KAFKA_USERNAME is not set/)
  assert.throws(() => of({ ...login, RUNCAST_KAFKA_MECHANISM: 'GSSAPI' }), /is "GSSAPI"; give PLAIN, SCRAM/)
})
