// `runcast run`: serves the agents of a folder, says what to open, and stops politely: what runs may finish, readers are
// told to come back. A second Ctrl-C stops at once; a durable log is then mended at the next start.
import { once } from 'node:events'
import { resolve } from 'node:path'
import type { Config } from '../config/load.ts'
import { showDuration } from '../config/duration.ts'
import { RuncastError } from '../error.ts'
import { optionsOf, type Served, serve } from '../server.ts'
import { banner } from './banner.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import { loadAllAgents, loadSettings, projectFolder, sourceFolders } from './project.ts'
import { openRunLog, type RunLog } from './run-log.ts'
import { tellingFailures } from './tell-failures.ts'
import { counted, say } from './terminal.ts'

export interface RunOptions {
  readonly dockfile?: string
  readonly port?: number
  readonly host?: string
  readonly reload?: boolean
}

/** Set by the parent of `--reload`, which tells its children when to listen and when to stop. */
export const reloadedEnv = 'RUNCAST_RELOADED'

export async function run(files: readonly string[], options: RunOptions): Promise<ExitCode> {
  const reloaded = process.send === undefined ? undefined : process.env[reloadedEnv]
  if (options.reload && reloaded === undefined) return (await import('./reload.ts')).reload(files, options)
  const config = withOptions(await loadSettings({ dockfile: options.dockfile, files }), options)
  using log = openRunLog({
    folder: files.length > 0 && !options.dockfile ? resolve('.') : projectFolder(options.dockfile),
  })
  log.captureConsole()
  survive(log)
  const agents = (await loadAllAgents(config, files)).map(agent => tellingFailures(agent, log.logger))
  if (reloaded !== undefined) {
    process.send?.({ type: 'loaded', folders: sourceFolders(config, files) })
    await once(process, 'message')
  }
  const served = await listening(config, async () => ({
    ...(await optionsOf(config, agents, process.env)),
    logger: log.options,
    warn: message => log.logger.warn(message),
  }))
  if (reloaded !== 'again') say(banner({ config, agents, url: served.url }))
  log.logger.info(`serving ${agents.map(({ name }) => name).join(', ')} at ${served.url}`)
  process.send?.({ type: 'listening', url: served.url })
  return stopped(served, config, log, reloaded !== undefined)
}

function withOptions(config: Config, { host, port }: RunOptions): Config {
  const { expose } = config
  // The parent of --reload keeps the port that was free at its first start.
  const kept = process.env[`${reloadedEnv}_PORT`]
  return { ...config, expose: { ...expose, host: host ?? expose.host, port: Number(kept ?? port ?? expose.port) } }
}

async function listening(config: Config, options: () => Promise<Parameters<typeof serve>[0]>): Promise<Served> {
  try {
    return await serve(await options())
  } catch (thrown) {
    const { host, port } = config.expose
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

/** Waits for a signal, then for the end of what runs. */
async function stopped(served: Served, config: Config, { logger }: RunLog, reloaded: boolean): Promise<ExitCode> {
  let stoppingAt: number | undefined
  const code = await new Promise<ExitCode>(told => {
    const stop = (as: ExitCode) => {
      if (stoppingAt !== undefined) {
        if (performance.now() - stoppingAt > sameSignalMs) process.exit(exitCodes.interrupted)
        return
      }
      stoppingAt = performance.now()
      const { running } = served.runs
      const grace = showDuration(config.shutdownGraceMs)
      const wait = running > 0 ? `: ${counted(running, 'run')} may finish within ${grace} (Ctrl-C again: at once)` : ''
      logger.info(`stopping${wait}`)
      told(as)
    }
    process.on('SIGTERM', () => stop(exitCodes.ok))
    // A terminal sends Ctrl-C to the whole group: there the parent of --reload decides.
    process.on('SIGINT', () => reloaded || stop(exitCodes.interrupted))
    process.on('SIGHUP', () => stop(exitCodes.ok))
    if (reloaded) process.on('disconnect', () => stop(exitCodes.ok))
  })
  await served.stop()
  return code
}

/** A promise that an agent forgot must not end the runs of the others. An exception nobody caught leaves nothing to trust. */
function survive({ logger }: RunLog): void {
  process.on('unhandledRejection', err => logger.error({ err }, 'a promise was rejected and nobody handled it'))
  process.on('uncaughtException', err => {
    logger.fatal({ err }, 'an exception that nobody caught; stopping')
    process.exit(exitCodes.failed)
  })
}
