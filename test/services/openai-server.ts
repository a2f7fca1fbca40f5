// An OpenAI-compatible model server on loopback, for tests: real HTTP, recorded answers (openai-shapes.ts), errors and
// cuts included. The model's name, or else the last user message, names the answer. It records what was asked and who
// left early. It must never answer what no provider would.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Asked, chatAnswer, responsesAnswer } from './openai-shapes.ts'

/** One request, as it came. */
export interface Recorded {
  readonly path: string
  readonly body: RequestBody
  /** Frames that were written. */
  sent: number
  /** Resolves when the connection is done with; true when the client left before the answer was whole. */
  readonly left: Promise<boolean>
}

export interface RequestBody {
  readonly model: string
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean }
  readonly messages?: readonly Said[]
  readonly input?: string | readonly Said[]
}
interface Said {
  readonly role?: string
  readonly type?: string
  readonly content?: string | readonly { readonly text?: string }[]
}

export interface OpenAIServer extends AsyncDisposable {
  /** What a client takes as its base URL. */
  readonly url: string
  readonly requests: Recorded[]
  /** Resolves with the next request that begins. */
  next(): Promise<Recorded>
}

export async function startOpenAIServer(): Promise<OpenAIServer> {
  const requests: Recorded[] = []
  let waiting: ((request: Recorded) => void)[] = []
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy())
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await bodyOf(request)) as RequestBody
    const left = Promise.withResolvers<boolean>()
    const leaving = new AbortController()
    let whole = false
    response.once('close', () => {
      leaving.abort()
      left.resolve(!whole)
    })
    const path = request.url ?? ''
    const recorded: Recorded = { path, body, sent: 0, left: left.promise }
    requests.push(recorded)
    for (const resolve of waiting) resolve(recorded)
    waiting = []
    const answer = answerTo(path, body, requests.length)
    if (!answer || answer.refuse) {
      const notFound = { error: { message: `no such model or path: ${body.model} ${path}`, code: 'model_not_found' } }
      const { status, body: refusal } = answer?.refuse ?? { status: 404, body: notFound }
      whole = true
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(refusal))
      return
    }
    whole = await play(answer, { path, response, recorded, signal: leaving.signal })
  }

  server.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    next: () => new Promise(resolve => waiting.push(resolve)),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

interface Playing {
  readonly path: string
  readonly response: ServerResponse
  readonly recorded: Recorded
  readonly signal: AbortSignal
}

/** Sends the answer, chunk by chunk; true when it was sent to its end. */
async function play(answer: Answer, { path, response, recorded, signal }: Playing): Promise<boolean> {
  if (answer.acts[0] === 'silence') return false // headers never come; the connection stays
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  const named = path.endsWith('/responses')
  let burst = ''
  for (const act of answer.acts) {
    if (signal.aborted) return false
    if (act === 'cut' || act === 'silence') {
      response.destroy()
      return false
    }
    if ('waitMs' in act) {
      await sleep(act.waitMs, undefined, { signal }).catch(() => {})
      continue
    }
    const { type } = act.data as { type?: string }
    const frame = `${named && type ? `event: ${type}\n` : ''}data: ${JSON.stringify(act.data)}\n\n`
    recorded.sent++
    if (answer.burst) {
      burst += frame
      continue
    }
    response.write(frame)
    if (recorded.sent % framesPerTurn === 0) await nextTurn()
  }
  response.end(burst + (answer.quiet || named ? '' : 'data: [DONE]\n\n'))
  return true
}

/** A turn of the event loop between frames: they arrive in several reads, as from a model. */
const framesPerTurn = 2

function answerTo(path: string, body: RequestBody, id: number): Answer | undefined {
  const said = body.messages ?? (Array.isArray(body.input) ? (body.input as readonly Said[]) : [])
  const last = said.at(-1)
  const asked: Asked = {
    id,
    model: body.model,
    usage: body.stream_options?.include_usage === true,
    afterTools: last?.role === 'tool' || last?.type === 'function_call_output',
  }
  const user = said.findLast(message => message.role === 'user')?.content ?? body.input
  const asking = Array.isArray(user) ? user.map(part => (part as { text?: string }).text ?? '').join('') : user
  const answer = path === '/v1/chat/completions' ? chatAnswer : path === '/v1/responses' ? responsesAnswer : undefined
  return answer?.(body.model, asked) ?? (typeof asking === 'string' ? answer?.(asking, asked) : undefined)
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return JSON.parse(Buffer.concat(chunks).toString())
}
