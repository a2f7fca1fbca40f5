// `runcast runs`: list, show, start and cancel the runs of a server. Results go to stdout, one a line or as JSON.
import type { RunInfo } from '../client/index.ts'
import type { ListFilter, StartOptions } from '../runs.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import { readInput } from './input.ts'
import { impatient, type RemoteOptions, remoteRuns } from './remote.ts'
import { tail } from './tail.ts'
import { coloursOf, harmless, note, oneLine, say } from './terminal.ts'

interface Json extends RemoteOptions {
  readonly json?: boolean
}

export async function list({ json, all, ...options }: Json & ListFilter & { all?: boolean }): Promise<void> {
  await using runs = remoteRuns(options, impatient)
  const { status, agent, thread, limit } = options
  let cursor = options.cursor
  let shown = 0
  do {
    const page = await runs.list({ status, agent, thread, limit, cursor })
    for (const run of page.runs)
      say(json ? JSON.stringify(run) : row(run, { columns: process.stdout.columns, now: Date.now() }))
    shown += page.runs.length
    cursor = page.next
  } while (all && cursor !== undefined)
  if (shown === 0) note('no runs')
  else if (cursor !== undefined) note(`there are more: --all, or --cursor ${cursor}`)
}

export async function show(run: string, { json, ...options }: Json): Promise<void> {
  await using runs = remoteRuns(options, impatient)
  const info = await runs.get(run)
  if (json) return say(JSON.stringify(info))
  const shown = Object.entries(info).filter(
    ([name, value]) => name !== 'metadata' || Object.keys(value as object).length > 0,
  )
  const width = Math.max(...shown.map(([name]) => name.length)) + ': '.length
  for (const [name, value] of shown) {
    const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
    say(`${`${name}:`.padEnd(width)}${harmless(text)}`)
  }
}

export interface StartRunOptions extends RemoteOptions {
  readonly input?: string
  readonly thread?: string
  readonly runId?: string
  readonly onBusy?: StartOptions['onBusy']
  readonly tail?: boolean
  readonly json?: boolean
}

export async function start(agent: string | undefined, options: StartRunOptions): Promise<ExitCode> {
  const input = options.input === undefined ? {} : readInput(options.input)
  await using runs = remoteRuns(options, impatient)
  const { thread, runId: run, onBusy } = options
  const info = await runs.start(agent, input, { thread, run, onBusy })
  if (options.tail) return tail(info.run_id, options)
  say(options.json ? JSON.stringify(info) : info.run_id)
  if (process.stdout.isTTY) note(`follow it: runcast tail ${info.run_id}`)
  return exitCodes.ok
}

export async function cancel(run: string, { json, reason, ...options }: Json & { reason?: string }): Promise<void> {
  await using runs = remoteRuns(options, impatient)
  const info = await runs.cancel(run, reason)
  say(json ? JSON.stringify(info) : `${run} ${info.status}`)
}

interface Screen {
  /** Of the terminal; undefined where none is, and a line is whole. */
  readonly columns: number | undefined
  /** ms since the epoch. */
  readonly now: number
}

/** On a terminal each run has one line: how long ago it was, and no more than fits; an id is never cut. */
export function row(run: RunInfo, { columns, now }: Screen): string {
  const { run_id, status, agent, created_at, last_sequence, thread_id } = run
  const { green, red, yellow, cyan, dim } = coloursOf(process.stdout)
  const paint = { completed: green, failed: red, cancelled: yellow, running: cyan, accepted: dim }[status]
  const thread = thread_id === undefined ? '' : ` thread ${oneLine(thread_id, 40)}`
  const when = columns === undefined ? created_at : ago(now - Date.parse(created_at)).padStart(3)
  const [id, state, name] = [run_id.padEnd(36), status.padEnd(9), agent.padEnd(16)]
  const rest = `${when} ${last_sequence} events${thread}`
  const room = (columns ?? Infinity) - `${id} ${state} ${name} `.length
  const shown = rest.length <= room ? rest : `${rest.slice(0, Math.max(0, room - 1))}…`
  return `${id} ${paint(state)} ${name} ${dim(shown)}`
}

/** In the largest unit of which one has passed. */
function ago(ms: number): string {
  const units = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 }
  const [unit, size] = Object.entries(units).find(([, size]) => ms >= size) ?? ['s', 1000]
  return `${Math.max(0, Math.floor(ms / size))}${unit}`
}
