// Where this package's own files are, for whoever reads one that is no code. The one place that tells sources from what was
// built of them, and by themselves: a folder's name says nothing, for a clone may lie below a folder called dist.
import { readFileSync } from 'node:fs'

/** From src/ or dist/src/. */
const root = new URL(import.meta.url.endsWith('.ts') ? '../' : '../../', import.meta.url)

/** A file or folder of the package, by its path from the root. */
export function packageFile(path: string): URL {
  return new URL(path, root)
}

const manifest = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as Manifest
interface Manifest {
  readonly name: string
  readonly version: string
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>
}

export const { version } = manifest

/** The module of this very package, sources or built, that an `import` of this name means; undefined of any other name. */
export function ownModule(specifier: string): string | undefined {
  if (specifier !== manifest.name && !specifier.startsWith(`${manifest.name}/`)) return undefined
  const door = manifest.exports[`.${specifier.slice(manifest.name.length)}`]
  if (typeof door !== 'object') return undefined
  const path = import.meta.url.endsWith('.ts')
    ? door.default.replace('./dist/', './').replace(/\.js$/, '.ts')
    : door.default
  return packageFile(path).href
}
