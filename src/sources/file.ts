// The runs of a SQLite file, for whoever is not its server: the inspector reads them while the server writes, or long
// after it has gone.
import { statSync } from 'node:fs'
import { sqlite } from '../backends/sqlite.ts'
import { RuncastError } from '../error.ts'
import type { Deps } from '../runs.ts'
import { readOnly, type Source } from './read-only.ts'

export function fileSource(path: string, deps: Deps): Source {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isFile()) {
    const what = found ? `${path} is no file` : `there is no file ${path}`
    throw new RuncastError('not_found', `${what}; give the path of runcast.sqlite.path`)
  }
  return readOnly(sqlite({ path, readOnly: true }), `the file ${path}`, deps)
}
