// A run in React: `useRun(url, run)` gives its view, live, late or resumed, and what one may tell it. A thin shell over
// the client, which reconnects and never delivers twice, and the fold. It must never read a run that nobody shows any more.
import { useCallback, useEffect, useMemo, useState } from 'react'
import { connect, type Connection, type ConnectOptions, RuncastError, type Runs } from '../client/index.ts'
import { foldBatch, textOf, type View } from '../state/fold.ts'

/** As `connect` takes them. */
export type UseRunOptions = Omit<ConnectOptions, 'onConnection'>

export interface RunState {
  /** `loading` before anything is known, `failed` when the run cannot be read (not when it ended with an error: see `view.terminal`). */
  readonly phase: 'idle' | 'loading' | 'live' | 'ended' | 'failed'
  readonly view: View | undefined
  /** All text of the run so far. */
  readonly text: string
  /** Why it cannot be read. */
  readonly error: RuncastError | undefined
  /** How the connection fares; undefined for a `Runs` of your own. */
  readonly connection: Connection | undefined
  cancel(reason?: string): Promise<void>
  /** Answers a question of `view.questions`. */
  answer(input_id: string, value: unknown): Promise<void>
}

interface Read {
  /** Whose it is: what is left of another run is not shown. */
  readonly of: unknown
  readonly run: string | undefined
  readonly view?: View
  readonly ended?: boolean
  readonly error?: RuncastError
}

/** Reads a run of a server, given by its URL or as a `Runs`. No run (undefined): idle. */
export function useRun(source: string | URL | Runs, run: string | undefined, options: UseRunOptions = {}): RunState {
  const [connection, setConnection] = useState<Connection>()
  const [read, setRead] = useState<Read>()
  const key = source instanceof URL ? source.href : source
  // Options are taken as they are when the source changes: new objects at each render must not connect anew.
  const runs = useMemo(
    () => (typeof key === 'string' ? connect(key, { ...options, onConnection: (_, now) => setConnection(now) }) : key),
    [key],
  )

  useEffect(() => {
    if (run === undefined) return
    const leaving = new AbortController()
    void readRun(runs, run, leaving.signal, now => setRead({ of: runs, run, ...now }))
    return () => leaving.abort()
  }, [runs, run])

  const cancel = useCallback(
    async (reason?: string) => void (run !== undefined && (await runs.cancel(run, reason))),
    [runs, run],
  )
  const answer = useCallback(
    async (input_id: string, value: unknown) => {
      if (run !== undefined) await runs.tell(run, { type: 'input', input_id, value })
    },
    [runs, run],
  )

  const mine = read?.of === runs && read.run === run ? read : undefined
  const text = useMemo(() => (mine?.view ? textOf(mine.view) : ''), [mine?.view])
  return { phase: phaseOf(run, mine), view: mine?.view, text, error: mine?.error, connection, cancel, answer }
}

function phaseOf(run: string | undefined, read: Read | undefined): RunState['phase'] {
  if (run === undefined) return 'idle'
  if (read?.error) return 'failed'
  if (read?.ended) return 'ended'
  return read?.view ? 'live' : 'loading'
}

/** The view at once, then each batch folded into a new one, until the end. */
async function readRun(
  runs: Runs,
  run: string,
  signal: AbortSignal,
  show: (now: Omit<Read, 'of' | 'run'>) => void,
): Promise<void> {
  let view: View | undefined
  const shown = (now: View) => {
    view = now
    if (!signal.aborted) show({ view: now, ended: now.terminal !== undefined })
  }
  try {
    shown(await runs.snapshot(run))
    await runs.follow(run, { after: view?.at ?? 0, signal }, async batch => {
      // What retention took away meanwhile stands in the server's view.
      if (batch.gap) shown(await runs.snapshot(run))
      if (view) shown(foldBatch(view, batch))
    })
  } catch (error) {
    if (!signal.aborted) show({ ...(view && { view }), error: RuncastError.from(error) })
  }
}
