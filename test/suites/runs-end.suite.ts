// What `Runs` promises of ends: each run has one, says which, and nothing follows it.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import { RuncastError } from '../../src/error.ts'
import { eventsOf, hasCode, type Promised, reached, sequences, stopped, types, upTo } from './runs-agents.ts'

const stoppedBy: unknown[] = []
const waits = defineAgent({ name: 'waits' }, async (_input, context) => {
  await context.ask('for ever?').catch((error: unknown) => stoppedBy.push(error))
})

/** Ignores every signal for a while, and talks on. */
const stubborn = defineAgent({ name: 'stubborn' }, async (_input: unknown, ctx) => {
  for (let n = 0; n < 40; n++) {
    ctx.token(`still here ${n}`)
    await sleep(10)
  }
  return 'late'
})

/** Says how bad it is, and goes on as if nothing were. */
const troubled = defineAgent({ name: 'troubled' }, async function* (severity: 'warning' | 'error' | 'critical', ctx) {
  ctx.warning('disk_full', 'nothing can be saved', { severity, recoverable: false, details: { disk: 'a' } })
  await sleep(20)
  yield 'so what'
  return 'fine'
})

/** What no run can end with, as it is. */
const odd = defineAgent({ name: 'odd' }, async (what: string) => {
  if (what === 'function') return () => 1
  if (what === 'bigint') return 1n
  if (what === 'large') return 'x'.repeat(2_000)
  if (what === 'details') throw new RuncastError('conflict', 'two of them', { details: { count: 2n } })
  throw { object: { message: 'said by an object' }, name: new TypeError(''), bare: Object.create(null) }[what] as Error
})

export const endAgents: readonly Agent[] = [waits, stubborn, troubled, odd]

export function endPromises(promise: Promised, name: string): void {
  promise('DK29 DK46 OL20 cancel ends the run with its reason, and the generator returns', async runs => {
    const { run_id } = await runs.start('patient', { id: `${name} cancel` })
    const reading = eventsOf(runs, run_id)
    await reached(runs, run_id, 2)
    const info = await runs.cancel(run_id, 'enough')
    assert.equal(info.status, 'cancelled')
    assert.equal(info.reason, 'enough')
    const events = await reading
    const end = events.at(-1)
    assert.ok(end?.type === 'cancelled' && end.reason === 'enough')
    assert.ok(stopped.includes(`${name} cancel`))
    assert.deepEqual(sequences(events), upTo(events.length))
  })

  promise(
    'DK30 nothing follows the end, whatever an agent does that ignores its cancel',
    async runs => {
      const { run_id } = await runs.start('stubborn', {})
      await reached(runs, run_id, 2)
      await runs.cancel(run_id)
      const before = await eventsOf(runs, run_id)
      await sleep(300)
      const after = await eventsOf(runs, run_id)
      assert.deepEqual(after, before)
      assert.equal(after.at(-1)?.type, 'cancelled')
    },
    { cancelGraceMs: 50 },
  )

  promise('DK29 a stopped agent finds an error in its signal, and in what it waits for', async runs => {
    const { run_id } = await runs.start('waits', {})
    await reached(runs, run_id, 2)
    await runs.cancel(run_id, 'enough')
    const { name, message } = stoppedBy.pop() as Error
    assert.deepEqual({ name, message }, { name: 'AbortError', message: 'the run is stopped: enough' })
  })

  promise('DK32 a finished run can be told nothing more', async runs => {
    const { run_id } = await runs.start('counter', {})
    await eventsOf(runs, run_id)
    await assert.rejects(runs.cancel(run_id), hasCode('run_ended'))
    await assert.rejects(runs.tell(run_id, { type: 'input', input_id: 'x', value: 1 }), hasCode('run_ended'))
    assert.equal((await runs.get(run_id)).status, 'completed')
  })

  promise(
    'DK33 a run over its time ends with error timeout, and its agent stops',
    async runs => {
      const { run_id } = await runs.start('patient', { id: `${name} deadline` })
      const events = await eventsOf(runs, run_id)
      const end = events.at(-1)
      assert.ok(end?.type === 'error' && end.code === 'timeout')
      assert.equal((await runs.get(run_id)).error?.code, 'timeout')
      assert.ok(stopped.includes(`${name} deadline`))
    },
    { maxRunDurationMs: 100, cancelGraceMs: 100 },
  )

  promise('DK45 OL14 an agent that throws ends its run with its message and code', async runs => {
    const { run_id } = await runs.start('fails', {})
    const events = await eventsOf(runs, run_id)
    assert.deepEqual(types(events), ['started', 'token', 'error'])
    const info = await runs.get(run_id)
    assert.equal(info.status, 'failed')
    assert.deepEqual(info.error, { message: 'out of luck', code: 'bad_luck' })
  })

  promise(
    'DK45 what is no output ends its run with invalid_output, and whatever is thrown says something',
    async runs => {
      const endOf = async (what: string) => {
        const end = (await eventsOf(runs, (await runs.start('odd', what)).run_id)).at(-1)
        return end?.type === 'error' && [end.code, end.error]
      }
      assert.deepEqual(await endOf('function'), ['invalid_output', 'the agent returned a function; an output is JSON'])
      assert.match(String(await endOf('bigint')), /^invalid_output,the complete event is no JSON: .*BigInt/)
      assert.match(String(await endOf('large')), /^invalid_output,the complete event has \d+ bytes; the limit is 1000:/)
      assert.match(String(await endOf('details')), /^agent_error,the error event is no JSON: .*BigInt/)
      assert.deepEqual(await endOf('object'), ['agent_error', 'said by an object'])
      assert.deepEqual(await endOf('name'), ['agent_error', 'TypeError'])
      assert.deepEqual(await endOf('bare'), ['agent_error', 'an object without a message was thrown'])
    },
    { eventBytesMax: 1_000 },
  )

  promise(
    'ON7 a critical warning ends the run with its code; after a warning or an error the agent goes on',
    async runs => {
      for (const severity of ['warning', 'error'] as const) {
        const { run_id } = await runs.start('troubled', severity)
        await eventsOf(runs, run_id)
        assert.equal((await runs.get(run_id)).status, 'completed')
      }
      const { run_id } = await runs.start('troubled', 'critical')
      await eventsOf(runs, run_id)
      const view = await runs.snapshot(run_id)
      assert.deepEqual(
        view.warnings.map(({ code, severity }) => [code, severity]),
        [['disk_full', 'critical']],
      )
      const end = view.terminal
      assert.ok(end?.type === 'error')
      assert.deepEqual(
        [end.code, end.error, end.severity, end.details],
        ['disk_full', 'nothing can be saved', 'critical', { disk: 'a' }],
      )
    },
  )
}
