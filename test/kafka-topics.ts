// What a topic holds, as a reader of committed records sees it, for the tests of the Kafka sink and source; and what
// they share besides: a name of one's own for each test on the shared broker.
import { randomUUID } from 'node:crypto'
import * as kafka from '@platformatic/kafka'
import { realDeps } from '../src/deps.ts'
import { clientOptions } from '../src/kafka/client.ts'
import type { KafkaPlace } from '../src/kafka/place.ts'
import { createFetcher, type FetchedRecord } from '../src/kafka/fetch.ts'

export const deps = realDeps

/** Of one test: topics and ids that no other test uses. */
export function names(): { topic: string; cursorsTopic: string; transactionalId: string; group: string } {
  const id = randomUUID().slice(0, 8)
  return { topic: `events-${id}`, cursorsTopic: `cursors-${id}`, transactionalId: `sink-${id}`, group: `group-${id}` }
}

/** All committed records of the topics, partition by partition, up to their ends now. */
export async function recordsOf(place: KafkaPlace, ...topics: string[]): Promise<FetchedRecord[]> {
  const base = clientOptions(place, 'test')
  const admin = new kafka.Admin(base)
  const fetcher = createFetcher(kafka, admin, base)
  const records: FetchedRecord[] = []
  try {
    const metadata = await admin.metadata({ topics })
    for (const topic of topics) {
      const count = metadata.topics.get(topic)?.partitionsCount ?? 0
      const partitions = Array.from({ length: count }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n }))
      const [listed] = await admin.listOffsets({ topics: [{ name: topic, partitions }], isolationLevel: 0 })
      for (const { partitionIndex: partition, offset: end } of listed?.partitions ?? []) {
        for (let offset = 0n; offset < end; ) {
          const [fetched] = await fetcher.fetch([{ topic, partition, offset }], 100)
          records.push(...(fetched?.records ?? []))
          offset = fetched?.offset ?? offset
        }
      }
    }
    return records
  } finally {
    await fetcher.close()
    await admin.close()
  }
}
