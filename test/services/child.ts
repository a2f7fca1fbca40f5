// A real server as a child process: started, awaited, killed, restarted, paused. Every test service stands on this.
// It must never outlive the process that started it, and never keep that process from ending by itself.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A cold JVM or an initdb needs seconds; it was seen to need a minute where ten processes shared two cores. */
const readyMsMax = 180_000
/** How long a polite SIGTERM may take before SIGKILL: Kafka writes its clean-shutdown marker in about one second. */
const stopMsMax = 5_000
/** The port is asked this often: short against the start of any server, long against the cost of a connect. */
const pollMs = 25
/** So much of the log stands in the message of a failed start: the last error is always within it. */
const logTailBytes = 4_096
/** Linux takes local ends from 32,768 on (ip_local_port_range); below 10,000 live the servers people know by number. */
const portMin = 10_000
const portMax = 32_768
const handedOut = new Set<number>()

export interface ServiceProcess extends AsyncDisposable {
  readonly dir: string
  readonly port: number
  readonly pid: number
  /** Sends the signal and waits until the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port and directory; kills it first when it still runs. */
  restart(signal?: NodeJS.Signals): Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void
  resume(): void
}

export interface ServiceCommand {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly dir: string
  readonly port: number
  readonly env?: Record<string, string>
  /** Drop to this user (only root can); setpriv keeps the process id ours, unlike su. */
  readonly user?: string
  /** Beyond the open port: throws while the server is not ready yet. */
  readonly ready?: () => Promise<void>
  /** Beyond the open port: this text stands in the log of this start. */
  readonly readyLine?: string
  /** Whether the directory goes with the service. */
  readonly removeDir?: boolean
}

export async function startService(options: ServiceCommand): Promise<ServiceProcess> {
  let child: ChildProcess
  const start = async () => {
    const logged = sizeOf(logFile(options))
    child = spawnService(options)
    await untilReady(options, child, logged)
  }
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (hasEnded(child)) return
    child.ref()
    const ended = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill(signal)
    const stopped = new AbortController()
    await Promise.race([ended, sleep(stopMsMax, undefined, { signal: stopped.signal })])
    stopped.abort()
    if (!hasEnded(child)) {
      child.kill('SIGKILL')
      await ended
    }
  }
  const removeDir = () => {
    if (options.removeDir) rmSync(options.dir, { recursive: true, force: true })
  }
  const atExit = () => {
    if (!hasEnded(child)) child.kill('SIGKILL')
    removeDir()
  }
  process.once('exit', atExit)
  const dispose = async () => {
    await kill('SIGTERM')
    process.off('exit', atExit)
    removeDir()
  }
  try {
    await start()
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    dir: options.dir,
    port: options.port,
    get pid() {
      return child.pid ?? 0
    },
    kill,
    async restart(signal) {
      await kill(signal)
      await start()
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    [Symbol.asyncDispose]: dispose,
  }
}

/**
 * A port nobody listens on now, never the same twice from one process. It lies below the range from which systems take
 * the local ends of outgoing connections: one of those would hold the port between this look and the server's start.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(portMin, portMax)
    if (handedOut.has(port)) continue
    const server = createServer().listen(port, '127.0.0.1')
    // `once` throws what an 'error' event brings.
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    handedOut.add(port)
    server.close()
    await once(server, 'close')
    return port
  }
}

export function temporaryDir(name: string): string {
  return mkdtempSync(join(tmpdir(), `runcast-${name}-`))
}

/** The full path of a program, looked for on PATH and then in `places`. */
export function findProgram(name: string, places: readonly string[] = []): string | undefined {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/bin', '/usr/bin', '/usr/sbin', ...places]
  return dirs.map(dir => join(dir, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function logFile({ dir, name }: ServiceCommand): string {
  return join(dir, `${name}.log`)
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

function spawnService(options: ServiceCommand): ChildProcess {
  const { command, args, dir, env, user } = options
  const log = openSync(logFile(options), 'a')
  const [file = command, ...words] = [...wrapper(user), command, ...args]
  // Output goes to a file: a pipe would hold our event loop open, and fill up once nobody reads it.
  const child = spawn(file, words, { cwd: dir, env: { ...process.env, ...env }, stdio: ['ignore', log, log] })
  closeSync(log)
  child.on('error', () => {})
  child.unref()
  return child
}

/** setpriv drops the user and asks the kernel to kill the service when we die, even by SIGKILL. Linux only. */
function wrapper(user: string | undefined): string[] {
  const setpriv = findProgram('setpriv')
  if (setpriv === undefined) return []
  const drop = user === undefined ? [] : ['--reuid', user, '--regid', user, '--init-groups']
  return [setpriv, '--pdeathsig', 'KILL', ...drop, '--']
}

async function untilReady(options: ServiceCommand, child: ChildProcess, logged: number): Promise<void> {
  const deadline = Date.now() + readyMsMax
  const log = () => readFileSync(logFile(options)).subarray(logged)
  let last: unknown
  while (Date.now() < deadline && !hasEnded(child)) {
    try {
      await answers(options.port)
      await options.ready?.()
      if (log().includes(options.readyLine ?? '')) return
    } catch (error) {
      last = error
    }
    await sleep(pollMs)
  }
  const what = hasEnded(child) ? `ended with ${child.exitCode ?? child.signalCode}` : `not ready in ${readyMsMax} ms`
  const end = log().subarray(-logTailBytes)
  throw new Error(`${options.name}: ${what} on port ${options.port}. The end of its log:\n${end.toString()}`, {
    cause: last,
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

async function answers(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}
