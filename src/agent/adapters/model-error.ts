// What a model's API threw, as the end of a run: the provider's own code where it has one, else the HTTP status, and a
// message that says both. Clients differ in where they put these; readers of a run must not have to know that.
// It must never carry the request, its headers or its key into an event.
import { RuncastError } from '../../error.ts'

/** What the clients' errors may hold: `openai`, the AI SDK and LangChain. */
interface Told {
  readonly message?: unknown
  readonly code?: unknown
  readonly type?: unknown
  readonly status?: unknown
  readonly statusCode?: unknown
  readonly lc_error_code?: unknown
  readonly data?: { readonly error?: Told; readonly code?: unknown } | null
  readonly error?: Told | null
  readonly lastError?: unknown
  readonly cause?: unknown
}

/** Causes of causes that are looked at; the clients nest two or three. */
const causesMax = 8
const connectionCode = /^(UND_ERR_|ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_|ETIMEDOUT)/

/** The error to throw from an agent: its `code` becomes that of the run's `error` event. */
export function modelError(thrown: unknown): unknown {
  if (typeof thrown !== 'object' || thrown === null || thrown instanceof RuncastError) return thrown
  const told = ((thrown as Told).lastError ?? thrown) as Told // of several attempts, the last one says why
  const lost = lostConnection(told)
  if (lost !== undefined) {
    return coded(`the connection to the model was lost: ${lost}`, 'connection_lost', thrown)
  }
  const status = [told.status, told.statusCode].find(isRefusal)
  const code = codeOf(told) ?? (status === undefined ? undefined : `http_${status}`)
  const message = messageOf(told)
  const whole = status === undefined || message.startsWith(String(status)) ? message : `${status} ${message}`
  return code === undefined ? thrown : coded(whole, code, thrown)
}

/** A stream that ended before the model said that it was done: what came is not the whole answer. */
export function incompleteStream(missing: string): Error {
  return coded(`the model's stream ended without ${missing}: the answer is not whole`, 'incomplete_stream')
}

export function coded(message: string, code: string, cause?: unknown): Error {
  return Object.assign(new Error(message, cause === undefined ? {} : { cause }), { code })
}

function isRefusal(status: unknown): status is number {
  return typeof status === 'number' && status >= 400
}

/** A code in words; a number is an HTTP status again, and `type` is the class of errors when there is no code. */
function codeOf(told: Told): string | undefined {
  const inner = [told.code, told.data?.error?.code, told.data?.code, told.error?.code]
  const outer = [lowered(told.lc_error_code), told.data?.error?.type, told.error?.type]
  return [...inner, ...outer].find(code => typeof code === 'string' && code !== '') as string | undefined
}

function lowered(code: unknown): unknown {
  return typeof code === 'string' ? code.toLowerCase() : undefined
}

function messageOf(told: Told): string {
  return typeof told.message === 'string' && told.message !== '' ? told.message : 'the model failed without a message'
}

/** What the socket said, if a socket is the cause. */
function lostConnection(told: Told): string | undefined {
  let at: Told | undefined = told
  for (let depth = 0; depth < causesMax && typeof at === 'object' && at !== null; depth++) {
    if (typeof at.code === 'string' && connectionCode.test(at.code)) return `${messageOf(at)} (${at.code})`
    at = at.cause as Told | undefined
  }
  return undefined
}
