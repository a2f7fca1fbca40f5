// Where one writes. Enter sends, Shift+Enter begins a line, and what is being composed by an input method is left alone.
// While an agent answers, the button stops it, and says how far that is.
import { useEffect, useRef, useState } from 'react'
import type { AgentChoice } from '../agents.ts'
import { Icon } from '../Icon.tsx'
import type { Stopping } from './turn.ts'

export interface ComposerProps {
  readonly agents: readonly AgentChoice[]
  readonly agent: AgentChoice | undefined
  readonly choose: (name: string) => void
  readonly send: (words: string) => void
  readonly running: boolean
  readonly stopping: Stopping | undefined
  readonly stoppable: boolean
  /** Why nobody can be told to stop just now. */
  readonly cutOff: string | undefined
  readonly stop: () => void
}

const stopWords = { requested: 'Stop requested…', stopping: 'Stopping…' } as const

export function Composer({ agents, agent, choose, send, running, stopping, ...rest }: ComposerProps) {
  const { stoppable, cutOff, stop } = rest
  const [words, setWords] = useState('')
  const haltable = stopping === undefined && stoppable && cutOff === undefined
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    // A keyboard that covers half a phone is not opened unasked.
    if (matchMedia('(pointer: fine)').matches) area.current?.focus()
  }, [])
  const sendable = agent !== undefined && !running && (words.trim() !== '' || agent.takes === 'json')
  const submit = () => {
    if (!sendable) return
    send(words.trim())
    setWords('')
  }
  const halt = () => {
    if (!haltable) return
    stop()
    // The button goes away with the answer; the keyboard stays where one writes on.
    area.current?.focus()
  }
  return (
    <form
      className="composer"
      aria-label="Write a message"
      onSubmit={event => {
        event.preventDefault()
        submit()
      }}
    >
      <textarea
        ref={area}
        rows={1}
        value={words}
        aria-label="Your message"
        placeholder={agent?.takes === 'json' ? 'Input as JSON, or nothing' : 'Write a message…'}
        onChange={event => setWords(event.target.value)}
        onKeyDown={event => {
          if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
          event.preventDefault()
          submit()
        }}
      />
      <div className="composer-row">
        {agents.length > 1 ? (
          <select aria-label="Agent" value={agent?.name} onChange={event => choose(event.target.value)}>
            {agents.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        ) : (
          <span className="muted small">{agent?.name}</span>
        )}
        {running ? (
          <button type="button" className="stop" onClick={halt} aria-disabled={!haltable} title={cutOff}>
            <Icon name="stop" /> {stopping ? stopWords[stopping] : 'Stop'}
          </button>
        ) : (
          <button type="submit" className="send" aria-label="Send" disabled={!sendable}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  )
}
