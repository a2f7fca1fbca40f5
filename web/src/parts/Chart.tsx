// A chart in its card: drawn when its library is there, in the colours of the page, with its figures as a table and a
// picture to keep. An option that we do not draw says why, and shows its figures all the same.
import { useEffect, useId, useMemo, useRef, useState } from 'react'
import type { ChartPart } from '../../../src/state/view.ts'
import { Icon } from '../Icon.tsx'
import { checkOption } from './chart-option.ts'
import { tableOf, type Table } from './chart-table.ts'
import type { Drawing } from './echarts.ts'
import { useDark } from './use-dark.ts'

export function Chart({ part }: { part: ChartPart }) {
  const { option: given, title = 'Chart', chart_type, data_source } = part
  const checked = useMemo(() => checkOption(given), [given])
  const table = useMemo(() => tableOf(given), [given])
  const [tabled, setTabled] = useState(false)
  const drawing = useRef<Drawing>(undefined)
  const id = useId()
  const refused = 'refused' in checked ? checked.refused : undefined
  const showsTable = table !== undefined && (tabled || refused !== undefined)
  const save = () => {
    const link = document.createElement('a')
    link.href = drawing.current?.png() ?? ''
    link.download = `${title.replace(/[^\p{L}\p{N}]+/gu, '-').toLowerCase()}.png`
    link.click()
  }
  return (
    <figure className="chart card" aria-labelledby={id}>
      <figcaption id={id}>{title}</figcaption>
      <div className="chart-actions">
        {table && refused === undefined && (
          <button type="button" className="quiet" aria-expanded={tabled} onClick={() => setTabled(!tabled)}>
            <Icon name="table" /> {tabled ? 'Hide data' : 'Show data'}
          </button>
        )}
        {refused === undefined && (
          <button type="button" className="quiet" onClick={save}>
            <Icon name="download" /> PNG
          </button>
        )}
      </div>
      {'option' in checked ? (
        <Canvas
          option={checked.option}
          label={`${chart_type} chart: ${title}`}
          onReady={ready => (drawing.current = ready)}
        />
      ) : (
        <p className="note warning">
          <Icon name="alert" /> This chart cannot be drawn: {refused}.
        </p>
      )}
      {table && <Figures table={table} title={title} shown={showsTable} />}
      {data_source && <p className="source">Source: {data_source}</p>}
    </figure>
  )
}

interface CanvasProps {
  readonly option: Record<string, unknown>
  readonly label: string
  readonly onReady: (drawing: Drawing | undefined) => void
}

function Canvas({ option, label, onReady }: CanvasProps) {
  const place = useRef<HTMLDivElement>(null)
  const dark = useDark()
  const [failed, setFailed] = useState<string>()
  useEffect(() => {
    const element = place.current
    if (!element) return
    let drawing: Drawing | undefined
    let left = false
    const watch = new ResizeObserver(() => drawing?.resize())
    import('./echarts.ts').then(
      ({ drawIn }) => {
        if (left) return
        try {
          drawing = drawIn(element, dark)
          drawing.draw(option)
          setFailed(undefined)
          onReady(drawing)
          watch.observe(element)
          element.dataset['drawn'] = 'true'
        } catch (error) {
          setFailed((error as Error).message)
        }
      },
      () => setFailed('the chart library could not be loaded'),
    )
    return () => {
      left = true
      watch.disconnect()
      drawing?.end()
      onReady(undefined)
    }
  }, [option, dark])
  if (failed !== undefined) return <p className="note warning">This chart cannot be drawn: {failed}.</p>
  return <div ref={place} className="canvas" role="img" aria-label={label} />
}

/** Always there for screen readers. */
function Figures({ table, title, shown }: { table: Table; title: string; shown: boolean }) {
  return (
    <div
      className={shown ? 'figures' : 'unseen'}
      {...(shown && { tabIndex: 0, role: 'region', 'aria-label': `Data: ${title}` })}
    >
      <table>
        <caption className="unseen">{title}</caption>
        <thead>
          <tr>
            {table.head.map((name, index) => (
              <th key={index} scope="col">
                {name || 'Name'}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {row.map((cell, column) =>
                column === 0 ? (
                  <th key={column} scope="row">
                    {cell}
                  </th>
                ) : (
                  <td key={column}>{cell}</td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
