// What `Runs` promises of being told and of threads: answers come to who asked, and runs of a thread one at a time.
import assert from 'node:assert/strict'
import type { Event } from '../../src/event.ts'
import { eventsOf, hasCode, type Promised, types } from './runs-agents.ts'

export function threadPromises(promise: Promised): void {
  promise('an agent asks, waits, and gets its answers', async runs => {
    const { run_id } = await runs.start('asks', {})
    const events: Event[] = []
    for await (const batch of runs.tail(run_id)) {
      for (const event of batch.events) {
        events.push(event)
        if (event.type !== 'input' || event.kind === 'answer') continue
        await runs.tell(run_id, {
          type: 'input',
          input_id: event.input_id,
          value: event.kind === 'approval' ? true : 'Ada',
        })
      }
    }
    assert.deepEqual((await runs.get(run_id)).output, { name: 'Ada', sure: true })
    assert.deepEqual(
      events.flatMap(event => (event.type === 'input' ? [event.kind] : [])),
      ['question', 'answer', 'approval', 'answer'],
    )
  })

  promise(
    'an answer that is larger than an event may be is refused with too_large, and its run waits on',
    async runs => {
      const { run_id } = await runs.start('asks', {})
      const answer = (input_id: string, value: unknown) => runs.tell(run_id, { type: 'input', input_id, value })
      await assert.rejects(answer('ask-1', 'A'.repeat(1_000)), hasCode('too_large'))
      await assert.rejects(answer('ask-1', 'da'.repeat(200)), hasCode('too_large'), 'as it is when it is masked')
      await assert.rejects(answer('ask-1', 'ä'.repeat(500)), hasCode('too_large'), 'in bytes, not in characters')
      await answer('ask-1', 'Ada')
      await answer('sure', true)
      assert.equal((await eventsOf(runs, run_id)).at(-1)?.type, 'complete')
      assert.deepEqual((await runs.get(run_id)).output, { name: 'Ada', sure: true })
    },
    { eventBytesMax: 1_000, redactPatterns: [/dada/gu] },
  )

  promise('H41 a blank thread is refused, and no run is left', async runs => {
    for (const thread of ['', ' ', '\t\n', '\u00a0']) {
      await assert.rejects(runs.start('counter', {}, { thread }), hasCode('invalid_request'), JSON.stringify(thread))
    }
    assert.deepEqual((await runs.list()).runs, [])
  })

  promise('one run at a time on a thread: reject says which runs are busy', async runs => {
    const first = await runs.start('patient', { id: 'busy' }, { thread: 't' })
    await assert.rejects(runs.start('counter', {}, { thread: 't' }), hasCode('thread_busy'))
    await runs.cancel(first.run_id)
    const second = await runs.start('counter', {}, { thread: 't', onBusy: 'queue' })
    assert.equal((await eventsOf(runs, second.run_id)).at(-1)?.type, 'complete')
  })

  promise('queued runs of a thread never overlap and keep their order', async runs => {
    const started = []
    for (let n = 0; n < 4; n++) {
      started.push(await runs.start('counter', { count: 3, ms: 3 }, { thread: 'q', onBusy: 'queue' }))
    }
    const logs = await Promise.all(started.map(({ run_id }) => eventsOf(runs, run_id)))
    for (const [index, events] of logs.entries()) {
      const before = logs[index - 1]?.at(-1)?.timestamp ?? ''
      assert.ok((events[0]?.timestamp ?? '') >= before)
    }
    const entries: string[] = []
    for await (const batch of runs.tail({ thread: 'q' })) {
      for (const entry of batch.events as unknown as { type: string; run_id: string; thread_base?: number }[]) {
        if (entry.type === 'started')
          entries.push(`${started.findIndex(info => info.run_id === entry.run_id)}:${entry.thread_base}`)
        if (entry.type === 'ended' && entry.run_id === started[3]?.run_id) entries.push('end')
      }
      if (entries.at(-1) === 'end') break
    }
    assert.deepEqual(entries, ['0:0', '1:5', '2:10', '3:15', 'end'])
  })

  promise('a newer run interrupts the one that holds the thread', async runs => {
    const first = await runs.start('patient', { id: 'interrupted' }, { thread: 'i' })
    const second = await runs.start('counter', {}, { thread: 'i', onBusy: 'interrupt' })
    assert.equal((await eventsOf(runs, second.run_id)).at(-1)?.type, 'complete')
    assert.equal((await runs.get(first.run_id)).status, 'cancelled')
  })

  promise('DK31 a run cancelled while it waits for its thread never runs', async runs => {
    const first = await runs.start('patient', { id: 'first' }, { thread: 'w' })
    const second = await runs.start('counter', {}, { thread: 'w', onBusy: 'queue' })
    assert.equal((await runs.cancel(second.run_id, 'never mind')).status, 'cancelled')
    assert.deepEqual(types(await eventsOf(runs, second.run_id)), ['cancelled'])
    const third = await runs.start('counter', {}, { thread: 'w', onBusy: 'queue' })
    await runs.cancel(first.run_id)
    assert.equal((await eventsOf(runs, third.run_id)).at(-1)?.type, 'complete')
  })
}
