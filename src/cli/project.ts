// What a folder has to serve: its configuration and its agents, loaded and checked, or one error that says what is wrong.
// It must never start with a key that this version would ignore.
import { existsSync, statSync } from 'node:fs'
import { basename, dirname, extname, resolve } from 'node:path'
import { type Agent, type AgentFunction, checkAgents, defineAgent } from '../agent/define.ts'
import { type Config, loadConfig, parseConfig } from '../config/load.ts'
import { invalidConfig } from '../config/problem.ts'
import { unsupported } from '../config/unsupported.ts'
import { initDockfile } from '../config/write.ts'
import { RuncastError } from '../error.ts'
import { loadAgents, loadModule } from '../load-agents.ts'
import { counted } from './terminal.ts'

export interface ProjectOptions {
  /** A Dockfile or TOML, or the folder that has one. Default: this folder. */
  readonly dockfile?: string | undefined
  /** Agent files; without `dockfile` they are all there is. */
  readonly files?: readonly string[] | undefined
}

export interface Project {
  readonly config: Config
  readonly agents: readonly Agent[]
}

export async function loadProject(options: ProjectOptions): Promise<Project> {
  const config = await loadSettings(options)
  return { config, agents: await loadAllAgents(config, options.files ?? []) }
}

/** The configuration, refused where it asks for what is not there yet. What `.env` sets is set for the agents too. */
export async function loadSettings({ dockfile, files = [] }: ProjectOptions): Promise<Config> {
  const config =
    files.length > 0 && dockfile === undefined
      ? withoutFile()
      : await loadConfig({ path: dockfile ?? '.', env: process.env })
  const refused = unsupported(config)
  if (refused.length > 0) throw invalidConfig(refused)
  Object.assign(process.env, config.env)
  return config
}

export async function loadAllAgents(config: Config, files: readonly string[]): Promise<Agent[]> {
  const agents = files.length > 0 && config.file === noFile ? [] : await loadAgents(config)
  for (const file of files) agents.push(...(await agentsIn(file)))
  checkAgents(agents)
  if (agents.length === 0) {
    throw new RuncastError(
      'invalid_request',
      `${config.file} names no agent; add one, or give agent files: runcast run agent.ts`,
    )
  }
  return agents
}

/** Where the log lines and, by default, the runs of a project are. */
export function projectFolder(dockfile = '.'): string {
  const path = resolve(dockfile)
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : dirname(path)
}

/** Folders whose files decide what is served, for whoever watches them. */
export function sourceFolders(config: Config, files: readonly string[]): string[] {
  const modules =
    config.file === noFile ? [] : config.agents.map(({ target }) => resolve(dirname(config.file), target.module))
  const own = config.file === noFile ? [] : [dirname(resolve(config.file))]
  return [...new Set([...own, ...modules.map(dirname), ...files.map(file => dirname(resolve(file)))])]
}

const noFile = 'settings'

/** The defaults of a Dockfile that says nothing. */
export function withoutFile(): Config {
  return parseConfig(initDockfile({ name: 'agent' }), { file: noFile, format: 'yaml', env: {} })
}

/**
 * What a file exports that is an agent: everything made by defineAgent, the default export first and the others by name, for a
 * module does not tell their order; else the function `run` or the default export.
 */
async function agentsIn(file: string): Promise<Agent[]> {
  const path = resolve(file)
  if (!existsSync(path)) throw new RuncastError('not_found', `${file}: there is no such file`)
  if (/\.(ya?ml|toml)$/.test(file)) {
    throw new RuncastError(
      'invalid_request',
      `${file} is no agent file; a configuration is named by --dockfile ${file}`,
    )
  }
  const module = await loadModule(path, file)
  const defined = [...new Set([module['default'], ...Object.values(module)])].filter(isAgent)
  if (defined.length > 0) return defined
  const run = module['run'] ?? module['default']
  if (typeof run === 'function') return [{ ...(defineAgent(run as AgentFunction) as Agent), name: nameOf(path) }]
  const names = Object.keys(module)
  throw new RuncastError(
    'invalid_request',
    `${file} has no agent among its ${counted(names.length, 'export')}${names.length > 0 ? ` (${names.join(', ')})` : ''}; export a function run, or what defineAgent gives`,
  )
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && typeof (value as Agent).run === 'function' && 'name' in value
}

function nameOf(path: string): string {
  const stem = basename(path, extname(path)).toLowerCase()
  return stem.replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '') || 'agent'
}
