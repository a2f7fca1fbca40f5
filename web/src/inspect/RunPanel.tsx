// One run: how it stands, a slider over every event, and at that event its graph, timeline, state and the event itself.
// While it runs the cursor stays at the newest event, until somebody moves it.
import { useEffect, useMemo, useRef, useState } from 'react'
import { Icon } from '../Icon.tsx'
import { duration } from '../parts/duration.ts'
import { Json } from '../parts/Part.tsx'
import { save } from '../save.ts'
import { useSignal } from '../signal.ts'
import { EventList } from './EventList.tsx'
import { Graph } from './Graph.tsx'
import { type OpenRun, openRun } from './open-run.ts'
import type { Moment } from './protocol.ts'
import { dotOf, graphOf, mermaidOf } from './run-graph.ts'
import { SchemaView } from './SchemaView.tsx'
import { StateTree } from './StateTree.tsx'
import { Timeline } from './Timeline.tsx'

const tabs = ['Graph', 'Timeline', 'Text', 'State', 'Schema', 'Events'] as const
type Tab = (typeof tabs)[number]

export interface RunPanelProps {
  readonly id: string
  readonly close: () => void
  /** Where its state differs from that of the run beside it. */
  readonly differs?: readonly string[] | undefined
  /** The state of the run beside it. */
  readonly other?: { readonly state: unknown } | undefined
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

function Opened({ id, close, differs, other, onState, run }: RunPanelProps & { run: OpenRun }) {
  const reading = useSignal(run.reading)
  const [cursor, setCursor] = useState<number>()
  const [tab, setTab] = useState<Tab>('Graph')
  const at = cursor ?? reading.count
  const moment = useMoment(run, at)
  const first = moment?.event ? moment.event.sequence - moment.at + 1 : 1
  useEffect(() => onState?.(moment?.state.value), [onState, moment?.state.value])
  const go = (next: number) => setCursor(next >= reading.count ? undefined : Math.max(0, next))
  const unread = reading.failed !== undefined && reading.count === 0
  return (
    <section className="run-panel" aria-label={`Run ${id}`}>
      <header>
        <h2>{moment?.agent ?? 'Run'}</h2>
        {!unread && <span className={`badge ${moment?.status ?? ''}`}>{moment?.status ?? 'loading'}</span>}
        <button type="button" className="quiet only-icon" aria-label={`Close run ${id}`} onClick={close}>
          <Icon name="close" />
        </button>
        <code className="id" title={id}>
          {id}
        </code>
        {!unread && <Exports id={id} run={run} moment={moment} />}
      </header>
      {reading.failed !== undefined && (
        <p className="note error" role="alert">
          <Icon name="alert" /> This run cannot be read{unread ? '' : ' any further'}: {reading.failed}
        </p>
      )}
      {!unread && (
        <>
          <Slider at={at} count={reading.count} ended={reading.ended} follows={cursor === undefined} go={go} />
          {moment && <Facts moment={moment} />}
          <Tabs chosen={tab} choose={setTab} />
          <div role="tabpanel" aria-label={tab} className="panel-body">
            {moment && tab === 'Graph' && <Graph steps={moment.steps} ended={hasEnded(moment)} />}
            {moment && tab === 'Timeline' && <Timeline moment={moment} />}
            {moment && tab === 'Text' && <TextView moment={moment} />}
            {moment && tab === 'State' && <StateView moment={moment} differs={differs} />}
            {moment && tab === 'Schema' && (
              <SchemaView moment={moment} other={other} go={sequence => go(sequence - first + 1)} />
            )}
            {tab === 'Events' && (
              <EventList run={run} count={reading.count} first={first} at={at} moved={cursor !== undefined} go={go} />
            )}
          </div>
        </>
      )}
      {moment?.event && (
        <details className="fold event">
          <summary>
            <code>{moment.event.type}</code>{' '}
            <span className="muted">event {moment.event.sequence.toLocaleString('en')}</span>
          </summary>
          <Json value={moment.event} label="Event" />
        </details>
      )}
    </section>
  )
}

interface SliderProps {
  readonly at: number
  readonly count: number
  readonly ended: boolean
  readonly follows: boolean
  readonly go: (at: number) => void
}

function Slider({ at, count, ended, follows, go }: SliderProps) {
  return (
    <div className="slider">
      <button
        type="button"
        className="quiet only-icon"
        aria-label="One event back"
        disabled={at === 0}
        onClick={() => go(at - 1)}
      >
        <Icon name="back" />
      </button>
      <input
        type="range"
        min={0}
        max={count}
        value={at}
        aria-label="Event"
        aria-valuetext={`after event ${at} of ${count}`}
        onChange={event => go(Number(event.target.value))}
      />
      <button
        type="button"
        className="quiet only-icon"
        aria-label="One event on"
        disabled={at >= count}
        onClick={() => go(at + 1)}
      >
        <Icon name="on" />
      </button>
      <output>
        {at.toLocaleString('en')} / {count.toLocaleString('en')}
      </output>
      <button type="button" className="button small" aria-pressed={follows} onClick={() => go(count)}>
        {ended ? 'End' : 'Live'}
      </button>
    </div>
  )
}

function Tabs({ chosen, choose }: { chosen: Tab; choose: (tab: Tab) => void }) {
  return (
    <div role="tablist" aria-label="What to see" className="tabs">
      {tabs.map((name, index) => (
        <button
          key={name}
          type="button"
          role="tab"
          aria-selected={chosen === name}
          tabIndex={chosen === name ? 0 : -1}
          onClick={() => choose(name)}
          onKeyDown={event => {
            const move = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
            if (move === 0) return
            const next = (index + move + tabs.length) % tabs.length
            choose(tabs[next] as Tab)
            ;(event.currentTarget.parentElement?.children[next] as HTMLElement | undefined)?.focus()
          }}
        >
          {name}
        </button>
      ))}
    </div>
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

function hasEnded({ status }: Moment): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}

/** All of it as it was at the cursor. */
function Facts({ moment }: { moment: Moment }) {
  const { usage, nowMs, startMs, tokens, error } = moment
  const facts: [string, string | undefined][] = [
    ['Began', startMs === 0 ? undefined : beganText(startMs)],
    ['Time', duration(nowMs - startMs)],
    ['Steps', moment.steps.length.toLocaleString('en')],
    ['Tool calls', moment.spans.filter(span => span.lane === 'tool').length.toLocaleString('en')],
    ['Token events', tokens.toLocaleString('en')],
    ['Tokens used', usage?.total_tokens?.toLocaleString('en')],
    ['Cost told', usage?.cost_usd === undefined ? undefined : `$${usage.cost_usd}`],
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
      {error !== undefined && (
        <p className="note error">
          <Icon name="alert" /> {error}
        </p>
      )}
    </>
  )
}

function beganText(ms: number): string {
  return new Date(ms).toLocaleString([], {
    day: 'numeric',
    month: 'short',
    hour: 'numeric',
    minute: '2-digit',
    second: '2-digit',
  })
}

function TextView({ moment }: { moment: Moment }) {
  if (moment.text === '')
    return <p className="loading">{hasEnded(moment) ? 'This run said nothing.' : 'Nothing has been said yet.'}</p>
  return (
    <pre className="said-text" tabIndex={0} role="group" aria-label="Text" dir="auto">
      {moment.text}
    </pre>
  )
}

function StateView({ moment, differs }: { moment: Moment; differs: readonly string[] | undefined }) {
  const { state, change } = moment
  const version = `Version ${state.version}${change ? `, changed by event ${change.sequence}` : ''}`
  if (state.version === 0 && !differs)
    return <p className="loading">{hasEnded(moment) ? 'This run told no state.' : 'This run has told no state yet.'}</p>
  return (
    <div className="state" tabIndex={0} role="group" aria-label="State">
      <p className="muted small">
        {differs ? differencesText(differs.length) : version}
        {!state.certain && ' (a change was missed: this may be old)'}
      </p>
      <StateTree value={state.value} changed={differs ?? change?.paths ?? []} label="State" />
    </div>
  )
}

function differencesText(count: number): string {
  if (count === 0) return 'The same state as the other run'
  return count === 1 ? '1 difference to the other run' : `${count.toLocaleString('en')} differences to the other run`
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
