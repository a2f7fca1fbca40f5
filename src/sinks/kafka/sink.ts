// The Kafka sink: one loop that sends what the log has and Kafka has not. Records and the cursors that they advance are
// one Kafka transaction, so a crash at any point neither loses nor doubles; whatever fails, the session ends and the next
// one begins where the cursors topic says. An agent must never wait for it: it only reads the log.
import type { Producer } from '@platformatic/kafka'
import { RuncastError } from '../../error.ts'
import { chat } from '../../formats/chat.ts'
import { dashstream } from '../../formats/dashstream.ts'
import type { Log } from '../../log.ts'
import { answered, clientOptions, kafkaError, type Kafka, loadKafka } from '../../kafka/client.ts'
import type { KafkaPlace } from '../../kafka/place.ts'
import { createFetcher } from '../../kafka/fetch.ts'
import { createSender, type Sender } from '../../kafka/produce.ts'
import { compactedConfigs, ensureTopics, topicsRefused } from '../../kafka/topics.ts'
import type { NewRecord } from '../../kafka/write-batches.ts'
import type { Deps } from '../../runs.ts'
import type { Lag, Sink, SinkCounters, SinkState, SinkStatus } from '../sink.ts'
import { createAdmission } from './admission.ts'
import { type Backlog, createBacklog, type Load, type Outgoing } from './backlog.ts'
import {
  type CursorRecord,
  type Cursors,
  cursorsPartition,
  feedRecord,
  ownerRecord,
  readCursors,
  runRecord,
} from './cursors.ts'
import { createLedger } from './ledger.ts'
import { chunked, createPlaces, fits, recordOf } from './records.ts'
import { createRouting, type RoutingOptions } from './routing.ts'
import { createWaiting } from './waiting.ts'

export interface KafkaSinkOptions extends KafkaPlace, RoutingOptions {
  readonly log: Log
  readonly tenants: readonly string[]
  /** Two sinks with the same id are one: the second fences the first. Default `runcast-FORMAT`. */
  readonly transactionalId?: string | undefined
  /** Compacted. Default `runcast-cursors`. */
  readonly cursorsTopic?: string | undefined
  readonly deps: Pick<Deps, 'now' | 'id' | 'random' | 'sleep'>
  /** How long news are collected before they are sent. Default 10 ms. */
  readonly lingerMs?: number | undefined
  /** How long a sink that is closed may go on to send what is there. Default 5 s. */
  readonly drainMs?: number | undefined
  readonly onError?: (error: RuncastError) => void
}

export interface KafkaSink extends Sink {
  readonly state: SinkState
  /** Settles with the first try: rejects when it was refused for good; resolves when it works or is tried again. */
  readonly opened: Promise<void>
  /** What is not sent yet. Undefined until the cursors were read: it is unknown, not 0. */
  lag(): Promise<Lag | undefined>
  counters(): SinkCounters
}

const lingerMsDefault = 10
const drainMsDefault = 5_000
/** Between two sessions, doubled with each failure: a broker needs seconds to come back, and a thousand sinks may wait. */
const retryMsMin = 100
const retryMsMax = 5_000
/** So often a broker may answer that it is not ready for transactions yet, before that is told: about 3 s. */
const quietTries = 5
/** Without news, how long until the broker is asked whether it is there: as often as a scrape of metrics. */
const idleMsMax = 10_000
/** How long a dead sink's transaction may hold up the readers of its topics, if no other sink takes over. */
const transactionMsMax = 30_000
/** After the connections are closed, how long what hangs on them may take to notice. */
const closeMsMax = 1_000

/** What a session reaches Kafka with. */
interface Client {
  readonly kafka: Kafka
  readonly producer: Producer
  readonly sender: Sender
  readonly placeOf: ReturnType<typeof createPlaces>
}

export function kafkaSink(options: KafkaSinkOptions): KafkaSink {
  const { log, deps, lingerMs = lingerMsDefault, drainMs = drainMsDefault, onError = () => {} } = options
  const format = options.format === 'chat' ? chat : dashstream
  const sink = options.transactionalId ?? `runcast-${options.format}`
  const cursorsTopic = options.cursorsTopic ?? 'runcast-cursors'
  const routing = createRouting(options)
  const me = deps.id()
  const stopping = new AbortController()
  const opened = Promise.withResolvers<void>()
  opened.promise.catch(() => {})
  let state: SinkState = 'starting'
  let failure: SinkStatus['failure']
  let closing = false
  /** We have written so; then whoever fences us has written after us. */
  let isOwner = false
  let wasFenced = false
  let failures = 0
  let rung = false
  let wake = () => {}
  let cursors: Cursors | undefined
  let backlog: Backlog | undefined
  /** Begun and ended, of the makings of loads. */
  let steps = 0

  const ring = () => {
    rung = true
    wake()
  }
  const base = clientOptions(options, sink)
  const ledger = createLedger(lost => onError(tooLarge(lost)))
  const admission = createAdmission({
    tenants: options.tenants,
    routing,
    base,
    sleep: deps.sleep,
    starting: () => state === 'starting',
    onAdmitted: tenant => backlog?.attend(tenant),
    onRefused: onError,
  })
  const { tenants, refused, fresh } = admission

  const session = async (kafka: Kafka): Promise<void> => {
    const wrong = await ensureTopics(
      kafka,
      base,
      [{ topic: cursorsTopic, partitions: 1, configs: compactedConfigs }],
      deps.sleep,
    )
    if (wrong.size > 0) throw topicsRefused(wrong)
    await admission.begin(kafka)
    const admin = new kafka.Admin(base)
    const fetcher = createFetcher(kafka, admin, base)
    const producer = new kafka.Producer({
      ...base,
      transactionalId: sink,
      idempotent: true,
      timeout: transactionMsMax,
    })
    const sender = createSender({ kafka, producer, base, sleep: deps.sleep })
    const placeOf = createPlaces(kafka.compatibilityPartitioner, routing.partitions)
    const client = { kafka, producer, sender, placeOf }
    const close = async () => {
      await Promise.allSettled([sender.close(), producer.close(true), admin.close(), fetcher.close()])
    }
    const stop = () => void close()
    stopping.signal.addEventListener('abort', stop)
    try {
      const read = () => readCursors(admin, fetcher, { topic: cursorsTopic, sink })
      if (wasFenced && (await read()).owner !== me) throw fencedError(sink)
      wasFenced = false
      await deliver(client, await takeOver(client, read))
    } finally {
      backlog?.[Symbol.dispose]()
      backlog = undefined
      stopping.signal.removeEventListener('abort', stop)
      await close()
    }
  }

  const takeOver = async ({ kafka, producer, sender }: Client, read: () => Promise<Cursors>): Promise<Backlog> => {
    // From here on an earlier sink can write nothing more, so what the cursors say stays true.
    const first = await producer.beginTransaction(anyProducer)
    const found = await read()
    await sender.send(first, [cursorMessage(ownerRecord(sink, me))])
    await first.commit()
    isOwner = true
    ledger.settle(found)
    await admission.admit(
      kafka,
      [...found.feeds.keys()].filter(tenant => !tenants.has(tenant)),
    )
    cursors = found
    const next = createBacklog({ log, format, cursors: found, ring })
    backlog = next
    for (const tenant of admission.admitted) next.attend(tenant)
    state = 'sending'
    failures = 0
    opened.resolve()
    return next
  }

  const deliver = async (client: Client, from: Backlog) => {
    let next: Promise<Load> | undefined
    while (!stopping.signal.aborted) {
      if (fresh.size > 0) await admission.admit(client.kafka, fresh)
      const load = await (next ?? take(from))
      next = undefined
      if (load.messages.length === 0 && load.runs.length === 0) {
        if (closing && fresh.size === 0) return
        if (!rung) await idle(client)
        if (!closing) await deps.sleep(lingerMs, stopping.signal).catch(() => {})
        continue
      }
      const sending = send(client, load)
      // Who has much to catch up with makes the next load while this one is on its way; else news gather meanwhile.
      if (load.full) next = take(from)
      await Promise.all([sending, next])
    }
  }

  /**
   * Until the bell rings. Nobody would learn from silence that the broker is gone: it is asked now and then, and whether
   * somebody has mended the topics that were refused.
   */
  const idle = async ({ kafka, producer }: Client) => {
    const rest = new AbortController()
    const bell = new Promise<void>(resolve => (wake = resolve)).then(() => rest.abort())
    await Promise.race([bell, deps.sleep(idleMsMax, rest.signal).catch(() => {})])
    if (rung) return
    await producer.metadata({ topics: [cursorsTopic], forceUpdate: true })
    if (refused.size > 0) await admission.admit(kafka, refused.keys())
  }

  const take = async (from: Backlog): Promise<Load> => {
    rung = false
    steps++
    try {
      const load = await from.next()
      // A session that has ended meanwhile leaves its load to the next one, which makes it again.
      if (backlog === from && (load.messages.length > 0 || load.runs.length > 0)) ledger.take(load)
      return load
    } finally {
      steps++
    }
  }

  const send = async ({ producer, sender, placeOf }: Client, load: Load) => {
    ledger.begin(load)
    const records = load.messages
      .filter(({ message }) => fits(message))
      .map(one => {
        const { message, tenant } = one
        return recordOf(one, { topic: routing.topicOf(tenant, message), place: placeOf(message.key), format })
      })
    const transaction = await producer.beginTransaction(anyProducer)
    const moved = [
      ...load.runs.map(cursor => runRecord(sink, cursor)),
      ...load.feeds.map(cursor => feedRecord(sink, cursor)),
    ].map(cursorMessage)
    // The cursors go with the last records: a request less for each transaction.
    for (const chunk of chunked([...records, ...moved])) await sender.send(transaction, chunk)
    await transaction.commit()
    ledger.commit(load)
  }

  const run = async () => {
    let kafka: Kafka
    try {
      routing.check([...tenants])
      kafka = await loadKafka()
    } catch (thrown) {
      return refuse(RuncastError.from(thrown))
    }
    while (!stopping.signal.aborted) {
      try {
        await session(kafka)
        state = 'stopped'
        return
      } catch (thrown) {
        if (stopping.signal.aborted) break
        const error = kafkaError(thrown)
        if (isFinal(error, state)) return refuse(error)
        wasFenced ||= isOwner && answered(thrown, 'PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH')
        state = 'retrying'
        opened.resolve()
        failed(error, failures < quietTries && isOpening(thrown)) // also while closing: what is left has until `drainMs`
      }
      const wait = Math.min(retryMsMax, retryMsMin * 2 ** failures++) * (0.5 + deps.random())
      await deps.sleep(wait, stopping.signal).catch(() => {})
    }
    state = 'stopped'
  }

  const failed = (error: RuncastError, isQuiet = false) => {
    failure = { error, at: deps.now() }
    if (!isQuiet) onError(error)
  }

  const refuse = (error: RuncastError) => {
    state = error.code === 'conflict' ? 'fenced' : 'refused'
    failed(error)
    opened.reject(error)
  }

  const cursorMessage = ({ key, value }: CursorRecord): NewRecord => ({
    topic: cursorsTopic,
    partition: cursorsPartition,
    key: Buffer.from(key),
    value: value === undefined ? undefined : Buffer.from(value),
    headers: [],
    timestamp: deps.now(),
  })

  const waiting = createWaiting({
    log,
    tenants,
    refused,
    cursors: () => cursors,
    taken: () => ledger.taken,
    steps: () => steps,
  })
  const running = run()

  return {
    get state() {
      return state
    },
    opened: opened.promise,
    counters: ledger.counters,
    attend(tenant) {
      if (admission.add(tenant)) ring()
    },
    lag: waiting.lag,
    async holds(run) {
      const isOver = state === 'fenced' || state === 'refused' || state === 'stopped'
      return !isOver && waiting.holds(run)
    },
    async status() {
      const isWell = state === 'starting' || state === 'sending' || state === 'stopped'
      return {
        state,
        lag: await waiting.lag().catch(() => undefined),
        ...ledger.counters(),
        buffered: { runs: cursors?.runs.size ?? 0, ...ledger.buffered() },
        refused: new Map(refused),
        ...(!isWell && failure && { failure }),
      }
    },
    async [Symbol.asyncDispose]() {
      closing = true
      ring()
      const patience = new AbortController()
      await Promise.race([running, deps.sleep(drainMs, patience.signal).catch(() => {})])
      stopping.abort()
      ring()
      await Promise.race([running, deps.sleep(closeMsMax, patience.signal).catch(() => {})])
      patience.abort()
    },
  }
}

/** Whoever had the transactional id before is fenced; the client would ask to go on as producer 0. */
const anyProducer = { producerId: -1n, producerEpoch: -1 }

/** What no retry mends. Once it worked, a refusal may be somebody's work in progress. */
function isFinal({ code }: RuncastError, state: SinkState): boolean {
  if (code === 'conflict' || code === 'refused_by_policy') return true
  return (code === 'unauthenticated' || code === 'invalid_request') && state === 'starting'
}

/** A broker that has just started, or never had a transaction, makes and reads what it keeps of them first. */
function isOpening(thrown: unknown): boolean {
  return answered(thrown, 'NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS')
}

function fencedError(sink: string): RuncastError {
  const message = `another sink sends as ${sink}; stop one of the two, or give it another transactionalId`
  return new RuncastError('conflict', message)
}

function tooLarge({ run, message: { sequence, payload } }: Outgoing): RuncastError {
  const message = `event ${sequence} of ${run} makes a record of ${payload.length} bytes; it was left out`
  return new RuncastError('too_large', message)
}
