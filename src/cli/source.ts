// Where the commands that only read find their runs: a server, a SQLite file or a Kafka topic. All are `Runs`, so that
// each command works on each and prints the same. It must never write to what it reads.
import type { ConnectOptions, Runs } from '../client/index.ts'
import { realDeps } from '../deps.ts'
import { RuncastError } from '../error.ts'
import { impatient, type RemoteOptions, remoteRuns } from './remote.ts'

export interface SourceOptions extends RemoteOptions {
  /** `http://…`, `kafka://BROKERS/TOPIC`, or the path of a file; default: the server of `--url`. */
  readonly source?: string | undefined
}

export function isServer({ source }: SourceOptions): boolean {
  return source === undefined || /^https?:\/\//.test(source)
}

export async function openSource(options: SourceOptions, more: ConnectOptions = impatient): Promise<Runs> {
  const { source, url, token } = options
  if (source === undefined || isServer(options)) return remoteRuns({ url: source ?? url, token }, more)
  if (source.startsWith('kafka://')) return (await kafka())(source, realDeps)
  const scheme = /^(\w[\w+.-]+):\/\//.exec(source)?.[1]
  if (scheme !== undefined) {
    const fix = 'give http://HOST:PORT, kafka://BROKER:PORT/TOPIC, or the path of a SQLite file'
    throw new RuncastError('invalid_request', `--source: nothing here reads ${scheme}://; ${fix}`)
  }
  const { fileSource } = await import('../sources/file.ts')
  return fileSource(source, realDeps)
}

type KafkaSource = (url: string, deps: typeof realDeps) => Runs | Promise<Runs>

async function kafka(): Promise<KafkaSource> {
  const file = '../sources/kafka.ts'
  try {
    return ((await import(file)) as { kafkaSource: KafkaSource }).kafkaSource
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    const fix = 'give the address of a server or the path of a SQLite file'
    throw new RuncastError('invalid_request', `--source: Kafka topics cannot be read; ${fix}`, { cause })
  }
}
