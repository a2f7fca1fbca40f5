// What the commands that serve share: a refusal to listen that says what to do, and the wait for the signal that ends them.
// A second signal ends the process at once.
import { RuncastError } from '../error.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import type { RunLog } from './run-log.ts'

/** Begins to listen; throws what a person can mend as `conflict` or `invalid_request`. */
export async function listening<T>(
  { host, port }: { host: string; port: number },
  start: () => Promise<T>,
): Promise<T> {
  try {
    return await start()
  } catch (thrown) {
    const { code } = thrown as { code?: string }
    const where = `${host}:${port}`
    if (code === 'EADDRINUSE') {
      throw new RuncastError(
        'conflict',
        `${where} is in use; stop what listens there, or give another --port (0 = any free one)`,
      )
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
      throw new RuncastError(
        'conflict',
        `this process may not listen on ${where} (${code}); give another --port or --host`,
      )
    }
    if (code === 'ENOTFOUND') {
      throw new RuncastError(
        'invalid_request',
        `--host ${host} is no address of this machine; give another (0.0.0.0 = all)`,
      )
    }
    throw thrown
  }
}

/** npm passes on a Ctrl-C that the terminal has sent already: two that close together are one. */
const sameSignalMs = 500

export interface Stopping {
  /** What is told when it stops, behind `stopping`. */
  waits(): string
  /** The process has a parent that tells it when to stop. */
  readonly reloaded?: boolean
}

/** Resolves when the process is to stop, with the exit code. */
export async function untilStopped({ logger }: RunLog, { waits, reloaded = false }: Stopping): Promise<ExitCode> {
  let stoppingAt: number | undefined
  return new Promise(told => {
    const stop = (as: ExitCode) => {
      if (stoppingAt !== undefined) {
        if (performance.now() - stoppingAt > sameSignalMs) process.exit(exitCodes.interrupted)
        return
      }
      stoppingAt = performance.now()
      logger.info(`stopping${waits()}`)
      told(as)
    }
    process.on('SIGTERM', () => stop(exitCodes.ok))
    // A terminal sends Ctrl-C to the whole group: there the parent of --reload decides.
    process.on('SIGINT', () => reloaded || stop(exitCodes.interrupted))
    process.on('SIGHUP', () => stop(exitCodes.ok))
    if (reloaded) process.on('disconnect', () => stop(exitCodes.ok))
  })
}

/** A promise that somebody forgot must not end the readers of the others. An exception nobody caught leaves nothing to trust. */
export function survive({ logger }: RunLog): void {
  process.on('unhandledRejection', err => logger.error({ err }, 'a promise was rejected and nobody handled it'))
  process.on('uncaughtException', err => {
    logger.fatal({ err }, 'an exception that nobody caught; stopping')
    process.exit(exitCodes.failed)
  })
}
