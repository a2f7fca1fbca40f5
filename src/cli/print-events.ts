// Events as people read them: the agent's words on stdout as they come, everything else as short lines on stderr; or, with
// json, the very events of the wire, a line each. Every kind of event is shown, and what is missing is said.
import type { Batch } from '../batch.ts'
import { type Event, type EventOf, isTerminal } from '../event.ts'
import { eventJson } from '../formats/json.ts'
import { coloursOf, harmless, oneLine } from './terminal.ts'

export interface PrinterOptions {
  readonly json?: boolean | undefined
  readonly run_id: string
  readonly out?: NodeJS.WriteStream
  readonly err?: NodeJS.WriteStream
}

export interface Printer {
  /** A promise while the terminal or pipe is full. */
  take(batch: Batch): void | Promise<void>
  /** Something about the reading itself. */
  notice(text: string): void
  /** The end of the run, once it was seen. */
  readonly end: Event | undefined
  /** Ends a line that is open. */
  finish(): void
}

export function createPrinter(options: PrinterOptions): Printer {
  const { json = false, run_id, out = process.stdout, err = process.stderr } = options
  const colours = coloursOf(err)
  /** Text stands on the last line of stdout. */
  let open = false
  let written = false
  let cancelTold = false
  let end: Event | undefined

  const text = (content: string) => {
    if (content === '') return
    out.write(out.isTTY ? harmless(content) : content)
    open = !content.endsWith('\n')
    written = true
  }
  const paragraph = (content: string) => {
    if (open) out.write('\n')
    text(`${content}\n`)
  }
  /** A line beside the text; on a terminal both are one screen, and the text's line is ended first. */
  const aside = (line: string) => {
    if (open && out.isTTY && err.isTTY) {
      out.write('\n')
      open = false
    }
    err.write(`${line}\n`)
  }
  const finish = () => {
    if (open) out.write('\n')
    open = false
  }

  const show = (event: Event) => {
    const said = describe(event)
    if (said !== undefined) aside(colours.dim(`  ${oneLine(said)}`))
    switch (event.type) {
      case 'token':
        if (event.channel !== 'reasoning') text(event.content)
        return
      case 'text':
        return paragraph(event.content)
      case 'item':
        if ('data' in event)
          return typeof event.data === 'string' ? text(event.data) : paragraph(JSON.stringify(event.data))
        return
      case 'warning':
        return aside(colours.yellow(`  warning: ${oneLine(event.message)}`))
      case 'input':
        if (event.kind !== 'answer')
          aside(colours.yellow(`  ${event.kind} ${event.input_id}: ${oneLine(event.prompt ?? '')}`))
        return
      case 'complete':
        // An agent that only returns has said nothing yet.
        if (!written) paragraph(typeof event.output === 'string' ? event.output : JSON.stringify(event.output, null, 2))
        finish()
        return aside(colours.green(`  complete in ${event.latency_seconds} s`))
      case 'error':
        finish()
        return aside(colours.red(`  failed: ${oneLine(event.error)} (${event.code})`))
      case 'cancelled':
        finish()
        return aside(colours.yellow(`  cancelled${event.reason ? `: ${oneLine(event.reason)}` : ''}`))
    }
  }

  const notice = (said: string) => aside(colours.yellow(`  ${oneLine(said)}`))

  const take = ({ events, gap, state, after }: Batch): void | Promise<void> => {
    if (gap && json) out.write(`${JSON.stringify({ type: 'gap', run_id, ...lostOf(gap) })}\n`)
    else if (gap) notice(`${gapText(gap)}; going on after ${after}`)
    if (state === 'cancelling' && !cancelTold) {
      cancelTold = true
      if (json) out.write(`${JSON.stringify({ type: 'cancel_requested', run_id })}\n`)
      else notice('cancel requested')
    }
    for (const event of events) {
      if (isTerminal(event.type)) end = event
      if (json) out.write(`${eventJson(event)}\n`)
      else show(event)
    }
    if (out.writableNeedDrain) return new Promise(resolve => out.once('drain', resolve))
  }

  return {
    take,
    notice: said => (json ? void err.write(`${oneLine(said)}\n`) : notice(said)),
    finish,
    get end() {
      return end
    },
  }
}

/** What stands beside the text for an event; undefined where the text says it, or a line of its own colour does. */
export function describe(event: Event): string | undefined {
  switch (event.type) {
    case 'token':
      return undefined
    case 'text':
    case 'warning':
    case 'complete':
    case 'error':
    case 'cancelled':
      return undefined
    case 'started':
      return `${event.agent_name} started (run ${event.run_id})`
    case 'step':
      return `step ${event.node_name} ${event.phase}${tookText(event.duration_ms)}`
    case 'progress':
      return `${String(Math.round(event.progress * 100)).padStart(3)} % ${event.step} ${event.message ?? ''}`
    case 'checkpoint':
      return `checkpoint ${event.name}`
    case 'state':
      return `state ${event.version}${event.ops ? ` (${event.ops.length} changed)` : ''}`
    case 'tool':
      return toolText(event)
    case 'metrics':
      return `metrics ${event.scope} ${Object.entries(event.metrics)
        .map(([name, { value, unit }]) => `${name}=${value}${unit ? ` ${unit}` : ''}`)
        .join(', ')}`
    case 'chart':
      return `chart ${event.chart_type} ${event.title ?? event.chart_id}${event.data_points === undefined ? '' : ` (${event.data_points} points)`}`
    case 'item':
      return 'bytes' in event ? `item of ${event.media_type}, ${event.bytes.length} characters of base64` : undefined
    case 'input':
      return event.kind === 'answer' ? `answer to ${event.input_id}: ${JSON.stringify(event.value)}` : undefined
    case 'custom':
      return `${event.name} ${JSON.stringify(event.data) ?? ''}`
    default:
      return event satisfies never
  }
}

function toolText({ tool_name, stage, duration_ms, error, arguments: given, result }: EventOf<'tool'>): string {
  const what = error ?? (stage === 'requested' ? given : stage === 'completed' ? result : undefined)
  const shown = what === undefined ? '' : ` ${typeof what === 'string' ? what : JSON.stringify(what)}`
  return `tool ${tool_name} ${stage}${tookText(duration_ms)}${shown}`
}

function tookText(ms: number | undefined): string {
  return ms === undefined ? '' : ` in ${ms} ms`
}

type Lost = NonNullable<Batch['gap']>

function lostOf({ requested, oldest, dropped }: Lost): object {
  return { requested, oldest, ...(dropped !== undefined && { dropped }) }
}

function gapText({ requested, oldest, dropped = 0 }: Lost): string {
  const forgotten = oldest > requested ? `events ${requested} to ${oldest - 1} are forgotten` : ''
  const lost = dropped > 0 ? `${dropped} events were dropped` : ''
  return [forgotten, lost].filter(Boolean).join(' and ')
}
