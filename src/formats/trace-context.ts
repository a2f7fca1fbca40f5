// W3C trace context: which trace a run belongs to, as headers say it. What is not valid is as if it were not there: a
// caller's broken trace must never be a reason to refuse its request. https://www.w3.org/TR/trace-context/

export interface TraceContext {
  readonly traceparent: string
  readonly tracestate?: string
}

/** What everyone must be able to pass on; longer ones may be left out. */
const tracestateCharsMax = 512
const tracestateMembersMax = 32

const member =
  /^(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/** Undefined when there is no valid `traceparent`; a `tracestate` alone, or a broken one, is left out. */
export function traceContextOf(traceparent: unknown, tracestate?: unknown): TraceContext | undefined {
  const [, version = 'ff', trace = '', parent = '', flags = '', more = ''] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(String(traceparent)) ?? []
  // Version 00 ends there; of a later one this much is known, and is passed on as what we know.
  if (version === 'ff' || (version === '00' && more !== '')) return undefined
  if (/^0+$/.test(trace) || /^0+$/.test(parent)) return undefined
  const state = stateOf(tracestate)
  return { traceparent: `00-${trace}-${parent}-${flags}`, ...(state !== undefined && { tracestate: state }) }
}

function stateOf(tracestate: unknown): string | undefined {
  if (typeof tracestate !== 'string' || tracestate.length > tracestateCharsMax) return undefined
  const members = tracestate.split(',').map(one => one.replace(/^[ \t]+|[ \t]+$/g, ''))
  const said = members.filter(one => one !== '')
  const keys = new Set(said.map(one => one.slice(0, one.indexOf('='))))
  const isValid = said.every(one => member.test(one)) && keys.size === said.length
  return isValid && said.length > 0 && members.length <= tracestateMembersMax ? said.join(',') : undefined
}
