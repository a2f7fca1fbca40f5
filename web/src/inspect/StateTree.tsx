// A state as a tree that one unfolds, with what the newest change touched, or where it differs from another run's.
import { useState } from 'react'

export interface StateTreeProps {
  readonly value: unknown
  /** JSON Pointers of what changed; '' is everything. */
  readonly changed: readonly string[]
  readonly label: string
}

/** Deeper levels begin folded. */
const openLevels = 2
/** Of a longer list the rest is counted. */
const entriesMax = 200

export function StateTree({ value, changed, label }: StateTreeProps) {
  return (
    <div className="tree" role="group" aria-label={label}>
      <Branch name="state" value={value} path="" level={0} changed={changed} />
    </div>
  )
}

interface BranchProps extends Omit<StateTreeProps, 'label'> {
  readonly name: string
  readonly path: string
  readonly level: number
}

function Branch({ name, value, path, level, changed }: BranchProps) {
  const own = changed.some(one => one === path || path.startsWith(`${one}/`))
  const inside = changed.some(one => one.startsWith(`${path}/`))
  const [open, setOpen] = useState<boolean>()
  const mark = own ? 'changed' : ''
  if (typeof value !== 'object' || value === null) {
    return (
      <div className={`leaf ${mark}`}>
        <span className="key">{name}</span> <code className={typeof value}>{JSON.stringify(value) ?? 'nothing'}</code>
        {own && <span className="unseen"> (changed)</span>}
      </div>
    )
  }
  const entries = Object.entries(value)
  const shown = open ?? (level < openLevels || inside)
  return (
    <details open={shown} onToggle={event => event.currentTarget.open !== shown && setOpen(event.currentTarget.open)}>
      <summary className={mark}>
        <span className="key">{name}</span>{' '}
        <span className="muted">{Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`}</span>
        {(own || inside) && (
          <span className="dot" title="changed">
            <span className="unseen">changed</span>
          </span>
        )}
      </summary>
      {shown && (
        <div className="branch">
          {entries.slice(0, entriesMax).map(([key, inner]) => (
            <Branch
              key={key}
              name={key}
              value={inner}
              path={`${path}/${escaped(key)}`}
              level={level + 1}
              changed={changed}
            />
          ))}
          {entries.length > entriesMax && <p className="muted small">{entries.length - entriesMax} more</p>}
        </div>
      )}
    </details>
  )
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}
