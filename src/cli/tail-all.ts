// `runcast tail --all`: every run of a server, a file or a topic, or those of a thread or an agent, that goes on now
// or begins from now on, each event a line that says whose it is. It goes on until it is stopped.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, RunInfo, Runs } from '../client/index.ts'
import { RuncastError } from '../error.ts'
import { eventJson } from '../formats/json.ts'
import { eventLine } from './event-line.ts'
import { counted, note, oneLine } from './terminal.ts'

export interface TailAllOptions {
  readonly thread?: string | undefined
  readonly agent?: string | undefined
  readonly types?: ReadonlySet<string> | undefined
  readonly json?: boolean | undefined
  readonly signal: AbortSignal
  /** The source answered, or why it did not. */
  readonly onAnswer: (error?: RuncastError) => void
}

/** A person sees a run begin at once, and a server that is asked so often does not notice it. */
const lookMs = 500
/** Runs followed at a time: each is a connection, and nobody reads more than that. What waits is followed later, from its start. */
const followedMax = 64

/** A run that another server created may have a clock this much behind. */
const skewMs = 10_000

export async function tailAll(runs: Runs, options: TailAllOptions): Promise<void> {
  const { thread, agent, signal, onAnswer } = options
  const filter = { thread, agent }
  const newest = createNewest(runs, filter)
  const follow = createFollowing(runs, options)
  let told = false
  while (!signal.aborted) {
    try {
      const begun = await newest.look()
      const going = told ? [] : await goingOn(runs, filter)
      newest.know(going) // they may have begun behind that look, and would be found again
      onAnswer()
      const wanted = told ? begun : going
      for (const { run_id } of wanted.reverse()) follow.add(run_id)
      if (!told) note(`following ${counted(wanted.length, 'run')}, and those that begin; Ctrl-C ends it`)
      told = true
    } catch (thrown) {
      const error = RuncastError.from(thrown)
      if (!error.retryable) throw error
      onAnswer(error)
    }
    await sleep(lookMs, undefined, { signal }).catch(() => {})
  }
  await follow.ended()
}

type Filter = Pick<TailAllOptions, 'thread' | 'agent'>

async function goingOn(runs: Runs, filter: Filter): Promise<RunInfo[]> {
  const found: RunInfo[] = []
  for (const status of ['running', 'accepted'] as const) {
    let cursor: string | undefined
    do {
      const page = await runs.list({ ...filter, status, cursor })
      found.push(...page.runs)
      cursor = page.next
    } while (cursor !== undefined)
  }
  return found.sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at))
}

/** Finds the runs that are new since the last look, newest first, and keeps no more ids than the skew of clocks asks for. */
function createNewest(runs: Runs, filter: Filter) {
  const known = new Map<string, number>()
  let mark: number | undefined
  const know = (infos: readonly RunInfo[]) => {
    for (const { run_id, created_at } of infos) known.set(run_id, Date.parse(created_at))
  }
  return {
    know,
    async look(): Promise<RunInfo[]> {
      const found: RunInfo[] = []
      const oldest = (mark ?? -Infinity) - skewMs
      let cursor: string | undefined
      let newest = mark ?? -Infinity
      pages: do {
        const page = await runs.list({ ...filter, cursor })
        for (const info of page.runs) {
          const created = Date.parse(info.created_at)
          newest = Math.max(newest, created)
          if (created < (mark === undefined ? newest - skewMs : oldest)) break pages
          if (!known.has(info.run_id)) found.push(info)
        }
        cursor = page.next
      } while (cursor !== undefined)
      know(found)
      for (const [run, created] of known) if (created < newest - skewMs) known.delete(run)
      mark = newest
      return found
    },
  }
}

function createFollowing(runs: Runs, { types, json, signal }: TailAllOptions) {
  const waiting: string[] = []
  const following = new Map<string, Promise<void>>()

  const show = (run: string) => async (batch: Batch) => {
    if (batch.gap) note(`run ${oneLine(run)}: events ${batch.gap.requested} to ${batch.gap.oldest - 1} are forgotten`)
    const lines = batch.events.map(event =>
      json ? eventJson(event) : `${oneLine(run)} ${eventLine(event).trimStart()}`,
    )
    if (lines.length === 0 || process.stdout.write(`${lines.join('\n')}\n`)) return
    await once(process.stdout, 'drain')
  }
  const one = async (run: string) => {
    try {
      await runs.follow(run, { types, signal }, show(run))
    } catch (error) {
      note(oneLine(`run ${run}: ${RuncastError.from(error).message}`))
    }
    following.delete(run)
    next()
  }
  const next = () => {
    while (following.size < followedMax && waiting.length > 0 && !signal.aborted) {
      const run = waiting.shift() as string
      following.set(run, one(run))
    }
  }
  return {
    add(run: string) {
      if (following.has(run) || waiting.includes(run)) return
      waiting.push(run)
      next()
    },
    ended: () => Promise.all(following.values()),
  }
}
