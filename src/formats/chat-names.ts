// What the writer and the reader of chat.v1 envelopes share: enum numbers, and what the one leaves out because the other
// has it from elsewhere. Apart from both, so that the two halves of a round trip cannot drift.
import type { Event, Severity, TextPosition } from '../event.ts'
import type { View } from '../state/fold.ts'

/** By number, as TextPosition. */
export const textPositions: readonly TextPosition[] = ['standalone', 'before', 'after']

/** By number, as ErrorSeverity. */
export const chatSeverities: readonly Severity[] = ['warning', 'error', 'critical']

/** A severity that the protocol does not have is a WARNING: it goes on. */
export function chatSeverity(severity: Severity): number {
  return Math.max(0, chatSeverities.indexOf(severity))
}

/**
 * Whether a run's error was told just before as a warning of the same code and text: an agent that warns and then fails,
 * and every run that was itself read from chat.v1. Telling it again would show one failure twice.
 */
export function alreadyTold(view: View, event: Event): boolean {
  const last = view.warnings.at(-1)
  if (event.type !== 'error' || last === undefined || chatSeverity(last.severity ?? 'warning') === 0) return false
  return last.code === event.code && last.message === event.error
}

/** How long the run took: as told by whoever ran it, else from its first and last time. */
export function executionTimeMs(event: Event, view: View): number {
  const told = (event as { execution_time_ms?: unknown }).execution_time_ms
  if (typeof told === 'number') return told
  const ms = Date.parse(event.timestamp) - Date.parse(view.started_at ?? event.timestamp)
  // A clock that went back says nothing of how long it was.
  return Number.isFinite(ms) ? Math.max(0, ms) : 0
}
