// `runcast diff`: what changed in a run between two of its events, or between two runs. Red is what went, green what came.
import { RuncastError } from '../error.ts'
import { type StateChange, viewDiff, type ViewDiff } from '../inspect/view-diff.ts'
import { viewOf } from './replay.ts'
import { openSource, type SourceOptions } from './source.ts'
import { type Colours, coloursOf, harmless, oneLine, say } from './terminal.ts'

export interface DiffOptions extends SourceOptions {
  readonly from?: number
  readonly to?: number
  readonly json?: boolean
}

export async function diff(run: string, other: string | undefined, options: DiffOptions): Promise<void> {
  const { from, to, json } = options
  if (other === undefined && from === undefined && to === undefined) {
    throw new RuncastError('invalid_request', 'say what to compare: --from A --to B, or the id of a second run')
  }
  await using runs = await openSource(options)
  const one = await runs.get(run)
  const two = other === undefined ? one : await runs.get(other)
  const before = await viewOf(runs, one, other === undefined ? (from ?? 0) : from)
  const after = await viewOf(runs, two, to)
  const change = viewDiff(before, after)
  const [a, b] = [before, after].map(({ at }, index) => ({ run_id: (index === 0 ? one : two).run_id, at }))
  if (json) return say(JSON.stringify({ before: a, after: b, ...change }))
  const colours = coloursOf(process.stdout)
  say(colours.bold(`${a?.run_id} at ${a?.at} → ${b?.run_id} at ${b?.at}`))
  if (Object.keys(change).length === 0) return say('nothing changed')
  for (const line of linesOf(change, colours)) say(line)
}

function linesOf(change: ViewDiff, { red, green, bold }: Colours): string[] {
  const gone = (text: string) => red(`- ${text}`)
  const came = (text: string) => green(`+ ${text}`)
  const pair = (name: string, before: unknown, after: unknown) =>
    `${name}: ${red(String(before))} → ${green(String(after))}`
  const { status, state, text, steps = [], tools = [], warnings, checkpoints, usage = {} } = change
  const lines: string[] = []
  if (status) lines.push(pair('status', status.before, status.after))
  if (state) {
    lines.push(bold(`state: version ${state.version.before} → ${state.version.after}`))
    for (const op of state.ops) lines.push(...operationLines(op, gone, came))
  }
  if (text) {
    lines.push(bold(`text: after ${text.kept} characters`))
    for (const line of split(text.removed)) lines.push(gone(line))
    for (const line of split(text.added)) lines.push(came(line))
  }
  for (const { name, before, after } of steps) lines.push(pair(`step ${oneLine(name)}`, before, after))
  for (const { name, before, after } of tools) lines.push(pair(`tool ${oneLine(name)}`, before, after))
  if (warnings) lines.push(pair('warnings', warnings.before, warnings.after))
  if (checkpoints)
    lines.push(pair('checkpoints', checkpoints.before.join(', ') || 'none', checkpoints.after.join(', ') || 'none'))
  for (const [name, { before, after }] of Object.entries(usage))
    lines.push(pair(name, before ?? 'unknown', after ?? 'unknown'))
  return lines
}

type Painted = (text: string) => string

function operationLines(op: StateChange, gone: Painted, came: Painted): string[] {
  const path = op.path === '' ? '(the whole)' : oneLine(op.path)
  const lines = op.before === undefined ? [] : [gone(`${path} ${valueText(op.before)}`)]
  if (op.op === 'add' || op.op === 'replace') lines.push(came(`${path} ${valueText(op.value)}`))
  return lines
}

function valueText(value: unknown): string {
  return oneLine(JSON.stringify(value))
}

function split(text: string): string[] {
  return text === '' ? [] : harmless(text).split('\n')
}
