// Every backend, one row each; tidy.test.ts demands a row for each file of src/backends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory } from '../src/backends/memory.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import type { Log } from '../src/log.ts'
import { type LogRow, logSuite } from './suites/log.suite.ts'

export const backends: readonly LogRow[] = [
  { name: 'memory', open: async () => memory() },
  { name: 'sqlite', open: async () => inDirectory(path => [sqlite({ path })]) },
  {
    name: 'sqlite, read through a second connection',
    open: async () => inDirectory(path => [sqlite({ path }), sqlite({ path, readOnly: true, pollMs: 1 })]),
    skip: [
      {
        test: 'a requested cancel shows in the state and rings the bell',
        reason: 'a reader beside the server is rung by a poll, later than three turns of the event loop',
      },
      {
        test: 'many readers hear the end of a run that is dropped behind it',
        reason: 'a reader beside the server looks now and then: what comes and goes in between it does not see',
      },
      {
        test: 'many readers hear what was appended when the log is closed behind it',
        reason: 'a reader beside the server looks now and then: what comes behind its last look it does not see',
      },
    ],
  },
]

for (const row of backends) logSuite(row)

/** Logs in a directory of their own that goes with them: the first writes, the last one reads. */
function inDirectory(open: (path: string) => Log[]): Log {
  const directory = mkdtempSync(join(tmpdir(), 'runcast-log-'))
  const logs = open(join(directory, 'log.db'))
  const [writer, reader] = [logs.at(0) as Log, logs.at(-1) as Log]
  return {
    append: (...args) => writer.append(...args),
    drop: (...args) => writer.drop(...args),
    read: (...args) => reader.read(...args),
    watch: (...args) => reader.watch(...args),
    head: run => reader.head(run),
    list: filter => reader.list(filter),
    async [Symbol.asyncDispose]() {
      for (const log of logs.reverse()) await log[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
