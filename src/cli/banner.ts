// What `runcast run` says when it listens: where, whom, and three lines that work when pasted. Pure.
import type { Agent } from '../agent/define.ts'
import { jsonSchemaOf } from '../agent/schema.ts'
import type { Config } from '../config/load.ts'
import { showDuration } from '../config/duration.ts'
import { exampleOf } from './input.ts'
import { coloursOf } from './terminal.ts'

export interface Facts {
  readonly config: Config
  readonly agents: readonly Agent[]
  readonly url: string
}

export function banner(facts: Facts): string {
  const { config, agents, url } = facts
  const { bold, cyan, dim } = coloursOf(process.stdout)
  const kept =
    config.streaming.backend === 'memory'
      ? 'in memory, gone with this process'
      : `in ${config.sqlite.path}, for ${showDuration(config.retention.ageMs)}`
  return [
    `Runcast serves ${agents.length === 1 ? 'one agent' : `${agents.length} agents`} at ${bold(cyan(url))}`,
    '',
    `  agents  ${agents.map(({ name }, index) => (index === 0 && agents.length > 1 ? `${name} (default)` : name)).join(', ')}`,
    `  open    ${url}/       the page: chat and runs`,
    `          ${url}/docs   the API, for people`,
    `  runs    kept ${kept}`,
    '',
    'Try, in another terminal:',
    ...tries(facts).map(line => `  ${line}`),
    '',
    dim('Ctrl-C stops it.'),
  ].join('\n')
}

function tries({ config, agents, url }: Facts): string[] {
  const agent = agents[0] as Agent
  const { auth, streaming, expose } = config
  const { header, envVar, prefix } = auth.apiKeys
  // Of several keys the first is as good as any; that there is one was seen before anybody listened.
  const isSet = (name: string) => Boolean(process.env[name])
  const first = Object.keys(process.env).find(name => prefix !== undefined && name.startsWith(prefix) && isSet(name))
  const variable = isSet(envVar) ? envVar : (first ?? envVar)
  const key = auth.mode === 'api_key' ? ` -H "${header}: $${variable}"` : ''
  const body = `-H 'content-type: application/json' -d ${quoted(JSON.stringify(exampleOf(jsonSchemaOf(agent.input))))}`
  const post = (path: string, more = '') => `curl -sN${key} '${url}${path}?agent=${agent.name}' ${more}${body}`
  if (streaming.asyncRuns) {
    return [
      post('/runs', `-H 'accept: text/event-stream' `),
      `curl -s${key} '${url}/runs?limit=3'`,
      `curl -sN${key} '${url}/runs/RUN/events?after=2'   # RUN: an id of the list; after: what you have seen`,
    ]
  }
  return [
    ...(expose.streaming === 'none' ? [] : [post('/invoke/stream')]),
    ...(expose.rest ? [post('/invoke')] : []),
    `curl -s${key} '${url}/info'`,
  ]
}

/** For a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
