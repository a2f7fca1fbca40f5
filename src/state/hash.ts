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
 * What `expected` proves about `value`. `ours`: it was made by {@link stateHash}. `foreign`: by a library whose number
 * spelling is unknown, so a difference in a state with numbers proves nothing.
 */
export function compareHash(
  value: unknown,
  expected: string,
  origin: 'ours' | 'foreign',
): 'equal' | 'different' | 'unverifiable' {
  try {
    if (stateHash(value) === expected.toLowerCase()) return 'equal'
  } catch (thrown) {
    if (thrown instanceof RuncastError && thrown.details['reason'] === 'unverifiable') return 'unverifiable'
    throw thrown
  }
  return origin === 'foreign' && holdsNumber(value) ? 'unverifiable' : 'different'
}
