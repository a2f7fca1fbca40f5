// A reporter of node:test: one line of JSON for each test that passed, for `npm run requirements`.
// Why not TAP or JUnit: their readers guess at what a title is. It must leave out what was skipped: that proves nothing.
import { relative } from 'node:path'

export default async function* passedTests(events) {
  for await (const { type, data } of events) {
    const isTest = data?.details?.type !== 'suite'
    if (type !== 'test:pass' || !isTest || data.skip !== undefined || data.todo !== undefined) continue
    yield `${JSON.stringify({ file: relative(process.cwd(), data.file ?? ''), title: data.name })}\n`
  }
}
