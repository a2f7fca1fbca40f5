// `runcast export RUN`: the events of a run as a JSON array, as JSON lines or as CSV, to a file or to stdout. It streams: a
// run of any length takes the memory of a batch.
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'
import type { Writable } from 'node:stream'
import type { Event } from '../client/index.ts'
import { eventJson } from '../formats/json.ts'
import { csvHeader, csvRow } from '../inspect/csv.ts'
import { inWindow } from '../inspect/timeline.ts'
import { typesOf } from './event-types.ts'
import { readRun } from './read-run.ts'
import { openSource, type SourceOptions } from './source.ts'
import { counted, note } from './terminal.ts'

export interface ExportOptions extends SourceOptions {
  readonly format?: keyof typeof shapes
  readonly output?: string
  readonly from?: number
  readonly to?: number
  readonly types?: string
}

interface Shape {
  readonly head: string
  row(event: Event, index: number): string
  readonly foot: string
}

const shapes = {
  json: { head: '[', row: (event, index) => `${index === 0 ? '\n' : ',\n'}${eventJson(event)}`, foot: '\n]\n' },
  ndjson: { head: '', row: event => `${eventJson(event)}\n`, foot: '' },
  csv: { head: csvHeader(), row: csvRow, foot: '' },
} as const satisfies Record<string, Shape>

export async function exportRun(run: string, { format = 'ndjson', output, ...options }: ExportOptions): Promise<void> {
  const shape: Shape = shapes[format]
  const window = { from: options.from, to: options.to, types: typesOf(options.types) }
  await using runs = await openSource(options)
  const info = await runs.get(run)
  const file = output === undefined || output === '-' ? undefined : createWriteStream(output)
  const to: Writable = file ?? process.stdout
  let count = 0
  if (file) await once(file, 'open')
  await write(to, shape.head)
  await readRun(runs, info, window, events => {
    const rows = events.filter(event => inWindow(window, event)).map(event => shape.row(event, count++))
    return write(to, rows.join(''))
  })
  await write(to, shape.foot)
  if (!file) return
  file.end()
  await finished(file)
  note(`wrote ${counted(count, 'event')} to ${output}`)
}

async function write(to: Writable, text: string): Promise<void> {
  if (text !== '' && !to.write(text)) await once(to, 'drain')
}
