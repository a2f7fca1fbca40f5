// What took time in a run: steps, tool calls and requests to models, each from where it began to where it ended. One
// collector serves the flame graph, the profile and the node table, so that their totals cannot differ.
// It must never guess: a call of which only the end was told, without a duration, has none.
import type { Event, EventOf } from '../event.ts'

export type SpanKind = 'run' | 'step' | 'tool' | 'llm'

export interface Span {
  readonly kind: SpanKind
  readonly name: string
  /** Of a request: its model, when it was told. */
  readonly model?: string
  /** Where it began and ended in the run; a beginning that was not told lies between two sequences. */
  readonly begin: number
  readonly last: number
  /** ms since the epoch; `end_ms - start_ms` is the duration where there is one. */
  readonly start_ms: number
  readonly end_ms: number
  /** As it was told, else measured; absent = unknown. */
  readonly duration_ms?: number
  readonly failed: boolean
  /** It had not ended where the reading did. */
  readonly open: boolean
}

export interface Spans {
  take(event: Event): void
  /** The innermost step that is open now. */
  readonly node: string | undefined
  /** The run itself first, then the others by their beginning, outer ones before those within. */
  all(): Span[]
}

interface Begun {
  readonly kind: SpanKind
  readonly name: string
  readonly begin: number
  readonly start_ms: number
  model?: string | undefined
  last: number
  end_ms: number
}

export function createSpans(): Spans {
  const done: Span[] = []
  const steps: Begun[] = []
  const tools = new Map<string, Begun>()
  const requests = new Map<string, Begun>()
  /** Of every event, never falling: where a span began of which only the end was told is looked up here. */
  const times: number[] = []
  let first = 0
  let run = 'run'
  let failed = false
  let sealed = false

  const begun = (event: Event, kind: SpanKind, name: string): Begun => {
    const at = times.at(-1) ?? 0
    return { kind, name, begin: event.sequence, start_ms: at, last: event.sequence, end_ms: at }
  }

  const step = (event: EventOf<'step'>) => {
    const { node_name, phase, duration_ms } = event
    if (phase === 'start') {
      steps.push(begun(event, 'step', node_name))
      return
    }
    const index = steps.findLastIndex(one => one.name === node_name)
    const [own] = index === -1 ? [] : steps.splice(index, 1)
    close(own, begun(event, 'step', node_name), { duration_ms, failed: phase === 'error' })
  }

  const tool = (event: EventOf<'tool'>) => {
    const { call_id, tool_name, stage, duration_ms } = event
    const over = stage === 'completed' || stage === 'failed'
    const own = tools.get(call_id)
    if (over) {
      tools.delete(call_id)
      close(own, begun(event, 'tool', tool_name), { duration_ms, failed: stage === 'failed' })
    } else if (own === undefined || stage === 'started') {
      // What the model took to ask is its own time; the tool's begins where it starts.
      tools.set(call_id, begun(event, 'tool', tool_name))
    }
  }

  const token = (event: EventOf<'token'>) => {
    const { llm_request_id, model } = event
    if (llm_request_id === undefined) return
    const own = requests.get(llm_request_id) ?? begun(event, 'llm', model ?? 'llm')
    own.model ??= model
    own.last = event.sequence
    own.end_ms = times.at(-1) ?? 0
    requests.set(llm_request_id, own)
  }

  /** `at` is where the end was told. */
  function close(own: Begun | undefined, at: Begun, told: { duration_ms: number | undefined; failed: boolean }): void {
    const { kind, name, last, end_ms } = at
    const measured = own && end_ms - own.start_ms
    // Less than nothing is what a clock that went back makes of a duration.
    const duration_ms = told.duration_ms !== undefined && told.duration_ms >= 0 ? told.duration_ms : measured
    const start_ms = end_ms - (duration_ms ?? 0)
    // A step that is open holds what ends in it, also where clocks say that this began a little sooner.
    const begin = own?.begin ?? Math.max(beginAt(start_ms, last), (steps.at(-1)?.begin ?? -1) + 0.5)
    const duration = duration_ms === undefined ? {} : { duration_ms }
    done.push({ kind, name, begin, last, start_ms, end_ms, ...duration, failed: told.failed, open: false })
  }

  /** Just before the first event that is not older. */
  function beginAt(start_ms: number, last: number): number {
    let low = 0
    let high = times.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((times[middle] ?? 0) < start_ms) low = middle + 1
      else high = middle
    }
    return Math.min(first + low, last) - 0.5
  }

  return {
    take(event) {
      if (times.length === 0) first = event.sequence
      const time = Date.parse(event.timestamp)
      times.push(Math.max(Number.isNaN(time) ? 0 : time, times.at(-1) ?? 0))
      if (event.type === 'started') run = event.agent_name
      else if (event.type === 'step') step(event)
      else if (event.type === 'tool') tool(event)
      else if (event.type === 'token') token(event)
      else if (event.type === 'error' || event.type === 'complete' || event.type === 'cancelled') {
        failed = event.type === 'error'
        sealed = true
      }
    },
    get node() {
      return steps.at(-1)?.name
    },
    all() {
      const [start_ms = 0, end_ms = 0] = [times[0], times.at(-1)]
      const last = first + times.length - 1
      const cutOff = [...steps, ...tools.values()].map((one): Span => {
        return { ...plain(one), last, end_ms, duration_ms: end_ms - one.start_ms, failed: false, open: true }
      })
      const asked = [...requests.values()].map((one): Span => {
        return { ...plain(one), duration_ms: one.end_ms - one.start_ms, failed: false, open: false }
      })
      const whole = { kind: 'run' as const, name: run, begin: first - 1, last: last + 1, start_ms, end_ms }
      const root: Span = { ...whole, duration_ms: end_ms - start_ms, failed, open: !sealed }
      const within = [...done, ...cutOff, ...asked].sort((a, b) => a.begin - b.begin || b.last - a.last)
      return [root, ...within]
    },
  }
}

function plain({ kind, name, begin, start_ms, last, end_ms, model }: Begun): Omit<Span, 'failed' | 'open'> {
  const named = model === undefined ? {} : { model }
  return { kind, name: kind === 'llm' ? (model ?? name) : name, ...named, begin, start_ms, last, end_ms }
}
