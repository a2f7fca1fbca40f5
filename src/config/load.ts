// From a file to a Config: read, substitute, validate, all problems at once.
// `parseConfig` is pure; `loadConfig` adds the files (Dockfile or TOML, and the .env beside it).
// It must never start with half a configuration: any problem is an error that names line, value and fix.

import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { z } from 'zod'
import { RuncastError } from '../error.ts'
import type { Config } from './config.ts'
import { explain } from './explain.ts'
import { fromDockfile, fromToml, type Origin } from './fill.ts'
import { type Finding, invalidConfig, type Path, pathText, type Problem, toProblem, valueAt } from './problem.ts'
import { ruleFindings } from './rules.ts'
import { dockfile, dockfileSchema, toml, tomlSchema } from './schema.ts'
import { readSource } from './source.ts'
import { type Env, substitute } from './substitute.ts'

export type { AgentConfig, Backend, Config, JsonSchema, OnBusy, Permission } from './config.ts'
export type { Problem } from './problem.ts'
export type { Env } from './substitute.ts'

export const dockfileNames = ['Dockfile.yaml', 'Dockfile.yml', 'Dockfile'] as const
export const tomlNames = ['runcast.toml', 'patinox.toml', 'streaming.toml'] as const

export interface ParseOptions {
  /** How the file is named in messages. */
  readonly file: string
  readonly format: 'yaml' | 'toml'
  readonly env: Env
}

/** The configuration in `text`, or one `invalid_request` with every problem in `details.problems`. */
export function parseConfig(text: string, options: ParseOptions): Config {
  const { config, problems } = checkConfig(text, options)
  if (config === undefined) throw invalidConfig(problems)
  return config
}

/**
 * The same without throwing. With `missing: 'allowed'` a variable or secret that is not set here is no problem:
 * an editor of the file need not have the environment that the server will have.
 */
export function checkConfig(
  text: string,
  { file, format, env, missing = 'refused' }: ParseOptions & { missing?: 'refused' | 'allowed' },
): { config: Config | undefined; problems: readonly Problem[] } {
  const source = readSource(text, format)
  const done = substitute(source.value, env)
  const place = (path: Path) => done.places.get(pathText(path))
  const unset = new Set(done.findings.map(({ path }) => pathText(path)))
  const judged = judge({ value: done.value, format, env, substituted: path => place(path)?.whole === true })

  const findings: Finding[] = [...source.findings]
  if (source.findings.length === 0) {
    // What stands at the place of an unset variable is unknown, and so is whether it would be valid.
    const known = judged.findings.filter(({ path }) => !unset.has(pathText(path)))
    findings.push(...[...done.findings, ...known].filter(({ ofEnv }) => ofEnv === undefined || missing === 'refused'))
  }
  const facts = {
    file,
    value: judged.value,
    lines: source.lines,
    fromEnv: (path: Path) => place(path)?.fromEnv === true,
  }
  const problems = findings.map(finding => toProblem(finding, facts)).toSorted((a, b) => a.line - b.line)
  const make = problems.length === 0 ? judged.make : undefined
  return { config: make?.({ file, format, lines: source.lines, env: secretDefaults(judged.value, env) }), problems }
}

/** The configuration in a file, or in the one configuration file of a folder; with its `.env`, over which the shell wins. */
export async function loadConfig(options: {
  path: string
  env: Env
  readFile?: (path: string) => Promise<string>
}): Promise<Config> {
  const read = options.readFile ?? readText
  const { file, text } = await findFile(options.path, read)
  const beside = await readIfThere(join(dirname(file), '.env'), read)
  const dotEnv = parseEnv(beside ?? '') as Record<string, string>
  const format = file.endsWith('.toml') ? 'toml' : 'yaml'
  const config = parseConfig(text, { file, format, env: { ...dotEnv, ...defined(options.env) } })
  const added = Object.entries(dotEnv).filter(([name]) => options.env[name] === undefined)
  return { ...fromHere(config), env: { ...config.env, ...Object.fromEntries(added) } }
}

/** Paths are relative to the file that names them, as the agents' modules are, from wherever it is loaded. */
function fromHere(config: Config): Config {
  const { sqlite, kafka } = config
  const absolute = (path: string) => resolve(dirname(config.file), path)
  const certificates = (['ca', 'cert', 'key'] as const).flatMap(field => {
    const path = kafka?.[field]
    return path === undefined ? [] : [[field, absolute(path)]]
  })
  return {
    ...config,
    sqlite: { ...sqlite, path: absolute(sqlite.path) },
    ...(kafka && { kafka: { ...kafka, ...Object.fromEntries(certificates) } }),
  }
}

type Make = (origin: Origin) => Config

/** Shape and rules; `value` is the tree that they judged, with what came from variables in its type. */
function judge(facts: { value: unknown; format: 'yaml' | 'toml'; env: Env; substituted: (path: Path) => boolean }): {
  value: unknown
  findings: Finding[]
  make: Make | undefined
} {
  const { format, substituted } = facts
  if (facts.value === null || facts.value === undefined) {
    const empty = { path: [], says: 'the file is empty', fix: emptyFix[format] }
    return { value: facts.value, findings: [empty], make: undefined }
  }
  const schema = format === 'yaml' ? dockfile : toml
  const first = schema.safeParse(facts.value)
  const value = coerced(facts.value, first.error?.issues ?? [], substituted)
  const { data, error } = value === facts.value ? first : schema.safeParse(value)
  const findings = explain(error?.issues ?? [], value, format === 'yaml' ? dockfileSchema : tomlSchema)
  if (format === 'yaml' && typeof value === 'object' && !Array.isArray(value)) {
    const told = new Set(findings.map(({ path }) => pathText(path)))
    findings.push(...ruleFindings({ ...facts, value }).filter(({ path }) => !told.has(pathText(path))))
  }
  if (data === undefined) return { value, findings, make: undefined }
  return { value, findings, make: origin => ('version' in data ? fromDockfile(data, origin) : fromToml(data, origin)) }
}

const emptyFix = {
  yaml: 'give version: "1.0" and agent: {name, handler}, or write one with runcast init NAME',
  toml: 'give a [streaming] table',
} as const

/** A variable is always text: where the key wants a number or boolean, and it is all there is, it becomes one. */
function coerced(tree: unknown, issues: readonly z.core.$ZodIssue[], substituted: (path: Path) => boolean): unknown {
  let value = tree
  for (const issue of issues) {
    const path = issue.path as Path
    if (issue.code !== 'invalid_type' || !substituted(path)) continue
    value = withValue(value, path, coerce(valueAt(value, path), issue.expected))
  }
  return value
}

function coerce(value: unknown, expected: string): unknown {
  if (typeof value !== 'string') return value
  if (expected === 'boolean') return value === 'true' ? true : value === 'false' ? false : value
  return ['number', 'int'].includes(expected) && /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value
}

function withValue(tree: unknown, [first, ...rest]: Path, value: unknown): unknown {
  if (first === undefined) return value
  if (Array.isArray(tree))
    return tree.map((entry: unknown, index) => (index === first ? withValue(entry, rest, value) : entry))
  return { ...(tree as object), [first]: withValue(valueAt(tree, [first]), rest, value) }
}

function secretDefaults(value: unknown, env: Env): Record<string, string> {
  const optional = valueAt(value, ['secrets', 'optional'])
  if (!Array.isArray(optional)) return {}
  const unset = (optional as { name: string; default?: string }[]).filter(({ name }) => (env[name] ?? '') === '')
  return Object.fromEntries(
    unset.flatMap(secret => (secret.default === undefined ? [] : [[secret.name, secret.default]])),
  )
}

async function findFile(
  path: string,
  read: (path: string) => Promise<string>,
): Promise<{ file: string; text: string }> {
  try {
    return { file: path, text: await read(path) }
  } catch (thrown) {
    if (codeOf(thrown) !== 'EISDIR') throw unreadable(path, thrown)
  }
  const found: { file: string; text: string }[] = []
  for (const name of [...dockfileNames, ...tomlNames]) {
    const text = await readIfThere(join(path, name), read)
    if (text !== undefined) found.push({ file: join(path, name), text })
  }
  const [only, ...more] = found
  if (only === undefined) {
    throw new RuncastError('not_found', `${path}: there is no ${dockfileNames[0]}; write one with runcast init NAME`, {
      details: { path },
    })
  }
  if (more.length === 0) return only
  const names = found.map(({ file }) => basename(file))
  throw new RuncastError(
    'invalid_request',
    `${path}: ${names.join(' and ')} are both here; keep one, or name it with --dockfile`,
    {
      details: { path, files: names },
    },
  )
}

async function readIfThere(path: string, read: (path: string) => Promise<string>): Promise<string | undefined> {
  try {
    return await read(path)
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT' || codeOf(thrown) === 'EISDIR') return undefined
    throw unreadable(path, thrown)
  }
}

/** Read leniently, a file in another encoding would have other values than were written, without a word. */
async function readText(path: string): Promise<string> {
  const bytes = await readFile(path)
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new RuncastError('invalid_request', `${path}: it is not UTF-8; save it as UTF-8`, { details: { path } })
}

function unreadable(path: string, thrown: unknown): RuncastError {
  if (thrown instanceof RuncastError) return thrown
  if (codeOf(thrown) === 'ENOENT') {
    return new RuncastError('not_found', `${path}: there is no such file; write one with runcast init NAME`, {
      details: { path },
      cause: thrown,
    })
  }
  const why = thrown instanceof Error ? thrown.message : String(thrown)
  return new RuncastError('invalid_request', `${path}: it cannot be read: ${why}`, { details: { path }, cause: thrown })
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
}

function defined(env: Env): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
