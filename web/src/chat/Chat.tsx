// One conversation: its turns, what happens now, and where one writes. It follows the newest words unless the reader has
// scrolled away from them.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { RuncastError } from '../../../src/client/index.ts'
import type { AgentChoice } from '../agents.ts'
import { Icon } from '../Icon.tsx'
import type { Server } from '../server.ts'
import { useSignal } from '../signal.ts'
import { Announcer } from './Announcer.tsx'
import { ChatHeader } from './ChatHeader.tsx'
import { Composer } from './Composer.tsx'
import { ConnectionNotice, useCutOff } from './ConnectionNotice.tsx'
import { Others } from './Others.tsx'
import { openThread } from './thread.ts'
import { isRunning } from './turn.ts'
import { TurnView } from './TurnView.tsx'
import type { ConversationList } from './use-conversations.ts'
import { Welcome } from './Welcome.tsx'

export interface ChatProps {
  readonly server: Server
  readonly thread: string
  readonly isNew: boolean
  /** The server has said what it offers, or cannot be reached. */
  readonly isKnown: boolean
  readonly agents: readonly AgentChoice[]
  /** The conversations, where others lead them and nobody can write. */
  readonly others: ConversationList | undefined
  readonly title: string | undefined
  readonly unreachable: RuncastError | undefined
  readonly retry: () => void
  readonly changed: () => void
  /** The first message was sent. */
  readonly begun: () => void
  /** It was deleted. */
  readonly gone: () => void
  readonly showMenu: () => void
  readonly menuShown: boolean
}

const agentName = 'runcast.agent'

export function Chat(props: ChatProps) {
  const { server, thread: id, agents, others, changed } = props
  const first = useRef(props.isNew)
  const thread = useMemo(() => openThread({ server, id, isNew: first.current, changed }), [server, id, changed])
  useEffect(() => thread.open(), [thread])
  const { turns, loading, failed, older } = useSignal(thread.state)
  const [chosen, setChosen] = useState<string>()
  const talksWith = useAgentOf(server, turns.findLast(turn => turn.run_id !== undefined)?.run_id)
  const [problem, setProblem] = useState<string>()
  const wanted = chosen ?? talksWith ?? localStorage.getItem(agentName)
  const agent = agents.find(one => one.name === wanted) ?? agents[0]
  const running = turns.find(turn => isRunning(turn.answer))
  const stopping = running?.answer?.source === 'live' ? running.answer.stopping : undefined

  const choose = (name: string) => {
    localStorage.setItem(agentName, name)
    setChosen(name)
  }
  const send = (words: string) => {
    if (!agent) return
    setProblem(undefined)
    thread.send(agent, words)
    props.begun()
  }
  const cutOff = useCutOff(server)
  const stop = () => {
    if (running?.run_id === undefined) return
    thread
      .stop(running.run_id)
      .catch((error: unknown) => setProblem(`It could not be stopped: ${RuncastError.from(error).message}`))
  }

  return (
    <main className="chat" data-cut-off={cutOff}>
      <ChatHeader {...props} thread={id} begun={!props.isNew} readOnly={others !== undefined} />
      <ConnectionNotice cutOff={cutOff} />
      <Scroller newest={turns} sticks={turns.length > 0}>
        {older !== undefined && (
          <button type="button" className="button older" onClick={() => void thread.loadOlder()}>
            Show earlier messages
          </button>
        )}
        {turns.length === 0 && !loading && !failed && agent && <Welcome agent={agent} send={send} />}
        {props.isNew && others && <Others list={others} />}
        {turns.length === 0 && loading && !props.isNew && <p className="loading">Loading the conversation…</p>}
        <ol className="turns" aria-label="Messages">
          {turns.map((turn, index) => (
            <TurnView
              key={turn.key}
              turn={turn}
              server={server}
              newest={index === turns.length - 1}
              answer={others ? undefined : thread.answer}
            />
          ))}
        </ol>
        {failed && (
          <p className="note error" role="alert">
            <Icon name="alert" /> This conversation cannot be read now: {failed.message}
          </p>
        )}
      </Scroller>
      <Announcer turns={turns} />
      <div className="dock">
        {props.unreachable && (
          <p className="note error" role="alert">
            <Icon name="alert" /> {props.unreachable.message}{' '}
            <button type="button" className="link" onClick={props.retry}>
              Try again
            </button>
          </p>
        )}
        {problem !== undefined && (
          <p className="note error" role="alert">
            {problem}
          </p>
        )}
        {others && (
          <p className="muted small read-only">
            Read only: what others say appears here. To ask or answer, go where they do.
          </p>
        )}
        {props.isKnown && !others && (
          <Composer
            agents={agents}
            agent={agent}
            choose={choose}
            send={send}
            running={running !== undefined}
            stopping={stopping}
            stop={stop}
            cutOff={cutOff ? 'The connection is lost: it can be stopped when that is back.' : undefined}
            stoppable={running?.run_id !== undefined}
          />
        )}
      </div>
    </main>
  )
}

/** Who answered in a run, so that a conversation goes on with its agent in every browser. */
function useAgentOf(server: Server, run: string | undefined): string | undefined {
  const [agent, setAgent] = useState<string>()
  useEffect(() => {
    if (run === undefined) return
    // A run that is no longer kept leaves the choice as it is.
    server.runs.get(run).then(
      info => setAgent(info.agent),
      () => {},
    )
  }, [server, run])
  return agent
}

/** Nearer to the end than that is at the end. */
const nearPx = 80

function Scroller({ children, newest, sticks }: { children: React.ReactNode; newest: unknown; sticks: boolean }) {
  const place = useRef<HTMLDivElement>(null)
  const stuck = useRef(true)
  const follows = useRef(sticks)
  follows.current = sticks
  const [away, setAway] = useState(false)
  const toEnd = () => place.current?.scrollTo({ top: place.current.scrollHeight })
  useLayoutEffect(() => {
    if (stuck.current && follows.current) toEnd()
  }, [newest])
  useEffect(() => {
    const frame = place.current
    const content = frame?.firstElementChild
    if (!content) return
    // A chart that is drawn later makes the conversation longer; a notice above it makes its place smaller.
    const watch = new ResizeObserver(() => stuck.current && follows.current && toEnd())
    watch.observe(content)
    watch.observe(frame)
    return () => watch.disconnect()
  }, [])
  const look = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = place.current ?? {}
    stuck.current = scrollHeight - scrollTop - clientHeight < nearPx
    setAway(!stuck.current && follows.current)
  }
  return (
    <div className="scroll-frame">
      {/* A long answer that is not done yet has nothing else that takes the focus, and is scrolled by keys too. */}
      <div ref={place} className="scroll" onScroll={look} role="region" aria-label="Conversation" tabIndex={0}>
        <div className="column">{children}</div>
      </div>
      {away && (
        <button
          type="button"
          className="to-end"
          onClick={() => {
            stuck.current = true
            toEnd()
          }}
        >
          <Icon name="down" /> Newest
        </button>
      )}
    </div>
  )
}
