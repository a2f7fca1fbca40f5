// The test services judged by their own users' clients, so that a red test elsewhere means Runcast and not the machine.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import pg from 'pg'
import { startService, temporaryDir } from './services/child.ts'
import * as kafka from './services/kafka.ts'
import * as postgres from './services/postgres.ts'
import * as redis from './services/redis.ts'
import { needs, serviceOrSkip } from './services/require.ts'

describe('kafka', () => {
  test('the script that starts a broker says how it is called', () => {
    const script = join(import.meta.dirname, '../scripts/kafka.ts')
    const { status, stdout } = spawnSync(process.execPath, [script, '--help'], { encoding: 'utf8' })
    assert.equal(status, 0)
    assert.match(stdout, /^node scripts\/kafka\.ts start /)
  })

  test('what was produced is consumed, in order, also after the broker was killed and started again', async t => {
    if (!needs(t, 'kafka', kafka.missing())) return
    await using broker = await kafka.startKafka()
    await createTopic(broker.brokers, 'letters')
    await produce(broker.brokers, 'letters', ['a', 'b'])
    await broker.restart()
    await produce(broker.brokers, 'letters', ['c'])
    assert.deepEqual(await consume(broker.brokers, 'letters', 3), ['a', 'b', 'c'])
  })

  test('H109 the secure listener takes the right password over TLS and refuses a wrong one', async t => {
    if (!needs(t, 'kafka', kafka.missing())) return
    const sasl = { username: 'alice', password: 'open sesame' }
    await using broker = await kafka.startKafka({ tls: true, sasl })
    const { brokers, ca } = broker.secure ?? {}
    assert.ok(brokers !== undefined && ca !== undefined)
    for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
      const right: Security = { tls: { ca }, sasl: { mechanism, ...sasl } }
      const topic = `over-${mechanism}`
      await createTopic(brokers, topic, right)
      await produce(brokers, topic, ['secret'], right)
      assert.deepEqual(await consume(brokers, topic, 1, right), ['secret'])
      const wrong: Security = { tls: { ca }, sasl: { mechanism, username: 'alice', password: 'guess' } }
      await assert.rejects(produce(brokers, topic, ['x'], { ...wrong, retries: 0 }))
    }
  })

  test('a directory that was given is kept and holds the records of the broker before', async t => {
    if (!needs(t, 'kafka', kafka.missing())) return
    const dir = temporaryDir('kafka-kept')
    t.after(() => rmSync(dir, { recursive: true, force: true }))
    {
      await using first = await kafka.startKafka({ dir })
      await createTopic(first.brokers, 'kept')
      await produce(first.brokers, 'kept', ['still here'])
    }
    await using second = await kafka.startKafka({ dir })
    assert.deepEqual(await consume(second.brokers, 'kept', 1), ['still here'])
  })
})

describe('postgres', () => {
  test('two databases of one cluster do not see each other', async t => {
    const shared = await serviceOrSkip(t, 'postgres')
    if (!shared) return
    const [one, two] = [await shared.database(), await shared.database()]
    await sql(one, 'create table mine (x int)')
    assert.deepEqual(await sql(two, `select to_regclass('mine') as found`), [{ found: null }])
    assert.equal(await serviceOrSkip(t, 'postgres'), shared)
  })

  test('a committed row outlives kill -9', async t => {
    if (!needs(t, 'postgres', postgres.missing())) return
    await using cluster = await postgres.startPostgres()
    await sql(cluster.url, 'create table t as select 7 as x')
    await cluster.restart()
    assert.deepEqual(await sql(cluster.url, 'select x from t'), [{ x: 7 }])
  })
})

describe('redis', () => {
  for (const [durable, kept] of [
    [true, '$1\r\n1\r\n'],
    [false, '$-1\r\n'],
  ] as const) {
    test(`durable ${durable} decides what is there after kill -9`, async t => {
      if (!needs(t, 'redis', redis.missing())) return
      await using server = await redis.startRedis({ durable })
      assert.equal(await speakRedis(server.port, 'SET x 1'), '+OK\r\n')
      await server.restart()
      assert.equal(await speakRedis(server.port, 'GET x'), kept)
    })
  }

  test('a paused server keeps its connections and answers once it is resumed', async t => {
    if (!needs(t, 'redis', redis.missing())) return
    if (process.platform !== 'linux') return t.skip('reads the state of the process from /proc')
    await using server = await redis.startRedis()
    server.pause()
    // The signal is on its way when pause returns; the kernel says when the server has stopped.
    while (!/\) T /.test(readFileSync(`/proc/${server.pid}/stat`, 'utf8'))) await new Promise(setImmediate)
    const answer = speakRedis(server.port, 'PING')
    server.resume()
    assert.equal(await answer, '+PONG\r\n')
  })
})

test('chromium runs a page', async t => {
  const browser = await serviceOrSkip(t, 'chromium')
  if (!browser) return
  const page = await browser.newPage()
  await page.setContent('<title>hello</title>')
  assert.equal(await page.title(), 'hello')
})

describe('the end of a service', () => {
  test('disposing takes the process and its directory along', async t => {
    if (!needs(t, 'redis', redis.missing())) return
    const server = await redis.startRedis()
    await server[Symbol.asyncDispose]()
    assert.throws(() => process.kill(server.pid, 0), { code: 'ESRCH' })
    assert.equal(existsSync(server.dir), false)
  })

  for (const [how, end] of [
    ['ends by itself', ''],
    ['is killed', `process.kill(process.pid, 'SIGKILL')`],
  ]) {
    test(`a process that ${how} leaves no service behind`, async t => {
      if (!needs(t, 'redis', redis.missing())) return
      if (process.platform !== 'linux') return t.skip('the kernel kills orphans on Linux only')
      const module = JSON.stringify(new URL('./services/redis.ts', import.meta.url).href)
      const code = `const s = await (await import(${module})).startRedis(); console.log(s.pid); ${end}`
      const child = spawn(process.execPath, ['--input-type=module', '-e', code])
      const [output] = await once(child.stdout, 'data')
      const pid = Number(output)
      await once(child, 'exit')
      while (isRunning(pid)) await new Promise(setImmediate)
    })
  }

  test('a start that fails throws the end of its log', async t => {
    if (!needs(t, 'redis', redis.missing())) return
    const dir = temporaryDir('bad')
    const args = ['--no-such-option', 'x']
    const start = startService({ name: 'redis', command: 'redis-server', args, dir, port: 1, removeDir: true })
    await assert.rejects(start, /redis: ended with 1 on port 1\..*no-such-option/s)
    assert.equal(existsSync(dir), false)
  })
})

describe('what the machine lacks', () => {
  const skipped: string[] = []
  const t = { skip: (reason: string) => void skipped.push(reason) } as unknown as TestContext

  test('a missing service skips the test with the reason, and fails it when it is required', ctx => {
    const before = process.env.RUNCAST_REQUIRE
    ctx.after(() => void (process.env.RUNCAST_REQUIRE = before ?? ''))
    process.env.RUNCAST_REQUIRE = 'kafka'
    assert.equal(needs(t, 'redis', 'no redis: sudo apt-get install redis-server'), false)
    assert.deepEqual(skipped, ['no redis: sudo apt-get install redis-server'])
    for (const required of ['all', 'kafka,redis']) {
      process.env.RUNCAST_REQUIRE = required
      assert.throws(() => needs(t, 'redis', 'no redis'), /but no redis/)
      assert.equal(needs(t, 'redis', undefined), true)
    }
  })
})

type Security = Partial<ConstructorParameters<typeof Admin>[0]>
const client = (bootstrapBrokers: string[], security: Security = {}) => ({
  clientId: 'test',
  bootstrapBrokers,
  ...security,
})

async function createTopic(brokers: string[], topic: string, security?: Security): Promise<void> {
  const admin = new Admin(client(brokers, security))
  await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
  await admin.close()
}

async function produce(brokers: string[], topic: string, values: string[], security?: Security): Promise<void> {
  const producer = new Producer({ ...client(brokers, security), serializers: stringSerializers })
  try {
    await producer.send({ messages: values.map(value => ({ topic, value })), acks: -1 })
  } finally {
    await producer.close()
  }
}

async function consume(brokers: string[], topic: string, count: number, security?: Security): Promise<string[]> {
  const base = client(brokers, security)
  const consumer = new Consumer({ ...base, groupId: crypto.randomUUID(), deserializers: stringDeserializers })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
  const values: string[] = []
  for await (const message of stream) {
    values.push(message.value)
    if (values.length === count) break
  }
  await consumer.close(true)
  return values
}

async function sql(connectionString: string, text: string): Promise<unknown[]> {
  const connection = new pg.Client({ connectionString })
  await connection.connect()
  const { rows } = await connection.query(text)
  await connection.end()
  return rows
}

/** One inline command of the Redis protocol, one answer. */
async function speakRedis(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(`${command}\r\n`)
  let answer = ''
  for await (const chunk of socket.setEncoding('utf8')) answer += chunk
  return answer
}

function isRunning(pid: number): boolean {
  // A zombie has ended; only its parent, here init, has not looked yet.
  return existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
}
