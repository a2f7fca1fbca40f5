// An agent out of a compiled LangGraph: nodes as steps, model answers as tokens, tools, custom writes, and interrupts
// as questions to whoever reads the run. The package is the user's: only the shapes that are read stand here.
// It must never leave a graph running behind a cancel, and never answer an interrupt by itself.
import type { Body } from '../../event.ts'
import { looksLikeEvent } from '../check.ts'
import type { Context } from '../context.ts'
import { type Agent, defineAgent } from '../define.ts'
import { type MessageMetadata, messageReader, type ToolEvent } from './langgraph-messages.ts'
import { type Message, plain } from './langgraph-values.ts'
import { modelError } from './model-error.ts'
import { type AdapterOptions, agentOptions, readAhead } from './source.ts'

/** A compiled graph. `never` because each graph has its own input and options. */
export interface LangGraph {
  readonly name?: string
  stream(input: never, options?: never): Promise<AsyncIterable<unknown>>
}

export interface LangGraphOptions<I> extends AdapterOptions<I, unknown> {
  /** What the graph is given for a run's input. Default: the input. */
  readonly graphInput?: (input: I, context: Context) => unknown
  /** Further options of `graph.stream`: `recursionLimit`, `context`, `configurable`, `callbacks`, … */
  readonly config?: Readonly<Record<string, unknown>>
  /** The run's output for the final values of the graph's state. Default: the values. */
  readonly graphOutput?: (values: unknown) => unknown
  /** Makes the graph's `Command` for answers: `value => new Command({ resume: value })`. Default: an object like it. */
  readonly resume?: (value: unknown) => unknown
}

const streamMode = ['messages', 'tasks', 'tools', 'custom', 'updates', 'values'] as const

/** What the modes bring: the namespace of a subgraph, the mode, and its value. */
type Part =
  | readonly [readonly string[], 'messages', readonly [Message, MessageMetadata]]
  | readonly [readonly string[], 'tasks', Task]
  | readonly [readonly string[], 'tools', ToolEvent]
  | readonly [readonly string[], 'custom' | 'values', unknown]
  | readonly [readonly string[], 'updates', { readonly __interrupt__?: readonly Interrupt[] }]
interface Task {
  readonly id: string
  readonly name: string
  readonly input?: unknown
  readonly result?: unknown
  readonly error?: unknown
}
interface Interrupt {
  readonly id?: string
  readonly value?: unknown
}

/**
 * `fromLangGraph(graph)`. The thread of the run is the graph's `thread_id`; a custom write that is one of our events
 * (`{ type: 'progress', … }`) is that event, anything else an item. The output is the final state.
 */
export function fromLangGraph<I = unknown>(graph: LangGraph, options: LangGraphOptions<I> = {}): Agent<I, unknown> {
  const { graphInput, config = {}, graphOutput = plain, resume = command, ...rest } = options
  return defineAgent<I, unknown>(agentOptions('langgraph', graph, rest), async function* (input, context) {
    const reader = partReader()
    const { callbacks = [], configurable, ...given } = config
    const streamOptions = {
      ...given,
      streamMode,
      subgraphs: true,
      signal: context.signal,
      configurable: { thread_id: context.thread_id ?? context.run_id, ...(configurable as object | undefined) },
      callbacks: Array.isArray(callbacks) ? [...(callbacks as unknown[]), reader.callbacks] : callbacks,
    }
    let next = graphInput ? graphInput(input, context) : input
    try {
      for (;;) {
        const stream = await graph.stream(next as never, streamOptions as never)
        for await (const part of readAhead(stream, context.signal)) yield* reader.read(part as Part)
        const interrupts = reader.takeInterrupts()
        if (!interrupts) return graphOutput(reader.values())
        next = resume(await answersTo(interrupts, context))
      }
    } catch (error) {
      throw modelError(error)
    }
  })
}

function partReader() {
  const messages = messageReader()
  let values: unknown
  let interrupts: Map<string, Interrupt> | undefined

  function* read([namespace, mode, value]: Part): Generator<Body, void, void> {
    switch (mode) {
      case 'messages':
        yield* messages.message(...value)
        return
      case 'tools':
        yield* messages.tool(value)
        return
      case 'tasks':
        if (!('input' in value)) yield* messages.taskEnd(value.id, !value.error)
        yield step(value)
        return
      case 'custom':
        yield looksLikeEvent(value) ? value : { type: 'item', data: value === undefined ? null : value }
        return
      case 'updates':
        // Those of a subgraph come again from its parent, with the same ids.
        for (const [index, interrupt] of (namespace.length === 0 ? (value.__interrupt__ ?? []) : []).entries()) {
          interrupts ??= new Map()
          interrupts.set(interrupt.id ?? String(index), interrupt)
        }
        return
      case 'values':
        if (namespace.length === 0 && !isInterruption(value)) values = value
    }
  }

  return {
    read,
    callbacks: messages.callbacks,
    values: () => values,
    takeInterrupts(): readonly Interrupt[] | undefined {
      const taken = interrupts && [...interrupts.values()]
      interrupts = undefined
      return taken
    },
  }
}

function isInterruption(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '__interrupt__' in value
}

function step(task: Task): Body {
  const { name, input, result, error } = task
  if ('input' in task) {
    return { type: 'step', node_name: name, phase: 'start', ...keys('input_keys', input) }
  }
  return { type: 'step', node_name: name, phase: error ? 'error' : 'end', ...keys('output_keys', result) }
}

function keys(field: 'input_keys' | 'output_keys', value: unknown): object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { [field]: Object.keys(value) } : {}
}

/** Asks for each interrupt, one after the other; the answers by the interrupts' ids, as `resume` takes them. */
async function answersTo(interrupts: readonly Interrupt[], context: Context): Promise<unknown> {
  const answers: [string | undefined, unknown][] = []
  for (const { id, value } of interrupts) {
    const details = value === undefined || typeof value === 'string' ? {} : { details: { value: plain(value) } }
    answers.push([id, await context.ask(promptOf(value), { ...(id !== undefined && { input_id: id }), ...details })])
  }
  const named = answers.filter((answer): answer is [string, unknown] => answer[0] !== undefined)
  return named.length === answers.length ? Object.fromEntries(named) : answers[0]?.[1]
}

function promptOf(value: unknown): string {
  if (typeof value === 'string') return value
  const { question, prompt, message } = (value ?? {}) as Record<string, unknown>
  const told = [question, prompt, message].find(text => typeof text === 'string')
  return (told as string | undefined) ?? 'The graph waits for an answer'
}

/** What LangGraph takes for a Command: an object that is not plain and has this name. */
function command(resume: unknown): object {
  return Object.assign(Object.create({ lg_name: 'Command' }) as object, { resume })
}
