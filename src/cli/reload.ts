// `runcast run --reload`: a parent that keeps one server child. When a file changes it first loads the new version in a
// second child, and only when that works it drains the old one and lets the new one listen. A broken save never takes
// the server down.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { dirname, relative, resolve } from 'node:path'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import { projectFolder } from './project.ts'
import { reloadedEnv, type RunOptions } from './run.ts'
import { note } from './terminal.ts'
import { watchFolders } from './watch-folders.ts'

type Told =
  | { readonly type: 'loaded'; readonly folders: readonly string[] }
  | { readonly type: 'listening'; readonly url: string }

interface Child {
  readonly process: ChildProcess
  readonly ended: Promise<unknown>
  /** What it says next, or undefined when it ends before. */
  next(): Promise<Told | undefined>
}

export async function reload(files: readonly string[], { dockfile }: RunOptions): Promise<ExitCode> {
  const children = new Set<Child>()
  let live: Child | undefined
  let port: string | undefined
  let stopping = false
  let busy = false
  let again = false

  const launch = (): Child => {
    const more = {
      [reloadedEnv]: port === undefined ? 'first' : 'again',
      ...(port !== undefined && { [`${reloadedEnv}_PORT`]: port }),
    }
    const child = childOf(fork(process.argv[1] as string, process.argv.slice(2), { env: { ...process.env, ...more } }))
    children.add(child)
    void child.ended.then(() => children.delete(child))
    return child
  }

  /** Replaces the live server by one of what the files say now. */
  const replace = async () => {
    const next = launch()
    const loaded = await next.next()
    if (loaded?.type !== 'loaded' || stopping) {
      if (!stopping) note(live ? 'the version before goes on' : 'waiting for a change')
      return
    }
    watcher.add(loaded.folders)
    if (live) await ended(live)
    live = next
    next.process.send('listen', () => {}) // one that has ended meanwhile says so itself: nobody must throw
    const told = await next.next()
    if (told?.type === 'listening') port = new URL(told.url).port
    else live = undefined
    if (!live && !stopping) note('waiting for a change')
  }

  const refresh = async () => {
    again = true
    if (busy) return
    busy = true
    while (again && !stopping) {
      again = false
      await replace()
    }
    busy = false
  }

  const ended = async (child: Child) => {
    child.process.kill('SIGTERM')
    await child.ended
  }

  using watcher = watchFolders([projectFolder(dockfile), ...files.map(file => dirname(resolve(file)))], path => {
    note(`${relative('.', path)} changed`)
    void refresh()
  })
  void refresh()

  return await new Promise<ExitCode>(done => {
    const stop = async (code: ExitCode) => {
      if (stopping) {
        for (const child of children) child.process.kill('SIGKILL')
        return
      }
      stopping = true
      await Promise.all([...children].map(ended))
      done(code)
    }
    process.on('SIGINT', () => void stop(exitCodes.interrupted))
    process.on('SIGTERM', () => void stop(exitCodes.ok))
  })
}

function childOf(child: ChildProcess): Child {
  const ended = once(child, 'exit')
  const said: Told[] = []
  let wake = () => {}
  child.on('message', told => {
    said.push(told as Told)
    wake()
  })
  const next = async () => {
    if (said.length === 0) await Promise.race([ended, new Promise<void>(resolve => (wake = resolve))])
    return said.shift()
  }
  return { process: child, ended, next }
}
