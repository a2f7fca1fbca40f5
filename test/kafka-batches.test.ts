// What we write to Kafka by hand is what the client would have written: its own reader, and ours, get the same records;
// and a real broker takes what is sent again as what it has already.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import * as kafka from '@platformatic/kafka'
import fc from 'fast-check'
import { clientOptions } from '../src/kafka/client.ts'
import { createSender } from '../src/kafka/produce.ts'
import { recordBatches } from '../src/kafka/record-batches.ts'
import { headerBytes, type NewRecord, writeBatch } from '../src/kafka/write-batches.ts'
import { cutPipe } from './cut-pipe.ts'
import { deps, names, recordsOf } from './kafka-topics.ts'
import { freePort } from './services/child.ts'
import { missing, startKafka } from './services/kafka.ts'
import { needs } from './services/require.ts'
import { until } from './until.ts'

const text = fc.string({ maxLength: 200, unit: 'binary' })
const record = fc.record({
  key: fc.uint8Array({ maxLength: 100 }),
  // Longer than one, two and three bytes of length.
  value: fc.option(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(20_000).fill(7)))),
  headers: fc.array(fc.tuple(text, text), { maxLength: 3 }),
  // Earlier than the first as well; beyond 2^31 ms apart the client writes another time.
  timestamp: fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_000 + 2 ** 31 - 1 }),
})
const numbering = fc.record({
  producerId: fc.bigInt({ min: 0n, max: 2n ** 62n }),
  producerEpoch: fc.integer({ min: 0, max: 32_767 }),
  sequence: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
})

test('DF20 a batch has, for the reader of the client and for ours, the records that the client would have written, byte by byte', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 150 }), numbering, (drawn, of) => {
      const records: NewRecord[] = drawn.map(({ key, value, headers, timestamp }) => ({
        topic: 't',
        partition: 3,
        key: Buffer.from(key),
        value: value ?? undefined,
        headers: headers.map(([name, value]) => headerBytes(name, value)),
        timestamp,
      }))
      const bytes = writeBatch(kafka, records, of)
      const theirs = kafka.createRecordsBatch(
        drawn.map(({ key, value, headers, timestamp }) => ({
          topic: 't',
          partition: 3,
          key: Buffer.from(key),
          value: (value === null ? undefined : Buffer.from(value)) as Buffer,
          // A Map would keep one of two headers of the same name: its size is asked for, and then it is gone through.
          headers: {
            size: headers.length,
            *[Symbol.iterator]() {
              for (const [name, value] of headers) yield [Buffer.from(name), Buffer.from(value)]
            },
          } as never,
          timestamp: BigInt(timestamp),
        })),
        {
          ...of,
          transactionalId: 'me',
          sequences: { getWithDefault: () => of.sequence } as never,
          compression: 'none',
        },
      ).buffer
      assert.deepEqual(zstdDecompressSync(bytes.subarray(61)), theirs.subarray(61))

      const read = kafka.readRecordsBatch(kafka.Reader.from(bytes))
      const wanted = kafka.readRecordsBatch(kafka.Reader.from(theirs))
      // Length and checksum are those of the packed bytes.
      assert.deepEqual({ ...read, crc: 0, length: 0, attributes: 0 }, { ...wanted, crc: 0, length: 0, attributes: 0 })
      assert.equal(read.crc, kafka.crc32c(bytes.subarray(21)))
      assert.equal(read.length, bytes.length - 12)

      const [batch] = recordBatches(kafka, bytes, { topic: 't', partition: 3 })
      assert.ok(batch?.transactional && !batch.control && batch.producerId === of.producerId)
      assert.deepEqual(
        batch.records().map(one => [one.timestamp, one.key, one.value, one.headers.map(parts => parts.map(String))]),
        drawn.map(({ timestamp, key, value, headers }) => [
          timestamp,
          Buffer.from(key),
          value === null ? null : Buffer.from(value),
          headers,
        ]),
      )
    }),
  )
})

test('DF20 records of one batch may be years apart, in any order', () => {
  const times = [1_700_000_000_000, 0, 1_700_000_000_001, 4_000_000_000_000, 1_699_999_999_999]
  const one = { topic: 't', partition: 0, key: Buffer.from('k'), value: Buffer.from('v'), headers: [] }
  const bytes = writeBatch(
    kafka,
    times.map(timestamp => ({ ...one, timestamp })),
    { producerId: 1n, producerEpoch: 0, sequence: 0 },
  )
  const [batch] = recordBatches(kafka, bytes, one)
  assert.deepEqual(
    batch?.records().map(({ timestamp }) => timestamp),
    times,
  )
})

test('DF20 H42 H43 records whose answer was lost are sent again and stand there once; numbers go on behind them, and behind an abort', async t => {
  if (!needs(t, 'kafka', missing())) return
  const port = await freePort()
  await using pipe = await cutPipe({ port }, { random: Math.random })
  await using broker = await startKafka({ port, advertisedPort: pipe.port })
  const { topic, transactionalId } = names()
  const base = clientOptions({ brokers: [`127.0.0.1:${pipe.port}`] }, 'test')
  const admin = new kafka.Admin(base)
  const producer = new kafka.Producer({ ...base, transactionalId, idempotent: true })
  const newSender = () => createSender({ kafka, producer, base, sleep: deps.sleep })
  const [before, sender] = [newSender(), newSender()]
  t.after(() => Promise.all([before.close(), sender.close(), producer.close(true), admin.close()]))
  const topicBefore = `${topic}-before`
  await admin.createTopics({ topics: [topicBefore, topic], partitions: 2, replicas: 1 })
  const records = (words: string, to = topic): NewRecord[] =>
    words.split('').map((word, i) => ({
      topic: to,
      partition: i % 2,
      key: Buffer.from('k'),
      value: Buffer.from(word),
      headers: [],
      timestamp: deps.now(),
    }))
  const begin = () => producer.beginTransaction({ producerId: -1n, producerEpoch: -1 })

  // Connects everyone but the sender, the broker to itself too: the connection that is cut below is the sender's. The
  // second transaction begins when the first one is written down everywhere.
  for (let n = 0; n < 2; n++) {
    const early = await begin()
    await before.send(early, records('__', topicBefore))
    await early.commit()
  }
  const first = await begin()
  const { cuts } = pipe
  pipe.plan = { cutAfterBytes: [1, 1] }
  const sending = sender.send(first, records('abc'))
  await until('the answer is lost', () => pipe.cuts > cuts)
  pipe.plan = {}
  await sending
  await sender.send(first, records('de'))
  await first.commit()
  const aborted = await begin()
  await sender.send(aborted, records('xyz'))
  await aborted.abort()
  const last = await begin()
  await sender.send(last, records('fg'))
  await sender.send(last, records('h'))
  await last.commit()
  const read = await recordsOf(broker, topic)
  assert.deepEqual(
    [0, 1].map(own => read.flatMap(({ partition, value }) => (partition === own ? String(value) : [])).join('')),
    ['acdfh', 'beg'],
  )
})
