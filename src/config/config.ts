// What the rest of the house sees of a configuration: camelCase, every default filled, durations in ms, sizes in bytes.
// A Dockfile and a Patinox TOML both end here, so that no consumer knows which of the two it was.
// Consumers must never look at the keys of a file again.

import type { AllowedEvents } from './allowed.ts'
import type { RateLimit } from './duration.ts'
import type { Path } from './problem.ts'
import type { permissions } from './schema.ts'

export type JsonSchema = Readonly<Record<string, unknown>>
export type Backend = 'memory' | 'sqlite' | 'redis'
export type OnBusy = 'reject' | 'queue' | 'interrupt'

export interface AgentConfig {
  readonly name: string
  /** `entrypoint` builds the agent, `handler` is it. `module` is relative to the file. */
  readonly target: {
    readonly kind: 'entrypoint' | 'handler'
    readonly module: string
    readonly function: string
    /** Where it stands in the file. */
    readonly path: Path
  }
  readonly framework: string
  readonly io: { readonly input?: JsonSchema; readonly output?: JsonSchema }
}

export interface Config {
  /** The file as it was named, for messages. */
  readonly file: string
  readonly format: 'yaml' | 'toml'
  /** Path text (`runcast.agents[0].name`) to line, for the messages of later checks. */
  readonly lines: ReadonlyMap<string, number>
  /** What `.env` and the defaults of optional secrets add to the environment; holds secrets, never print it. */
  readonly env: Readonly<Record<string, string>>
  /** The first is the default agent. Empty only for a TOML, which names none. */
  readonly agents: readonly AgentConfig[]
  readonly expose: {
    readonly rest: boolean
    readonly streaming: 'sse' | 'websocket' | 'none'
    readonly port: number
    readonly host: string
    /** Absent = no CORS headers. */
    readonly cors?: { readonly origins: readonly string[]; readonly methods: readonly string[] }
  }
  readonly streaming: {
    readonly asyncRuns: boolean
    readonly backend: Backend
    readonly allowClientIds: boolean
    readonly events: {
      readonly allowed: AllowedEvents
      readonly heartbeatIntervalMs: number
      readonly maxRunDurationMs: number
    }
    readonly connection: { readonly defaultTimeoutMs: number; readonly maxSubscribersPerRun: number }
    /** Present when the backend is redis or the section is there. */
    readonly redis?: {
      readonly url: string
      readonly streamTtlMs: number
      readonly maxEventsPerRun: number
      readonly connectionPoolSize: number
    }
  }
  readonly auth: {
    readonly mode: 'none' | 'api_key' | 'jwt'
    readonly apiKeys: {
      readonly envVar: string
      /** Several keys: every variable that begins with it. */
      readonly prefix?: string
      readonly header: string
      readonly allowBearer: boolean
    }
    readonly jwt?: {
      readonly keys: { readonly jwksUrl: string } | { readonly publicKeyEnv: string }
      readonly issuer?: string
      readonly audience?: string
      readonly algorithms: readonly string[]
      readonly leewayMs: number
      readonly claims: Readonly<Record<string, string>>
    }
    readonly roles: readonly { readonly name: string; readonly permissions: readonly Permission[] }[]
    readonly rateLimits: Readonly<Record<string, RateLimit>>
  }
  readonly policies: {
    readonly redactPatterns: readonly string[]
    readonly maxOutputChars?: number
    readonly blockPromptInjection: boolean
  }
  readonly secrets: readonly { readonly name: string; readonly description?: string; readonly required: boolean }[]
  /** Always filled: its path is where a sqlite backend would stand. `loadConfig` makes paths absolute. */
  readonly sqlite: { readonly path: string; readonly durability: 'process' | 'power' }
  readonly retention: {
    readonly ageMs: number
    readonly runsMax: number
    readonly bytesPerRun: number
    readonly bytesTotal: number
    readonly eventsPerRun: number
  }
  readonly cancelGraceMs: number
  /** Absent = a run goes on when nobody watches. */
  readonly cancelWhenUnwatchedMs?: number
  readonly shutdownGraceMs: number
  readonly onBusy: OnBusy
  readonly limits: {
    readonly bodyBytes: number
    readonly maxConnections: number
    readonly emitBytes: number
    readonly eventBytes: number
  }
  readonly direct: {
    readonly bufferSize: number
    readonly overflowStrategy: 'drop_oldest' | 'drop_newest' | 'block'
    readonly threshold: number
    readonly strategy: 'pause' | 'drop' | 'buffer'
  }
  readonly retryIntervalMs: number
  /** Present when WebSocket is asked for. */
  readonly websocket?: {
    readonly maxFrameBytes: number
    readonly compression: boolean
    readonly pingIntervalMs: number
  }
  readonly kafka?: {
    readonly brokers: readonly string[]
    readonly format: 'dashstream' | 'chat'
    readonly topic?: string
    readonly topicPrefix?: string
    readonly tls: boolean
    readonly ca?: string
    readonly cert?: string
    readonly key?: string
    readonly sasl?: {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
      readonly username: string
      readonly password: string
    }
  }
  readonly postgres?: { readonly url: string }
  readonly otel?: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> }
  readonly tls?: { readonly cert: string; readonly key: string }
}

export type Permission = (typeof permissions)[number]
