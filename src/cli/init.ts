// `runcast init`: a Dockfile and, where there is none, an agent that works. It must never touch a file that is there,
// unless told to; and an agent file not even then, for it is somebody's work.
import { existsSync, writeFileSync } from 'node:fs'
import { type Backend, dockfileNames, tomlNames } from '../config/load.ts'
import { initDockfile } from '../config/write.ts'
import { RuncastError } from '../error.ts'
import { note, say } from './terminal.ts'
import { noteLaterOf } from './validate.ts'

export interface InitOptions {
  readonly streaming?: 'sse' | 'websocket' | 'none'
  readonly streamingEvents?: string
  readonly asyncRuns?: boolean
  readonly streamingBackend?: Backend
  readonly force?: boolean
}

const agentFile = 'agent.ts'

export async function init(name: string, options: InitOptions): Promise<void> {
  const { streaming, streamingEvents: events, asyncRuns, streamingBackend: backend, force = false } = options
  const text = initDockfile({
    name,
    handler: `./${agentFile}:run`,
    ...(streaming !== undefined && { streaming }),
    ...(events !== undefined && { events }),
    ...(asyncRuns !== undefined && { asyncRuns }),
    ...(backend !== undefined && { backend }),
  })
  const toml = tomlNames.find(file => existsSync(file))
  if (toml) throw new RuncastError('conflict', `${toml} configures this folder already; move it away first`)
  const there = dockfileNames.find(file => existsSync(file))
  if (there && !force) throw new RuncastError('conflict', `${there} is there already; --force overwrites it`)
  const file = there ?? dockfileNames[0]
  writeFileSync(file, text)
  say(`wrote ${file}`)
  if (existsSync(agentFile)) say(`kept ${agentFile}, which was there`)
  else {
    writeFileSync(agentFile, agentText, { flag: 'wx' })
    say(`wrote ${agentFile}`)
  }
  noteLaterOf(text, file)
  note()
  note('Next:')
  note('  runcast test       runs the agent once, here')
  note('  runcast run        serves it')
}

const agentText = `// An agent: what it yields, everyone who reads its run sees at once; what it returns is its output.
type Input = { name?: string }
type Context = { progress(step: string, done: number, message?: string): unknown }

export async function* run({ name = 'world' }: Input, context: Context) {
  context.progress('greet', 0.5, 'Thinking of something nice')
  for (const word of ['Hello', ', ', name, '!']) yield word
  return { greeted: name }
}
`
