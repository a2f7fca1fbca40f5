// A question of the agent, answered where it is asked: yes or no, one of its choices, or words. Who sees it in another tab
// may answer as well; the first answer counts, and everyone sees it.
import { useId, useState } from 'react'
import { RuncastError } from '../../../src/client/index.ts'
import type { InputPart } from '../../../src/state/view.ts'
import { Icon } from '../Icon.tsx'
import { Json } from './Part.tsx'

export interface InputProps {
  readonly part: InputPart
  readonly answer?: ((input_id: string, value: unknown) => Promise<void>) | undefined
}

export function Input({ part, answer }: InputProps) {
  const { input_id, input_kind, prompt, details, answered } = part
  const [sending, setSending] = useState(false)
  const [failed, setFailed] = useState<string>()
  const id = useId()
  const send = async (value: unknown) => {
    setSending(true)
    setFailed(undefined)
    try {
      await answer?.(input_id, value)
    } catch (error) {
      setFailed(RuncastError.from(error).message)
    }
    setSending(false)
  }
  const choices = choicesOf(details)
  const { choices: _c, options: _o, ...rest } = details ?? {}
  return (
    <section className="question card" aria-labelledby={id}>
      <p id={id} className="prompt">
        {prompt ??
          (input_kind === 'approval' ? 'The agent asks for your approval.' : 'The agent asks for your answer.')}
      </p>
      {Object.keys(rest).length > 0 && <Json value={rest} label="Details" />}
      {answered ? (
        <p className="answered">
          <Icon name={part.value === false ? 'close' : 'check'} /> {wordsOf(part)}
        </p>
      ) : answer === undefined ? (
        <p className="muted">Not answered.</p>
      ) : input_kind === 'approval' ? (
        <div className="choices">
          <button type="button" className="primary" disabled={sending} onClick={() => void send(true)}>
            Approve
          </button>
          <button type="button" className="button" disabled={sending} onClick={() => void send(false)}>
            Decline
          </button>
        </div>
      ) : choices.length > 0 ? (
        <div className="choices">
          {choices.map(choice => (
            <button key={choice} type="button" className="button" disabled={sending} onClick={() => void send(choice)}>
              {choice}
            </button>
          ))}
        </div>
      ) : (
        <Words labelledBy={id} sending={sending} send={send} />
      )}
      {failed !== undefined && (
        <p className="note error" role="alert">
          {failed}
        </p>
      )}
    </section>
  )
}

function Words({
  labelledBy,
  sending,
  send,
}: {
  labelledBy: string
  sending: boolean
  send: (value: string) => Promise<void>
}) {
  const [words, setWords] = useState('')
  return (
    <form
      className="choices"
      onSubmit={event => {
        event.preventDefault()
        if (words.trim() !== '') void send(words)
      }}
    >
      <input type="text" aria-labelledby={labelledBy} value={words} onChange={event => setWords(event.target.value)} />
      <button type="submit" className="primary" disabled={sending || words.trim() === ''}>
        Answer
      </button>
    </form>
  )
}

function choicesOf(details: InputPart['details']): string[] {
  const given = details?.['choices'] ?? details?.['options']
  return Array.isArray(given) ? given.filter(one => typeof one === 'string') : []
}

function wordsOf({ input_kind, value }: InputPart): string {
  if (input_kind === 'approval' || typeof value === 'boolean') return value === true ? 'Approved' : 'Declined'
  return typeof value === 'string' ? value : JSON.stringify(value)
}
