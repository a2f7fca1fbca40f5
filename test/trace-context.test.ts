// What of a caller's trace is taken over, and that what is not valid is as if it were not there.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineAgent } from '../src/agent/define.ts'
import { connect } from '../src/client/index.ts'
import { traceContextOf } from '../src/formats/trace-context.ts'
import { serve } from '../src/server.ts'

const trace = '0af7651916cd43dd8448eb211c80319c'
const parent = 'b7ad6b7169203331'
const traceparent = `00-${trace}-${parent}-01`

test('a traceparent is taken as W3C says: later versions by what is known of them, invalid ones not at all', () => {
  assert.deepEqual(traceContextOf(traceparent), { traceparent })
  assert.deepEqual(traceContextOf(`cc-${trace}-${parent}-01-what-comes`), { traceparent })
  const invalid = [
    undefined,
    '',
    `${traceparent}, ${traceparent}`,
    `${traceparent}-more`,
    `ff-${trace}-${parent}-01`,
    `cc-${trace}-${parent}-01more`,
    traceparent.toUpperCase(),
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.slice(1)}-${parent}-01`,
    `00-${trace}-${parent}-0`,
    ` ${traceparent}`,
  ]
  for (const one of invalid) assert.equal(traceContextOf(one), undefined, String(one))
})

test('a tracestate goes with its traceparent; a broken one is left out alone', () => {
  const valid = ['a=b', 'a=b,c@d=e f', 'rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE', 'a=b,,']
  for (const one of valid) {
    const said = one.split(/[ \t]*,[ \t]*/).filter(member => member !== '')
    assert.deepEqual(traceContextOf(traceparent, one), { traceparent, tracestate: said.join(',') })
    assert.equal(traceContextOf(undefined, one), undefined)
  }
  const many = Array.from({ length: 33 }, (_, n) => `k${n}=v`).join(',')
  for (const one of ['a', 'A=b', 'a=b,a=c', 'a=b\n', 'a=é', 'a=', many, `a=${'b'.repeat(600)}`, 7]) {
    assert.deepEqual(traceContextOf(traceparent, one), { traceparent }, String(one))
  }
})

test('DF20 the trace of a request is that of its run, however it is started, and a client can give one', async () => {
  const labels = defineAgent({ name: 'labels' }, async (_input: unknown, ctx) => ({ ...ctx.labels }))
  await using served = await serve({ agents: [labels], port: 0 })
  const post = async (path: string, headers: Record<string, string>) => {
    const json = { 'content-type': 'application/json' }
    return fetch(`${served.url}${path}`, { method: 'POST', headers: { ...json, ...headers }, body: '{}' })
  }
  const given = { traceparent, tracestate: 'a=b' }
  for (const [headers, want] of [
    [given, given],
    [{ traceparent: 'mine', tracestate: 'a=b' }, {}],
    [{}, {}],
  ] as [Record<string, string>, object][]) {
    assert.deepEqual(((await (await post('/invoke', headers)).json()) as { output: object }).output, want)
    assert.ok((await (await post('/invoke/stream', headers)).text()).includes(`"output":${JSON.stringify(want)}`))
    const { run_id } = (await (await post('/runs', headers)).json()) as { run_id: string }
    const info = await served.runs.get(run_id)
    assert.deepEqual(info.labels ?? {}, want)
  }
  await using runs = connect(served.url)
  const { run_id } = await runs.start('labels', {}, { labels: { ...given, scenario: 's' } })
  assert.deepEqual((await served.runs.get(run_id)).labels, { ...given, scenario: 's' })
})
