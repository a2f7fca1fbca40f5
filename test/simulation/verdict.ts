// What must hold once faults have stopped and everyone is done. It reads the log below all faults. Every sentence that
// it returns is a broken promise.
import type { Event } from '../../src/event.ts'
import { isTerminal } from '../../src/event.ts'
import {
  everyTenant,
  type FeedEntry,
  type Head,
  inboxKey,
  isEnded,
  isRunEntry,
  type Key,
  type Numbered,
  runKey,
  tenantFeed,
  threadFeed,
} from '../../src/log.ts'
import { threads } from './actors.ts'
import { deterministic } from './agents.ts'
import type { Seen, SeenThread, World } from './world.ts'

export async function verdict(
  world: World,
  seen: readonly Seen[],
  seenThreads: readonly SeenThread[],
): Promise<string[]> {
  const broken: string[] = world.failures.map(error => error.message)
  const heads = (await world.inner.list({ tenant: everyTenant, limit: 1_000_000 })) as readonly Head[]
  const runs = new Map<string, readonly Event[]>()
  for (const head of heads) {
    const events = (await entries(world, runKey(head.run_id))) as unknown as Event[]
    runs.set(head.run_id, events)
    broken.push(...runFaults(world, head, events))
    const inbox = await entries(world, inboxKey(head.run_id))
    if (inbox.at(-1)?.type !== 'closed') broken.push(`${head.run_id}: its inbox is open`)
    if (inbox.filter(told => told.type === 'closed').length > 1)
      broken.push(`${head.run_id}: its inbox was closed twice`)
  }
  for (const run of world.promised.accepted) if (!runs.has(run)) broken.push(`${run} was accepted and is not there`)
  for (const reader of seen) broken.push(...readerFaults(reader, runs.get(reader.run) ?? []))
  broken.push(...(await feedFaults(world, tenantFeed('default'), runs)))
  for (const thread of threads) {
    const feed = threadFeed('default', thread)
    broken.push(...(await feedFaults(world, feed, runs)), ...(await threadFaults(world, feed, runs)))
  }
  for (const { thread, events } of seenThreads) {
    const wrong = events.findIndex(({ position }, index) => position !== index + 1)
    if (wrong >= 0)
      broken.push(
        `a reader of ${thread} met position ${events[wrong]?.position} of ${events[wrong]?.run} in place of ${wrong + 1}`,
      )
  }
  return broken
}

function runFaults({ promised }: World, head: Head, events: readonly Event[]): string[] {
  const { run_id } = head
  const broken: string[] = []
  if (!isEnded(head.status)) broken.push(`${run_id}: its head says ${head.status}`)
  const wrong = events.findIndex(({ sequence }, index) => sequence !== index + 1)
  if (wrong >= 0) broken.push(`${run_id}: ${events[wrong]?.sequence} stands in place of ${wrong + 1}`)
  const ends = events.filter(event => isTerminal(event.type))
  if (ends.length !== 1 || events.at(-1) !== ends[0])
    broken.push(`${run_id}: it has ${ends.length} ends of ${events.length} events`)
  const numbers = events.flatMap(event => (event.type === 'token' ? [Number.parseInt(event.content, 10)] : []))
  const odd = numbers.findIndex((n, index) => n !== index + 1)
  if (odd >= 0) broken.push(`${run_id}: token ${numbers[odd]} stands in place of ${odd + 1}`)
  const stored = promised.stored.get(run_id) ?? 0
  if (numbers.length < stored) broken.push(`${run_id}: token ${stored} was acknowledged, ${numbers.length} are there`)
  const executions = promised.executions.get(run_id) ?? 0
  if (executions > 1 && head.agent !== deterministic) broken.push(`${run_id}: its agent was begun ${executions} times`)
  const end = ends[0]
  if (promised.cancelled.has(run_id) && end?.type === 'complete') broken.push(`${run_id}: cancelled, and complete`)
  const { started_at = Number.POSITIVE_INFINITY, completed_at = 0 } = head
  const isExcused = promised.excuses.some(({ from, to }) => to >= started_at && from <= completed_at)
  if (end?.type === 'error' && end.code === 'interrupted' && executions > 0 && !isExcused) {
    broken.push(`${run_id}: interrupted by nothing`)
  }
  // Nobody answers a question of a run whose start was not acknowledged.
  const usual = ['agent_error', 'interrupted', ...(promised.accepted.has(run_id) ? [] : ['timeout'])]
  if (end?.type === 'error' && !usual.includes(end.code)) broken.push(`${run_id}: ends with ${end.code}: ${end.error}`)

  return broken
}

function readerFaults({ run, kind, events, done }: Seen, log: readonly Event[]): string[] {
  const who = `a ${kind} reader of ${run}`
  const wrong = events.findIndex((event, index) => JSON.stringify(event) !== JSON.stringify(log[index]))
  if (wrong >= 0) return [`${who} saw ${events[wrong]?.sequence} in place of ${wrong + 1} of ${log.length}`]
  if (!done || events.length !== log.length)
    return [`${who} has ${events.length} of ${log.length} events, done: ${done}`]
  return []
}

/** What is accepted is started and ended, in this order. */
async function feedFaults(world: World, feed: Key, runs: ReadonlyMap<string, readonly Event[]>): Promise<string[]> {
  const broken: string[] = []
  const said = new Map<string, string[]>()
  for (const entry of (await entries(world, feed)) as unknown as Numbered<FeedEntry>[]) {
    if (!isRunEntry(entry)) continue
    said.set(entry.run_id, [...(said.get(entry.run_id) ?? []), entry.type])
    if (entry.type === 'ended' && entry.last !== runs.get(entry.run_id)?.length) {
      broken.push(`${feed}: ${entry.run_id} ended at ${entry.last}, not at ${runs.get(entry.run_id)?.length}`)
    }
  }
  for (const [run, types] of said) {
    // An acknowledgement may be lost together with who waited for it: an entry may stand there twice, but never late.
    const order = types.filter((type, index) => type !== types[index - 1]).join(' ')
    const isLost = order === 'accepted' && !runs.has(run) // a start that was refused half-way, for which nobody came back
    if (order !== 'accepted started ended' && !isLost) broken.push(`${feed} says of ${run}: ${types.join(' ')}`)
  }
  if (feed === tenantFeed('default')) {
    for (const run of runs.keys()) if (!said.has(run)) broken.push(`${feed} says nothing of ${run}`)
  }
  return broken
}

/** Runs of a thread follow each other, and number it without a hole. */
async function threadFaults(world: World, feed: Key, runs: ReadonlyMap<string, readonly Event[]>): Promise<string[]> {
  const broken: string[] = []
  const { order } = world.promised
  const place = (run: string, what: string) => order.findIndex(one => one.run === run && one.what === what)
  let base = 0
  let before: string | undefined
  let open: string | undefined
  for (const entry of (await entries(world, feed)) as unknown as Numbered<FeedEntry>[]) {
    if (!isRunEntry(entry) || entry.type === 'accepted') continue
    const { run_id, thread_base } = entry
    if (entry.type === 'started') {
      if (open === run_id) continue
      if (open !== undefined) broken.push(`${feed}: ${run_id} started while ${open} was open`)
      open = run_id
      if (thread_base !== base) broken.push(`${feed}: ${run_id} starts behind ${thread_base}, not ${base}`)
      const begun = place(run_id, 'started')
      if (before !== undefined && begun >= 0 && place(before, 'ended') > begun)
        broken.push(`${feed}: ${run_id} began before ${before} ended`)
    } else {
      if (open !== run_id) continue
      if (thread_base !== base) broken.push(`${feed}: ${run_id} ended with base ${thread_base}, not ${base}`)
      open = undefined
      before = run_id
      base += runs.get(run_id)?.length ?? 0
    }
  }
  return broken
}

async function entries(world: World, key: Key): Promise<{ type: string }[]> {
  const found: { type: string }[] = []
  for (;;) {
    const batch = await world.inner.read(key, found.length, 1_000)
    if (batch.count === 0) return found
    found.push(...(batch.events as unknown as { type: string }[]))
  }
}
