// A Redis of our own on a free port. Why: tests flush it, kill it and pause it, which nobody's Redis should suffer.
// It must never touch a Redis that somebody else started.
import { findProgram, freePort, type ServiceProcess, startService, temporaryDir } from './child.ts'

export interface Redis extends ServiceProcess {
  readonly url: string
}

export const install = 'sudo apt-get install redis-server'

/** Why a Redis cannot be started here, or nothing. */
export function missing(): string | undefined {
  return findProgram('redis-server') === undefined ? `redis-server is not installed: ${install}` : undefined
}

/** `durable`: every write is on the disk before it is acknowledged, so that a restart after SIGKILL keeps it. */
export async function startRedis({ durable = false }: { durable?: boolean } = {}): Promise<Redis> {
  const port = await freePort()
  const dir = temporaryDir('redis')
  const keep = durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']
  const service = await startService({
    name: 'redis',
    command: findProgram('redis-server') ?? 'redis-server',
    args: ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', dir, '--save', '', ...keep],
    dir,
    port,
    removeDir: true,
  })
  return Object.assign(service, { url: `redis://127.0.0.1:${port}` })
}
