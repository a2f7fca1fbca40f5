// A server with a Kafka sink that is killed at any moment: it starts runs on three threads as long as it lives. With
// `drain` it starts none, sends what is left, and ends. Arguments: directory, brokers, names, `drain`.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from '../src/agent/define.ts'
import { sqlite } from '../src/backends/sqlite.ts'
import { createRuns } from '../src/local-runs.ts'
import { kafkaSink } from '../src/sinks/kafka/sink.ts'
import { deps, type names } from './kafka-topics.ts'
import { until } from './until.ts'

const [dir = '', brokers = '', named = '{}', mode] = process.argv.slice(2)
const log = sqlite({ path: join(dir, 'log.db') })
const agent = defineAgent({ name: 'counts' }, async function* (tokens: number) {
  for (let n = 0; n < tokens; n++) {
    if (n % 10 === 0) await sleep(1)
    yield `t${n} `
  }
  return { tokens }
})
const runs = createRuns({ log, agents: [agent], deps })
await runs.recover()
const own = JSON.parse(named) as ReturnType<typeof names>
const sink = kafkaSink({
  log,
  deps,
  tenants: ['default'],
  format: 'dashstream',
  brokers: brokers.split(','),
  onError: ({ message }) => console.error(`${new Date().toISOString()} ${mode ?? 'server'}: ${message}`),
  ...own,
})
await until('the first session', () => sink.state === 'sending')
process.stdout.write('sending\n')
if (mode === 'drain') {
  for (;;) {
    const { transactions } = sink.counters()
    if ((await sink.lag())?.events === 0) break
    // On a machine with other work, all of it may take longer than one who waits has patience; a transaction does not.
    await until('more is sent', () => sink.counters().transactions > transactions)
  }
  await sink[Symbol.asyncDispose]()
  await log[Symbol.asyncDispose]()
  process.exit(0)
}
for (let n = 0; ; n++) {
  await runs.start('counts', 10 + ((n * 37) % 200), { thread: `t${n % 3}`, onBusy: 'queue' })
  // A hundred lives of it are still few enough to be judged in memory.
  await sleep(20)
  while (runs.running > 6) await sleep(5)
}
