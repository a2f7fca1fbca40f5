// What `import … from 'runcast'` gives. Names only: nothing is defined here, and nothing that needs an optional package.
export { aiSDKEvents, type AISDKResult, fromAISDK } from './agent/adapters/aisdk.ts'
export { fromLangGraph, type LangGraph, type LangGraphOptions } from './agent/adapters/langgraph.ts'
export { fromOpenAI, openAIEvents, type OpenAIStream } from './agent/adapters/openai.ts'
export { type Context, getCurrentContext, type Question } from './agent/context.ts'
export {
  type Agent,
  type AgentFunction,
  type AgentOptions,
  type AgentResult,
  defineAgent,
} from './agent/define.ts'
export type { JsonSchema, Schema, StandardSchema } from './agent/schema.ts'
export { assemble, mapTokens, type Token, type Validate, validateChunks } from './agent/wrap.ts'
export { memory } from './backends/memory.ts'
export type { Batch, Gap } from './batch.ts'
export { realDeps } from './deps.ts'
export {
  direct,
  type DirectOptions,
  type DirectStream,
  type End,
  eventsOf,
  invoke,
  output,
  stream,
  type StreamOptions,
} from './direct.ts'
export { type Code, codes, type EndCode, RuncastError, runErrorCodes } from './error.ts'
export { type Event, type EventOf, type EventType, eventTypes, isTerminal, type Json } from './event.ts'
export type { Bounds } from './layers/bounded.ts'
export type { Head, Log, Status } from './log.ts'
export type { RunInfo } from './run-info.ts'
export { createRuns } from './local-runs.ts'
export type {
  Deps,
  FollowRunOptions,
  ListFilter,
  LocalRuns,
  Message,
  Page,
  Principal,
  Runs,
  RunsOptions,
  StartOptions,
  Target,
} from './runs.ts'
export { emptyView, fold, foldBatch, type Part, textOf, usageOf, type View } from './state/fold.ts'
