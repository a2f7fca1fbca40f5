// Starts the load client of bench/load/client.ts and talks to it.
import { fork } from 'node:child_process'
import type { Load, Result } from './load/client.ts'
import { within } from './patience.ts'

export interface Loaded {
  /** Resolves when every reader has its first byte of a stream. Both reject when a reader gets an error, or is cut off. */
  readonly ready: Promise<void>
  /** Resolves when every reader's connection is closed. */
  readonly done: Promise<Result>
}

export function load(work: Load): Loaded {
  const child = fork(new URL('./load/client.ts', import.meta.url), [], { execArgv: [] })
  const ready = Promise.withResolvers<void>()
  const done = Promise.withResolvers<Result>()
  const fail = (reason: string) => {
    const error = new Error(`${work.path} of port ${work.port}: ${reason}`)
    ready.reject(error)
    done.reject(error)
  }
  child.on('message', (message: Result & { ready?: true; failed?: string }) => {
    if (message.failed !== undefined) fail(message.failed)
    ready.resolve()
    if (message.ready) return
    done.resolve(message)
    child.kill()
  })
  child.on('exit', code => fail(`the load client left with ${code}`))
  child.send(work)
  const loaded = {
    ready: within(`the first bytes of ${work.path}`, ready.promise),
    done: within(`the end of ${work.path}`, done.promise),
  }
  // Whoever waits for one is told; nobody waits while a contender is still being asked.
  for (const each of [loaded.ready, loaded.done]) each.catch(() => {})
  return loaded
}
