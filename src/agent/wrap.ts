// Agents around agents: what an agent emits passes through a function before it reaches the run. It works alike for what
// is yielded and what is said through the context, and wraps compose: each is an agent again.
// It must keep the order of what was emitted, and let nothing pass once a wrap has failed the run.
import { RuncastError } from '../error.ts'
import type { Bodies, Body } from '../event.ts'
import { checkBody } from './check.ts'
import { basisOf, type Context, createContext, type Stored } from './context.ts'
import { type Agent, perform } from './define.ts'

export type Token = { readonly type: 'token' } & Bodies['token']

/** The agent with each token's text changed; `transform` may be async, the order stays. */
export function mapTokens<I, O>(
  agent: Agent<I, O>,
  transform: (content: string, token: Token) => string | Promise<string>,
): Agent<I, O> {
  const changed = (token: Token, content: string) => checkBody({ ...token, content })
  return through(agent, () => ({
    pass(body) {
      if (body.type !== 'token') return body
      const content = transform(body.content, body)
      return content instanceof Promise ? content.then(text => changed(body, text)) : changed(body, content)
    },
  }))
}

/** Says why a chunk is bad, or nothing when it is good. Throwing says the same; an error's own `code` becomes the run's. */
export type Validate = (chunk: Body) => string | undefined | Promise<string | undefined>

/** The agent up to its first bad chunk, which is not sent: there the run ends with one error, code `invalid_chunk`. */
export function validateChunks<I, O>(agent: Agent<I, O>, validate: Validate): Agent<I, O> {
  const judged = (chunk: Body, fault: string | undefined) => {
    if (fault !== undefined) throw invalid(fault)
    return chunk
  }
  return through(agent, () => ({
    pass(chunk) {
      const fault = validate(chunk)
      return fault instanceof Promise ? fault.then(said => judged(chunk, said)) : judged(chunk, fault)
    },
    failure: thrown => (hasCode(thrown) ? thrown : invalid(thrown instanceof Error ? thrown.message : String(thrown))),
  }))
}

/**
 * The agent with its text as its output, where it returns nothing itself. The text is that of its tokens, without their
 * reasoning, as they are inside this wrap: `assemble(mapTokens(agent, …))` sees the changed ones.
 */
export function assemble<I, O>(
  agent: Agent<I, O>,
  finalize: (text: string) => unknown = text => text,
): Agent<I, unknown> {
  return through(agent as Agent<I, unknown>, () => {
    let text = ''
    return {
      pass(body) {
        if (body.type === 'token' && body.channel !== 'reasoning') text += body.content
        return body
      },
      output: returned => (returned === undefined ? finalize(text) : returned),
    }
  })
}

/** What one run of a wrapped agent passes through. */
interface Passage<O> {
  /** The body to send in its place; throws to fail the run. */
  pass(body: Body): Body | Promise<Body>
  /** What a thrown value ends the run with; default: itself. */
  readonly failure?: (thrown: unknown) => unknown
  readonly output?: (returned: O) => O | Promise<O>
}

/** Bodies that may wait for a slow passage when nobody awaits their emits. A fast model takes minutes for so many. */
const waitingMax = 10_000

/** The agent with a passage of its own for each run. */
function through<I, O>(agent: Agent<I, O>, makePassage: () => Passage<O>): Agent<I, O> {
  const run = (input: I, outer: Context): Promise<O> => {
    const { pass, failure = thrown => thrown, output = returned => returned } = makePassage()
    const basis = basisOf(outer)
    const stopping = new AbortController()
    const signal = AbortSignal.any([basis.signal, stopping.signal])
    const failed = Promise.withResolvers<never>()
    const queue = createQueue()

    const fail = (thrown: unknown) => {
      failed.reject(thrown)
      stopping.abort(thrown) // the first reason stays
    }
    const passed = (body: Body): Body | Promise<Body> => {
      try {
        const next = pass(body)
        if (!(next instanceof Promise)) return next
        return next.catch(thrown => {
          throw failure(thrown)
        })
      } catch (thrown) {
        throw failure(thrown)
      }
    }
    const send = (body: Body): Stored => (stopping.signal.aborted ? refusal(signal.reason) : basis.emit(body))
    const emit = (body: Body): Stored => {
      if (stopping.signal.aborted) return refusal(stopping.signal.reason)
      let next: Body | Promise<Body> | undefined
      try {
        next = queue.idle ? passed(body) : undefined
      } catch (thrown) {
        fail(thrown)
        return refusal(thrown)
      }
      if (next && !(next instanceof Promise)) return send(next)
      if (queue.length >= waitingMax) {
        fail(new RuncastError('overloaded', `${waitingMax} events wait for a slow wrap; await the agent's emits`))
        return refusal(stopping.signal.reason)
      }
      return queue.add(async () => ({ stored: send(await (next ?? passed(body))) }), fail)
    }

    const congested = () => (queue.idle ? basis.congested() : queue.emptied().then(basis.congested))
    const inner = createContext({ ...basis, signal, emit, congested })
    const performed = perform(agent, input, inner, { signal, emit, congested })
    const finished = async () => {
      try {
        await performed
      } finally {
        await queue.emptied() // what was said before a failure stands before it
      }
      return output(await performed)
    }
    return Promise.race([finished(), failed.promise])
  }
  return { ...agent, run }
}

/** Jobs one after the other: what one sends stands before what the next one sends. */
function createQueue() {
  let tail: Promise<void> = Promise.resolve()
  let length = 0
  return {
    get idle() {
      return length === 0
    },
    get length() {
      return length
    },
    /** Resolves when all that was added so far is done; never rejects. */
    emptied: () => tail,
    /** The result resolves when what the job sent is stored; a job that throws is told to `failed` before the next one runs. */
    add(job: () => Promise<{ stored: Stored }>, failed: (thrown: unknown) => void): Promise<void> {
      length++
      // In a box, for a bare Stored would be awaited here and hold up the next job.
      const done = tail.then(job).finally(() => length--)
      tail = done.then(() => {}, failed)
      return quiet(done.then(({ stored }) => stored))
    },
  }
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'invalid_chunk' })
}

function hasCode(thrown: unknown): boolean {
  return typeof (thrown as { code?: unknown } | null)?.code === 'string'
}

function refusal(reason: unknown): Promise<void> {
  return quiet(Promise.reject(reason as Error))
}

/** Who awaits it is told; that nobody does is no unhandled rejection. */
function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => {})
  return promise
}
