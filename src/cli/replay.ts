// `runcast replay RUN`: a run as it was, at its own pace or another; or, with --at, what it amounted to at one event. It
// only looks: how the run ended is shown and does not become the exit code.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, Event, RunInfo, Runs, View } from '../client/index.ts'
import { RuncastError } from '../error.ts'
import { dueMs, speedOf } from '../inspect/timeline.ts'
import { textOf, usageOf } from '../state/fold.ts'
import { type ExitCode, exitCodes } from './exit-codes.ts'
import { createPrinter } from './print-events.ts'
import { readRun } from './read-run.ts'
import { openSource, type SourceOptions } from './source.ts'
import { coloursOf, harmless, oneLine, say } from './terminal.ts'

export interface ReplayOptions extends SourceOptions {
  readonly from?: number
  readonly to?: number
  readonly fromCheckpoint?: string
  readonly at?: number
  readonly speed: string
  readonly json?: boolean
}

export async function replay(run: string, options: ReplayOptions): Promise<ExitCode> {
  const { at, json, fromCheckpoint, to } = options
  const speed = speedOf(options.speed)
  await using runs = await openSource(options)
  const info = await runs.get(run)
  if (at !== undefined) {
    const view = await viewOf(runs, info, at)
    if (json) say(JSON.stringify(view))
    else showView(view)
    return exitCodes.ok
  }
  const from = fromCheckpoint === undefined ? options.from : await checkpointOf(runs, info, fromCheckpoint)
  const over = new AbortController()
  const interrupt = () => over.abort()
  process.once('SIGINT', interrupt)
  const printer = createPrinter({ json, run_id: info.run_id })
  let first: Event | undefined
  const began = performance.now()
  try {
    await readRun(runs, info, { from, to, signal: over.signal, quiet: true }, async events => {
      if (speed === Infinity) return printer.take(batchOf(events))
      for (const event of events) {
        first ??= event
        const waitMs = dueMs(first, event, speed) - (performance.now() - began)
        if (waitMs > 0) await sleep(waitMs, undefined, { signal: over.signal }).catch(() => {})
        if (over.signal.aborted) return
        await printer.take(batchOf([event]))
      }
    })
  } finally {
    process.off('SIGINT', interrupt)
    printer.finish()
  }
  return over.signal.aborted ? exitCodes.interrupted : exitCodes.ok
}

/** The view at an event that the run has. */
export async function viewOf(runs: Runs, { run_id, last_sequence }: RunInfo, at = last_sequence): Promise<View> {
  if (at <= last_sequence) return runs.snapshot(run_id, at)
  throw new RuncastError('invalid_request', `run ${run_id} has ${last_sequence} events so far, there is no event ${at}`)
}

/** The newest checkpoint of that name. */
async function checkpointOf(runs: Runs, info: RunInfo, name: string): Promise<number> {
  let found: number | undefined
  const names = new Set<string>()
  await readRun(runs, info, {}, events => {
    for (const event of events) {
      if (event.type !== 'checkpoint') continue
      if (event.name === name) found = event.sequence
      else if (names.size < namesShownMax) names.add(event.name)
    }
  })
  if (found !== undefined) return found
  const others = names.size === 0 ? 'it has none' : `it has ${[...names].join(', ')}`
  throw new RuncastError('not_found', `run ${info.run_id} has no checkpoint ${JSON.stringify(name)}; ${others}`)
}

/** As many as help to find the right one. */
const namesShownMax = 20

function batchOf(events: readonly Event[]): Batch {
  const [first] = events
  const last = events.at(-1)
  return { after: (first?.sequence ?? 1) - 1, last: last?.sequence ?? 0, events, state: 'open' }
}

function showView(view: View): void {
  const { bold, yellow } = coloursOf(process.stdout)
  const line = (name: string, value: string) => say(`${bold(`${name}:`.padEnd(16))}${harmless(value)}`)
  line('run', view.run_id)
  line('at', `${view.at}${view.updated_at === undefined ? '' : ` (${view.updated_at})`}`)
  line('status', view.status)
  for (const step of view.steps.filter(one => one.open)) line('open step', step.node_name)
  for (const part of view.parts)
    if (part.kind === 'tool' && part.open) line('open tool', `${part.tool_name} ${part.stage}`)
  for (const { step, progress } of view.progress) line('progress', `${Math.round(progress * 100)} % ${step}`)
  for (const { input_id, prompt } of view.questions) line('question', `${input_id}: ${oneLine(prompt ?? '')}`)
  for (const { name, sequence } of view.checkpoints) line('checkpoint', `${name} (event ${sequence})`)
  for (const [name, value] of Object.entries(usageOf(view))) line(name, String(value))
  if (view.state.version > 0) {
    if (!view.state.certain) say(yellow('the state is older than this event: a change before it is missing'))
    line('state', `version ${view.state.version}`)
    say(harmless(JSON.stringify(view.state.value, null, 2)))
  }
  const text = textOf(view)
  if (text === '') return
  say(bold('text:'))
  say(harmless(text))
}
