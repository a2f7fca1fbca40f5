// Runs that others publish on Kafka, as a read-only Runs: a consumer group reads all partitions, a decoder makes events,
// a log keeps them for whoever looks. A position moves only behind what was written, and what cannot be read is a dead
// letter first. It must never call all well that it does not see: coverage and lag say what is assigned, or unknown.
import type { Consumer } from '@platformatic/kafka'
import { memory } from '../backends/memory.ts'
import { type Entry, entryOfEvent } from '../batch.ts'
import { RuncastError } from '../error.ts'
import { chatDecoder, chatTopics } from '../formats/chat.ts'
import { dashstreamDecoder } from '../formats/dashstream.ts'
import { type Decoded, type Decoder, emptyDecoded, type Problem, type RunBatch } from '../formats/format.ts'
import { clientOptions, type Kafka, kafkaError, loadKafka } from '../kafka/client.ts'
import type { KafkaPlace } from '../kafka/place.ts'
import { createFetcher, type FetchedRecord, type Fetcher, type Position } from '../kafka/fetch.ts'
import type { Log } from '../log.ts'
import { createRetention, type RetentionLimits } from '../retention.ts'
import type { Deps } from '../runs.ts'
import { atEndOfTurn } from '../turn.ts'
import { createDeadLetters, type DeadLetters, deadLetterBytes, deadLetterTopicDefault } from './dead-letters.ts'
import { createMerge, partitionKey } from './merge.ts'
import { readOnly, type Source } from './read-only.ts'
import type { SourceStatus } from './status.ts'
import { createRunWriter, type Refusal, type RunEntries } from './write-runs.ts'

export interface KafkaSourceOptions extends KafkaPlace {
  readonly format: 'dashstream' | 'chat'
  /** Default: `dashstream-events`, or the five topics `ondash.llm.*`. */
  readonly topics?: readonly string[] | undefined
  /** Members of a group share the partitions; whoever must see all has a group of its own. */
  readonly group: string
  /** Where a group begins that has no position. Default `earliest`; `always` reads all again with each start. */
  readonly from?: 'earliest' | 'latest' | 'always' | undefined
  /** Of chat.v1, which says no tenant. Default `default`. */
  readonly tenant?: string | undefined
  /** A topic that is there; `false`: what cannot be read is only counted. Default `dashstream-dlq`. */
  readonly deadLetters?: string | false | undefined
  /** Of a payload, in its dead letter. Default 3 KiB, at most 512 KiB; 0 = none. */
  readonly deadLetterBytes?: number | undefined
  /** Where the events are kept. Default: in memory. */
  readonly log?: Log | undefined
  readonly retention?: RetentionLimits | undefined
  readonly deps: Deps
  readonly onProblem?: (problem: SourceProblem) => void
  readonly onError?: (error: RuncastError) => void
}

export type SourceProblem =
  | Problem
  | { readonly kind: Refusal | 'position_lost' | 'topic_recreated' | 'undecodable'; readonly [more: string]: unknown }

export interface KafkaSource extends Source {
  status(): SourceStatus
}

/** What is read may be old already: it is kept by count and bytes, unless an age is given. */
const ageMsDefault = Number.MAX_SAFE_INTEGER
/** How long the broker may wait for news; as long as what came out of order may have to wait for its end. */
const waitMs = 200
/** Rounds that a message out of order is waited for, with news or without; then its hole is a gap. */
const heldRoundsMax = { idle: 5, busy: 50 }
/** Records decoded before they are written: some milliseconds of work. */
const takenMax = 2_000
const retryMsMin = 100
const retryMsMax = 5_000
/** A member that died is found out after this; its partitions are read by others from then on. */
const sessionMsMax = 10_000
const closeMsMax = 1_000

/**
 * Reads a topic, or several, from now on until it is disposed of: `kafkaSource({ brokers: ['localhost:9092'], format: 'chat',
 * group: 'page-1', from: 'always', deadLetters: false, deps: realDeps })`. It is a read-only `Runs`; a broker that is away
 * is tried again for ever, and `status()` says so.
 */
export function kafkaSource(options: KafkaSourceOptions): KafkaSource {
  const { format, group, deps, from = 'earliest', onProblem = () => {}, onError = () => {} } = options
  const topics =
    options.topics ?? (format === 'chat' ? chatTopics.map(end => `ondash.llm.${end}`) : ['dashstream-events'])
  const log = options.log ?? memory()
  const retention = createRetention(log, { ageMs: ageMsDefault, ...options.retention }, deps)
  const writer = createRunWriter({ log, retention, owner: `kafka ${group}` })
  const newDecoder = (): Decoder =>
    format === 'chat' ? chatDecoder({ tenant: options.tenant ?? 'default' }) : dashstreamDecoder()
  let decoder = newDecoder()
  const merge = createMerge(topics.length > 1)
  const stopping = new AbortController()
  const { signal } = stopping
  const counts = { records: 0, tombstones: 0, deadLetters: 0, discarded: 0 }
  const problems: Record<string, number> = {}
  let state: SourceStatus['state'] = 'joining'
  let total: number | undefined
  /** By partition: the next to fetch, the last known end, and where the end was when it was assigned. */
  const places = new Map<
    string,
    Position & { topicId: string; offset: bigint; end: bigint | undefined; goal: bigint; committed: bigint }
  >()
  /** In order, and not taken yet: what a session that fails leaves to the next one. */
  let ready: FetchedRecord[] = []
  let failures = 0
  let heldRounds = 0

  const report = (problem: SourceProblem) => {
    problems[problem.kind] = (problems[problem.kind] ?? 0) + 1
    onProblem(problem)
  }

  const session = async (kafka: Kafka): Promise<void> => {
    const base = clientOptions(options, `runcast-${group}`)
    const consumer = new kafka.Consumer({
      ...base,
      groupId: group,
      autocommit: false,
      sessionTimeout: sessionMsMax,
      rebalanceTimeout: sessionMsMax,
      heartbeatInterval: sessionMsMax / 5,
    })
    const fetcher = createFetcher(kafka, consumer, base)
    const consumerId = `${group}/${deps.id()}`
    const bytesMax = options.deadLetterBytes ?? deadLetterBytes
    const topic = options.deadLetters ?? deadLetterTopicDefault
    const letters =
      topic === false
        ? undefined
        : createDeadLetters(kafka, { place: options, topic, consumer: consumerId, bytesMax, now: deps.now })
    const close = async () => {
      await Promise.allSettled([consumer.close(true), fetcher.close(), letters?.[Symbol.asyncDispose]()])
    }
    const stop = () => void close()
    signal.addEventListener('abort', stop)
    try {
      await readAll(consumer, fetcher, letters)
    } finally {
      signal.removeEventListener('abort', stop)
      await close()
    }
  }

  const readAll = async (consumer: Consumer, fetcher: Fetcher, letters: DeadLetters | undefined) => {
    let joined = 0
    let planned = 0
    consumer.on('consumer:group:join', () => joined++)
    consumer.topics.trackAll(...topics)
    // Whoever is refused learns it here, in seconds: joining asks in rounds of retries within rounds, for minutes.
    await consumer.metadata({ topics: [...topics] })
    await consumer.joinGroup({})
    while (!signal.aborted) {
      if (planned !== joined) {
        planned = joined
        await plan(consumer)
        state = stateNow()
        failures = 0
      }
      if (places.size === 0) {
        await deps.sleep(waitMs, signal).catch(() => {})
        continue
      }
      const wanted = [...places.values()].filter(({ topic, partition }) => !merge.isAhead(topic, partition))
      const answers = await fetcher.fetch(wanted, waitMs)
      if (planned !== joined) continue // some of it may be another's now
      for (const { topic, partition, offset, highWatermark, logStart, outOfRange } of answers) {
        const place = places.get(partitionKey(topic, partition))
        if (place === undefined) continue
        if (outOfRange) lost(place, place.offset < logStart ? logStart : highWatermark)
        else place.offset = offset
        place.end = highWatermark
      }
      merge.add(answers)
      // No call takes as many arguments as an answer may have records.
      ready = ready.concat(merge.release())
      await takeReady(letters)
      await settle(answers.every(({ records }) => records.length === 0))
      await commit(consumer)
      state = stateNow()
    }
  }

  /** By positions, never by times: those are of the producers' clocks. */
  const stateNow = () => {
    if (places.size === 0) return 'joining'
    return [...places.values()].every(({ offset, goal }) => offset >= goal) ? 'live' : 'catching_up'
  }

  /** Decodes what is ready, and writes it: the events of a run at once. Only then it is done. */
  const takeReady = async (letters: DeadLetters | undefined) => {
    while (ready.length > 0) {
      const some = ready.slice(0, takenMax)
      const decoded = emptyDecoded()
      let taken = 0
      try {
        for (const record of some) {
          const letter = take(record, decoded, letters)
          // Fails = the session fails, and the position stays: the loss of a letter would be the loss of the record.
          if (letter !== undefined) await letter
          taken++
        }
      } finally {
        for (const problem of decoded.problems) report(problem)
        await write(decoded.batches)
        for (const record of some.slice(0, taken)) merge.done(record)
        ready = ready.slice(taken)
      }
      // What was fetched may be seconds of work, and none of it waits for anything.
      if (ready.length > 0) await new Promise<void>(atEndOfTurn)
    }
  }

  /** Where to read on, of what is assigned now. Positions that were ours already are kept. */
  const plan = async (consumer: Consumer) => {
    const { topics: known } = await consumer.metadata({ topics: [...topics] })
    total = topics.reduce((n, topic) => n + (known.get(topic)?.partitionsCount ?? 0), 0)
    const assigned = consumer.assignments ?? []
    const keys = new Set(assigned.flatMap(({ topic, partitions }) => partitions.map(one => partitionKey(topic, one))))
    const idOf = (topic: string) => known.get(topic)?.id ?? ''
    const recreated = [...places.values()].filter(({ topic, topicId }) => topicId !== idOf(topic))
    if (recreated.length > 0) await beginAnew(recreated)
    for (const key of places.keys()) if (!keys.has(key)) places.delete(key)
    merge.keep(keys)
    ready = ready.filter(({ topic, partition }) => keys.has(partitionKey(topic, partition)))
    if (keys.size === 0) return
    const list = { topics: assigned.map(({ topic }) => topic) }
    const [starts, ends, committed] = await Promise.all([
      consumer.listOffsets({ ...list, timestamp: -2n }),
      consumer.listOffsets({ ...list, timestamp: -1n, isolationLevel: 0 }),
      consumer.listCommittedOffsets({ topics: assigned }),
    ])
    for (const { topic, partitions } of assigned) {
      for (const partition of partitions) {
        const key = partitionKey(topic, partition)
        if (places.has(key)) continue
        const [start = 0n, end = 0n] = [starts.get(topic)?.[partition], ends.get(topic)?.[partition]]
        const isNew = recreated.some(one => one.topic === topic)
        // What the group has may be from before: of a topic that is new to us nothing was read.
        const at = isNew ? -1n : (committed.get(topic)?.[partition] ?? -1n)
        const unknown = at < 0n || from === 'always'
        const offset = unknown ? (from === 'latest' && !isNew ? end : start) : at
        const place = { topic, partition, topicId: idOf(topic), offset, end, goal: end, committed: unknown ? -1n : at }
        places.set(key, place)
        if (offset < start) lost(place, start)
        else if (offset > end) lost(place, end)
      }
    }
  }

  /** Another topic has the name now: its places, and what threads had counted to in the old one, mean nothing in it. */
  const beginAnew = async (stale: readonly (Position & { topicId: string })[]) => {
    for (const { topic, partition, topicId, offset } of stale) {
      report({ kind: 'topic_recreated', topic, partition, topic_id: topicId, at: String(offset) })
      places.delete(partitionKey(topic, partition))
    }
    merge.keep(new Set(places.keys()))
    ready = ready.filter(({ topic, partition }) => places.has(partitionKey(topic, partition)))
    const decoded = decoder.flush()
    for (const problem of decoded.problems) report(problem)
    await write(decoded.batches)
    decoder = newDecoder()
  }

  /** Retention was faster than we, or the group's position was never one of this topic (H50). */
  const lost = (place: { topic: string; partition: number; offset: bigint }, to: bigint) => {
    const { topic, partition, offset } = place
    report({ kind: 'position_lost', topic, partition, at: String(offset), continues: String(to) })
    place.offset = to
  }

  /** A promise only where there is something to wait for: most records are only decoded. */
  const take = (record: FetchedRecord, into: Decoded, letters: DeadLetters | undefined): Promise<void> | undefined => {
    counts.records++
    if (record.value === null) {
      counts.tombstones++
      return
    }
    try {
      decoder.push(record.value, into)
      return
    } catch (thrown) {
      return refuse(record, RuncastError.from(thrown), letters)
    }
  }

  const refuse = async (record: FetchedRecord, error: RuncastError, letters: DeadLetters | undefined) => {
    if (error.details['reason'] === undefined) throw error
    if (letters === undefined) counts.discarded++
    else {
      await letters.send(record, error)
      counts.deadLetters++
    }
    const { topic, partition, offset } = record
    report({ kind: 'undecodable', topic, partition, offset: String(offset), reason: error.details['reason'] })
  }

  const write = async (batches: readonly RunBatch[]) => {
    for (const batch of joined(batches)) {
      const refusal = await writer.write(batch)
      if (refusal !== undefined) report({ kind: refusal, run_id: batch.run_id, tenant: batch.tenant })
    }
  }

  /** What waits for an earlier message does not wait for ever. */
  const settle = async (idle: boolean) => {
    heldRounds = decoder.waiting === 0 ? 0 : heldRounds + 1
    if (heldRounds <= (idle ? heldRoundsMax.idle : heldRoundsMax.busy)) return
    const decoded = decoder.flush()
    for (const problem of decoded.problems) report(problem)
    await write(decoded.batches)
    heldRounds = 0
  }

  const commit = async (consumer: Consumer) => {
    if (from === 'always') return // nobody would go on there
    if (decoder.waiting > 0) return // behind the position there must be nothing that only we have
    const offsets = [...places.values()].flatMap(place => {
      const { topic, partition, committed } = place
      const offset = merge.positionOf(topic, partition) ?? committed
      return offset > committed ? [{ topic, partition, offset, leaderEpoch: -1, place }] : []
    })
    if (offsets.length === 0) return
    await consumer.commit({ offsets: offsets.map(({ place: _, ...one }) => one) })
    for (const { place, offset } of offsets) place.committed = offset
  }

  const run = async () => {
    let kafka: Kafka
    try {
      kafka = await loadKafka()
    } catch (thrown) {
      state = 'stopped'
      return onError(RuncastError.from(thrown))
    }
    while (!signal.aborted) {
      try {
        await session(kafka)
      } catch (thrown) {
        if (signal.aborted) break
        onError(kafkaError(thrown))
        state = 'retrying'
      }
      const wait = Math.min(retryMsMax, retryMsMin * 2 ** failures++) * (0.5 + deps.random())
      await deps.sleep(wait, signal).catch(() => {})
    }
    state = 'stopped'
  }

  const running = run()
  return {
    ...readOnly(log, `the source ${topics.join(', ')}`, deps),
    status: () => ({
      state,
      coverage: { assigned: places.size, total },
      lag: state === 'live' || state === 'catching_up' ? lagOf(places.values()) : undefined,
      ...counts,
      problems: { ...problems },
    }),
    async [Symbol.asyncDispose]() {
      stopping.abort()
      await Promise.race([running, deps.sleep(closeMsMax).catch(() => {})])
      retention.stop()
      await log[Symbol.asyncDispose]()
    },
  }
}

/** Batches of one run that follow on are one, for each costs an append; in the order of their first events. */
function joined(batches: readonly RunBatch[]): RunEntries[] {
  const out: (RunEntries & { last: number; readonly entries: Entry[] })[] = []
  /** The latest of each run. */
  const latest = new Map<string, (typeof out)[number]>()
  for (const batch of batches) {
    const { run_id, tenant, thread, after, last, gap } = batch
    // A run's id has no space.
    const key = `${run_id} ${tenant}`
    const before = latest.get(key)
    const entries = batch.entries?.() ?? batch.events.map(entryOfEvent)
    if (before !== undefined && gap === undefined && before.last === after) {
      for (const entry of entries) before.entries.push(entry)
      before.last = last
    } else {
      const begun = { run_id, tenant, thread, last, entries }
      latest.set(key, begun)
      out.push(begun)
    }
  }
  return out
}

function lagOf(places: Iterable<{ offset: bigint; end: bigint | undefined }>): number | undefined {
  let lag = 0
  for (const { offset, end } of places) {
    if (end === undefined) return undefined
    lag += Math.max(0, Number(end - offset))
  }
  return lag
}
