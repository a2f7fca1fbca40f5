// `runcast flamegraph RUN`: where a run's time went, as one SVG file or as folded stacks for other programs.
import { writeFileSync } from 'node:fs'
import { type Frame, flameOf, folded } from '../inspect/flame.ts'
import { flameSvg } from '../inspect/flame-svg.ts'
import { createSpans } from '../inspect/spans.ts'
import { readRun } from './read-run.ts'
import { openSource, type SourceOptions } from './source.ts'
import { note, say } from './terminal.ts'

export interface FlamegraphOptions extends SourceOptions {
  readonly output?: string
  readonly folded?: boolean
  readonly json?: boolean
}

export async function flamegraph(run: string, options: FlamegraphOptions): Promise<void> {
  const { output, json } = options
  await using runs = await openSource(options)
  const info = await runs.get(run)
  const spans = createSpans()
  await readRun(runs, info, {}, events => events.forEach(spans.take))
  const flame = flameOf(spans.all()) as Frame
  const text = json
    ? JSON.stringify(plain(flame))
    : options.folded
      ? folded(flame).join('\n')
      : flameSvg(flame, `${flame.name}, run ${info.run_id}`).trimEnd()
  if (output === undefined || output === '-') return say(text)
  writeFileSync(output, `${text}\n`)
  note(`wrote ${output}`)
}

function plain({ children, ...frame }: Frame): object {
  return { ...frame, children: [...children.values()].map(plain) }
}
