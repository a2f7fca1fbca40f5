// A server that is killed: one run of its conversation has ended, another is in the middle. Says so on stdout, and waits.
import { join } from 'node:path'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { createConversations } from '../src/conversations/conversations.ts'
import { createRuns } from '../src/local-runs.ts'
import { deps } from './suites/conversations.suite.ts'
import { until } from './until.ts'

const dir = process.argv[2] ?? ''
const log = sqlite({ path: join(dir, 'log.db') })
const store = await createConversations({ log, db: { sqlite: join(dir, 'conversations.db') }, deps })
const agent = defineAgent({ name: 'talks' }, async function* (input: string) {
  if (input === 'first') return 'whole'
  yield 'half'
  await new Promise(() => {})
  return ''
})
const runs = createRuns({ log, agents: [agent] as unknown as Agent[], deps })
const at = { tenant: 'default', thread: 't' }
await runs.start('talks', 'first', { thread: 't' })
await until('the first run', async () => {
  const page = await store.messages(at).catch(() => undefined)
  return page?.messages.length === 2
})
await runs.start('talks', 'second', { thread: 't', onBusy: 'queue' })
await until('the half answer', async () => (await store.partial(at))?.content.length === 1)
process.stdout.write('ready\n')
setInterval(() => {}, 1_000)
