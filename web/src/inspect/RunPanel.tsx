// One run: how it stands, a slider over every event, and at that event its graph, timeline, state and the event itself.
// While it runs the cursor stays at the newest event, until somebody moves it.
import { useEffect, useMemo, useRef, useState } from 'react'
import { Icon } from '../Icon.tsx'
import { Json } from '../parts/Part.tsx'
import { useSignal } from '../signal.ts'
import { EventList } from './EventList.tsx'
import { Graph } from './Graph.tsx'
import { type OpenRun, openRun } from './open-run.ts'
import type { Moment } from './protocol.ts'
import { dotOf, graphOf, mermaidOf } from './run-graph.ts'
import { StateTree } from './StateTree.tsx'
import { Timeline } from './Timeline.tsx'

const tabs = ['Graph', 'Timeline', 'State', 'Events'] as const
type Tab = (typeof tabs)[number]

export interface RunPanelProps {
  readonly id: string
  readonly close: () => void
  /** Where its state differs from that of the run beside it. */
  readonly differs?: readonly string[] | undefined
  readonly onState?: (state: unknown) => void
}

export function RunPanel(props: RunPanelProps) {
  const [run, setRun] = useState<OpenRun>()
  useEffect(() => {
    const opened = openRun(props.id)
    setRun(opened)
    return () => opened.close()
  }, [props.id])
  return run ? <Opened {...props} run={run} /> : null
}

function Opened({ id, close, differs, onState, run }: RunPanelProps & { run: OpenRun }) {
  const reading = useSignal(run.reading)
  const [cursor, setCursor] = useState<number>()
  const [tab, setTab] = useState<Tab>('Graph')
  const at = cursor ?? reading.count
  const moment = useMoment(run, at)
  const first = moment?.event ? moment.event.sequence - moment.at + 1 : 1
  useEffect(() => onState?.(moment?.state.value), [onState, moment?.state.value])
  const go = (next: number) => setCursor(next >= reading.count ? undefined : Math.max(0, next))
  return (
    <section className="run-panel" aria-label={`Run ${id}`}>
      <header>
        <h2 title={id}>{id}</h2>
        <span className={`badge ${moment?.status ?? ''}`}>{moment?.status ?? 'loading'}</span>
        <Exports id={id} run={run} moment={moment} />
        <button type="button" className="quiet only-icon" aria-label={`Close run ${id}`} onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      {reading.failed !== undefined && (
        <p className="note error" role="alert">
          {reading.failed}
        </p>
      )}
      <div className="slider">
        <input
          type="range"
          min={0}
          max={reading.count}
          value={at}
          aria-label="Event"
          aria-valuetext={`after event ${at} of ${reading.count}`}
          onChange={event => go(Number(event.target.value))}
        />
        <output>
          {at.toLocaleString('en')} / {reading.count.toLocaleString('en')}
        </output>
        <button
          type="button"
          className="button small"
          aria-pressed={cursor === undefined}
          onClick={() => setCursor(undefined)}
        >
          {reading.ended ? 'End' : 'Live'}
        </button>
      </div>
      {moment && <Facts moment={moment} counts={reading.counts} />}
      <div role="tablist" aria-label="What to see" className="tabs">
        {tabs.map(name => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={tab === name}
            tabIndex={tab === name ? 0 : -1}
            onClick={() => setTab(name)}
            onKeyDown={event => {
              const move = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
              if (move === 0) return
              const next = tabs[(tabs.indexOf(tab) + move + tabs.length) % tabs.length] as Tab
              setTab(next)
              ;(event.currentTarget.parentElement?.children[tabs.indexOf(next)] as HTMLElement | undefined)?.focus()
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" aria-label={tab} className="panel-body">
        {moment && tab === 'Graph' && <Graph steps={moment.steps} />}
        {moment && tab === 'Timeline' && <Timeline moment={moment} />}
        {moment && tab === 'State' && <StateView moment={moment} differs={differs} />}
        {tab === 'Events' && <EventList run={run} count={reading.count} first={first} at={at} go={go} />}
      </div>
      {moment?.event && (
        <details className="fold event">
          <summary>
            <code>{moment.event.type}</code> <span className="muted">event {moment.event.sequence}</span>
          </summary>
          <Json value={moment.event} label="Event" />
        </details>
      )}
    </section>
  )
}

/** The run at a cursor: the newest question only is asked, while the one before is answered. */
function useMoment(run: OpenRun, at: number): Moment | undefined {
  const [moment, setMoment] = useState<Moment>()
  const wanted = useRef(at)
  const busy = useRef(false)
  wanted.current = at
  useEffect(() => {
    const ask = async () => {
      if (busy.current) return
      busy.current = true
      for (let asked = -1; asked !== wanted.current; ) {
        asked = wanted.current
        setMoment(await run.moment(asked))
      }
      busy.current = false
    }
    void ask()
  }, [run, at])
  return moment
}

function Facts({ moment, counts }: { moment: Moment; counts: Readonly<Record<string, number>> }) {
  const { usage, nowMs, startMs, error } = moment
  const facts: [string, string | undefined][] = [
    ['Time', `${((nowMs - startMs) / 1_000).toFixed(2)} s`],
    ['Steps', String(moment.steps.length)],
    ['Tool calls', String(moment.spans.filter(span => span.lane === 'tool').length)],
    ['Token events', (counts['token'] ?? 0).toLocaleString('en')],
    ['Tokens told', usage?.total_tokens?.toLocaleString('en')],
    ['Cost', usage?.cost_usd === undefined ? undefined : `$${usage.cost_usd}`],
  ]
  return (
    <>
      <dl className="facts">
        {facts.map(
          ([name, value]) =>
            value !== undefined && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {error !== undefined && <p className="note error">{error}</p>}
    </>
  )
}

function StateView({ moment, differs }: { moment: Moment; differs: readonly string[] | undefined }) {
  const { state, change } = moment
  const version = `Version ${state.version}${change ? `, changed by event ${change.sequence}` : ''}`
  return (
    <div className="state" tabIndex={0} role="group" aria-label="State">
      <p className="muted small">
        {differs
          ? `${differs.length} differences to the other run`
          : state.version === 0
            ? 'This run has told no state yet.'
            : version}
        {!state.certain && ' (a change was missed: this may be old)'}
      </p>
      <StateTree value={state.value} changed={differs ?? change?.paths ?? []} label="State" />
    </div>
  )
}

function Exports({ id, run, moment }: { id: string; run: OpenRun; moment: Moment | undefined }) {
  const graph = useMemo(() => graphOf(moment?.steps ?? []), [moment?.steps])
  const text = (words: string) => Promise.resolve(new Blob([words], { type: 'text/plain' }))
  const kinds = [
    ['JSON', 'json', () => run.events()],
    ['DOT', 'dot', () => text(dotOf(graph))],
    ['Mermaid', 'mmd', () => text(mermaidOf(graph))],
  ] as const
  return (
    <div className="exports">
      {kinds.map(([name, ending, make]) => (
        <button
          key={name}
          type="button"
          className="quiet"
          aria-label={`Export as ${name}`}
          onClick={() => void make().then(blob => save(blob, `${id}.${ending}`))}
        >
          <Icon name="download" /> {name}
        </button>
      ))}
    </div>
  )
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}
