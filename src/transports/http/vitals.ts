// How the export to Kafka and the reading from it go, as /health says it and as /metrics does. What is unknown is null,
// or has no sample; it is never 0. No tenant and no thread is named: both pages are one for all.
import type { Registry } from 'prom-client'
import type { SinkState, SinkStatus } from '../../sinks/sink.ts'
import type { SourceStatus } from '../../sources/status.ts'

/** What can be asked how it is. */
export interface Vitals {
  readonly sink?: { status(): Promise<SinkStatus> } | undefined
  readonly source?: { status(): SourceStatus } | undefined
}

/** For /health, which needs no key: `tells` says whether whoever asks may read messages that name brokers. */
export async function healthOf({ sink, source }: Vitals, { now, tells }: { now: number; tells: boolean }) {
  const exported = await sink?.status()
  return {
    ...(exported && { sink: sinkHealth(exported, now, tells) }),
    ...(source && { source: sourceHealth(source.status()) }),
  }
}

function sinkHealth(status: SinkStatus, now: number, tells: boolean) {
  const { state, lag, buffered, kinds, dropped, transactions, refused, failure } = status
  return {
    state,
    lag: lag ? { events: lag.events, runs: lag.runs, oldest_seconds: ageOf(lag.oldest, now) } : null,
    ...(failure && {
      error: {
        code: failure.error.code,
        ...(tells && { error: failure.error.message }),
        timestamp: new Date(failure.at).toISOString(),
      },
    }),
    // Names of tenants are not for everyone who may ask: the server's own lines say who, and why.
    refused_tenants: refused.size,
    buffered,
    messages: kinds,
    dropped,
    transactions,
  }
}

function sourceHealth(status: SourceStatus) {
  const { state, coverage, lag, records, tombstones, deadLetters, discarded, problems } = status
  const { assigned, total } = coverage
  return {
    state,
    lag: lag === undefined ? null : { records: lag },
    coverage: { assigned, total: total ?? null },
    records,
    tombstones,
    dead_letters: deadLetters,
    discarded,
    problems,
  }
}

export type SinkHealth = ReturnType<typeof sinkHealth>
export type SourceHealth = ReturnType<typeof sourceHealth>

/** 0 when nothing waits. */
function ageOf(oldest: number | undefined, now: number): number {
  return oldest === undefined ? 0 : Math.max(0, now - oldest) / 1_000
}

export const sinkStates = [
  'starting',
  'sending',
  'retrying',
  'fenced',
  'refused',
  'stopped',
] as const satisfies readonly SinkState[]
export const sourceStates = [
  'joining',
  'catching_up',
  'live',
  'retrying',
  'stopped',
] as const satisfies readonly SourceStatus['state'][]

export async function takeVitals(take: Take, { sink, source }: Vitals, now: number): Promise<void> {
  if (sink) takeSink(take, await sink.status(), now)
  if (source) takeSource(take, source.status())
}

export type Sample = readonly [labels: Record<string, string>, value: number]
export type Take = (type: 'counter' | 'gauge', name: string, help: string, samples: readonly Sample[]) => void

/** Metrics that exist once there is something to say: a server without Kafka has none of them. */
export function takenBy({ Counter, Gauge }: typeof import('prom-client'), registry: Registry): Take {
  return (type, name, help, samples) => {
    const labelNames = [...new Set(samples.flatMap(([labels]) => Object.keys(labels)))]
    if (samples.length === 0) return // a metric without labels would begin at 0
    const metric = new (type === 'counter' ? Counter : Gauge)({ name, help, labelNames, registers: [registry] })
    for (const [labels, value] of samples) metric.inc(labels, value)
  }
}

const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [[{}, value]])
const each = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([name, value]) => [{ [label]: name }, value])
const stateSet = (states: readonly string[], state: string): Sample[] =>
  states.map(one => [{ state: one }, one === state ? 1 : 0])

function takeSink(take: Take, status: SinkStatus, now: number): void {
  const { state, lag, buffered, kinds, dropped, transactions, refused } = status
  const outcomes = Object.entries(kinds).flatMap(([kind, { sent, failed }]): Sample[] => [
    [{ kind, outcome: 'sent' }, sent],
    [{ kind, outcome: 'failed' }, failed],
  ])
  const pending = Object.fromEntries(Object.entries(kinds).map(([kind, counts]) => [kind, counts.pending]))
  take('gauge', 'runcast_sink_state', 'How the export is; 1 for the state that it is in.', stateSet(sinkStates, state))
  take('gauge', 'runcast_sink_lag_events', 'Events not exported yet.', one(lag?.events))
  take('gauge', 'runcast_sink_lag_runs', 'Runs with events not exported yet.', one(lag?.runs))
  const age = lag && ageOf(lag.oldest, now)
  take('gauge', 'runcast_sink_lag_seconds', 'Age of the oldest event not exported yet.', one(age))
  take('gauge', 'runcast_sink_refused_tenants', 'Tenants whose topics cannot be used.', one(refused.size))
  take('gauge', 'runcast_sink_buffered_bytes', 'Bytes that the export holds in memory.', one(buffered.bytes))
  take('counter', 'runcast_sink_messages_total', 'Messages that are decided, by kind and outcome.', outcomes)
  take('gauge', 'runcast_sink_messages_pending', 'Messages in an open transaction, by kind.', each('kind', pending))
  const lost = 'Events that could not be exported, by reason; unlisted: entries of a feed.'
  take('counter', 'runcast_sink_events_dropped_total', lost, each('reason', dropped))
  take('counter', 'runcast_sink_transactions_total', 'Kafka transactions committed.', one(transactions))
}

function takeSource(take: Take, status: SourceStatus): void {
  const { state, coverage, lag, records, tombstones, deadLetters, discarded, problems } = status
  take('gauge', 'runcast_source_state', 'How the reading is; 1 for its state.', stateSet(sourceStates, state))
  take('gauge', 'runcast_source_lag_records', 'Records not read yet, of the partitions assigned.', one(lag))
  take('gauge', 'runcast_source_partitions', 'Partitions of the topics.', one(coverage.total))
  take('gauge', 'runcast_source_partitions_assigned', 'Partitions that this source reads.', one(coverage.assigned))
  take('counter', 'runcast_source_records_total', 'Records read.', one(records))
  take('counter', 'runcast_source_tombstones_total', 'Records read that have no value.', one(tombstones))
  take('counter', 'runcast_source_dead_letters_total', 'Records that could not be read, kept.', one(deadLetters))
  take('counter', 'runcast_source_discarded_total', 'Records that could not be read, not kept.', one(discarded))
  take('counter', 'runcast_source_problems_total', 'What was wrong with records, by kind.', each('kind', problems))
}
