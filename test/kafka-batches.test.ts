// What we write to Kafka by hand is what the client would have written: its own reader, and ours, get the same records.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import * as kafka from '@platformatic/kafka'
import fc from 'fast-check'
import { recordBatches } from '../src/kafka/record-batches.ts'
import { headerBytes, type NewRecord, writeBatch } from '../src/kafka/write-batches.ts'

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
