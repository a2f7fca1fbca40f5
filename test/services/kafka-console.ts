// Kafka's own console consumer as a judge: what a Java reader of committed records gets from a topic. The jar is fetched
// once into .cache/kafka, beside those of the broker.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const cache = join(import.meta.dirname, '..', '..', '.cache', 'kafka')
const tools = join(cache, 'tools')
const run = promisify(execFile)
/** The consumer ends when nothing came for so long. */
const idleMs = 4_000

/** The values of all committed records of a topic, as text, in no order across partitions. */
export async function committedValues(brokers: readonly string[], topic: string): Promise<string[]> {
  if (!existsSync(join(tools, 'kafka-tools-4.1.1.jar'))) {
    mkdirSync(tools, { recursive: true })
    const artifact = '-Dartifact=org.apache.kafka:kafka-tools:4.1.1'
    await run('mvn', ['--batch-mode', '--quiet', 'dependency:copy', artifact, `-DoutputDirectory=${tools}`])
  }
  const classes = [join(tools, '*'), join(cache, 'libs', '*')].join(':')
  const main = 'org.apache.kafka.tools.consumer.ConsoleConsumer'
  const args = ['--bootstrap-server', brokers.join(), '--topic', topic, '--from-beginning']
  const committed = ['--isolation-level', 'read_committed', '--timeout-ms', String(idleMs)]
  const java = ['-Xmx256m', '-cp', classes, main, ...args, ...committed]
  const { stdout } = await run('java', java, { maxBuffer: 64 * 1024 * 1024 })
  return stdout.split('\n').filter(line => line !== '')
}
