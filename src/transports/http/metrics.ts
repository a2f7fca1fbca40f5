// What a dashboard needs, in Prometheus' text format. Counted per run and per request, never per token.
import { Counter, Gauge, Registry } from 'prom-client'
import type { Status } from '../../log.ts'
import { type Vitals, vitalMetrics } from './vitals.ts'

export interface Metrics {
  readonly contentType: string
  /** What was counted, and how the vitals are now. */
  text(vitals: Vitals, now: number): Promise<string>
  runStarted(agent: string): void
  runEnded(agent: string, status: Status): void
  streamsOpen(count: number): void
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const started = new Counter({
    name: 'runcast_runs_started_total',
    help: 'Runs started, direct ones too.',
    labelNames: ['agent'],
    registers,
  })
  const ended = new Counter({
    name: 'runcast_runs_ended_total',
    help: 'Runs ended, by status.',
    labelNames: ['agent', 'status'],
    registers,
  })
  const active = new Gauge({ name: 'runcast_runs_active', help: 'Runs that execute now.', registers })
  const streams = new Gauge({ name: 'runcast_streams_open', help: 'Open event streams.', registers })
  const takeVitals = vitalMetrics(registry)
  return {
    contentType: registry.contentType,
    async text(vitals, now) {
      await takeVitals(vitals, now)
      return registry.metrics()
    },
    runStarted(agent) {
      started.inc({ agent })
      active.inc()
    },
    runEnded(agent, status) {
      ended.inc({ agent, status })
      active.dec()
    },
    streamsOpen: count => streams.set(count),
  }
}
