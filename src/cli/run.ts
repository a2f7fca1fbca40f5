// `runcast run`: serves the agents of a folder, says what to open, and stops politely: what runs may finish, readers are
// told to come back. A second Ctrl-C stops at once; a durable log is then mended at the next start.
import { once } from 'node:events'
import { resolve } from 'node:path'
import type { Config } from '../config/load.ts'
import { showDuration } from '../config/duration.ts'
import { compilePatterns, maskOf } from '../redact.ts'
import { optionsOf, serve } from '../server.ts'
import { banner } from './banner.ts'
import type { ExitCode } from './exit-codes.ts'
import { loadAllAgents, loadSettings, projectFolder, sourceFolders } from './project.ts'
import { openRunLog } from './run-log.ts'
import { listening, survive, untilStopped } from './serving.ts'
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
  const mask = maskOf(compilePatterns(config.policies.redactPatterns))
  const agents = (await loadAllAgents(config, files)).map(agent => tellingFailures(agent, log.logger, mask))
  if (reloaded !== undefined) {
    process.send?.({ type: 'loaded', folders: sourceFolders(config, files) })
    await once(process, 'message')
  }
  const served = await listening(config.expose, async () =>
    serve({
      ...(await optionsOf(config, agents, process.env)),
      logger: log.options,
      warn: message => log.logger.warn(message),
    }),
  )
  const waits = () => {
    const { running } = served.runs
    const grace = showDuration(config.shutdownGraceMs)
    return running > 0 ? `: ${counted(running, 'run')} may finish within ${grace} (Ctrl-C again: at once)` : ''
  }
  const stopped = untilStopped(log, { waits, reloaded: reloaded !== undefined }) // before anybody hears that it is there
  if (reloaded !== 'again') say(banner({ config, agents, url: served.url }))
  log.logger.info(`serving ${agents.map(({ name }) => name).join(', ')} at ${served.url}`)
  process.send?.({ type: 'listening', url: served.url })
  const code = await stopped
  await served.stop()
  return code
}

function withOptions(config: Config, { host, port }: RunOptions): Config {
  const { expose } = config
  // The parent of --reload keeps the port that was free at its first start.
  const kept = process.env[`${reloadedEnv}_PORT`]
  return { ...config, expose: { ...expose, host: host ?? expose.host, port: Number(kept ?? port ?? expose.port) } }
}
