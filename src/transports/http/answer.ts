// What an answer that is not 2xx means: the error that the server threw, rebuilt, or the nearest one to what a proxy in
// between said. It must never lose the server's code, message and details.
import { type Code, codes, RuncastError } from '../../error.ts'

/** The error in a response; its body is read. */
export async function errorOf(response: Response): Promise<RuncastError> {
  const { status } = response
  const body = await response.json().catch(() => undefined)
  if (typeof body === 'object' && body !== null && typeof body.error === 'string' && typeof body.code === 'string') {
    const { error, code, details } = body as { error: string; code: string; details?: Record<string, unknown> }
    if (Object.hasOwn(codes, code)) return new RuncastError(code as Code, error, { details: { ...details } })
    return new RuncastError('internal', error, { details: { ...details, code, status } })
  }
  return new RuncastError(codeOfStatus(status), `the server answered ${status} ${response.statusText}`.trim(), {
    details: { status },
  })
}

/** Whether the same request may be answered otherwise later; a reader asks again for ever. */
export function mayPass(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429
}

/** When the server wants to be asked again. */
export function retryAfterMs(response: Response): number | undefined {
  const seconds = response.headers.get('retry-after') ?? ''
  return /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1000 : undefined
}

/** `fetch failed` says nothing; its cause does. */
export function messageOf(thrown: unknown): string {
  const { message, cause } = thrown as { message?: string; cause?: { message?: string } }
  return cause?.message ? `${message}: ${cause.message}` : (message ?? String(thrown))
}

const ofStatus: Readonly<Record<number, Code>> = {
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  408: 'timeout',
  409: 'conflict',
  410: 'cursor_gone',
  413: 'too_large',
  422: 'invalid_input',
  429: 'too_many_requests',
  502: 'unavailable',
  503: 'unavailable',
  504: 'timeout',
}

function codeOfStatus(status: number): Code {
  return ofStatus[status] ?? (status >= 500 ? 'internal' : 'invalid_request')
}
