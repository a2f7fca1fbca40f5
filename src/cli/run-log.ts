// The lines that a server and its agents log: structured into `.runcast/run.log` and readable on stderr. What an agent says
// by console.* carries its run, so that `runcast logs --run` finds it. The file is bounded; a full disk must never stop runs.
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'node:util'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import { getCurrentContext } from '../agent/context.ts'
import { coloursOf, oneLine } from './terminal.ts'

/** One line of the file. */
export interface LogLine {
  readonly level: string
  readonly time: string
  readonly msg?: string
  readonly run_id?: string
  readonly agent?: string
  readonly err?: { readonly message?: string; readonly stack?: string }
}

export interface RunLog extends Disposable {
  readonly logger: Logger
  /** The same for Fastify, which makes its own. */
  readonly options: { level: 'warn'; stream: { write(line: string): void } } & typeof shape
  /** From now on console.* goes here too. */
  captureConsole(): void
}

/** Some 50,000 lines, in two files twice that: enough to look back over a day, small enough to open in an editor. */
const fileBytesMax = 8 * 1024 * 1024
/** A line longer than that is data, not a message. */
const messageCharsMax = 16_384

const shape = {
  base: null,
  timestamp: stdTimeFunctions.isoTime,
  formatters: { level: (level: string) => ({ level }) },
}

export function logFiles(folder: string): { current: string; previous: string } {
  const current = join(folder, '.runcast', 'run.log')
  return { current, previous: `${current}.1` }
}

export function openRunLog({ folder, bytesMax = fileBytesMax }: { folder: string; bytesMax?: number }): RunLog {
  const file = rotatingFile(folder, bytesMax)
  const show = lineShower(process.stderr)
  const stream = {
    write(line: string) {
      file.write(line)
      process.stderr.write(`${show(JSON.parse(line) as LogLine)}\n`)
    },
  }
  const logger = pino({ ...shape, level: 'debug' }, stream)
  return {
    logger,
    options: { ...shape, level: 'warn', stream },
    captureConsole: () => captureConsole(logger),
    [Symbol.dispose]: file.close,
  }
}

const levels = { debug: 'debug', trace: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error' } as const

function captureConsole(logger: Logger): void {
  for (const [method, level] of Object.entries(levels) as [
    keyof typeof levels,
    'debug' | 'info' | 'warn' | 'error',
  ][]) {
    console[method] = (...words: unknown[]) => {
      const context = getCurrentContext()
      const who = context ? { run_id: context.run_id, agent: context.agent } : {}
      logger[level](who, format(...words).slice(0, messageCharsMax))
    }
  }
}

/** A line of the file as people read it; times are local, the file has them in UTC. */
export function lineShower(stream: { readonly isTTY?: boolean }): (line: LogLine) => string {
  const { dim, red, yellow, cyan } = coloursOf(stream)
  const marks: Readonly<Record<string, string>> = { warn: yellow('warn '), error: red('error '), fatal: red('fatal ') }
  return ({ level, time, msg = '', agent, run_id, err }) => {
    const who = run_id === undefined ? '' : cyan(`${agent} ${run_id} `)
    const why = err?.message && err.message !== msg ? `: ${err.message}` : ''
    const line = `${dim(clockOf(time))} ${who}${marks[level] ?? ''}${oneLine(msg + why, messageCharsMax)}`
    return err?.stack === undefined ? line : `${line}${dim(framesOf(err.stack))}`
  }
}

/** The frames where somebody can do something: not Node's own. */
const framesMax = 5

function framesOf(stack: string): string {
  const frames = stack.split('\n').filter(line => /^\s+at /.test(line) && !line.includes('node:internal'))
  return frames
    .slice(0, framesMax)
    .map(line => `\n         ${oneLine(line.trim())}`)
    .join('')
}

function clockOf(time: string): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? time : date.toTimeString().slice(0, 8)
}

function rotatingFile(folder: string, bytesMax: number) {
  const { current, previous } = logFiles(folder)
  let fd: number | undefined
  let size = 0
  let told = false

  const open = () => {
    mkdirSync(join(folder, '.runcast'), { recursive: true })
    fd = openSync(current, 'a', 0o600) // lines of agents may be private
    size = fstatSync(fd).size
  }
  const close = () => {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
  /** Another server of this folder may have moved the file already: then only follow it. */
  const rotate = () => {
    const ours = fd !== undefined && existsSync(current) && statSync(current).ino === fstatSync(fd).ino
    close()
    if (ours) renameSync(current, previous)
    open()
  }
  return {
    write(line: string) {
      try {
        if (fd === undefined) open()
        if (size + line.length > bytesMax) rotate()
        // Synchronous: the last line before a crash is the one that is wanted.
        size += writeSync(fd as number, line)
      } catch (error) {
        if (!told) process.stderr.write(`${current} cannot be written: ${(error as Error).message}\n`)
        told = true
      }
    },
    close,
  }
}
