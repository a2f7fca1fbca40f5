// A reporter of node:test: one line of JSON for each test that passed or failed, for `npm run requirements` and for
// `npm test -- --failed`. Why not TAP or JUnit: their readers guess at what a title is. It must leave out what was
// skipped: that proves nothing.
import { relative } from 'node:path'

export default async function* testResults(events) {
  for await (const { type, data } of events) {
    const passed = type === 'test:pass'
    if ((!passed && type !== 'test:fail') || data.skip !== undefined || data.todo !== undefined) continue
    // A suite that passed is its tests; one that failed may have done so in a hook.
    if (passed && data.details.type === 'suite') continue
    yield `${JSON.stringify({ file: relative(process.cwd(), data.file ?? ''), title: data.name, passed })}\n`
  }
}
