// Where this package's own files are, for whoever reads one that is no code. The one place that tells sources from what was
// built of them, and by themselves: a folder's name says nothing, for a clone may lie below a folder called dist.
import { readFileSync } from 'node:fs'

/** From src/ or dist/src/. */
const root = new URL(import.meta.url.endsWith('.ts') ? '../' : '../../', import.meta.url)

/** A file or folder of the package, by its path from the root. */
export function packageFile(path: string): URL {
  return new URL(path, root)
}

export const version = (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version
