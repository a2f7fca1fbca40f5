// `runcast logs`: what a server of this folder and its agents logged, of one run or of all, and with -f what they log
// from now on. It reads the file that `runcast run` writes; the server need not run.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { StringDecoder } from 'node:string_decoder'
import { RuncastError } from '../error.ts'
import { projectFolder } from './project.ts'
import { lineShower, type LogLine, logFiles } from './run-log.ts'
import { harmless, note, say } from './terminal.ts'

export interface LogsOptions {
  readonly dockfile?: string
  readonly follow?: boolean
  readonly run?: string
  readonly lines: number
  readonly json?: boolean
}

/** A person does not notice it, and one look costs microseconds. */
const pollMs = 150
const readBytes = 65_536

export async function logs(options: LogsOptions): Promise<void> {
  const { current, previous } = logFiles(projectFolder(options.dockfile))
  const file = createReader(current)
  const wanted = (line: string) => line !== '' && (options.run === undefined || parsed(line)?.run_id === options.run)
  if (!file.exists && !options.follow) {
    throw new RuncastError('not_found', `${current} is not there; \`runcast run\` writes it when something is logged`)
  }
  const print = printerOf(options)
  const old = [...createReader(previous).news(), ...file.news()].filter(wanted)
  for (const line of options.lines === 0 ? [] : old.slice(-options.lines)) print(line)
  if (old.length === 0 && options.run !== undefined) note(`nothing is logged of run ${JSON.stringify(options.run)}`)
  while (options.follow) {
    await sleep(pollMs)
    for (const line of file.news()) if (wanted(line)) print(line)
  }
}

function printerOf({ json }: LogsOptions): (line: string) => void {
  const show = lineShower(process.stdout)
  return line => {
    const log = json ? undefined : parsed(line)
    say(log ? show(log) : json ? line : harmless(line))
  }
}

function parsed(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined // cut off by a crash
  }
}

/** The complete lines that were added since it was last asked, also when the file was rotated meanwhile. */
function createReader(path: string) {
  let fd: number | undefined
  let rest = ''
  let decoder = new StringDecoder('utf8')
  const buffer = Buffer.allocUnsafe(readBytes)

  const open = () => {
    try {
      fd = openSync(path, 'r')
      rest = ''
      decoder = new StringDecoder('utf8')
    } catch {
      fd = undefined // nothing logged yet
    }
  }
  function* linesLeft(): Generator<string> {
    if (fd === undefined) return
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      const lines = (rest + decoder.write(buffer.subarray(0, read))).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  }
  open()
  return {
    exists: fd !== undefined,
    *news(): Generator<string> {
      if (fd === undefined) open()
      yield* linesLeft()
      const now = statSync(path, { throwIfNoEntry: false })
      if (fd === undefined || now === undefined || now.ino === fstatSync(fd).ino) return
      yield* linesLeft()
      closeSync(fd)
      open()
      yield* linesLeft()
    },
  }
}
