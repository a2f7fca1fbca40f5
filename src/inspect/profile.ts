// How often each node, tool and model was called and how long that took. Pure. A duration that was not told and could not
// be measured is unknown: it counts as a call, and never as 0 ms.
import type { Span } from './spans.ts'

export interface ProfileRow {
  readonly kind: 'node' | 'tool' | 'model'
  readonly name: string
  readonly calls: number
  /** Calls whose duration is known; the numbers below are of these, and absent when there are none. */
  readonly timed: number
  readonly failed: number
  readonly total_ms?: number
  readonly mean_ms?: number
  readonly p50_ms?: number
  readonly p95_ms?: number
}

export interface Profile {
  take(spans: readonly Span[]): void
  /** The longest total first; nodes, then tools, then models. */
  rows(): ProfileRow[]
}

interface Calls {
  readonly kind: ProfileRow['kind']
  readonly name: string
  calls: number
  failed: number
  readonly durations: number[]
}

const kindOf = { step: 'node', tool: 'tool', llm: 'model' } as const
const order: readonly ProfileRow['kind'][] = ['node', 'tool', 'model']

export function createProfile(): Profile {
  const all = new Map<string, Calls>()
  return {
    take(spans) {
      for (const span of spans) {
        if (span.kind === 'run') continue
        const kind = kindOf[span.kind]
        const name = span.kind === 'llm' ? (span.model ?? 'unknown') : span.name
        const key = `${kind} ${name}`
        const row = all.get(key) ?? { kind, name, calls: 0, failed: 0, durations: [] }
        all.set(key, row)
        row.calls++
        if (span.failed) row.failed++
        if (span.duration_ms !== undefined) row.durations.push(span.duration_ms)
      }
    },
    rows() {
      const rows = [...all.values()].map(rowOf)
      return rows.sort(
        (a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || (b.total_ms ?? -1) - (a.total_ms ?? -1),
      )
    },
  }
}

function rowOf({ kind, name, calls, failed, durations }: Calls): ProfileRow {
  const row = { kind, name, calls, timed: durations.length, failed }
  if (durations.length === 0) return row
  const sorted = durations.toSorted((a, b) => a - b)
  const total_ms = sum(sorted)
  const mean_ms = total_ms / sorted.length
  return { ...row, total_ms, mean_ms, p50_ms: percentile(sorted, 0.5), p95_ms: percentile(sorted, 0.95) }
}

/** By nearest rank: a duration that occurred, not one between two. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0)
}
