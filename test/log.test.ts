// Every backend, one row each; tidy.test.ts demands a row for each file of src/backends.
import { memory } from '../src/backends/memory.ts'
import { type LogRow, logSuite } from './suites/log.suite.ts'

export const backends: readonly LogRow[] = [{ name: 'memory', open: async () => memory() }]

for (const row of backends) logSuite(row)
