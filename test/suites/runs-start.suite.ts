// What `Runs` promises of a start: which run it is, what it was given, what is refused, and where it is found again.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { RuncastError } from '../../src/error.ts'
import { eventsOf, hasCode, type Promised, sequences, types, upTo } from './runs-agents.ts'

export function startPromises(promise: Promised): void {
  promise('DK14 DK15 DK19 DK37 DK44 a run is accepted, streams in order, and ends with its output', async runs => {
    const info = await runs.start('counter', { count: 5 })
    assert.equal(info.status, 'accepted')
    const events = await eventsOf(runs, info.run_id)
    assert.deepEqual(types(events), ['started', 'token', 'token', 'token', 'token', 'token', 'complete'])
    assert.deepEqual(sequences(events), upTo(7))
    const ended = await runs.get(info.run_id)
    assert.equal(ended.status, 'completed')
    assert.deepEqual(ended.output, { count: 5 })
    assert.ok(ended.completed_at)
    const end = events.at(-1)
    assert.ok(end?.type === 'complete' && end.latency_seconds >= 0)
  })

  promise('DK39 the first event says which agent began', async runs => {
    const { run_id } = await runs.start('counter', {}, { thread: 't1', labels: { scenario: 's', company_id: 'c' } })
    const [first] = await eventsOf(runs, run_id)
    assert.ok(first?.type === 'started')
    const { agent_name, framework, thread_id, scenario, company_id } = first
    assert.deepEqual([agent_name, framework, thread_id, scenario, company_id], ['counter', 'runcast', 't1', 's', 'c'])
  })

  promise('DK16 an unknown run is not_found for get, tail, cancel, tell and snapshot', async runs => {
    await assert.rejects(runs.get('nobody'), hasCode('not_found'))
    await assert.rejects(eventsOf(runs, 'nobody'), hasCode('not_found'))
    await assert.rejects(runs.cancel('nobody'), hasCode('not_found'))
    await assert.rejects(runs.tell('nobody', { type: 'cancel' }), hasCode('not_found'))
    await assert.rejects(runs.snapshot('nobody'), hasCode('not_found'))
    await assert.rejects(runs.start('nobody', {}), hasCode('not_found'))
  })

  promise('DK17 a client names its run; a repeated or malformed name is refused', async runs => {
    assert.equal((await runs.start('counter', {}, { run: 'abc' })).run_id, 'abc')
    await assert.rejects(runs.start('counter', {}, { run: 'abc' }), hasCode('conflict'))
    for (const run of ['_x', 'a'.repeat(129), 'a b', '', '../x']) {
      await assert.rejects(runs.start('counter', {}, { run }), hasCode('invalid_run_id'))
    }
  })

  promise(
    'DK18 where client ids are not allowed they are forbidden',
    async runs => {
      await assert.rejects(runs.start('counter', {}, { run: 'abc' }), hasCode('forbidden'))
    },
    { allowClientIds: false },
  )

  promise('the same idempotency key and input give the same run, another input a conflict', async runs => {
    const first = await runs.start('counter', { count: 2 }, { idempotencyKey: 'key' })
    const again = await runs.start('counter', { count: 2 }, { idempotencyKey: 'key' })
    assert.equal(again.run_id, first.run_id)
    await assert.rejects(runs.start('counter', { count: 3 }, { idempotencyKey: 'key' }), hasCode('conflict'))
    const both = await Promise.all([1, 2, 3].map(() => runs.start('counter', {}, { idempotencyKey: 'other' })))
    assert.equal(new Set(both.map(info => info.run_id)).size, 1)
  })

  promise('DK6 an input that does not fit is refused with the field named, and no run is left', async runs => {
    await assert.rejects(runs.start('strict', { times: 1 }), (error: unknown) => {
      assert.ok(error instanceof RuncastError)
      assert.equal(error.code, 'invalid_input')
      assert.match(error.message, /text/)
      return true
    })
    assert.deepEqual((await runs.list()).runs, [])
  })

  promise('what a run was given can be read of it, and is not in lists', async runs => {
    const { run_id } = await runs.start('strict', { text: 'hello' })
    assert.deepEqual((await runs.get(run_id)).input, { text: 'hello' })
    assert.ok((await runs.list({})).runs.every(run => !('input' in run)))
  })

  promise('runs are listed newest first, by status, agent and thread, page by page', async runs => {
    const started: string[] = []
    for (const [agent, thread] of [
      ['counter', 'a'],
      ['counter', 'b'],
      ['fails', 'a'],
    ] as const) {
      const { run_id } = await runs.start(agent, {}, { thread })
      await eventsOf(runs, run_id)
      started.push(run_id)
      await sleep(2)
    }
    const ids = (page: { runs: readonly { run_id: string }[] }) => page.runs.map(info => info.run_id)
    assert.deepEqual(ids(await runs.list()), started.toReversed())
    assert.deepEqual(ids(await runs.list({ agent: 'fails' })), [started[2]])
    assert.deepEqual(ids(await runs.list({ status: 'completed' })), [started[1], started[0]])
    await sleep(20)
    assert.deepEqual(ids(await runs.list({ thread: 'a' })), [started[2], started[0]])
    const page = await runs.list({ limit: 2 })
    assert.deepEqual(ids(page), [started[2], started[1]])
    assert.deepEqual(ids(await runs.list({ limit: 2, cursor: page.next })), [started[0]])
    await assert.rejects(runs.list({ cursor: 'junk' }), hasCode('invalid_request'))
  })
}
