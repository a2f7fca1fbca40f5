// `${VAR}`, `${VAR:-default}` and `$${` in every string of a configuration, before it is validated (DK75).
// One pass and no recursion: what a variable holds is taken as it is, so that a secret with `${` in it stays whole.
// A variable that is missing must never become an empty text: that is how a server comes to run without its key.

import { type Finding, type Path, pathText } from './problem.ts'

export type Env = Readonly<Record<string, string | undefined>>

export interface Substituted {
  readonly value: unknown
  readonly findings: readonly Finding[]
  /** Paths with a `${…}`: `whole` when nothing else stands in the text, `fromEnv` when it may be secret. */
  readonly places: ReadonlyMap<string, { readonly whole: boolean; readonly fromEnv: boolean }>
}

// Deeper than any configuration; an alias that contains itself would never end.
const depthMax = 64

export function substitute(source: unknown, env: Env): Substituted {
  const findings: Finding[] = []
  const places = new Map<string, { whole: boolean; fromEnv: boolean }>()
  const walk = (value: unknown, path: Path): unknown => {
    if (typeof value === 'string') return text(value, path)
    if (typeof value !== 'object' || value === null) return value
    if (path.length >= depthMax) {
      findings.push({
        path,
        says: `it is nested deeper than ${depthMax}`,
        fix: 'write it flatter, without aliases in themselves',
      })
      return undefined
    }
    if (Array.isArray(value)) return value.map((entry, index) => walk(entry, [...path, index]))
    if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return value
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner, [...path, key])]))
  }
  const text = (value: string, path: Path): string => {
    if (!value.includes('${')) return value
    const done = expand(value, env)
    if (done.places > 0) places.set(pathText(path), { whole: done.whole, fromEnv: done.fromEnv })
    findings.push(...done.faults.map(fault => ({ path, ...fault })))
    // What could not be filled in stays as it was written, so that the key still counts as given.
    return done.text
  }
  return { value: walk(source, []), findings, places }
}

function expand(value: string, env: Env) {
  const faults: Omit<Finding, 'path'>[] = []
  let places = 0
  let fromEnv = false
  const text = value.replace(
    /\$\$\{|\$\{([^}]*)(\}?)/g,
    (match: string, inner: string | undefined, closed: string | undefined) => {
      if (inner === undefined) return '${'
      places += 1
      const [, name, fallback] = /^([A-Za-z_]\w*)(?::-(.*))?$/s.exec(inner) ?? []
      if (name === undefined || closed === '' || fallback?.includes('${')) {
        faults.push({
          says: 'a ${…} in it is not well written',
          fix: 'write ${NAME} or ${NAME:-default}, and $${ for a literal ${',
        })
        return match
      }
      const found = Object.hasOwn(env, name) ? env[name] : undefined
      // As in a shell, `:-` also replaces an empty variable.
      if (found !== undefined && (found !== '' || fallback === undefined)) {
        fromEnv = true
        return found
      }
      if (fallback !== undefined) return fallback
      faults.push({
        ofEnv: true,
        says: `the variable ${name} is not set`,
        fix: `set ${name} in the environment or in .env, or give a default: \${${name}:-value}`,
      })
      return match
    },
  )
  const whole = places === 1 && /^\$\{[^}]*\}$/.test(value)
  return { text, faults, places, fromEnv, whole }
}
