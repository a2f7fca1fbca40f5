// Where the commands that only read find their runs: a server, a SQLite file or a Kafka topic. All are `Runs`, so that
// each command works on each and prints the same. It must never write to what it reads.
import type { ConnectOptions, Runs } from '../client/index.ts'
import { realDeps } from '../deps.ts'
import { RuncastError } from '../error.ts'
import type { Source } from '../sources/read-only.ts'
import type { TopicOptions } from './kafka-topic.ts'
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

export async function openSource(
  options: SourceOptions,
  more: ConnectOptions & Pick<TopicOptions, 'signal' | 'onAway'> = impatient,
): Promise<Runs> {
  const { source, url, token, tenant } = options
  if (tenant !== undefined && isServer(options)) {
    throw new RuncastError('invalid_request', '--tenant is for a file or a topic; a server knows it from --token')
  }
  if (source === undefined || isServer(options)) return remoteRuns({ url: source ?? url, token }, more)
  const runs = await openPlace(source, { ...more, tenant, patient: more.triesMax === undefined, from: 'caught up' })
  return tenant === undefined
    ? runs
    : { ...runs.as({ tenant }), [Symbol.asyncDispose]: () => runs[Symbol.asyncDispose]() }
}

/** A file, or a topic. */
export async function openPlace(place: string, options: TopicOptions): Promise<Source> {
  if (place.startsWith('kafka://')) return (await import('./kafka-topic.ts')).openTopic(place, options)
  const scheme = /^(\w[\w+.-]+):\/\//.exec(place)?.[1]
  if (scheme !== undefined) {
    const fix =
      'give kafka://BROKER:PORT/TOPIC, the path of a SQLite file, or to a command that prints http://HOST:PORT'
    throw new RuncastError('invalid_request', `nothing here reads ${scheme}://; ${fix}`)
  }
  return (await import('../sources/file.ts')).fileSource(place, realDeps)
}
