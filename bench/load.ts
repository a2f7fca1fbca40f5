// Starts the load client of bench/load/client.ts and talks to it.
import { fork } from 'node:child_process'
import type { Load } from './load/client.ts'

export interface Loaded {
  /** Resolves when every reader has its first byte. */
  readonly ready: Promise<void>
  /** Resolves when every reader's connection is closed. */
  readonly done: Promise<{ bytes: number; seconds: number }>
}

export function load(work: Load): Loaded {
  const child = fork(new URL('./load/client.ts', import.meta.url), [], { execArgv: [] })
  const ready = Promise.withResolvers<void>()
  const done = Promise.withResolvers<{ bytes: number; seconds: number }>()
  child.on('message', (message: { ready?: true; bytes: number; seconds: number }) => {
    if (message.ready) return ready.resolve()
    ready.resolve()
    done.resolve(message)
    child.kill()
  })
  child.on('exit', code => {
    ready.resolve()
    done.reject(new Error(`the load client left with ${code}`))
  })
  child.send(work)
  return { ready: ready.promise, done: done.promise }
}
