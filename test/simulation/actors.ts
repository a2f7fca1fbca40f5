// Who does things in a simulation: starters that try again as a client does, readers that come late, stall, are cut and
// resume, somebody who cancels, answers, or kills the server. Each of them notes what it was told. They must end by
// themselves once the world heals.
import type { Batch } from '../../src/batch.ts'
import { followThread, type ThreadCursor } from '../../src/client/thread.ts'
import { type Attempt, type Lost, resume } from '../../src/client/resume.ts'
import type { Arrival } from '../../src/client/seam.ts'
import { RuncastError } from '../../src/error.ts'
import type { Runs } from '../../src/runs.ts'
import { deterministic, drawInput, type Input } from './agents.ts'
import type { Process, Seen, SeenThread, World } from './world.ts'

export const threads = ['red', 'green', 'blue'] as const

/** Asks the process of the moment; one that is killed meanwhile never answers. */
async function asked<T>(world: World, ask: (runs: Runs) => Promise<T>): Promise<T> {
  const process = await world.up()
  return Promise.race([ask(process.runs), cut<T>(process.killed)])
}

function cut<T>(signal: AbortSignal): Promise<T> {
  return new Promise((_, reject) => {
    const refuse = () => reject(new RuncastError('unavailable', 'the connection was cut'))
    if (signal.aborted) refuse()
    signal.addEventListener('abort', refuse, { once: true })
  })
}

/** Starts one run, again and again with its key while that may help. The run's id when it was accepted. */
export async function startOne(
  world: World,
  number: number,
  input = drawInput(world),
): Promise<{ run: string; input: Input } | undefined> {
  const { promised } = world
  const agent = world.chance(0.2) ? deterministic : 'any'
  const key = world.chance(0.8) ? `key-${number}` : undefined
  const options = {
    ...(key !== undefined && { idempotencyKey: key }),
    ...(world.chance(0.3) && { run: `run-${number}` }),
    ...(world.chance(0.6) && {
      thread: world.pick(threads),
      onBusy: world.pick(['reject', 'queue', 'interrupt'] as const),
    }),
  }
  const patience = 1 + world.below(10)
  for (let tries = 1; tries <= patience; tries++) {
    try {
      const ask = () => asked(world, runs => runs.start(agent, input, options))
      const isTwice = key !== undefined && world.chance(0.2) // a double click
      const [{ run_id }, other] = await Promise.all([ask(), ...(isTwice ? [ask()] : [])])
      if (other && other.run_id !== run_id) world.failures.push(new Error(`${key} gave ${run_id} and ${other.run_id}`))
      promised.accepted.add(run_id)
      if (key !== undefined) promised.byKey.set(key, run_id)
      return { run: run_id, input }
    } catch (thrown) {
      const error = RuncastError.from(thrown, 'unavailable')
      // A start that was refused, or is repeated without a key, is answered so; every other answer is a bug.
      const known: string[] = ['unavailable', 'thread_busy', 'not_ready', ...(key === undefined ? ['conflict'] : [])]
      if (!known.includes(error.code)) world.failures.push(error)
      if (!error.retryable || key === undefined) return undefined
      await world.sleep(2_000)
    }
  }
  return undefined
}

/** Cancels, in one of the two ways, until that is answered. */
export async function cancelOne(world: World, run: string): Promise<void> {
  for (;;) {
    try {
      if (world.chance(0.5)) await asked(world, runs => runs.tell(run, { type: 'cancel', reason: 'simulated' }))
      else {
        const { status } = await asked(world, runs => runs.cancel(run, 'simulated'))
        if (status === 'accepted' || status === 'running') {
          world.failures.push(new Error(`cancel of ${run} answered while it is ${status}`))
        }
      }
      world.promised.cancelled.add(run)
      return
    } catch (thrown) {
      const error = RuncastError.from(thrown, 'unavailable')
      if (error.code === 'run_ended') return
      if (!error.retryable) return void world.failures.push(error)
      await world.sleep(1_000)
    }
  }
}

/** Answers the question of an agent, perhaps before it is asked. */
export async function answerOne(world: World, run: string): Promise<void> {
  for (;;) {
    await world.sleep(3_000)
    try {
      return await asked(world, runs => runs.tell(run, { type: 'input', input_id: 'ask-1', value: 42 }))
    } catch (thrown) {
      const error = RuncastError.from(thrown, 'unavailable')
      if (error.code === 'run_ended') return
      if (!error.retryable) return void world.failures.push(error)
    }
  }
}

/** Reads a run to its end, whatever happens on the way. */
export async function readOne(world: World, run: string, lateMs?: number): Promise<void> {
  const kind = world.pick(['local', 'client'] as const)
  const seen: Seen = { run, kind, events: [], done: false }
  world.counts.readers++
  world.seen.push(seen)
  await world.sleep(lateMs ?? (world.chance(0.5) ? 10 : 20_000))
  if (kind === 'local') await readLocally(world, seen)
  else await readAsClient(world, seen)
  seen.done = true
}

/** A connection that dies after some events or some time, or with its process. */
function connection(world: World, process: Process, more?: AbortSignal) {
  const ending = new AbortController()
  const end = () => {
    process.killed.removeEventListener('abort', killed) // in an outage there are a hundred thousand connections
    if (!ending.signal.aborted) ending.abort()
  }
  const doomed = !world.healing && world.chance(0.9)
  const connectionEnds = () => {
    world.counts.cuts++
    end()
  }
  let left = doomed && world.chance(0.7) ? world.below(world.pick([3, 20])) : Number.POSITIVE_INFINITY
  if (doomed && left === Number.POSITIVE_INFINITY) {
    void world.sleep(world.pick([10, 300, 5_000])).then(() => !ending.signal.aborted && connectionEnds())
  }
  const killed = () => !ending.signal.aborted && connectionEnds()
  process.killed.addEventListener('abort', killed, { once: true })
  more?.addEventListener('abort', end, { once: true })
  if (process.killed.aborted) killed()
  return {
    signal: ending.signal,
    end,
    /** How many of these events still arrive. */
    arriving(count: number): number {
      if (count <= left) {
        left -= count
        return count
      }
      connectionEnds()
      return left
    },
  }
}

const closed = (signal: AbortSignal) =>
  new Promise<void>(resolve => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

/** Over `Runs` itself, with a cursor of its own. */
async function readLocally(world: World, seen: Seen): Promise<void> {
  const { run, events } = seen
  let sealed = false
  const take = (batch: Batch, pipe: ReturnType<typeof connection>): void | Promise<void> => {
    const after = events.length
    if (batch.after !== after) {
      const gap = batch.gap ? ` with a gap from ${batch.gap.requested} to ${batch.gap.oldest}` : ''
      world.failures.push(new Error(`${run}: a batch after ${batch.after}${gap} came to a reader at ${after}`))
    }
    const count = pipe.arriving(batch.events.length)
    events.push(...batch.events.slice(0, count))
    world.counts.events += count
    sealed = batch.state === 'sealed' && count === batch.events.length
    if (!sealed && world.chance(0.1)) return world.sleep(2_000) // stalls
  }
  while (!sealed) {
    const process = await world.up()
    const pipe = connection(world, process)
    const { signal } = pipe
    const reading = process.runs.follow(run, { after: events.length, signal }, batch =>
      signal.aborted ? undefined : take(batch, pipe),
    )
    await Promise.race([reading, closed(signal)]).catch(thrown => refused(world, run, thrown))
    pipe.end()
    if (!sealed) await world.sleep(100)
  }
}

/** Through the reconnect loop of the client, over a wire that delivers what it likes of what the server sends. */
async function readAsClient(world: World, { run, events }: Seen): Promise<void> {
  const attach = async ({ after, signal, opened, take }: Attempt): Promise<'ended' | Lost> => {
    const process = await world.up()
    const pipe = connection(world, process, signal)
    const lost: Lost = { error: new RuncastError('unavailable', 'the connection was cut') }
    // A server that seeks the cursor anew sends some of it again.
    const from = world.chance(0.1) ? Math.max(0, after - world.below(5)) : after
    const reading = process.runs.follow(
      run,
      { after: from, signal: pipe.signal, opened: () => opened(15_000) },
      async batch => {
        const arrivals: Arrival[] = batch.events.map(event => ({ kind: 'event', event }))
        while (arrivals.length > 0 && !pipe.signal.aborted) {
          const piece = arrivals.splice(0, 1 + world.below(arrivals.length))
          const arrived = piece.slice(0, pipe.arriving(piece.length))
          if (!(await take(arrived))) pipe.end()
          if (world.chance(0.1)) await world.sleep(500)
        }
      },
    )
    try {
      await Promise.race([reading, closed(pipe.signal)])
    } catch (thrown) {
      refused(world, run, thrown)
    }
    pipe.end()
    return lost
  }
  const options = {
    after: 0,
    filtered: false,
    ends: true,
    deps: { ...world.clock, random: world.random },
    backoff: { baseMs: 20, capMs: 500 },
  }
  await resume(attach, options, batch => {
    if (batch.gap) world.failures.push(new Error(`${run}: a client was told of a gap`))
    events.push(...batch.events)
    world.counts.events += batch.events.length
    if (world.chance(0.1)) return world.sleep(2_000)
  })
}

function refused(world: World, run: string, thrown: unknown): void {
  const error = RuncastError.from(thrown, 'unavailable')
  if (!error.retryable) world.failures.push(new Error(`a reader of ${run} was refused: ${error.message}`))
}

/** Reads a whole thread for as long as the simulation lasts. */
export async function readThread(world: World, seen: SeenThread, leaving: AbortSignal): Promise<void> {
  let cursor: ThreadCursor | undefined
  while (!leaving.aborted) {
    const process = await world.up()
    const pipe = connection(world, process, leaving)
    const reading = followThread(process.runs, seen.thread, { cursor, signal: pipe.signal }, next => {
      if (pipe.signal.aborted) return
      const { run_id, thread_base, batch } = next
      const count = pipe.arriving(batch.events.length)
      for (const event of batch.events.slice(0, count)) {
        seen.events.push({ run: run_id, position: thread_base + event.sequence })
      }
      // A cut in mid-batch: the cursor stands behind what arrived.
      if (count === batch.events.length) cursor = next.cursor
      else cursor = { feed: cursor?.feed ?? 0, run_id, after: batch.after + count }
    })
    await Promise.race([reading, closed(pipe.signal)]).catch(thrown => refused(world, seen.thread, thrown))
    pipe.end()
    await world.sleep(200)
  }
}

/** Kills the server and starts it again, until the world heals. */
export async function restarts(world: World): Promise<void> {
  const everyMs = world.pick([2_000, 10_000, 60_000])
  while (!world.healing) {
    await world.sleep(everyMs)
    if (world.healing) return
    world.kill()
    await world.sleep(500)
    void world.boot().catch(thrown => world.failures.push(thrown as Error))
  }
}

/** Owners of runs wait for a good half minute. */
const outageBorneMs = 20_000
/** Who waits for long tries again as seldom as this: between two outages it may see nothing of the log. */
const retryMs = 10_000

/** The log is away for a while, as a whole. */
export async function outages(world: World): Promise<void> {
  let since = 0
  let until = 0
  while (!world.healing) {
    await world.sleep(20_000)
    if (world.healing) return
    const now = world.clock.now()
    if (now - until > retryMs) since = now
    until = now + world.below(world.pick([5_000, 60_000]))
    world.weather.outageUntil = until
    if (until - since > outageBorneMs) world.promised.excuses.push({ from: since, to: until })
  }
}
