// A PostgreSQL cluster of our own on a free port, from the machine's binaries. Why: the tests need the real one,
// and everybody gets the same one by `npm test`. It must never touch a cluster that somebody else started.
import { execFileSync } from 'node:child_process'
import { chownSync, globSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { findProgram, freePort, type ServiceProcess, startService, temporaryDir } from './child.ts'

export interface Postgres extends ServiceProcess {
  /** The superuser's database. */
  readonly url: string
  /** A new empty database, so that tests sharing the cluster do not meet. */
  database(): Promise<string>
}

export const install = 'sudo apt-get install postgresql'

/** Why a cluster cannot be started here, or nothing. */
export function missing(): string | undefined {
  return program('postgres') === undefined ? `PostgreSQL is not installed: ${install}` : undefined
}

export async function startPostgres(): Promise<Postgres> {
  const port = await freePort()
  const dir = temporaryDir('postgres')
  const user = ownUser(dir)
  const data = join(dir, 'data')
  const locale = ['--locale=C.UTF-8', '--encoding=UTF8']
  const [file = '', ...args] = [...user.prefix, program('initdb') ?? 'initdb', '-D', data, '-U', 'postgres', ...locale]
  execFileSync(file, [...args, '--auth=trust', '--no-sync'], { stdio: ['ignore', 'ignore', 'pipe'], cwd: dir })
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const service = await startService({
    name: 'postgres',
    command: program('postgres') ?? 'postgres',
    // -F: no fsync. A test's kill -9 ends a process, not the machine, so nothing acknowledged is lost by it.
    args: ['-D', data, '-p', `${port}`, '-h', '127.0.0.1', '-k', dir, '-F', '-c', 'max_connections=200'],
    dir,
    port,
    ...(user.name === undefined ? {} : { user: user.name }),
    ready: () => query(url, 'select 1'),
    removeDir: true,
  })
  return Object.assign(service, { url, database: () => createDatabase(url) })
}

/** `RUNCAST_TEST_POSTGRES` names a server to use instead of an own one; it cannot be killed or paused by us. */
export async function createDatabase(url: string): Promise<string> {
  const name = `runcast_${crypto.randomUUID().replaceAll('-', '')}`
  await query(url, `create database ${name}`)
  return Object.assign(new URL(url), { pathname: `/${name}` }).href
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  // A connection that the server cuts later must not become an uncaught error.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** initdb refuses root: then the cluster belongs to the user `postgres` that the Debian package made. */
function ownUser(dir: string): { name?: string; prefix: string[] } {
  if (process.getuid?.() !== 0) return { prefix: [] }
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  chownSync(dir, id('-u'), id('-g'))
  return { name: 'postgres', prefix: ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--init-groups', '--'] }
}

/** Debian keeps the server's programs off the PATH, one folder per version: the newest is taken. */
function program(name: string): string | undefined {
  const versions = globSync('/usr/lib/postgresql/*/bin').sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  return findProgram(name, versions)
}
