// Where an adapter's events come from: what the user gave, opened once per run, and read ahead of a slow store, so
// that a stream which breaks cannot take with it what it had already brought. It must never outrun its bound, and never
// leave a source open behind a run that was cancelled.
import { RuncastError } from '../../error.ts'
import type { AgentOptions } from '../define.ts'
import type { Context } from '../context.ts'

/** What an adapter takes: a function that opens a stream for a run, or one stream for one run. */
export type Opened<I, S extends object> = S | ((input: I, context: Context) => S | PromiseLike<S>)

export type AdapterOptions<I, O> = AgentOptions<I, O>

/** Chunks read before they were asked for: some ten seconds of a fast model. */
const readAheadChunksMax = 1_024

/** The stream of a run. A stream that was given ready-made can be read by one run only. */
export function opener<I, S extends object>(
  adapter: string,
  given: Opened<I, S>,
): (input: I, context: Context) => S | PromiseLike<S> {
  if (typeof given === 'function') return given as (input: I, context: Context) => S | PromiseLike<S>
  let taken = false
  return () => {
    if (taken) {
      const fix = `give ${adapter} a function that opens a stream for each run: ${adapter}((input, context) => …)`
      throw new RuncastError('invalid_request', `the stream given to ${adapter} was read by an earlier run; ${fix}`)
    }
    taken = true
    return given
  }
}

/** The options of an agent of this framework; its name is the function's, when it has one. */
export function agentOptions<I, O>(
  framework: string,
  given: object,
  { name, ...options }: AdapterOptions<I, O>,
): AgentOptions<I, O> & { readonly name: string } {
  const own = typeof given === 'function' ? given.name : ''
  return { framework, ...options, name: name ?? (own || 'agent') }
}

/** Reads a source as fast as it comes, up to the bound; throws the signal's reason as soon as it aborts. */
export async function* readAhead<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, void> {
  const iterator = source[Symbol.asyncIterator]()
  let chunks: T[] = []
  let arrived = Promise.withResolvers<void>()
  let room = Promise.withResolvers<void>()
  let failure: { readonly error: unknown } | undefined
  let ended = false
  let left = false

  const pump = async () => {
    try {
      while (!left) {
        const { value, done } = await iterator.next()
        if (done) break
        chunks.push(value)
        arrived.resolve()
        if (chunks.length >= readAheadChunksMax) await room.promise
      }
    } catch (error) {
      failure = { error }
    }
    ended = true
    arrived.resolve()
  }
  const onAbort = () => arrived.resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    void pump()
    for (;;) {
      await arrived.promise
      signal.throwIfAborted()
      const taken = chunks
      chunks = []
      arrived = Promise.withResolvers()
      if (ended) arrived.resolve()
      room.resolve()
      room = Promise.withResolvers()
      yield* taken
      if (ended && chunks.length === 0) break
    }
    if (failure) throw failure.error
  } finally {
    left = true
    room.resolve()
    signal.removeEventListener('abort', onAbort)
    // Behind a pending read this waits for it, so nobody waits for this.
    iterator.return?.().then(undefined, () => {})
  }
}
