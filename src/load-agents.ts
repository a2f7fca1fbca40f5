// The agents that a configuration names: `module:function`, beside its file. A handler is an agent, or a function that
// becomes one; an entrypoint builds it. It must name the file, the line and the export when something is not there.
import { statSync } from 'node:fs'
import { type ModuleHooks, registerHooks } from 'node:module'
import { dirname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Agent, type AgentFunction, defineAgent } from './agent/define.ts'
import type { AgentConfig, Config } from './config/config.ts'
import { invalidConfig, lineOf, pathText, type Problem } from './config/problem.ts'
import { RuncastError } from './error.ts'
import { ownModule } from './package.ts'

/** What a module may be called without its ending. */
const endings = ['', '.ts', '.js', '.mjs', '/index.ts', '/index.js']

export async function loadAgents(config: Config): Promise<Agent[]> {
  const agents: Agent[] = []
  for (const [agent, file] of agentFiles(config)) agents.push(await loadAgent(agent, file, config))
  return agents
}

/** The file of each agent, in their order; throws `invalid_request` that names all whose file is not there. */
export function agentFiles(config: Config): ReadonlyMap<AgentConfig, string> {
  const files = new Map<AgentConfig, string>()
  const missing: Problem[] = []
  for (const agent of config.agents) {
    const file = fileOf(agent.target.module, config)
    if (file === undefined) missing.push(missingFile(agent, config))
    else files.set(agent, file)
  }
  if (missing.length > 0) throw invalidConfig(missing)
  return files
}

function missingFile({ target: { module, function: called, path: at } }: AgentConfig, config: Config): Problem {
  const value = JSON.stringify(`${module}:${called}`)
  const path = resolve(dirname(config.file), module) + (/\.m?[jt]s$/.test(module) ? '' : '{.ts,.js,.mjs}')
  return {
    file: config.file,
    line: lineOf(config.lines, at),
    path: pathText(at),
    value,
    message: `${value} names a file that is not there: ${path}`,
    fix: 'create it or mend the path',
  }
}

/** `package.module` is how the seeds wrote it; a path is tried first. */
function fileOf(module: string, { file }: Config): string | undefined {
  const base = resolve(dirname(file), module)
  const dotted = resolve(dirname(file), module.replaceAll('.', '/'))
  return [base, dotted]
    .flatMap(path => endings.map(ending => path + ending))
    .find(path => statSync(path, { throwIfNoEntry: false })?.isFile())
}

async function loadAgent(agent: AgentConfig, file: string, config: Config): Promise<Agent> {
  const { name, target, framework, io } = agent
  const where = `${config.file}: agent ${name}: ${target.kind} ${target.module}:${target.function}`
  const module = await loadModule(file, `${where}: ${file}`)
  const found = module[target.function]
  if (found === undefined) {
    throw new RuncastError(
      'invalid_request',
      `${where}: ${file} exports no ${target.function}; it exports ${Object.keys(module).join(', ') || 'nothing'}`,
    )
  }
  const built = target.kind === 'entrypoint' && typeof found === 'function' ? await (found as () => unknown)() : found
  return { ...asAgent(built, where), name, ...(framework !== 'custom' && { framework }), ...io }
}

/** Set once for the process, with the first agent that is loaded. */
let bound: ModuleHooks | undefined

/**
 * What an agent imports of runcast is the package that runs it, also where none is installed: a second copy, beside the
 * agent or built of the sources, would have contexts of its own, and its getCurrentContext() would find none.
 */
function bindToThisPackage(): void {
  bound ??= registerHooks({
    resolve(specifier, context, next) {
      const url = ownModule(specifier)
      return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
    },
  })
}

/** What a file exports; when it does not load, the error says where. */
export async function loadModule(file: string, named: string): Promise<Record<string, unknown>> {
  bindToThisPackage()
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>
  } catch (cause) {
    const { message, stack = '' } = cause as Error
    // The first line of a syntax error in TypeScript, or the first place in a file of the user's own.
    const place = /(?:^|\()(?:file:\/\/)?(\/[^()\n]+:\d+)|at file:\/\/(\/[^()\n]+:\d+)/m.exec(stack)
    const at = place?.[1] ?? place?.[2]
    throw new RuncastError('invalid_request', `${named} does not load: ${message}${at ? ` (${at})` : ''}`, { cause })
  }
}

function asAgent(value: unknown, where: string): Agent {
  if (typeof value === 'function') return defineAgent(value as AgentFunction) as Agent
  if (typeof value === 'object' && value !== null && typeof (value as Agent).run === 'function') return value as Agent
  throw new RuncastError('invalid_request', `${where}: this is neither a function nor made by defineAgent`)
}
