// What a dashboard needs, in Prometheus' text format. Counted per run and per request, never per token. What writes the
// format is loaded when somebody asks: most servers start without being asked.
import type { Status } from '../../log.ts'
import { type Sample, takenBy, takeVitals, type Vitals } from './vitals.ts'

export interface Metrics {
  readonly contentType: string
  /** What was counted, and how the vitals are now. */
  text(vitals: Vitals, now: number): Promise<string>
  runStarted(agent: string): void
  runEnded(agent: string, status: Status): void
  streamsOpen(count: number): void
}

export function createMetrics(): Metrics {
  const started = counts<{ agent: string }>()
  const ended = counts<{ agent: string; status: Status }>()
  let active = 0
  let streams = 0
  return {
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    async text(vitals, now) {
      const prometheus = await import('prom-client')
      const registry = new prometheus.Registry()
      const take = takenBy(prometheus, registry)
      take('counter', 'runcast_runs_started_total', 'Runs started, direct ones too.', started.samples())
      take('counter', 'runcast_runs_ended_total', 'Runs ended, by status.', ended.samples())
      take('gauge', 'runcast_runs_active', 'Runs that execute now.', [[{}, active]])
      take('gauge', 'runcast_streams_open', 'Open event streams.', [[{}, streams]])
      await takeVitals(take, vitals, now)
      return registry.metrics()
    },
    runStarted(agent) {
      started.add({ agent })
      active++
    },
    runEnded(agent, status) {
      ended.add({ agent, status })
      active--
    },
    streamsOpen(count) {
      streams = count
    },
  }
}

/** How often each combination of labels came. */
function counts<Labels extends Record<string, string>>() {
  const seen = new Map<string, [labels: Labels, count: number]>()
  return {
    add(labels: Labels): void {
      const key = Object.values(labels).join('\n')
      const sample = seen.get(key)
      if (sample) sample[1]++
      else seen.set(key, [labels, 1])
    },
    samples: (): Sample[] => [...seen.values()],
  }
}
