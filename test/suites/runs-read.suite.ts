// What `Runs` promises of reading: every cursor, reader and snapshot has the same run, whole and once.
import assert from 'node:assert/strict'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { RuncastError } from '../../src/error.ts'
import { stateHash } from '../../src/state/hash.ts'
import { eventsOf, hasCode, type Promised, sequences, types, upTo } from './runs-agents.ts'

/** Tells the hash of each state but the third's; the second's is of another. */
const misled = defineAgent({ name: 'misled' }, async function* () {
  const replace = (value: string) => [{ op: 'replace' as const, path: '/s', value }]
  yield { type: 'state', version: 1, base_version: 0, snapshot: { s: 'a' }, hash: stateHash({ s: 'a' }) }
  yield { type: 'state', version: 2, base_version: 1, ops: replace('b'), hash: stateHash({ s: 'x' }) }
  yield { type: 'state', version: 3, base_version: 2, ops: replace('c') }
  yield { type: 'state', version: 4, base_version: 3, snapshot: { s: 'd' }, hash: stateHash({ s: 'd' }) }
})

export const readAgents: readonly Agent[] = [misled]

export function readPromises(promise: Promised): void {
  promise('DK20 DK21 DK22 DK23 any cursor, live or late, gives the rest exactly once', async runs => {
    const { run_id } = await runs.start('counter', { count: 20, ms: 2 })
    const readers = [0, 1, 5, 21, 22].map(after => eventsOf(runs, run_id, { after }))
    const whole = upTo(22)
    for (const [index, after] of [0, 1, 5, 21, 22].entries()) {
      assert.deepEqual(sequences((await readers[index]) ?? []), whole.slice(after))
    }
    assert.deepEqual(sequences(await eventsOf(runs, run_id, { after: 17 })), upTo(22, 18))
    assert.deepEqual(await eventsOf(runs, run_id, { after: 22 }), [])
    assert.deepEqual(await eventsOf(runs, run_id, { after: 500 }), [])
  })

  promise('DK23 H50 a cursor beyond the last event waits for what follows it; a strict one is refused', async runs => {
    const refused = async (run: string, last: number) => {
      await assert.rejects(eventsOf(runs, run, { after: last + 7, strict: true }), (error: unknown) => {
        assert.ok(error instanceof RuncastError && error.code === 'cursor_gone')
        assert.deepEqual(error.details, { requested: last + 8, oldest: 1, last })
        assert.match(error.message, /another run that had its id; read it from the start/)
        return true
      })
    }
    const { run_id } = await runs.start('asks', null)
    for await (const { events } of runs.tail(run_id)) if (events.some(({ type }) => type === 'input')) break
    const { last_sequence: last } = await runs.get(run_id)
    await refused(run_id, last)
    const beyond = eventsOf(runs, run_id, { after: last + 1 })
    const strict = eventsOf(runs, run_id, { after: last, strict: true })
    for (const input_id of ['ask-1', 'sure']) await runs.tell(run_id, { type: 'input', input_id, value: 'yes' })
    const rest = await strict
    assert.deepEqual(await beyond, rest.slice(1))
    assert.equal(rest.at(-1)?.type, 'complete')
    await refused(run_id, last + rest.length)
  })

  promise('DK26 many readers get the same events', async runs => {
    const { run_id } = await runs.start('counter', { count: 30, ms: 1 })
    const seen = await Promise.all(Array.from({ length: 20 }, () => eventsOf(runs, run_id)))
    for (const events of seen) assert.deepEqual(events, seen[0])
  })

  promise('H58 every kind of event is replayed as it came live, from every cursor', async runs => {
    const { run_id } = await runs.start('everything', {})
    const live = await eventsOf(runs, run_id)
    assert.ok(new Set(types(live)).size >= 13)
    for (let after = 0; after <= live.length; after++) {
      assert.deepEqual(await eventsOf(runs, run_id, { after }), live.slice(after))
    }
  })

  promise("a reader's filter moves its cursor over what it skips", async runs => {
    const { run_id } = await runs.start('everything', {})
    await eventsOf(runs, run_id)
    let cursor = 0
    const seen: string[] = []
    for await (const batch of runs.tail(run_id, { types: new Set(['text', 'custom:fraud_check']) })) {
      assert.equal(batch.after, cursor)
      cursor = batch.last
      seen.push(...types(batch.events))
    }
    assert.deepEqual(seen, ['fraud_check', 'text', 'complete'])
    assert.equal(cursor, (await runs.get(run_id)).last_sequence)
  })

  promise(
    'DF13 a state that its hash contradicts is uncertain in every snapshot, until a whole one comes',
    async runs => {
      const { run_id } = await runs.start('misled', null)
      await runs.follow(run_id, {}, () => {})
      const states = await Promise.all([2, 3, 4, 5].map(async at => (await runs.snapshot(run_id, at)).state))
      assert.deepEqual(states, [
        { value: { s: 'a' }, version: 1, certain: true },
        { value: { s: 'a' }, version: 1, certain: false },
        { value: { s: 'a' }, version: 1, certain: false },
        { value: { s: 'd' }, version: 4, certain: true },
      ])
    },
  )

  promise('the snapshot at every cursor is the fold of the events up to it', async runs => {
    const { run_id } = await runs.start('everything', {})
    const events = await eventsOf(runs, run_id)
    const half = await runs.snapshot(run_id, 7)
    assert.equal(half.at, 7)
    assert.equal(half.status, 'running')
    const whole = await runs.snapshot(run_id)
    assert.equal(whole.at, events.length)
    assert.equal(whole.status, 'completed')
    assert.deepEqual(whole.terminal?.type, 'complete')
  })

  promise('H68 a reader that begins again at 0 has all again, and changes nothing for another', async runs => {
    const { run_id } = await runs.start('counter', { count: 40, ms: 2 })
    const steady = eventsOf(runs, run_id)
    for (let times = 0; times < 5; times++) {
      for await (const batch of runs.tail(run_id)) {
        assert.equal(batch.events[0]?.sequence, 1)
        break
      }
    }
    assert.deepEqual(sequences(await steady), upTo(42))
    assert.deepEqual(sequences(await eventsOf(runs, run_id)), upTo(42))
  })

  promise('OL19 a reader that leaves early never disturbs the run', async runs => {
    const { run_id } = await runs.start('counter', { count: 20, ms: 2 })
    for await (const batch of runs.tail(run_id)) if (batch.last >= 3) break
    assert.equal((await eventsOf(runs, run_id)).at(-1)?.type, 'complete')
  })

  promise(
    'DK27 one reader too many is refused with too_many_readers',
    async runs => {
      const { run_id } = await runs.start('patient', { id: 'readers' })
      const leaving = new AbortController()
      const reading: Promise<void>[] = []
      const readers = [1, 2].map(() => {
        const there = Promise.withResolvers<void>()
        reading.push(there.promise)
        return runs.follow(run_id, { signal: leaving.signal }, () => there.resolve())
      })
      await Promise.all(reading)
      await assert.rejects(eventsOf(runs, run_id), hasCode('too_many_readers'))
      leaving.abort()
      await Promise.all(readers)
      await runs.cancel(run_id)
      await eventsOf(runs, run_id)
    },
    { readersPerRunMax: 2 },
  )
}
