// The schema of the state: its fields at the cursor, and its history over the run. Choosing a change moves the cursor there.
// Beside another run, also where the two states are not made alike.
import { useMemo } from 'react'
import type { Moment } from './protocol.ts'
import { changesBetween, type SchemaChange, shapeOf } from './schema.ts'

export interface SchemaViewProps {
  readonly moment: Moment
  /** The state of the run beside it. */
  readonly other: { readonly state: unknown } | undefined
  readonly go: (sequence: number) => void
}

export function SchemaView({ moment, other, go }: SchemaViewProps) {
  const { schema, state, event } = moment
  const now = event?.sequence ?? 0
  const fields = useMemo(() => changesBetween(undefined, shapeOf(state.value)), [state.value])
  const differences = useMemo(
    () => (other === undefined ? undefined : changesBetween(shapeOf(other.state), shapeOf(state.value))),
    [other, state.value],
  )
  const newest = schema.findLast(one => one.sequence <= now)
  if (schema.length === 0) return <p className="loading">This run has told no state, so there is no schema of it.</p>
  return (
    <div className="schema" tabIndex={0} role="group" aria-label="Schema">
      {differences && (
        <section>
          <h3>Against the other run</h3>
          {differences.length === 0 ? (
            <p className="muted small">The states of both have the same schema.</p>
          ) : (
            <Changes changes={differences} came="only here" went="only there" />
          )}
        </section>
      )}
      <section>
        <h3>History</h3>
        <ol className="versions">
          {schema.map(({ sequence, changes, more }, index) => (
            <li key={sequence} className={sequence > now ? 'later' : ''}>
              <button
                type="button"
                className="button small"
                aria-current={sequence === newest?.sequence ? 'true' : undefined}
                onClick={() => go(sequence)}
              >
                Schema {index + 1}, event {sequence}
              </button>
              <Changes changes={changes} came="added" went="removed" />
              {more > 0 && <p className="muted small">{more.toLocaleString('en')} more changes</p>}
            </li>
          ))}
        </ol>
      </section>
      <section>
        <h3>Fields at this event</h3>
        {newest === undefined ? (
          <p className="muted small">No state has been told yet.</p>
        ) : (
          <ul className="changes">
            {fields.map(({ path, after }) => (
              <li key={path}>
                <code>{path || 'state'}</code> <span className="muted">{after}</span>
              </li>
            ))}
          </ul>
        )}
      </section>
      <p className="muted small">Read off the values: the log keeps no declared schema of a state.</p>
    </div>
  )
}

function Changes({ changes, came, went }: { changes: readonly SchemaChange[]; came: string; went: string }) {
  return (
    <ul className="changes">
      {changes.map(({ path, before, after }) => {
        const kind = before === undefined ? 'came' : after === undefined ? 'went' : 'became'
        return (
          <li key={path} className={kind}>
            <code>{path || 'state'}</code>{' '}
            <span className="muted">{kind === 'became' ? `${before} → ${after}` : (after ?? before)}</span>
            {kind !== 'became' && <span className="what">{kind === 'came' ? came : went}</span>}
          </li>
        )
      })}
    </ul>
  )
}
