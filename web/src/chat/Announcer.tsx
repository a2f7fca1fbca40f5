// What a screen reader is told while an agent answers: that it began, its steps, how it ended. Not each token, which would
// never let it finish a sentence. What was there when the page was opened is not announced.
import { useEffect, useRef, useState } from 'react'
import { problemsOf, type Turn, wasStopped } from './turn.ts'

export function Announcer({ turns }: { turns: readonly Turn[] }) {
  const live = turns.findLast(turn => turn.answer?.source === 'live')
  const view = live?.answer?.source === 'live' ? live.answer.view : undefined
  const wasRunning = useRef<string>(undefined)
  const [words, setWords] = useState('')
  const latest = view?.progress.toSorted((a, b) => a.sequence - b.sequence).at(-1)?.message
  const question = view?.questions.at(-1)?.prompt
  const status = view?.status
  const run = view?.run_id
  useEffect(() => {
    if (status === 'running') {
      wasRunning.current = run
      setWords(question === undefined ? (latest ?? 'The agent is answering.') : `The agent asks: ${question}`)
    } else if (run !== undefined && wasRunning.current === run && live?.answer) {
      const failed = problemsOf(live.answer).find(problem => problem.final)
      setWords(
        failed
          ? `The answer failed: ${failed.message}`
          : wasStopped(live.answer)
            ? 'The answer was stopped.'
            : 'The answer is complete.',
      )
    }
  }, [run, status, latest, question])
  return (
    <p className="unseen" role="status">
      {words}
    </p>
  )
}
