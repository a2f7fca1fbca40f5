// What took time in a run: steps, tool calls and text as bars on one scale, up to the cursor. Only the rows that are seen
// exist, so that thousands of them scroll as a dozen does.
import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef } from 'react'
import { duration } from '../parts/duration.ts'
import type { Moment, Span } from './protocol.ts'

const rowPx = 30
/** Where the scale is labelled, as parts of the whole. */
const marks = [0, 0.25, 0.5, 0.75]

export function Timeline({ moment }: { moment: Moment }) {
  const { spans, nowMs, startMs } = moment
  const place = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: spans.length,
    getScrollElement: () => place.current,
    estimateSize: () => rowPx,
    overscan: 12,
  })
  const totalMs = Math.max(1, nowMs - startMs)
  if (spans.length === 0) return <p className="loading">Nothing has begun yet.</p>
  return (
    <div ref={place} className="timeline" tabIndex={0} role="group" aria-label={`Timeline, ${duration(totalMs)}`}>
      <div className="scale" aria-hidden="true">
        {marks.map(mark => (
          <span key={mark} style={{ insetInlineStart: `${mark * 100}%` }}>
            {mark === 0 ? '0' : duration(totalMs * mark)}
          </span>
        ))}
      </div>
      <div role="list" style={{ height: rows.getTotalSize(), position: 'relative' }}>
        {rows.getVirtualItems().map(({ index, start, key }) => {
          const span = spans[index] as Span
          const left = (span.fromMs / totalMs) * 100
          const width = Math.max(0, ((span.toMs - span.fromMs) / totalMs) * 100)
          return (
            <div
              key={key}
              role="listitem"
              className={`span ${span.lane} ${span.failed ? 'failed' : ''}`}
              style={{ top: start, height: rowPx }}
            >
              <span
                className="name"
                style={{ paddingInlineStart: `${Math.min(span.depth, 6) * 0.8}rem` }}
                title={span.name}
              >
                <i aria-hidden="true" /> <span className="unseen">{span.lane} </span>
                {span.name}
              </span>
              <span className="track">
                <span
                  className={`bar ${span.open ? 'open' : ''}`}
                  style={{ insetInlineStart: `${Math.min(left, 99.5)}%`, width: `max(3px, ${width}%)` }}
                />
              </span>
              <span className="took">{span.toMs > span.fromMs ? duration(span.toMs - span.fromMs) : ''}</span>
            </div>
          )
        })}
      </div>
    </div>
  )
}
