// `runcast validate`: every problem of a configuration at once, with line, value and fix. What is legal but not in this
// version yet is said too: `run` would refuse it.
import { checkConfig, type Config, loadConfig } from '../config/load.ts'
import { showProblem } from '../config/problem.ts'
import { unsupported } from '../config/unsupported.ts'
import { agentFiles } from '../load-agents.ts'
import { coloursOf, counted, note, say } from './terminal.ts'

export async function validate(path = '.'): Promise<void> {
  const config = await loadConfig({ path, env: process.env })
  agentFiles(config)
  const { green } = coloursOf(process.stdout)
  say(
    `${green('valid:')} ${config.file} (${counted(config.agents.length, 'agent')}, backend ${config.streaming.backend})`,
  )
  noteLater(config)
}

/** What `run` would refuse, though it is written as it should be. */
function noteLater(config: Config): void {
  const later = unsupported(config)
  if (later.length === 0) return
  const { yellow } = coloursOf(process.stderr)
  note(yellow(`\`runcast run\` will refuse ${later.length === 1 ? 'this' : 'these'}:`))
  for (const problem of later) note(`  ${showProblem(problem)}`)
}

/** The same of a Dockfile that was just written, wherever its variables will be set. */
export function noteLaterOf(text: string, file: string): void {
  const { config } = checkConfig(text, { file, format: 'yaml', env: process.env, missing: 'allowed' })
  if (config) noteLater(config)
}
