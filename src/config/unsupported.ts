// What a Dockfile may say but this version cannot do yet. `validate` accepts it, `run` refuses it by this table:
// a key that is read and then ignored would be worse than one that is refused (H49, H109).
// Enabling a part = deleting its row.

import type { Config } from './config.ts'
import { lineOf, type Problem } from './problem.ts'

interface Row {
  readonly path: string
  readonly asked: (config: Config) => boolean
  readonly reason: string
  readonly fix: string
}

export const notYet: readonly Row[] = [
  {
    path: 'streaming.backend',
    asked: ({ streaming }) => streaming.backend === 'redis',
    reason: 'the redis backend is not in this version',
    fix: 'set backend: sqlite or memory',
  },
  {
    path: 'streaming.redis',
    // As it is written: the backend alone brings the section's defaults.
    asked: ({ lines }) => lines.has('streaming.redis'),
    reason: 'the redis backend is not in this version',
    fix: 'delete the section',
  },
  {
    path: 'expose.streaming',
    asked: ({ expose }) => expose.streaming === 'websocket',
    reason: 'WebSocket is not in this version',
    fix: 'set streaming: sse',
  },
  {
    path: 'streaming.websocket',
    asked: ({ expose, websocket }) => expose.streaming !== 'websocket' && websocket !== undefined,
    reason: 'WebSocket is not in this version',
    fix: 'delete the table',
  },
  {
    path: 'auth.mode',
    asked: ({ auth }) => auth.mode === 'jwt',
    reason: 'JWT is not in this version',
    fix: 'set mode: api_key',
  },
  {
    path: 'auth.jwt',
    asked: ({ auth }) => auth.jwt !== undefined,
    reason: 'JWT is not in this version',
    fix: 'delete the section',
  },
  {
    path: 'auth.roles',
    asked: ({ auth }) => auth.roles.length > 0,
    reason: 'roles are not in this version: every key may do everything',
    fix: 'delete the list',
  },
  {
    path: 'auth.rate_limits',
    asked: ({ auth }) => Object.keys(auth.rateLimits).length > 0,
    reason: 'rate limits are not in this version',
    fix: 'delete the section and limit in front of the server',
  },
  {
    path: 'policies.safety.block_prompt_injection',
    asked: ({ policies }) => policies.blockPromptInjection,
    reason: 'the check for prompt injection is not in this version',
    fix: 'set it to false',
  },
  {
    path: 'runcast.otel',
    asked: ({ otel }) => otel !== undefined,
    reason: 'the export to OpenTelemetry is not in this version',
    fix: 'delete the section',
  },
  {
    path: 'runcast.tls',
    asked: ({ tls }) => tls !== undefined,
    reason: 'TLS is not in this version',
    fix: 'delete the section and end TLS in front of the server',
  },
]

/** What the configuration asks for that cannot be done; empty when it can be run. */
export function unsupported(config: Config, rows: readonly Row[] = notYet): Problem[] {
  return rows
    .filter(({ asked }) => asked(config))
    .map(({ path, reason, fix }) => ({
      file: config.file,
      line: lineOf(config.lines, path.split('.')),
      path,
      value: undefined,
      message: reason,
      fix,
    }))
}
