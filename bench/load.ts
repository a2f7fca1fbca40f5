// Starts the load client of bench/load/client.ts and talks to it.
import { fork } from 'node:child_process'
import type { Load, Result } from './load/client.ts'

export interface Loaded {
  /** Resolves when every reader has its first byte. */
  readonly ready: Promise<void>
  /** Resolves when every reader's connection is closed. */
  readonly done: Promise<Result>
}

export function load(work: Load): Loaded {
  const child = fork(new URL('./load/client.ts', import.meta.url), [], { execArgv: [] })
  const ready = Promise.withResolvers<void>()
  const done = Promise.withResolvers<Result>()
  child.on('message', (message: Result & { ready?: true }) => {
    ready.resolve()
    if (message.ready) return
    done.resolve(message)
    child.kill()
  })
  child.on('exit', code => {
    ready.resolve()
    done.reject(new Error(`the load client left with ${code}`))
  })
  done.promise.catch(() => {}) // whoever waits for it is told; nobody waits while a contender is still being asked
  child.send(work)
  return { ready: ready.promise, done: done.promise }
}
