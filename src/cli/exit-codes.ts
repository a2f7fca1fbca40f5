// What the command tells a script by how it ends (design §6.20). A leaf. A cut must never look like an end.
import type { Status } from '../log.ts'

export const exitCodes = {
  /** Done; of a run: it completed. */
  ok: 0,
  /** Refused values and files included; of a run: it failed. */
  failed: 1,
  /** An unknown command or option. */
  usage: 2,
  /** The run was cancelled. */
  cancelled: 3,
  /** `--max-wait` is over and the server did not come back. How the run ended is unknown. */
  cutOff: 4,
  /** Ctrl-C, as shells have it: 128 + SIGINT. */
  interrupted: 130,
} as const

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The code for a run that ended so. */
export function exitCodeOf(status: Status): ExitCode {
  if (status === 'completed') return exitCodes.ok
  return status === 'cancelled' ? exitCodes.cancelled : exitCodes.failed
}
