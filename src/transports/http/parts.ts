// What the HTTP API is made from, and what its routes need of it. Types alone: the application composes, routes and faces
// use, and none has to know the other.
import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from 'fastify'
import type { Agent } from '../../agent/define.ts'
import type { DirectLimits } from '../../direct.ts'
import type { Deps, LocalRuns, Runs } from '../../runs.ts'
import type { Authenticate } from './auth.ts'
import type { Metrics } from './metrics.ts'
import type { Streams } from './streams.ts'
import type { Vitals } from './vitals.ts'

export interface AppOptions extends Vitals {
  readonly runs: Pick<LocalRuns, 'agents' | 'as'>
  readonly deps: Deps
  readonly authenticate?: Authenticate | undefined
  readonly metrics?: Metrics | undefined
  readonly service?: string
  readonly version: string
  /** 503 on /ready until it says true. */
  readonly ready?: () => boolean
  /** The endpoints /invoke and /invoke/stream, and /runs. */
  readonly rest?: boolean
  readonly streaming?: boolean
  readonly asyncRuns?: boolean
  readonly heartbeatMs?: number
  readonly heartbeatEvents?: boolean
  readonly retryMs?: number
  /** Default of `?timeout=`. */
  readonly idleMs?: number
  readonly connectionsMax?: number
  readonly bodyBytesMax?: number
  readonly cors?: { readonly origins: readonly string[]; readonly methods: readonly string[] } | undefined
  readonly direct: DirectLimits
  readonly logger?: FastifyServerOptions['logger']
  /** Endpoints in other front ends' protocols. */
  readonly faces?: readonly ((fastify: FastifyInstance, parts: RouteParts) => void)[]
}

/** What routes need of the server: the API's own and those of faces. */
export interface RouteParts {
  readonly agents: readonly Agent[]
  /** The runs as whoever asks sees them. */
  readonly runsOf: (request: FastifyRequest) => Runs
  readonly streams: Streams
  readonly deps: Deps
  /** A stream ends when no event came for so long. */
  readonly idleMs: number
  readonly bodyLimit: number
}
