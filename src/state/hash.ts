// The hash of a state, and what a comparison with somebody's hash proves. Apart from canonical.ts, because it needs
// node:crypto. It must never call a state corrupt when the two sides may only spell numbers differently.

import { hash } from 'node:crypto'
import { RuncastError } from '../error.ts'
import { canonicalJson, holdsNumber } from './canonical.ts'

/** SHA-256 over the RFC 8785 text, as 64 lower-case hex digits. */
export function stateHash(value: unknown): string {
  return hash('sha256', canonicalJson(value), 'hex')
}

/**
 * Whether `value` may be what somebody made this hash of. A library whose spelling of numbers is unknown may have made it, so
 * a difference in a state with numbers proves nothing, nor does a state without canonical text.
 */
export function notContradicted(value: unknown, expected: string): boolean {
  try {
    return stateHash(value) === expected.toLowerCase() || holdsNumber(value)
  } catch (thrown) {
    if (thrown instanceof RuncastError && thrown.details['reason'] === 'unverifiable') return true
    throw thrown
  }
}
