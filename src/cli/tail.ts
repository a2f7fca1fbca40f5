// `runcast tail`: follows a run live, through cuts and restarts, to its end, and ends as the run did; without a run, all of
// them. It must never take a cut for an end: it comes back for ever, unless --max-wait says for how long.
import type { RuncastError, Runs } from '../client/index.ts'
import { showDuration } from '../config/duration.ts'
import { timerMsMax } from '../deps.ts'
import { typesOf } from './event-types.ts'
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts'
import { createPrinter, type Printer } from './print-events.ts'
import { isServer, openSource, type SourceOptions } from './source.ts'
import { note } from './terminal.ts'

export interface TailOptions extends SourceOptions {
  readonly after?: number
  readonly types?: string
  readonly json?: boolean
  readonly maxWait?: number
  /** Every run, or those of a thread or an agent, in place of one. */
  readonly all?: boolean
  readonly thread?: string
  readonly agent?: string
}

export async function tail(run: string | undefined, options: TailOptions): Promise<ExitCode> {
  const wrong = misuse(run, options)
  if (wrong !== undefined) {
    note(`error: ${wrong}`)
    return exitCodes.usage
  }
  const { json } = options
  const types = typesOf(options.types)
  const printer = createPrinter({ json, run_id: run ?? '' })
  const over = new AbortController()
  let code: ExitCode | undefined
  const end = (as: ExitCode) => {
    code ??= as
    over.abort()
  }
  const interrupt = () => end(exitCodes.interrupted)
  process.once('SIGINT', interrupt)
  const patience = createPatience(options.maxWait, () => end(exitCodes.cutOff))
  const opening = openSource(options, {
    signal: over.signal,
    onAway: away => (away ? patience.start() : patience.stop()),
    onConnection: (_target, connection) => {
      tell(printer, connection.state === 'waiting' ? connection : undefined, patience.waiting)
      if (connection.state === 'open') patience.stop()
      else patience.start()
    },
  })
  await using runs = await opening.catch((error: unknown) => {
    if (code === undefined) throw error
    return undefined
  })
  if (runs === undefined) return gaveUp(options, code)
  // A file does not go away.
  if (isServer(options)) patience.start()
  try {
    if (run === undefined) {
      const onAnswer = (error?: RuncastError) => {
        tell(printer, error && { error }, patience.waiting)
        if (error) patience.start()
        else patience.stop()
      }
      const { tailAll } = await import('./tail-all.ts')
      await tailAll(runs, { thread: options.thread, agent: options.agent, types, json, signal: over.signal, onAnswer })
    } else await runs.follow(run, { after: options.after, types, signal: over.signal }, printer.take)
    printer.finish()
    if (code === undefined) return run === undefined ? exitCodes.ok : await endedAs(runs, run, printer)
    return gaveUp(options, code)
  } finally {
    patience.stop()
    process.off('SIGINT', interrupt)
  }
}

function gaveUp({ maxWait = 0 }: TailOptions, code: ExitCode = exitCodes.failed): ExitCode {
  if (code === exitCodes.cutOff) note(`gave up: the server was away for ${showDuration(maxWait)}`)
  return code
}

/** What is wrong with how it was called, if anything. */
function misuse(run: string | undefined, { after, all, thread, agent }: TailOptions): string | undefined {
  const many = all === true || thread !== undefined || agent !== undefined
  if (run === undefined && !many) return 'name a run, or say --all, --thread or --agent'
  if (run !== undefined && many) return '--all, --thread and --agent are for many runs: leave the run out'
  return run === undefined && after !== undefined ? '--after is a place in one run: name the run' : undefined
}

/** Says once that the connection is lost, and once that it is back. */
function tell(printer: Printer, lost: Lost | undefined, waiting: { told: boolean }): void {
  if (lost && !waiting.told) {
    waiting.told = true
    const from = lost.after === undefined ? '' : ` from ${lost.after}`
    printer.notice(`${lost.error.message}; trying again${from} until it is back`)
  } else if (!lost && waiting.told) {
    waiting.told = false
    printer.notice('connected again')
  }
}

interface Lost {
  readonly error: RuncastError
  readonly after?: number
}

/** Whoever was already at the end sees no event of it: the run itself says how it ended. */
async function endedAs(runs: Runs, run: string, { end }: Printer): Promise<ExitCode> {
  if (end) return exitCodeOf(end.type === 'complete' ? 'completed' : end.type === 'cancelled' ? 'cancelled' : 'failed')
  const { status } = await runs.get(run)
  note(`the run ended before: ${status}`)
  return exitCodeOf(status)
}

/** How long the server may be away; the time in which it is there does not count. */
function createPatience(maxMs: number | undefined, lost: () => void) {
  let timer: NodeJS.Timeout | undefined
  return {
    waiting: { told: false },
    start() {
      if (maxMs !== undefined) timer ??= setTimeout(lost, Math.min(maxMs, timerMsMax))
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}
