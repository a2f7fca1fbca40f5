// What an agent does, as it does it: its steps, each with its latest words and how long it took. Once the answer stands, a
// line that unfolds; of a stored answer the steps are asked for when somebody wants them.
import { useState } from 'react'
import type { Progress, Step, View } from '../../../src/state/view.ts'
import { Icon } from '../Icon.tsx'
import { duration } from '../parts/duration.ts'
import type { Server } from '../server.ts'
import { type Answer, problemsOf, wasStopped } from './turn.ts'

export interface StatusProps {
  readonly answer: Answer
  readonly run: string | undefined
  readonly server: Server
}

type Shown = Pick<View, 'steps' | 'progress' | 'terminal'>

export function Status({ answer, run, server }: StatusProps) {
  const [past, setPast] = useState<Shown | 'gone'>()
  if (answer.source === 'live' && answer.view.terminal === undefined) {
    const lines = linesOf(answer.view)
    if (lines.length === 0 && answer.view.parts.length > 0) return null
    return <Lines lines={lines.length > 0 ? lines : [{ key: 'begin', words: 'Starting…', state: 'now' }]} />
  }
  const view = answer.source === 'live' ? answer.view : past
  const tookMs = answer.source === 'stored' ? answer.message.metadata.execution_time_ms : tookOf(answer.view)
  if (answer.source === 'live' && linesOf(answer.view).length === 0) return null
  const failed = problemsOf(answer).some(problem => problem.final)
  const load = () => {
    if (view !== undefined || run === undefined) return
    server.runs.snapshot(run).then(setPast, () => setPast('gone'))
  }
  return (
    <details className={failed ? 'past bad' : 'past'} onToggle={load}>
      <summary>
        <Icon name={wasStopped(answer) ? 'stop' : failed ? 'close' : 'check'} /> Steps
        {tookMs === undefined ? '' : ` · ${duration(tookMs)}`}
      </summary>
      {view === 'gone' ? (
        <p className="muted small">The events of this run are no longer kept.</p>
      ) : view === undefined ? (
        <p className="muted small">Loading…</p>
      ) : (
        <Lines lines={linesOf(view)} />
      )}
    </details>
  )
}

interface Line {
  readonly key: string
  readonly words: string
  readonly state: 'now' | 'done' | 'bad'
  readonly depth?: number
  readonly tookMs?: number | undefined
  /** 0 to 1. */
  readonly progress?: number
}

function Lines({ lines }: { lines: readonly Line[] }) {
  return (
    <ul className="steps" aria-label="Steps">
      {lines.map(({ key, words, state, depth = 0, tookMs, progress }) => (
        <li key={key} className={state} style={{ paddingInlineStart: `${depth * 1.1}rem` }}>
          {state === 'now' ? (
            <span className="spinner" aria-hidden="true" />
          ) : (
            <Icon name={state === 'bad' ? 'close' : 'check'} />
          )}
          <span className="words">
            {words}
            <span className="unseen">{state === 'now' ? ', running' : state === 'bad' ? ', failed' : ', done'}</span>
          </span>
          {state === 'now' && progress !== undefined && progress > 0 && (
            <progress value={progress} max={1} aria-label={words} />
          )}
          {tookMs !== undefined && <span className="muted">{duration(tookMs)}</span>}
        </li>
      ))}
    </ul>
  )
}

/** Of long runs the newest steps; the inspector has them all. */
const linesMax = 24

/** Steps in their order, with the latest progress of their name; progress of no step stands by itself. */
function linesOf({ steps, progress, terminal }: Shown): Line[] {
  const named = new Map(progress.map(one => [one.step, one]))
  const ofSteps = steps.map((step): Line & { at: number } => {
    const told = named.get(step.node_name)
    const state = step.open ? 'now' : step.phase === 'error' || step.phase === 'start' ? 'bad' : 'done'
    return {
      at: step.sequence,
      key: step.step_id,
      words: told?.message ?? readable(step.node_name),
      state,
      depth: Math.min(3, depthOf(step, steps)),
      tookMs: step.open ? undefined : step.duration_ms,
      ...(told && { progress: told.progress }),
    }
  })
  const names = new Set(steps.map(step => step.node_name))
  const alone = progress.filter(one => !names.has(one.step)).map(one => lineOf(one, terminal !== undefined))
  return [...ofSteps, ...alone].sort((a, b) => a.at - b.at).slice(-linesMax)
}

function lineOf(one: Progress, ended: boolean): Line & { at: number } {
  const words = one.message ?? readable(one.step)
  const state = ended || one.progress >= 1 ? 'done' : 'now'
  return { at: one.sequence, key: `p${one.step}`, words, state, progress: one.progress }
}

function depthOf(step: Step, steps: readonly Step[]): number {
  return steps.filter(
    other =>
      other.sequence < step.sequence && (other.open ? true : other.last_sequence > step.last_sequence && !step.open),
  ).length
}

function readable(name: string): string {
  const words = name.replace(/[_-]+/g, ' ').trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function tookOf({ started_at, ended_at }: View): number | undefined {
  return started_at === undefined || ended_at === undefined ? undefined : Date.parse(ended_at) - Date.parse(started_at)
}
