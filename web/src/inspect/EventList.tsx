// Every event of a run, a row each, fetched from the worker as they scroll into view. Choosing one moves the cursor there.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef, useState } from 'react'
import type { OpenRun } from './open-run.ts'
import type { Filter, Row } from './protocol.ts'

const rowPx = 30
/** Rows are fetched by pages. */
const pageRows = 200
const filters: readonly Filter[] = ['all', 'no tokens', 'state']

export interface EventListProps {
  readonly run: OpenRun
  readonly count: number
  readonly first: number
  readonly at: number
  /** Somebody moved the cursor: the list shows where it is. */
  readonly moved: boolean
  readonly go: (at: number) => void
}

export function EventList({ run, count, first, at, moved, go }: EventListProps) {
  const [filter, setFilter] = useState<Filter>('all')
  const [total, setTotal] = useState(0)
  const [pages, setPages] = useState<ReadonlyMap<number, readonly Row[]>>(new Map())
  const place = useRef<HTMLDivElement>(null)
  const shown = filter === 'all' ? count : total
  const rows = useVirtualizer({
    count: shown,
    getScrollElement: () => place.current,
    estimateSize: () => rowPx,
    overscan: 10,
  })
  const items = rows.getVirtualItems()
  const from = Math.floor((items[0]?.index ?? 0) / pageRows)
  const to = Math.floor((items.at(-1)?.index ?? 0) / pageRows)

  useEffect(() => {
    let left = false
    for (let page = from; page <= to; page++) {
      const whole = pages.get(page)?.length === pageRows
      if (whole) continue
      void run.rows(page * pageRows, pageRows, filter).then(answer => {
        if (left) return
        setTotal(answer.total)
        // Pages far from here are forgotten.
        setPages(known => new Map([...known].filter(([one]) => Math.abs(one - page) < 5)).set(page, answer.rows))
      })
    }
    return () => {
      left = true
    }
  }, [run, from, to, filter, count])

  useEffect(() => {
    if (moved && filter === 'all' && at > 0) rows.scrollToIndex(at - 1, { align: 'auto' })
  }, [rows, moved, filter, at])

  const choose = (next: Filter) => {
    setFilter(next)
    setTotal(0)
    setPages(new Map())
    place.current?.scrollTo({ top: 0 })
  }
  return (
    <div className="events">
      <label className="small">
        Show{' '}
        <select value={filter} onChange={event => choose(event.target.value as Filter)}>
          {filters.map(name => (
            <option key={name}>{name}</option>
          ))}
        </select>{' '}
        <span className="muted">{shown.toLocaleString('en')} events</span>
      </label>
      <div ref={place} className="rows" tabIndex={0} role="group" aria-label="Events">
        <div style={{ height: rows.getTotalSize(), position: 'relative' }}>
          {items.map(({ index, start }) => {
            const row = pages.get(Math.floor(index / pageRows))?.[index % pageRows]
            if (!row) return <div key={index} className="row" style={{ top: start, height: rowPx }} />
            const position = row.sequence - first + 1
            return (
              <button
                key={index}
                type="button"
                className="row"
                aria-current={position === at}
                style={{ top: start, height: rowPx }}
                onClick={() => go(position)}
              >
                <span className="seq">{row.sequence}</span>
                <span className="time">{(row.atMs / 1_000).toFixed(3)} s</span>
                <span className="type">{row.type}</span>
                <span className="words">{row.words}</span>
              </button>
            )
          })}
        </div>
      </div>
    </div>
  )
}
