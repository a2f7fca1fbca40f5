// The command as a user has it: the real program in a process of its own, with its own folder. It must never outlive the
// tests that started it, nor see the variables of whoever runs them.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../bin/runcast.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess
  readonly stdout: string
  readonly stderr: string
  readonly ended: Promise<Ended>
  /** Waits until this stands in what it wrote. */
  saw(what: RegExp): Promise<RegExpExecArray>
}

export interface Folder extends Disposable {
  readonly path: string
  write(name: string, text: string): void
  /** Starts the command here. */
  start(args: readonly string[], env?: Record<string, string>): Running
  /** Runs it to its end. */
  run(args: readonly string[], env?: Record<string, string>): Promise<Ended>
  /** Starts a server here and waits until it listens. */
  serve(args?: readonly string[], env?: Record<string, string>): Promise<Running & { readonly url: string }>
}

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function folder(files: Record<string, string> = {}): Folder {
  const path = mkdtempSync(join(tmpdir(), 'runcast-cli-'))
  const write = (name: string, text: string) => writeFileSync(join(path, name), text)
  for (const [name, text] of Object.entries(files)) write(name, text)
  const start = (args: readonly string[], env: Record<string, string> = {}) => running(args, path, env)
  return {
    path,
    write,
    start,
    run: (args, env) => start(args, env).ended,
    async serve(args = [], env) {
      const server = start(['run', '--port', '0', ...args], env)
      const [url] = await server.saw(/http:\/\/127\.0\.0\.1:\d+(?=\n)/)
      await server.saw(/Ctrl-C stops it/)
      return Object.assign(server, { url })
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

function running(args: readonly string[], cwd: string, env: Record<string, string>): Running {
  const { PATH = '', XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { PATH, HOME: cwd, XDG_CACHE_HOME, ...env }, // what is compiled is compiled once, not in each folder
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', text => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', text => (stderr += text))
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    children.delete(child)
    return { code: code as number | null, signal: signal as NodeJS.Signals | null, stdout, stderr }
  })
  const saw = async (what: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = what.exec(stdout) ?? what.exec(stderr)
      if (found) return found
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`runcast ${args.join(' ')} ended (${child.exitCode}) before ${what}:\n${stdout}${stderr}`)
      }
      await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), ended])
    }
  }
  // Accessors must be read late: what is spread is frozen at its first value.
  const running: Running = {
    child,
    get stdout() {
      return stdout
    },
    get stderr() {
      return stderr
    },
    ended,
    saw,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
  return running
}
