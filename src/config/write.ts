// Writing Dockfiles: a new one (`runcast init`), and the streaming section of one that exists (`runcast add streaming`).
// Edits go through the YAML document, so that comments and other keys stay as they are.
// Nothing is returned that `parseConfig` would refuse.

import { isMap, parseDocument } from 'yaml'
import { RuncastError } from '../error.ts'
import { parseAllowed, presets } from './allowed.ts'
import type { Backend } from './config.ts'
import { checkConfig } from './load.ts'
import { invalidConfig } from './problem.ts'

export interface StreamingOptions {
  /** A preset, or event types as a list or as one text: "token,step,custom:fraud". */
  readonly events?: string | readonly string[]
  readonly asyncRuns?: boolean
  readonly backend?: Backend
}

export interface InitOptions extends StreamingOptions {
  readonly name: string
  readonly streaming?: 'sse' | 'websocket' | 'none'
  /** `module:function`; the module is relative to the Dockfile. */
  readonly handler?: string
}

/** The text of a new Dockfile, valid; a bad name or event throws `invalid_request`. */
export function initDockfile({ name, streaming = 'sse', handler = './agent.ts:run', ...options }: InitOptions): string {
  const edits: Edit[] = [
    [['agent', 'name'], name],
    [['agent', 'handler'], handler],
    [['expose', 'streaming'], streaming],
    ...streamingEdits(options),
  ]
  return edit(template, edits, 'refused')
}

/** The Dockfile with its streaming section set; everything else stays. Options that are not given change nothing. */
export function addStreaming(text: string, options: StreamingOptions): string {
  const document = parseDocument(text)
  if (document.errors.length > 0 || !isMap(document.contents)) {
    throw invalidConfig(checkConfig(text, { file, format: 'yaml', env: {} }).problems)
  }
  const off = document.getIn(['expose', 'streaming']) === 'none'
  return edit(
    text,
    [...(off ? [[['expose', 'streaming'], 'sse'] as const] : []), ...streamingEdits(options)],
    'allowed',
  )
}

// As it stands in messages: these texts are a Dockfile, wherever it will be written.
const file = 'Dockfile.yaml'

const template = `# How this agent is served. Check it with \`runcast validate\`, run it with \`runcast run\`.
version: "1.0"

agent:
  name: agent
  # The function that is the agent, as module:function, relative to this file.
  handler: ./agent.ts:run

# What the server offers, and where. It listens on this machine only unless host says otherwise.
expose:
  rest: true
  streaming: sse
  port: 8080
`

type Edit = readonly [path: readonly string[], value: unknown]

function streamingEdits({ events, asyncRuns, backend }: StreamingOptions): Edit[] {
  const edits: Edit[] = []
  if (asyncRuns !== undefined) edits.push([['streaming', 'async_runs'], asyncRuns])
  if (backend !== undefined) edits.push([['streaming', 'backend'], backend])
  if (events !== undefined) edits.push([['streaming', 'events', 'allowed'], allowedValue(events)])
  return edits
}

/** What stands in the file: the preset's name or the list; an unknown name is refused before anything is written. */
function allowedValue(events: string | readonly string[]): string | readonly string[] {
  const isPreset = typeof events === 'string' && Object.hasOwn(presets, events.trim())
  const value =
    typeof events !== 'string' ? events : isPreset ? events.trim() : events.split(',').map(entry => entry.trim())
  parseAllowed(value)
  return value
}

/** `missing`: whether the file may name variables that are not set here; one that is only being edited may. */
function edit(text: string, edits: readonly Edit[], missing: 'refused' | 'allowed'): string {
  const document = parseDocument(text)
  for (const [path, value] of edits) {
    const [top = ''] = path
    if (!document.has(top)) {
      const pair = document.createPair(top, {})
      pair.key.spaceBefore = true
      document.add(pair)
    }
    // A section that is there but empty (`streaming:`) is null, which nothing can be set in.
    for (let depth = 1; depth < path.length; depth += 1) {
      const section = path.slice(0, depth)
      if (document.getIn(section) === null) document.setIn(section, document.createNode({}))
    }
    try {
      document.setIn(path, document.createNode(value))
    } catch (thrown) {
      // A text or an alias stands where the section belongs.
      const fix = 'write that section out as a map'
      throw new RuncastError('invalid_request', `${path.join('.')} cannot be set in this file; ${fix}`, {
        cause: thrown,
      })
    }
  }
  // No folding: long texts of others must come out as they went in.
  const plain = document.toString({ lineWidth: 0 })
  const written = text.includes('\r\n') ? plain.replaceAll('\n', '\r\n') : plain
  const { problems } = checkConfig(written, { file, format: 'yaml', env: {}, missing })
  if (problems.length > 0) throw invalidConfig(problems)
  return written
}
