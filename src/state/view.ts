// The view: what a run amounts to at a cursor, as plain snake_case JSON. One shape serves the stored message, the
// snapshot of the HTTP API, the page, the inspector and what retention leaves at a cut; fold.ts makes it.
// It must stay data: a view survives JSON.parse(JSON.stringify(view)), and nothing in it needs anything beside it.
import type { Bodies, FinishReason, TextPosition, ToolStage, Usage } from '../event.ts'

/** Blocks kept of a run besides its text, of which nothing is forgotten. More than anyone scrolls through; the oldest finished ones go first. */
export const partsMax = 2_048
/** Steps kept, as many as an inspector's table still draws in a frame; the oldest closed ones go first. */
export const stepsMax = 1_024
/** How many are forgotten at once, so that forgetting costs each event a constant share. */
export const trimCount = 256
/** Requests that write tokens at the same time; of more, the one that began first counts as finished. */
export const writersMax = 64
/** Progress bars kept; a run has a handful, and more of them is no overview. */
export const progressMax = 128
/** Checkpoints kept, one per name; each is a whole state, so few. */
export const checkpointsMax = 16
/** Warnings kept, the newest: enough to see what repeats. */
export const warningsMax = 128
/** Open questions kept; a person answers them one by one. */
export const questionsMax = 128
/** Holes kept; one already means that the view is incomplete. */
export const gapsMax = 64
/** Models told apart in the usage; past it the sum still counts, the split does not. */
export const modelsMax = 64

export interface View {
  /** Changes when this shape does: stored views outlive the process that wrote them. */
  readonly view_version: 1
  /** Empty before the first event of a run that was not named, and for a direct stream. */
  run_id: string
  /** Sequence of the last event folded in; 0 before the first. The cursor to go on from. */
  at: number
  status: 'accepted' | 'running' | 'completed' | 'failed' | 'cancelled'
  agent_name?: string
  framework?: string
  thread_id?: string
  scenario?: string
  user_id?: string
  company_id?: string
  /** Timestamps of `started`, of the event at `at`, of the terminal event: ISO 8601, UTC. */
  started_at?: string
  updated_at?: string
  ended_at?: string
  /** The run's content, in the order in which each block began. Entries are replaced, never changed. */
  parts: Part[]
  /** Positions in `parts` of text, reasoning and tool parts that are open, in order. Derived, so that a token finds its part at once. */
  open_parts: number[]
  /** How many of `parts` are text or text_block. Derived too, so that the bound on the others costs nothing to keep. */
  text_parts: number
  /** In order of their start. B lies within A when its sequence and last_sequence do; names pair innermost first. */
  steps: Step[]
  /** The latest of each step, in order of first appearance. */
  progress: Progress[]
  state: ViewState
  /** The latest of each name, oldest first. */
  checkpoints: Checkpoint[]
  /** Sum of the `metrics` events of scope `llm`; absent = none was told, which is not zero. */
  usage?: ViewUsage
  warnings: Warning[]
  /** What a person is still asked. Empty once the run ended. */
  questions: Question[]
  /** How the run ended, with the fields of its terminal event. */
  terminal?: Terminal
  /** Events that were never seen. While there is one, the view is incomplete. */
  gaps: Hole[]
  /** How many entries each bound above made the view forget. */
  dropped: Readonly<Record<Bounded, number>>
}

/** The lists of a view that have a bound. */
export type Bounded = 'parts' | 'steps' | 'progress' | 'checkpoints' | 'warnings' | 'questions' | 'gaps'

interface PartBase {
  /** `p` and the sequence of the event that began it: the same for every reader, live, late or replayed. */
  readonly part_id: string
  readonly started_at: string
}

/** Consecutive tokens of one llm_request_id and channel. */
export interface TextPart extends PartBase {
  readonly kind: 'text' | 'reasoning'
  readonly content: string
  /** Further tokens may follow. */
  readonly open: boolean
  readonly llm_request_id?: string
  readonly model?: string
  /** As the newest token had it. */
  readonly index?: number
  readonly finish_reason?: FinishReason
  readonly ended_at?: string
}

/** A whole `text` event. */
export interface TextBlockPart extends PartBase {
  readonly kind: 'text_block'
  readonly content: string
  readonly language?: string
  readonly position?: TextPosition
}

/** A later chart of the same chart_id takes this place. */
export type ChartPart = PartBase & { readonly kind: 'chart' } & Readonly<Bodies['chart']>

/** All events of one call_id. */
export interface ToolPart extends PartBase {
  readonly kind: 'tool'
  readonly call_id: string
  readonly tool_name: string
  /** As last told; a call that the end of the run cut off keeps its stage and is closed. */
  readonly stage: ToolStage
  readonly open: boolean
  /** The joined deltas of stage `arguments`. */
  readonly arguments_text?: string
  /** As told whole, else parsed from the deltas once another stage follows; absent while incomplete or not JSON. */
  readonly arguments?: unknown
  readonly result?: unknown
  readonly error?: string
  readonly duration_ms?: number
  readonly retry_count?: number
  readonly ended_at?: string
}

/** A value the agent yielded, or an output that nothing else showed: `data`, or `bytes` (base64) with `media_type`. */
export interface ItemPart extends PartBase {
  readonly kind: 'item'
  readonly data?: unknown
  readonly bytes?: string
  readonly media_type?: string
}

/** An event of the agent's own, or of a newer server. */
export interface CustomPart extends PartBase {
  readonly kind: 'custom'
  readonly name: string
  readonly data: unknown
  readonly other?: Record<string, unknown>
}

export interface InputPart extends PartBase {
  readonly kind: 'input'
  readonly input_id: string
  /** `answer` only when the question itself was not seen. */
  readonly input_kind: 'question' | 'approval' | 'answer'
  readonly prompt?: string
  readonly details?: Record<string, unknown>
  readonly answered: boolean
  readonly value?: unknown
  readonly by?: string
}

export type Part = TextPart | TextBlockPart | ChartPart | ToolPart | ItemPart | CustomPart | InputPart

export interface Step {
  /** `s` and the sequence of the event that began it. */
  readonly step_id: string
  readonly node_name: string
  /** As last told; a step that the end of the run cut off keeps `start` and is closed. */
  readonly phase: 'start' | 'end' | 'error'
  readonly open: boolean
  readonly sequence: number
  readonly last_sequence: number
  /** Absent when only the end was told. */
  readonly started_at?: string
  readonly ended_at?: string
  /** As told, else from the two timestamps. */
  readonly duration_ms?: number
  readonly input_keys?: string[]
  readonly output_keys?: string[]
}

interface At {
  readonly sequence: number
  readonly timestamp: string
}
export type Progress = At & Readonly<Bodies['progress']>
export type Checkpoint = At & Readonly<Bodies['checkpoint']>
export type Warning = At & Readonly<Bodies['warning']>

export interface ViewState {
  /** null before the first `state` event. */
  readonly value: unknown
  readonly version: number
  /** false: a change was missed or did not fit; `value` is old, and stays until a snapshot comes. */
  readonly certain: boolean
}

export interface UsageSum extends Usage {
  cost_usd?: number
}

export interface ViewUsage extends UsageSum {
  /** The same by `tags.model`; a list, because a model may have any name. */
  by_model?: ({ readonly model: string } & UsageSum)[]
}

export interface Question {
  readonly input_id: string
  readonly kind: 'question' | 'approval'
  readonly part_id: string
  readonly prompt?: string
  readonly details?: Record<string, unknown>
}

/** Sequences `from` to `to`, both missing. */
export interface Hole {
  readonly from: number
  readonly to: number
}

export type Terminal = {
  [T in 'complete' | 'error' | 'cancelled']: { readonly type: T } & Readonly<Bodies[T]>
}['complete' | 'error' | 'cancelled']

/** The view at cursor 0. */
export function emptyView(run_id = ''): View {
  return {
    view_version: 1,
    run_id,
    at: 0,
    status: 'accepted',
    parts: [],
    open_parts: [],
    text_parts: 0,
    steps: [],
    progress: [],
    state: { value: null, version: 0, certain: true },
    checkpoints: [],
    warnings: [],
    questions: [],
    gaps: [],
    dropped: { parts: 0, steps: 0, progress: 0, checkpoints: 0, warnings: 0, questions: 0, gaps: 0 },
  }
}

/**
 * The text of a run and nothing else: token parts of the text channel exactly joined, whole `text` blocks as
 * paragraphs of their own.
 */
export function textOf(view: View): string {
  let text = ''
  let afterBlock = false
  for (const part of view.parts) {
    if ((part.kind !== 'text' && part.kind !== 'text_block') || part.content === '') continue
    if (text !== '' && (afterBlock || part.kind === 'text_block')) text += '\n\n'
    text += part.content
    afterBlock = part.kind === 'text_block'
  }
  return text
}

/** What a resumed stream must open again before it goes on: text, reasoning and tool parts, and steps, each in order of their start. */
export function openParts(view: View): { parts: (TextPart | ToolPart)[]; steps: Step[] } {
  const parts = view.open_parts.map(index => view.parts[index] as TextPart | ToolPart)
  return { parts, steps: view.steps.filter(step => step.open) }
}

/** Tokens and cost of a run: what its end told, for the runtime saw every event, else the sum so far. Absent fields are unknown, not zero. */
export function usageOf(view: View): UsageSum {
  const { by_model: _, ...sum } = view.usage ?? {}
  return view.terminal?.type === 'complete' ? { ...sum, ...view.terminal.usage } : sum
}
