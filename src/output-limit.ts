// `policies.safety.max_output_chars`: how much text a run may put out. Tokens stop, the output is cut, and both say so;
// the JSON stays valid, because only string values are cut, between code points.
import type { Body } from './event.ts'

/** Hands on what may be emitted in place of a body: itself, a shorter one, a warning with it, or nothing. */
export type OutputLimit = (body: Body, put: (body: Body) => void) => void

export function createOutputLimit(charsMax: number | undefined): OutputLimit {
  if (charsMax === undefined) return (body, put) => put(body)
  const told: Body = {
    type: 'warning',
    code: 'output_truncated',
    message: `the output is cut at ${charsMax} characters`,
    recoverable: true,
  }
  let chars = 0
  return (body, put) => {
    if (body.type === 'token' || body.type === 'text') {
      const room = charsMax - chars
      chars += body.content.length
      if (body.content.length <= room) return put(body)
      if (room > 0) put({ ...body, content: cut(body.content, room) })
      if (room >= 0) put(told)
      return
    }
    if (body.type !== 'complete') return put(body)
    const budget = { left: charsMax, cut: false }
    const output = within(body.output, budget)
    put(budget.cut ? { ...body, output, metadata: { ...body.metadata, truncated: true } } : body)
  }
}

/** The same JSON with at most `budget.left` characters in its strings, first come first served. */
function within(value: unknown, budget: { left: number; cut: boolean }): unknown {
  if (typeof value === 'string') {
    const kept = cut(value, budget.left)
    budget.left -= kept.length
    if (kept.length < value.length) budget.cut = true
    return kept
  }
  if (Array.isArray(value)) return value.map(inner => within(inner, budget))
  if (typeof value !== 'object' || value === null || 'toJSON' in value) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, within(inner, budget)]))
}

/** The first `chars` UTF-16 units, one fewer where that would split a code point. */
function cut(text: string, chars: number): string {
  if (text.length <= chars) return text
  const unit = text.charCodeAt(chars - 1)
  return text.slice(0, Math.max(0, unit >= 0xd800 && unit <= 0xdbff ? chars - 1 : chars))
}
