// `runcast serve`: the page and the API over runs that others write, a Kafka topic or a SQLite file. It starts no agent and
// writes nothing there; it listens as soon as the source is read, and shows what comes while it reads on.
import { RuncastError } from '../error.ts'
import { serveSource } from '../serve-source.ts'
import { authOf } from '../server.ts'
import type { Source } from '../sources/read-only.ts'
import type { ExitCode } from './exit-codes.ts'
import { withoutFile } from './project.ts'
import { openRunLog } from './run-log.ts'
import { listening, survive, untilStopped } from './serving.ts'
import { isServer, openPlace } from './source.ts'
import { coloursOf, say } from './terminal.ts'

export interface ServeCommandOptions {
  readonly port?: number
  readonly host?: string
  readonly tenant?: string
  readonly auth: 'none' | 'api_key'
}

export async function serve(place: string, options: ServeCommandOptions): Promise<ExitCode> {
  if (isServer({ source: place })) {
    throw new RuncastError('invalid_request', `${place} has a page of its own; open it, or give a topic or a file here`)
  }
  const { expose, auth } = withoutFile()
  const { host = expose.host, port = expose.port, tenant } = options
  const authenticate = options.auth === 'api_key' ? authOf(auth, process.env) : undefined
  using log = openRunLog({ folder: '.' })
  survive(log)
  const warn = (message: string) => log.logger.warn(message)
  const source = await openPlace(place, { tenant, patient: false, from: 'begun', warn })
  const served = await listening({ host, port }, () =>
    serveSource({ source, tenant, host, port, authenticate, web: true, logger: log.options, warn }),
  )
  const stopped = untilStopped(log, { waits: () => '' }) // before anybody hears that it is there
  say(banner(source, served.url))
  log.logger.info(`serving ${source.name} at ${served.url}`)
  const code = await stopped
  await served.stop()
  return code
}

function banner({ name, status }: Source, url: string): string {
  const { bold, cyan, dim } = coloursOf(process.stdout)
  return [
    `Runcast shows ${name} at ${bold(cyan(url))}`,
    '',
    `  open    ${url}/            the page: conversations and runs`,
    `          ${url}/docs        the API, for people`,
    ...(status ? [`          ${url}/health      how far the reading is`] : []),
    '',
    dim('Ctrl-C stops it. Nothing is written to what it reads.'),
  ].join('\n')
}
