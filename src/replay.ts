// Running an agent again after a crash. A deterministic agent says the same once more; what its log has already is
// matched against it and not written twice, and the run goes on where the log ends. It must never let a reader see a
// second version: an agent that says something else ends its run instead.
import type { Body, Event } from './event.ts'
import { type Log, readLimitEntries, runKey } from './log.ts'

export interface Replay {
  /** Where the log ends. */
  readonly last: number
  /** Whether a body is in the log already, is the next one to be written, or contradicts the log. */
  take(body: Body): 'written' | 'new' | 'contradiction'
  /** The sequence that is to be matched next. */
  readonly at: number
}

/** What a run's log holds, to be matched; undefined when its beginning is forgotten, for then nothing can be matched. */
export async function replayOf(log: Log, run: string): Promise<Replay | undefined> {
  const written: Event[] = []
  const answered = new Set<string>()
  let last = 0
  for (;;) {
    const batch = await log.read(runKey(run), last, readLimitEntries)
    if (batch.gap) return undefined
    if (batch.count === 0) break
    for (const event of batch.events) {
      // Answers come from the inbox, which is heard again from its start: when, is not the agent's doing.
      if (event.type === 'input' && event.kind === 'answer') answered.add(event.input_id)
      else written.push(event)
    }
    last = batch.last
  }
  let next = 0
  return {
    last,
    take(body) {
      if (body.type === 'input' && body.kind === 'answer') return answered.delete(body.input_id) ? 'written' : 'new'
      const event = written[next]
      if (!event) return 'new'
      if (!isSame(event, body)) return 'contradiction'
      next++
      return 'written'
    },
    get at() {
      return written[next]?.sequence ?? last + 1
    },
  }
}

/** Words must be the same to the letter; times, durations and figures may differ. */
function isSame(event: Event, body: Body): boolean {
  if (event.type === 'token' && body.type === 'token') return event.content === body.content
  if (event.type === 'text' && body.type === 'text') return event.content === body.content
  if (event.type === 'custom' && body.type === 'custom') return event.name === body.name
  if (event.type === 'tool' && body.type === 'tool') return event.call_id === body.call_id && event.stage === body.stage
  return event.type === body.type
}
