// What is wrong with a configuration, for people and for programs: file, line, path, value, what and how to mend it.
// Findings become problems here and only here, because this is where values are hidden:
// a secret must never reach a terminal, a log or an error body.

import { RuncastError } from '../error.ts'

export type Path = readonly (string | number)[]

/** One thing wrong, before anybody knows line and value. `%v` in `says` stands for the value. */
export interface Finding {
  readonly path: Path
  readonly says: string
  readonly fix: string
  /** Only for text that could not be parsed: otherwise the path tells the line. */
  readonly line?: number
  /** The value is not shown: of a key that nobody knows, nobody knows whether it is secret. */
  readonly hide?: true
  /** It lies in the environment of this process, not in the file. */
  readonly ofEnv?: true
}

export interface Problem {
  readonly file: string
  readonly line: number
  /** Dotted: `runcast.agents[0].name`; empty for the whole file. */
  readonly path: string
  /** The value as shown: JSON, "a map", "a list" or "(hidden)"; undefined when there is none. */
  readonly value: string | undefined
  readonly message: string
  readonly fix: string
}

export const hidden = '(hidden)'

// Long enough for any key of ours, short enough that a problem stays on one line.
const shownLengthMax = 60

/** One error with all problems: `details.problems` for programs, a line each for people. */
export function invalidConfig(problems: readonly Problem[]): RuncastError {
  return new RuncastError('invalid_request', problems.map(showProblem).join('\n'), { details: { problems } })
}

/** `Dockfile.yaml:12 streaming.backend: "sqllite" is not known; give memory, sqlite or redis`. */
export function showProblem({ file, line, path, message, fix }: Problem): string {
  return `${file}:${line}${path === '' ? '' : ` ${path}`}: ${message}; ${fix}`
}

/** A finding with its line and its value, or without the value where that may be secret. */
export function toProblem(
  finding: Finding,
  source: { file: string; value: unknown; lines: ReadonlyMap<string, number>; fromEnv: (path: Path) => boolean },
): Problem {
  const value = valueAt(source.value, finding.path)
  const secret = finding.hide === true || isSecret(finding.path) || source.fromEnv(finding.path)
  const shown = value === undefined ? undefined : secret ? hidden : show(value)
  return {
    file: source.file,
    line: finding.line ?? lineOf(source.lines, finding.path),
    path: pathText(finding.path),
    value: shown,
    message: finding.says.replaceAll('%v', () => shown ?? 'it'),
    fix: finding.fix,
  }
}

export function pathText(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`
      // A key with a dot, a space or a line break in it must not look like two keys, or break the line.
      const name = /^[\w-]+$/.test(part) ? part : JSON.stringify(part)
      return index === 0 ? name : `.${name}`
    })
    .join('')
}

/** The line of a path, or of the nearest thing around it that the file holds. */
export function lineOf(lines: ReadonlyMap<string, number>, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const line = lines.get(pathText(path.slice(0, length)))
    if (line !== undefined) return line
  }
  return 1
}

export function valueAt(value: unknown, path: Path): unknown {
  let at = value
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Record<string | number, unknown>)[part]
  }
  return at
}

// By name, because a literal password in a file is as secret as one from the environment. Names and descriptions of
// secrets are not; every header of an exporter may be a token.
function isSecret(path: Path): boolean {
  const last = path.at(-1)
  if (last === 'name' || last === 'description') return false
  return path.some(
    part => typeof part === 'string' && /secret|password|token|credential|^headers$|^key$|_key$/i.test(part),
  )
}

function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  if (typeof value === 'object' && value !== null) return 'a map'
  if (typeof value !== 'string') return String(value)
  // A literal URL may carry user:password@.
  const text = JSON.stringify(value.replace(/\/\/.*@/s, `//${hidden}@`))
  return text.length <= shownLengthMax ? text : `${text.slice(0, shownLengthMax)}…"`
}
