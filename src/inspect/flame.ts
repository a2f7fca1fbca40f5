// Spans as a flame graph: which stack of steps, tools and requests took how long. Pure; the drawing is in flame-svg.ts.
// A frame's total is the sum of its spans' durations, its own time what none of the spans within it covers.
// It must never lose time: what ran side by side is counted side by side.
import type { Span, SpanKind } from './spans.ts'

export interface Frame {
  readonly kind: SpanKind
  readonly name: string
  calls: number
  /** Calls whose duration is unknown; they add nothing. */
  untimed: number
  failed: number
  total_ms: number
  self_ms: number
  readonly children: Map<string, Frame>
}

/** Deeper than a person nests steps; an agent that tells starts only must not make a tower of them. */
export const framesDeepMax = 100

interface Placed {
  readonly span: Span
  readonly frame: Frame
  /** The spans directly within. */
  readonly within: Span[]
}

/** `spans` in the order of `Spans.all()`: the run, then outer ones before those within. */
export function flameOf(spans: readonly Span[]): Frame | undefined {
  const stack: Placed[] = []
  const leave = () => {
    const { span, frame, within } = stack.pop() as Placed
    frame.self_ms += uncovered(span, within)
  }
  let root: Frame | undefined
  for (const span of spans) {
    while (stack.length > 0 && (stack.length >= framesDeepMax || !liesIn(span, stack.at(-1)?.span))) leave()
    const parent = stack.at(-1)
    const frame = frameIn(parent?.frame, span)
    root ??= frame
    parent?.within.push(span)
    stack.push({ span, frame, within: [] })
  }
  while (stack.length > 0) leave()
  return root
}

/** One line a stack, `outer;inner microseconds` of its own time: what flame graph programs read. */
export function folded(frame: Frame, above = ''): string[] {
  const stack = above + frame.name.replaceAll(';', ',').replace(/\s+/g, ' ')
  const own = Math.round(frame.self_ms * 1000)
  const lines = own > 0 || frame.children.size === 0 ? [`${stack} ${own}`] : []
  for (const child of frame.children.values()) lines.push(...folded(child, `${stack};`))
  return lines
}

/** How much room a frame takes: its own time and all within it; more than its total where those ran side by side. */
export function widthOf(frame: Frame): number {
  let width = frame.self_ms
  for (const child of frame.children.values()) width += widthOf(child)
  return width
}

function frameIn(parent: Frame | undefined, { kind, name, duration_ms, failed }: Span): Frame {
  const key = `${kind} ${name}`
  const empty = { kind, name, calls: 0, untimed: 0, failed: 0, total_ms: 0, self_ms: 0, children: new Map() }
  const frame: Frame = parent?.children.get(key) ?? empty
  parent?.children.set(key, frame)
  frame.calls++
  frame.total_ms += duration_ms ?? 0
  if (duration_ms === undefined) frame.untimed++
  if (failed) frame.failed++
  return frame
}

/** Innermost first: whoever began last and ends no sooner holds it. */
function liesIn(inner: Span, outer: Span | undefined): boolean {
  return outer !== undefined && outer.begin <= inner.begin && inner.last <= outer.last
}

/** The part of a span that no span within it covers. */
function uncovered(span: Span, within: readonly Span[]): number {
  let own = 0
  let at = span.start_ms
  for (const { start_ms, end_ms } of within.toSorted((a, b) => a.start_ms - b.start_ms)) {
    own += Math.max(0, Math.min(start_ms, span.end_ms) - at)
    at = Math.max(at, end_ms)
  }
  return own + Math.max(0, span.end_ms - at)
}
