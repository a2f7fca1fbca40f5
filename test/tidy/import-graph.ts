// Who imports whom in src/, read from the import statements themselves, for test/tidy.test.ts.
// A regular expression is enough: with verbatimModuleSyntax an import is what it says, and `import type` leaves nothing.
// It must never count an import that stands in a comment.
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'

export interface Import {
  /** A file of the repository (`src/log.ts`), a package (`@fastify/cors`) or a part of Node (`node:fs`). */
  readonly target: string
  readonly kind: 'value' | 'type' | 'lazy'
}

const statement =
  /^[ \t]*(?:import|export)[ \t]+(type[ \t]+)?(?:[\w*{][^'"`;]*?from[ \t]*)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm

/** Text without comments, line for line. A `//` behind a colon is an address. */
export function withoutComments(text: string): string {
  const blank = (comment: string) => comment.replace(/[^\n]/g, ' ')
  return text.replace(/^[ \t]*\/\*[^]*?\*\//gm, blank).replace(/(?<!:)\/\/.*$/gm, blank)
}

export function importsOf(root: string, file: string): Import[] {
  const text = withoutComments(readFileSync(join(root, file), 'utf8'))
  return [...text.matchAll(statement)].map(([, isType, named, lazy]) => ({
    target: resolve(file, named ?? lazy ?? ''),
    kind: lazy !== undefined ? 'lazy' : isType !== undefined ? 'type' : 'value',
  }))
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier)
  if (specifier.startsWith('node:')) return specifier
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** Each file that is loaded with this one, with the way to it. Lazy imports count: a bundler follows them too. */
export function reachableFrom(graph: ReadonlyMap<string, readonly Import[]>, entry: string): Map<string, string[]> {
  const ways = new Map([[entry, [entry]]])
  for (const [file, way] of ways) {
    for (const { target, kind } of graph.get(file) ?? []) {
      if (kind !== 'type' && !ways.has(target)) ways.set(target, [...way, target])
    }
  }
  return ways
}
