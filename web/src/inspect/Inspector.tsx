// The run inspector: all runs at the left, as they come and end; one of them, or two side by side, at the right.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { RuncastError, type RunInfo } from '../../../src/client/index.ts'
import { diff } from '../../../src/state/diff.ts'
import { ApiKey } from '../chat/ApiKey.tsx'
import { chatHref, inspectHref } from '../route.ts'
import type { Server } from '../server.ts'
import { RunPanel } from './RunPanel.tsx'
import '../styles/inspect.css'

/** How often the list looks for runs that began or ended. */
const freshMs = 2_000
const rowPx = 58

export default function Inspector({ server, runs }: { server: Server; runs: readonly string[] }) {
  const { list, failed, more } = useRuns(server)
  const [first, second] = runs
  const [states, setStates] = useState<readonly [unknown, unknown]>([undefined, undefined])
  const differs = useMemo(
    () => (second === undefined ? undefined : diff(states[0], states[1]).map(op => op.path)),
    [second, states],
  )
  const [ofFirst, ofSecond] = useMemo(() => states.map(state => ({ state })), [states])
  const setFirst = useCallback((state: unknown) => setStates(([, other]) => [state, other]), [])
  const setSecond = useCallback((state: unknown) => setStates(([other]) => [other, state]), [])
  if (failed?.code === 'unauthenticated') return <ApiKey reason={failed.message} />
  return (
    <div className={`page inspector ${first === undefined ? 'empty' : ''}`}>
      <nav className="sidebar runs" aria-label="Runs">
        <div className="brand">
          <img src="favicon.svg" alt="" width="24" height="24" />
          <h1>Runs</h1>
          <a className="quiet" href={chatHref()}>
            Chat
          </a>
        </div>
        {failed && <p className="note error">{failed.message}</p>}
        {list?.length === 0 && !failed && (
          <p className="muted small">
            No run yet. Runs appear here when they begin; the <a href={chatHref()}>chat</a> is next door.
          </p>
        )}
        <RunList list={list ?? []} first={first} second={second} more={more} />
      </nav>
      <main className={`panels ${second === undefined ? '' : 'two'}`}>
        {first === undefined && (
          <section className="welcome" aria-labelledby="choose">
            <img src="favicon.svg" alt="" width="48" height="48" />
            <h2 id="choose">Look into a run</h2>
            <p className="muted">
              Its nodes as a graph, its time, its text, its state and the schema of that, at each of its events.
              “Compare” shows a second run beside it.
            </p>
          </section>
        )}
        {first !== undefined && (
          <RunPanel
            key={first}
            id={first}
            differs={differs}
            other={second === undefined ? undefined : ofSecond}
            onState={setFirst}
            close={() => (location.hash = second === undefined ? inspectHref() : inspectHref(second))}
          />
        )}
        {first !== undefined && second !== undefined && (
          <RunPanel
            key={`second ${second}`}
            id={second}
            differs={differs}
            other={ofFirst}
            onState={setSecond}
            close={() => (location.hash = inspectHref(first))}
          />
        )}
      </main>
    </div>
  )
}

interface RunListProps {
  readonly list: readonly RunInfo[]
  readonly first: string | undefined
  readonly second: string | undefined
  readonly more: (() => void) | undefined
}

function RunList({ list, first, second, more }: RunListProps) {
  const place = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: list.length,
    getScrollElement: () => place.current,
    estimateSize: () => rowPx,
    overscan: 8,
  })
  const items = rows.getVirtualItems()
  const atEnd = (items.at(-1)?.index ?? 0) >= list.length - 1
  useEffect(() => {
    if (atEnd) more?.()
  }, [atEnd, more])
  return (
    <div ref={place} className="run-list">
      <ul style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const { run_id, agent, status, created_at, last_sequence } = list[index] as RunInfo
          const open = run_id === first || run_id === second
          return (
            <li key={run_id} style={{ top: start, height: rowPx }}>
              <a href={inspectHref(run_id)} aria-current={open ? 'true' : undefined}>
                <span className="title">{agent}</span>
                <span className={`badge ${status}`}>{status}</span>
                <span className="muted small">
                  {when(created_at)} · {last_sequence.toLocaleString('en')} {last_sequence === 1 ? 'event' : 'events'}
                </span>
              </a>
              {first !== undefined && !open && (
                <a className="compare" href={inspectHref(first, run_id)}>
                  Compare
                  <span className="unseen">
                    {' '}
                    with {agent}, {run_id}
                  </span>
                </a>
              )}
            </li>
          )
        })}
      </ul>
    </div>
  )
}

function when(iso: string): string {
  const date = new Date(iso)
  const isToday = date.toDateString() === new Date().toDateString()
  if (isToday) return date.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' })
  return date.toLocaleDateString([], { day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' })
}

/** The newest runs are looked at again and again; older pages come when somebody scrolls there. */
function useRuns(server: Server) {
  const [list, setList] = useState<readonly RunInfo[]>()
  const [next, setNext] = useState<string>()
  const [failed, setFailed] = useState<RuncastError>()
  const known = useRef(new Map<string, RunInfo>())
  const take = useCallback((runs: readonly RunInfo[]) => {
    for (const run of runs) known.current.set(run.run_id, run)
    setList(
      [...known.current.values()].sort((a, b) =>
        a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0,
      ),
    )
  }, [])
  useEffect(() => {
    let left = false
    let timer: ReturnType<typeof setTimeout>
    const look = async (isFirst: boolean) => {
      try {
        const page =
          document.visibilityState === 'visible' || isFirst ? await server.runs.list({ limit: 50 }) : undefined
        if (left) return
        if (page) take(page.runs)
        if (page && isFirst) setNext(page.next)
        setFailed(undefined)
      } catch (error) {
        if (!left) setFailed(RuncastError.from(error))
      }
      if (!left) timer = setTimeout(() => void look(false), freshMs)
    }
    void look(true)
    return () => {
      left = true
      clearTimeout(timer)
    }
  }, [server, take])
  const more = useMemo(() => {
    if (next === undefined) return undefined
    let asked = false
    return () => {
      if (asked) return
      asked = true
      void server.runs.list({ limit: 200, cursor: next }).then(page => {
        take(page.runs)
        setNext(page.next)
      })
    }
  }, [server, next, take])
  return { list, failed, more }
}
