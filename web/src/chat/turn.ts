// A turn of a conversation: what somebody said and what the agent makes of it, be it stored or happening now.
// Stored blocks become parts again, so that history and live answers are drawn by the same components.
import { type RuncastError, type View } from '../../../src/client/index.ts'
import type { Block } from '../../../src/conversations/message.ts'
import type { InputPart, Part } from '../../../src/state/view.ts'
import type { Message } from '../server.ts'

export type Stopping = 'requested' | 'stopping'

export type Answer =
  | { readonly source: 'stored'; readonly message: Message }
  | { readonly source: 'live'; readonly view: View; readonly stopping?: Stopping | undefined }

export interface Turn {
  readonly key: string
  readonly run_id?: string
  /** What was said, as far as it is known: another tab's words come a moment after its run. */
  readonly said?: readonly Part[]
  readonly answer?: Answer
  /** On its way, or why it did not arrive. */
  readonly sending?: 'sending' | RuncastError
  /** Sends it again. */
  readonly again?: () => void
}

export function partsOf(answer: Answer): readonly Part[] {
  return answer.source === 'live' ? answer.view.parts : answer.message.content.map(partOf)
}

export function isRunning(answer: Answer | undefined): boolean {
  return answer?.source === 'live' && answer.view.terminal === undefined
}

export interface Problem {
  readonly severity: 'warning' | 'error' | 'critical'
  readonly code: string
  readonly message: string
  /** The run ended by it. */
  readonly final: boolean
}

/** What went wrong, in order. */
export function problemsOf(answer: Answer): Problem[] {
  if (answer.source === 'stored') {
    const { errors = [], tasks } = answer.message.metadata
    const failed = tasks?.some(task => task.state === 'failed') === true
    return errors.map(({ severity, error_code: code, message }, index) => {
      return { severity, code, message, final: failed && index === errors.length - 1 && severity !== 'warning' }
    })
  }
  const { warnings, terminal } = answer.view
  const problems = warnings.flatMap(({ severity = 'warning', code, message }): Problem[] =>
    severity === 'debug' || severity === 'info' ? [] : [{ severity, code, message, final: false }],
  )
  if (terminal?.type !== 'error') return problems
  const severity = terminal.severity === 'critical' ? 'critical' : 'error'
  const last = problems.at(-1)
  // A critical warning is what ended the run: the end repeats it.
  if (last?.severity === 'critical' && last.code === terminal.code && last.message === terminal.error) problems.pop()
  return [...problems, { severity, code: terminal.code, message: terminal.error, final: true }]
}

export function wasStopped(answer: Answer): boolean {
  if (answer.source === 'live') return answer.view.status === 'cancelled'
  return answer.message.metadata.tasks?.some(task => task.state === 'cancelled') === true
}

/** The words of a turn, to send them again. */
export function wordsOf(said: readonly Part[] = []): string | undefined {
  const words = said.flatMap(part => (part.kind === 'text_block' ? [part.content] : []))
  return words.length > 0 ? words.join('\n\n') : undefined
}

export function partOfWords(content: string): Part {
  return { part_id: 'p1', started_at: '', kind: 'text_block', content }
}

export function partOf(block: Block): Part {
  const { id, type, ...fields } = block
  const base = { part_id: id, started_at: '' }
  switch (type) {
    case 'text': {
      const { text: content, channel, ...rest } = fields as Extract<Block, { type: 'text' }>
      if (channel === 'reasoning') return { ...base, kind: 'reasoning', content, open: false }
      return { ...base, kind: 'text_block', content, ...rest }
    }
    case 'tool':
      return {
        ...base,
        kind: 'tool',
        open: false,
        ...(fields as Omit<Extract<Block, { type: 'tool' }>, 'id' | 'type'>),
      }
    case 'chart':
      return { ...base, kind: 'chart', ...(fields as Omit<Extract<Block, { type: 'chart' }>, 'id' | 'type'>) }
    case 'item':
      return { ...base, kind: 'item', ...fields }
    default: {
      const { name, data, other } = fields as Extract<Block, { type: 'custom' }>
      return name === 'input' ? inputPart(base, data) : { ...base, kind: 'custom', name, data, ...(other && { other }) }
    }
  }
}

function inputPart(base: { part_id: string; started_at: string }, data: unknown): InputPart {
  const { kind = 'question', answered = false, input_id = '', ...rest } = data as Record<string, unknown>
  return {
    ...base,
    ...(rest as Pick<InputPart, 'prompt' | 'details' | 'value' | 'by'>),
    kind: 'input',
    input_id: String(input_id),
    input_kind: kind as InputPart['input_kind'],
    answered: answered === true,
  }
}
