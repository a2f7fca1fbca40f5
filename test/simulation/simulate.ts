// One simulation: everything that can go wrong goes wrong at once, decided by one seed; then faults stop, and everyone
// must arrive. It must never know a real clock.
import { everyTenant, type Log } from '../../src/log.ts'
import { answerOne, cancelOne, outages, readOne, readThread, restarts, startOne, threads } from './actors.ts'
import type { Input } from './agents.ts'
import { noFaults } from './faulty.ts'
import { verdict } from './verdict.ts'
import { type Counts, createWorld, type SeenThread, type World } from './world.ts'

export interface Outcome extends Counts {
  readonly seed: number
  readonly runs: number
  readonly faults: number
  /** Everything that should not be; empty when all promises were kept. */
  readonly broken: readonly string[]
  /** Equal for two simulations that did the same. */
  readonly trace: string
}

const startsPerSeed = 60
/** More readers of one run than are rung in one turn, even while some are cut. */
const crowdMin = 80
const crowdMax = 150
/** One seed in so many has such a run. Not by the dice, which would make other simulations of all seeds. */
export const crowdEvery = 5
const faultsMs = 60_000
/** Far more than anything needs whose backend works: a run of two minutes, its queue, a backoff of half a minute. */
const healMsMax = 3_600_000

export async function simulate(seed: number, spoil?: (log: Log) => Log): Promise<Outcome> {
  const world = createWorld(seed, spoil)
  const leaving = new AbortController()
  const seenThreads: SeenThread[] = threads.map(thread => ({ thread, events: [] }))
  const working = new Set<Promise<unknown>>()
  const work = (task: Promise<unknown>) => {
    working.add(task)
    task.catch(thrown => world.failures.push(thrown as Error)).finally(() => working.delete(task))
  }

  work(world.boot())
  const readingThreads = seenThreads.map(seen => readThread(world, seen, leaving.signal))
  for (let number = 0; number < startsPerSeed; number++) work(live(world, number, work))
  if (seed % crowdEvery === 0) work(gather(world, work))
  if (world.chance(0.7)) work(restarts(world))
  if (world.chance(0.5)) work(outages(world))

  await world.clock.runUntil(() => false, faultsMs)
  world.healing = true
  world.weather.faults = noFaults
  world.weather.outageUntil = 0
  work(world.boot())

  const isOver = () => working.size === 0 && world.process?.runs.running === 0
  const arrived = await world.clock.runUntil(isOver, healMsMax)
  const broken: string[] = []
  for (const thread of threads) if (!(await goesOn(world, thread))) broken.push(`nothing more can run on ${thread}`)
  // Entries of feeds are written behind the end of a run.
  await world.clock.runUntil(() => false, 60_000)
  broken.push(...(await verdict(world, world.seen, seenThreads)))
  if (!arrived) broken.unshift(`after ${healMsMax} ms without faults ${working.size} actors still wait`)
  leaving.abort()
  const { process } = world
  let stopped = false
  void Promise.all([process?.runs.stop(0), ...readingThreads]).then(() => (stopped = true))
  if (!(await world.clock.runUntil(() => stopped, healMsMax))) broken.push('the server does not stop')
  for (const key of process?.log.watched ?? []) broken.push(`somebody still watches ${key}`)
  const heads = await world.inner.list({ tenant: everyTenant, limit: 1_000_000 })
  const ends = heads.map(({ run_id, status, last, completed_at }) => `${run_id} ${status} ${last} ${completed_at}`)
  const { counts, weather } = world
  return {
    ...counts,
    seed,
    runs: heads.length,
    faults: weather.struck,
    broken,
    trace: `${world.clock.now()} ${JSON.stringify(counts)} ${ends.join('; ')}`,
  }
}

/** Whatever happened on a thread, it must not be blocked now. */
async function goesOn(world: World, thread: string): Promise<boolean> {
  const input: Input = { shape: 'silent', count: 0, pauseMs: 1, padding: 0 }
  let ended = false
  const run = async () => {
    const { runs } = await world.up()
    const { run_id } = await runs.start('any', input, { thread, onBusy: 'queue' })
    await runs.follow(run_id, {}, () => {})
    ended = true
  }
  run().catch(thrown => world.failures.push(thrown as Error))
  return world.clock.runUntil(() => ended, healMsMax)
}

/** A run that many read, which says more than one thing while they are rung. */
async function gather(world: World, work: (task: Promise<unknown>) => void): Promise<void> {
  await world.sleep(faultsMs)
  const input: Input = { shape: 'awaits', count: 30 + world.below(60), pauseMs: 1 + world.below(2_000), padding: 0 }
  let started: Awaited<ReturnType<typeof startOne>>
  for (let number = startsPerSeed; started === undefined; number++) started = await startOne(world, number, input)
  const { run } = started
  for (let readers = crowdMin + world.below(crowdMax - crowdMin + 1); readers > 0; readers--)
    work(readOne(world, run, 1_000))
  if (world.chance(0.2)) await cancelOne(world, run)
}

/** A run from its start to the last of its readers. */
async function live(world: World, number: number, work: (task: Promise<unknown>) => void): Promise<void> {
  await world.sleep(faultsMs * 0.8)
  const started = await startOne(world, number)
  if (!started) return
  const { run, input } = started
  for (let readers = 1 + world.below(6); readers > 0; readers--) work(readOne(world, run))
  if (input.shape === 'asks') work(answerOne(world, run))
  if (world.chance(0.2)) {
    await world.sleep(3_000)
    await cancelOne(world, run)
  }
}
