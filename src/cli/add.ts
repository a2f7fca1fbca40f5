// `runcast add streaming`: sets the streaming section of the Dockfile that is here. Comments and other keys stay, and
// nothing is written that would not validate.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type Backend, dockfileNames } from '../config/load.ts'
import { addStreaming } from '../config/write.ts'
import { RuncastError } from '../error.ts'
import { say } from './terminal.ts'
import { noteLaterOf } from './validate.ts'

export interface AddStreamingOptions {
  readonly events?: string
  readonly asyncRuns?: boolean
  readonly backend?: Backend
  readonly dockfile?: string
}

export async function streaming({ dockfile, ...options }: AddStreamingOptions): Promise<void> {
  const file = dockfile ?? dockfileNames.find(name => existsSync(name))
  if (file === undefined || !existsSync(file)) {
    throw new RuncastError(
      'not_found',
      `there is no ${file ?? dockfileNames[0]} here; write one with runcast init NAME`,
    )
  }
  const before = readFileSync(file, 'utf8')
  const after = addStreaming(before, options)
  if (after !== before) writeFileSync(file, after)
  say(after === before ? `${file} says so already` : `set streaming in ${file}`)
  noteLaterOf(after, file)
}
