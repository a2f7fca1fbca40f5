// Where the commands that only read find their runs: a server, a SQLite file or a Kafka topic. All are `Runs`, so that
// each command works on each and prints the same. It must never write to what it reads.
import type { ConnectOptions, Runs } from '../client/index.ts'
import { realDeps } from '../deps.ts'
import { RuncastError } from '../error.ts'
import { impatient, type RemoteOptions, remoteRuns } from './remote.ts'

export interface SourceOptions extends RemoteOptions {
  /** `http://…`, `kafka://BROKERS/TOPIC`, or the path of a file; default: the server of `--url`. */
  readonly source?: string | undefined
  /** Whose runs, of a file or a topic; a server knows it from the key. */
  readonly tenant?: string | undefined
}

export function isServer({ source }: SourceOptions): boolean {
  return source === undefined || /^https?:\/\//.test(source)
}

export async function openSource(options: SourceOptions, more: ConnectOptions = impatient): Promise<Runs> {
  const { source, url, token, tenant } = options
  if (tenant !== undefined && isServer(options)) {
    throw new RuncastError('invalid_request', '--tenant is for a file or a topic; a server knows it from --token')
  }
  if (source === undefined || isServer(options)) return remoteRuns({ url: source ?? url, token }, more)
  if (source.startsWith('kafka://')) {
    const { openTopic } = await import('./kafka-topic.ts')
    return openTopic(source, { tenant, patient: more.triesMax === undefined })
  }
  const scheme = /^(\w[\w+.-]+):\/\//.exec(source)?.[1]
  if (scheme !== undefined) {
    const fix = 'give http://HOST:PORT, kafka://BROKER:PORT/TOPIC, or the path of a SQLite file'
    throw new RuncastError('invalid_request', `--source: nothing here reads ${scheme}://; ${fix}`)
  }
  const { fileSource } = await import('../sources/file.ts')
  const runs = fileSource(source, realDeps)
  return tenant === undefined
    ? runs
    : { ...runs.as({ tenant }), [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
}
