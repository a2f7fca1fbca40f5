// A turn, drawn: the words at the right, the answer below them with its steps, its parts and what went wrong.
import { memo } from 'react'
import type { Part as ViewPart } from '../../../src/state/view.ts'
import { Icon } from '../Icon.tsx'
import { Part } from '../parts/Part.tsx'
import { inspectHref } from '../route.ts'
import type { Server } from '../server.ts'
import { Status } from './Status.tsx'
import { type Answer, isRunning, partsOf, problemsOf, type Turn, wasStopped } from './turn.ts'

export interface TurnViewProps {
  readonly turn: Turn
  readonly server: Server
  readonly newest: boolean
  /** Absent where nobody can answer. */
  readonly answer: ((run: string, input_id: string, value: unknown) => Promise<void>) | undefined
}

export const TurnView = memo(
  function TurnView({ turn, server, newest, answer }: TurnViewProps) {
    const { said, answer: given, run_id, sending, again } = turn
    return (
      <li className="turn">
        {said && said.length > 0 && <Said said={said} pending={sending === 'sending'} />}
        {sending instanceof Error && (
          <div className="note error" role="alert">
            <p>
              <Icon name="alert" /> Not sent: {sending.message}
            </p>
            {again && (
              <button type="button" className="button" onClick={again}>
                Try again
              </button>
            )}
          </div>
        )}
        {given && (
          <Given
            answer={given}
            run={run_id}
            server={server}
            reply={answer}
            again={newest && answer ? again : undefined}
          />
        )}
      </li>
    )
  },
  (before, after) =>
    before.newest === after.newest &&
    before.turn.answer?.source === after.turn.answer?.source &&
    viewOf(before.turn) === viewOf(after.turn) &&
    stoppingOf(before.turn) === stoppingOf(after.turn) &&
    before.turn.said?.length === after.turn.said?.length &&
    before.turn.sending === after.turn.sending &&
    (before.turn.again === undefined) === (after.turn.again === undefined),
)

function Said({ said, pending }: { said: readonly ViewPart[]; pending: boolean }) {
  return (
    <article className={`said ${pending ? 'pending' : ''}`} aria-label="You">
      {said.map(part =>
        part.kind === 'text_block' ? (
          <p key={part.part_id} dir="auto">
            {part.content}
          </p>
        ) : (
          <Part key={part.part_id} part={part} />
        ),
      )}
    </article>
  )
}

interface GivenProps {
  readonly answer: Answer
  readonly run: string | undefined
  readonly server: Server
  readonly reply: TurnViewProps['answer']
  readonly again: (() => void) | undefined
}

function Given({ answer, run, server, reply, again }: GivenProps) {
  const parts = partsOf(answer)
  const running = isRunning(answer)
  const problems = problemsOf(answer)
  const stopping = answer.source === 'live' ? answer.stopping : undefined
  const waiting = answer.source === 'live' && answer.view.questions.length > 0
  const missing = answer.source === 'live' && answer.view.gaps.length > 0
  const respond =
    reply && running && run !== undefined
      ? (input_id: string, value: unknown) => reply(run, input_id, value)
      : undefined
  return (
    <article className="answer" aria-label={agentOf(answer)} aria-busy={running}>
      <Status answer={answer} run={run} server={server} />
      {parts.map(part => (
        <Part key={part.part_id} part={part} answer={respond} />
      ))}
      {running && parts.length > 0 && !stopping && !waiting && <span className="caret" aria-hidden="true" />}
      {missing && <p className="note warning">Some of this answer is no longer kept.</p>}
      {problems.map((problem, index) => (
        <div key={index} className={`note ${problem.severity === 'warning' ? 'warning' : 'error'}`}>
          <p>
            <Icon name="alert" />{' '}
            <span>
              {problem.final ? 'The answer failed: ' : ''}
              {problem.message}
            </span>{' '}
            <code>{problem.code}</code>
          </p>
          {problem.final && again && (
            <button type="button" className="button" onClick={again}>
              Try again
            </button>
          )}
        </div>
      ))}
      {stopping && <p className="muted small">{stopping === 'requested' ? 'Stop requested…' : 'Stopping…'}</p>}
      {wasStopped(answer) && (
        <p className="stopped">
          <Icon name="stop" /> Stopped
        </p>
      )}
      {!running && <Foot answer={answer} run={run} />}
    </article>
  )
}

function Foot({ answer, run }: { answer: Answer; run: string | undefined }) {
  const tokens = answer.source === 'stored' ? answer.message.metadata.tokens_used : answer.view.usage?.total_tokens
  return (
    <p className="foot-line">
      {tokens !== undefined && <span>{tokens.toLocaleString('en')} tokens</span>}
      {run !== undefined && (
        <a href={inspectHref(run)}>
          Inspect<span className="unseen"> this run</span>
        </a>
      )}
    </p>
  )
}

function agentOf(answer: Answer): string {
  return (answer.source === 'live' ? answer.view.agent_name : undefined) ?? 'Agent'
}

function viewOf({ answer }: Turn): unknown {
  return answer?.source === 'live' ? answer.view : answer?.message
}

function stoppingOf({ answer }: Turn): unknown {
  return answer?.source === 'live' ? answer.stopping : undefined
}
