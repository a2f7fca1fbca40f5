// What users write. An agent is a function of its input and a context; how it streams is up to it: an async generator
// yields, an async function emits through the context, and both may do both. This file must never know a log.
import { RuncastError, shown } from '../error.ts'
import { type Body } from '../event.ts'
import { checkBody, looksLikeEvent } from './check.ts'
import { type Context, inContext, type Stored } from './context.ts'
import { checkSchema, type Schema } from './schema.ts'

/** The output, or a generator that yields events and returns it. */
export type AgentResult<O> =
  | O
  | Promise<O>
  | AsyncGenerator<unknown, O, unknown>
  | Promise<AsyncGenerator<unknown, O, unknown>>
  | Generator<unknown, O, unknown>
export type AgentFunction<I = unknown, O = unknown> = (input: I, context: Context) => AgentResult<O>

export interface AgentOptions<I = unknown, O = unknown> {
  /** What callers name; lower case letters, digits and hyphens. Default: the function's name. */
  readonly name?: string
  readonly description?: string
  /** What `started.framework` says. Default `runcast`. */
  readonly framework?: string
  /** Checked before the agent runs; also its OpenAPI, if the schema tells its JSON Schema (`~standard.jsonSchema`). */
  readonly input?: Schema<I>
  /** Checked at the end: an output that does not fit ends the run with `invalid_output`. */
  readonly output?: Schema<O>
  /** What `started.scenario` says. */
  readonly scenario?: string
  /**
   * What becomes of a run whose server died. Default: it ends as `interrupted`. `replay`: the agent is deterministic, so it
   * is run again with the same input, and goes on where its log ends; what it did outside, it does again.
   */
  readonly restart?: 'replay'
  /** Every yield is an `item`, strings too (tools of the olane kind). */
  readonly yieldsItems?: boolean
}

export interface Agent<I = unknown, O = unknown> extends AgentOptions<I, O> {
  readonly name: string
  readonly framework: string
  // A method, so that an agent of any input fits where agents are listed; `checked` sees to the input.
  run(input: I, context: Context): AgentResult<O>
}

/** Defines an agent: `defineAgent(async function* greet({ who }) { yield 'Hello ' })`, or with options first. */
export function defineAgent<I, O>(run: AgentFunction<I, O>): Agent<I, O>
export function defineAgent<I, O>(options: AgentOptions<I, O>, run: AgentFunction<I, O>): Agent<I, O>
export function defineAgent<I, O>(
  first: AgentOptions<I, O> | AgentFunction<I, O>,
  second?: AgentFunction<I, O>,
): Agent<I, O> {
  const [options, run] = typeof first === 'function' ? [{}, first] : [first, second as AgentFunction<I, O>]
  return { framework: 'runcast', ...options, name: options.name ?? (run.name || 'agent'), run }
}

/** What the runtime gives an agent's run: where yields go, and whether to hold back. */
export interface Stage {
  readonly signal: AbortSignal
  emit(body: Body): Stored
  /** A promise while the agent is to wait: what it emitted is not stored yet, or its reader is too far behind. */
  congested(): Promise<void> | undefined
}

/** Runs an agent to its end and returns its output. On abort a generator gets `return()`. */
export function perform<I, O>(agent: Agent<I, O>, input: I, context: Context, stage: Stage): Promise<O> {
  return inContext(context, async () => {
    const result = await agent.run(input, context)
    return isGenerator<O>(result) ? drain(result, agent.yieldsItems === true, stage) : result
  })
}

type Yields<O> = AsyncGenerator<unknown, O> | Generator<unknown, O>

async function drain<O>(generator: Yields<O>, itemsOnly: boolean, stage: Stage): Promise<O> {
  // `return()` queues behind a pending `next()`: an agent that ignores its signal is abandoned after the grace, not here.
  let wake = () => {}
  const stop = () => {
    void (async () => generator.return(undefined as never))().catch(() => {})
    wake()
  }
  if (stage.signal.aborted) stop()
  else stage.signal.addEventListener('abort', stop, { once: true })
  try {
    let step = await generator.next()
    while (!step.done) {
      try {
        void stage.emit(bodyOf(step.value, itemsOnly))
      } catch (refusal) {
        step = await generator.throw(refusal) // it may catch what it yielded wrongly, as it could at a call
        continue
      }
      const waiting = stage.congested()
      if (waiting && !stage.signal.aborted) {
        // Not `Promise.race` with the signal: it would keep a reaction for each wait as long as the run lives.
        await new Promise<void>((resolve, reject) => {
          wake = resolve
          waiting.then(resolve, reject)
        })
      }
      step = await generator.next()
    }
    return step.value
  } finally {
    stage.signal.removeEventListener('abort', stop)
  }
}

/** What a yield means: a string is a token, an object with one of our types is that event, anything else is an item. */
function bodyOf(value: unknown, itemsOnly: boolean): Body {
  if (!itemsOnly) {
    if (typeof value === 'string') return { type: 'token', content: value }
    if (looksLikeEvent(value)) return checkBody(value)
  }
  if (value instanceof Uint8Array) {
    return { type: 'item', bytes: Buffer.from(value).toString('base64'), media_type: 'application/octet-stream' }
  }
  return checkBody({ type: 'item', data: value })
}

/** One that is not async too: without `await` it is easily forgotten, and its output would be an empty object. */
function isGenerator<O>(value: unknown): value is Yields<O> {
  if (typeof value !== 'object' || value === null || !('next' in value) || !('return' in value)) return false
  return Symbol.asyncIterator in value || Symbol.iterator in value
}

/** Refuses agents that nobody could call: a second one of a name, one whose schema checks nothing. */
export function checkAgents(agents: readonly Agent[]): void {
  const names = new Set<string>()
  for (const { name, input, output } of agents) {
    if (names.has(name)) throw new RuncastError('invalid_request', `two agents are called ${name}; rename one`)
    names.add(name)
    checkSchema(input, `agent ${name}: its input schema`)
    checkSchema(output, `agent ${name}: its output schema`)
  }
}

/** The agent of that name; without a name the first. Throws `not_found` that says which there are. */
export function agentOf(agents: readonly Agent[], name: string | undefined): Agent {
  const agent = name === undefined ? agents[0] : agents.find(one => one.name === name)
  if (agent) return agent
  const known = agents.map(one => one.name).join(', ') || 'none'
  throw new RuncastError('not_found', `there is no agent ${shown(name ?? '')}; there is: ${known}`)
}
