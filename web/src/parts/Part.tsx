// One part of a view, drawn. A kind that a newer server has is shown as its data rather than left out.
import type { CustomPart, ItemPart, Part as ViewPart, TextPart, ToolPart } from '../../../src/state/view.ts'
import { Icon } from '../Icon.tsx'
import { Chart } from './Chart.tsx'
import { Input } from './Input.tsx'
import { Markdown } from './Markdown.tsx'
import { duration } from './duration.ts'

export interface PartProps {
  readonly part: ViewPart
  /** Sends the answer to a question; absent when nobody listens any more. */
  readonly answer?: ((input_id: string, value: unknown) => Promise<void>) | undefined
}

export function Part({ part, answer }: PartProps) {
  switch (part.kind) {
    case 'text':
      return <Markdown text={part.content} />
    case 'text_block':
      return <Markdown text={part.content} lang={part.language} />
    case 'reasoning':
      return <Reasoning part={part} />
    case 'chart':
      return <Chart part={part} />
    case 'tool':
      return <Tool part={part} />
    case 'item':
      return <Item part={part} />
    case 'input':
      return <Input part={part} answer={answer} />
    case 'custom':
      return <Custom part={part} />
    default:
      part satisfies never
      return <Json value={part} label="Unknown content" />
  }
}

function Reasoning({ part }: { part: TextPart }) {
  return (
    <details className="fold">
      <summary>{part.open ? <span className="shimmer">Thinking…</span> : 'Thoughts'}</summary>
      <div className="thoughts">
        <Markdown text={part.content} />
      </div>
    </details>
  )
}

const stages = {
  requested: 'requested',
  arguments: 'is being asked',
  started: 'running',
  completed: 'done',
  failed: 'failed',
  retrying: 'trying again',
} as const

function Tool({ part }: { part: ToolPart }) {
  const { tool_name, stage, open, error, result, duration_ms } = part
  const told = part.arguments ?? part.arguments_text
  const how = open || stage === 'completed' || stage === 'failed' ? stages[stage] : 'cut off'
  return (
    <details className={`fold tool ${stage === 'failed' ? 'bad' : ''}`}>
      <summary>
        <Icon name="tool" />
        <code>{tool_name}</code>
        <span className={open ? 'shimmer' : 'muted'}>
          {how}
          {duration_ms === undefined ? '' : ` · ${duration(duration_ms)}`}
        </span>
      </summary>
      {told !== undefined && <Json value={told} label="Arguments" />}
      {result !== undefined && <Json value={result} label="Result" />}
      {error !== undefined && <p className="note error">{error}</p>}
    </details>
  )
}

function Item({ part }: { part: ItemPart }) {
  const { bytes, media_type = 'application/octet-stream', data } = part
  if (bytes === undefined) {
    if (typeof data === 'string') return <Markdown text={data} />
    return (
      <details className="fold">
        <summary>Data</summary>
        <Json value={data} label="Data" />
      </details>
    )
  }
  const href = `data:${media_type};base64,${bytes}`
  if (/^image\/(png|jpeg|gif|webp|avif)$/.test(media_type))
    return <img className="picture" src={href} alt="Sent by the agent" />
  return (
    <a className="button" href={`data:application/octet-stream;base64,${bytes}`} download="data">
      <Icon name="download" /> Download ({media_type})
    </a>
  )
}

function Custom({ part }: { part: CustomPart }) {
  return (
    <details className="fold">
      <summary>
        <code>{part.name}</code>
      </summary>
      <Json value={part.other ? { ...part.other, data: part.data } : part.data} label={part.name} />
    </details>
  )
}

/** A value is shown so far; whoever needs all of it exports the run. */
const jsonCharsMax = 20_000

export function Json({ value, label }: { value: unknown; label: string }) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value, undefined, 2) ?? '')
  return (
    <div className="json">
      <div className="label">{label}</div>
      <pre tabIndex={0} role="group" aria-label={label}>
        {text.length > jsonCharsMax
          ? `${text.slice(0, jsonCharsMax)}\n… ${text.length - jsonCharsMax} more characters`
          : text}
      </pre>
    </div>
  )
}
