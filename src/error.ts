// The one error class and the ONE table of codes. Every transport derives its status from this table, so that
// the same failure looks the same over HTTP, gRPC, WebSocket and JSON-RPC. Foreign errors enter only by `from`.

/** What one code means on each wire. `retryable`: the same request may succeed later without being changed. */
interface CodeMeaning {
  readonly http: number
  readonly grpc: number
  readonly jsonrpc: number
  readonly retryable: boolean
}

/** Codes of refusals. The codes of a run's `error` event (`agent_error`, `interrupted`, …) are in {@link runErrorCodes}. */
export const codes = {
  invalid_request: { http: 400, grpc: 3, jsonrpc: 4009, retryable: false },
  invalid_run_id: { http: 400, grpc: 3, jsonrpc: 4007, retryable: false },
  refused_by_policy: { http: 400, grpc: 9, jsonrpc: 4009, retryable: false },
  unauthenticated: { http: 401, grpc: 16, jsonrpc: 4005, retryable: false },
  forbidden: { http: 403, grpc: 7, jsonrpc: 4005, retryable: false },
  not_found: { http: 404, grpc: 5, jsonrpc: 4002, retryable: false },
  conflict: { http: 409, grpc: 10, jsonrpc: 4009, retryable: false },
  thread_busy: { http: 409, grpc: 9, jsonrpc: 4009, retryable: true },
  run_ended: { http: 409, grpc: 9, jsonrpc: 4009, retryable: false },
  cursor_gone: { http: 410, grpc: 11, jsonrpc: 4009, retryable: false },
  too_large: { http: 413, grpc: 8, jsonrpc: 4016, retryable: false },
  invalid_input: { http: 422, grpc: 3, jsonrpc: 4007, retryable: false },
  too_many_readers: { http: 429, grpc: 8, jsonrpc: 4016, retryable: true },
  too_many_requests: { http: 429, grpc: 8, jsonrpc: 4016, retryable: true },
  overloaded: { http: 503, grpc: 8, jsonrpc: 4016, retryable: true },
  not_ready: { http: 503, grpc: 14, jsonrpc: 4013, retryable: true },
  unavailable: { http: 503, grpc: 14, jsonrpc: 4013, retryable: true },
  timeout: { http: 504, grpc: 4, jsonrpc: 4017, retryable: true },
  internal: { http: 500, grpc: 13, jsonrpc: 4018, retryable: false },
} as const satisfies Record<string, CodeMeaning>

export type Code = keyof typeof codes

/** Codes that the runtime puts into a run's `error` event; an agent may use others of its own. */
export const runErrorCodes = ['agent_error', 'timeout', 'interrupted', 'overloaded', 'invalid_output'] as const

/** Why something was refused, or how a run ended that did not complete. */
export type EndCode = Code | (typeof runErrorCodes)[number] | 'cancelled' | (string & {})

/** The only error that Runcast throws. `message` says what is wrong, with the numbers, and how to mend it. */
export class RuncastError extends Error {
  override readonly name = 'RuncastError'
  readonly code: EndCode
  /** What a program needs to act: the field at fault, the oldest kept sequence, the log's last, … */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: Code, message: string, options: { details?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }

  get http(): number {
    return meaningOf(this.code).http
  }

  get retryable(): boolean {
    return meaningOf(this.code).retryable
  }

  /** Any thrown value as a RuncastError: the way in for foreign errors. `code` is used when it is not one already. */
  static from(thrown: unknown, code: Code = 'internal'): RuncastError {
    if (thrown instanceof RuncastError) return thrown
    return new RuncastError(code, saidBy(thrown), { cause: thrown })
  }

  /** With the code of another error, or of a run's end: it may be an agent's own. */
  static of(code: EndCode, message: string, options: ConstructorParameters<typeof RuncastError>[2] = {}): RuncastError {
    return new RuncastError(code as Code, message, options)
  }

  /** The one error body of the HTTP API (PROTOCOL.md §6). */
  toJSON(): { success: false; error: string; code: EndCode; details: Readonly<Record<string, unknown>> } {
    return { success: false, error: this.message, code: this.code, details: this.details }
  }
}

/** What a thrown value says: anything can be thrown, and not every error has a message. */
export function saidBy(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown)
  const { message, name } = thrown as { message?: unknown; name?: unknown }
  const said = [message, name].find(text => typeof text === 'string' && text !== '')
  return (said as string | undefined) ?? 'an object without a message was thrown'
}

/** A code that is not ours says that something failed, and no more. */
function meaningOf(code: EndCode): CodeMeaning {
  return Object.hasOwn(codes, code) ? codes[code as Code] : codes.internal
}

/** A value of a caller in a message: quoted, and cut where it is long. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 140 ? `${text.slice(0, 140)}…` : text)
}
