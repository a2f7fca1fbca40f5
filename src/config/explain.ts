// Zod's issues as findings: what is wrong, in words about the value, and the fix, which the leaves carry as message.
// It also guesses what an unknown key was meant to be: on its own level by spelling, elsewhere by name.

import type { z } from 'zod'
import { nearest, nearestWord, oneOf } from './nearest.ts'
import { type Finding, type Path, pathText, valueAt } from './problem.ts'

type Issue = z.core.$ZodIssue
type Tree = { [key: string]: unknown }

/** One finding per path and issue. `schema` is the JSON Schema of the file: its keys are what can be suggested. */
export function explain(issues: readonly Issue[], value: unknown, schema: () => Tree): Finding[] {
  return issues.flatMap(issue => explainOne(issue, value, [], schema))
}

function explainOne(issue: Issue, root: unknown, at: Path, schema: () => Tree): Finding[] {
  const path = [...at, ...issue.path].map(part => (typeof part === 'symbol' ? String(part) : part))
  const value = valueAt(root, path)
  const says = (text: string, fix = issue.message): Finding[] => [{ path, says: text, fix }]
  // Beyond the safe integers is beyond our own bound too, which says it better.
  if (issue.code === 'too_big' && issue.origin === 'int') return []
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => unknownKey(key, path, schema()))
  if (value === undefined) return says('it is missing')
  if (value === null) return says('it is empty', `${issue.message}, or delete the key`)
  switch (issue.code) {
    case 'invalid_type':
      return says(wrongType(issue.expected, value), issue.message + unquote(issue.expected, value))
    case 'too_big':
      return says(`%v is above ${issue.maximum}`)
    case 'too_small':
      return says(Array.isArray(value) ? 'the list is empty' : `%v is below ${issue.minimum}`)
    case 'invalid_value':
      return says('%v is not known here', issue.message + nearest(value, issue.values.map(String)))
    case 'invalid_union':
      return explainUnion(issue, root, path, schema) ?? says(`${kind(value)} does not belong here`)
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({
        path,
        says: `${JSON.stringify(path.at(-1))} is not a legal name`,
        fix: message,
      }))
    case 'custom':
      return says(String(issue.params?.['says'] ?? '%v is not accepted'))
    default:
      return says('%v does not have the right form')
  }
}

// The branch that the value was meant for is the one whose outermost type fits.
function explainUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  root: unknown,
  path: Path,
  schema: () => Tree,
): Finding[] | undefined {
  const meant = issue.errors.find(branch => branch.length > 0 && branch.every(inner => inner.path.length > 0))
  return meant?.flatMap(inner => explainOne(inner, root, path, schema))
}

function unknownKey(key: string, parent: Path, schema: Tree): Finding {
  const siblings = Object.keys(propertiesAt(schema, parent))
  const path = [...parent, key]
  const near = nearestWord(key, siblings)
  const elsewhere =
    near === undefined ? keyPaths(schema).filter(known => known.split('.').at(-1) === key.replaceAll('-', '_')) : []
  const meant = near === undefined ? elsewhere : [pathText([...parent, near])]
  const known = siblings.length === 0 ? 'delete it' : `the keys here are ${siblings.join(', ')}`
  return {
    path,
    hide: true,
    says: 'this key is unknown',
    fix: meant.length === 0 ? known : `did you mean ${oneOf(meant)}?`,
  }
}

function wrongType(expected: string, value: unknown): string {
  if (expected === 'int' && typeof value === 'number') return '%v is not a whole number'
  const wanted = {
    object: 'a map',
    record: 'a map',
    array: 'a list',
    string: 'a text',
    boolean: 'true or false',
    int: 'a number',
  }
  const name = (wanted as Record<string, string>)[expected] ?? `a ${expected}`
  return typeof value === 'object' ? `${kind(value)} stands where ${name} belongs` : `%v is not ${name}`
}

function unquote(expected: string, value: unknown): string {
  const quoted = typeof value === 'string' && (expected === 'boolean' ? /^(true|false)$/ : /^\d+$/).test(value)
  return quoted && expected !== 'string' ? ', without quotes' : ''
}

function kind(value: unknown): string {
  if (value instanceof Date) return 'a date'
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map' : '%v'
}

/** The properties that the schema knows at a path, through lists, maps and alternatives. */
function propertiesAt(schema: Tree, path: Path): Tree {
  let nodes = [schema]
  for (const part of path) {
    nodes = nodes.flatMap(alternatives).flatMap(node => {
      const next =
        typeof part === 'number'
          ? node['items']
          : ((node['properties'] as Tree | undefined)?.[part] ?? node['additionalProperties'])
      return isTree(next) ? [next] : []
    })
  }
  return Object.assign({}, ...nodes.flatMap(alternatives).map(node => node['properties']))
}

function keyPaths(schema: Tree, path = ''): string[] {
  const properties = schema['properties']
  if (!isTree(properties)) return []
  return Object.entries(properties).flatMap(([key, inner]) => {
    const here = path === '' ? key : `${path}.${key}`
    return [here, ...(isTree(inner) ? keyPaths(inner, here) : [])]
  })
}

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null && !Array.isArray(value)

function alternatives(node: Tree): Tree[] {
  return Array.isArray(node['anyOf']) ? (node['anyOf'] as Tree[]).flatMap(alternatives) : [node]
}
