// State diff and apply next to fast-json-patch and jsondiffpatch: one message appended, one token, one counter changed
// in states of 100 KB, 1 MB and 10 MB. It exists to hold bar P9. All candidates get the same two states, and every
// result is checked before it is timed; where they differ in what they promise, the row's name says so.

import assert from 'node:assert/strict'
import fastJsonPatch from 'fast-json-patch'
import { create as createDiffpatch } from 'jsondiffpatch'
import { diff } from '../src/state/diff.ts'
import { applyPatch, operationsMax } from '../src/state/patch.ts'
import { createState, type StateBody } from '../src/state/state.ts'
import type { Row } from './row.ts'

const { applyPatch: fastApply, compare: fastCompare, deepClone } = fastJsonPatch

interface Chat {
  messages: { id: string; role: string; content: string; meta: { tokens: number; tags: string[] } }[]
  text: string
  counter: number
}

const sizes = [
  { label: '100 KB', messages: 450, runs: 30 },
  { label: '1 MB', messages: 4_500, runs: 12 },
  { label: '10 MB', messages: 45_000, runs: 3 },
] as const

const jsondiffpatch = createDiffpatch({ objectHash: item => (item as { id?: string }).id })

export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const size of sizes) {
    const { before, after, patchChars, stateChars } = await changed(size.messages)
    const judged = size.label === '1 MB'
    rows.push(...diffRows(size.label, size.runs, before, after, judged))
    rows.push(applyRow(size.label, size.runs, before, after))
    rows.push({
      id: 'P9',
      name: `state ${size.label}: bytes of the event saved against sending the state`,
      ratio: 100 * (1 - patchChars / stateChars),
      bar: judged ? 99 : null,
      unit: '%',
      detail: `event ${patchChars}, state ${stateChars} bytes`,
    })
  }
  rows.push(manyOperationsRow())
  return rows
}

/** Time that 10,000 operations on 1 MB may take before a run's other events feel it (H94). */
const manyOperationsBudgetMs = 100

function manyOperationsRow(): Row {
  const document = chat(4_500)
  const ops = Array.from({ length: operationsMax }, (_, i) => {
    const path = i % 2 === 0 ? `/messages/${(i * 7) % 4_500}/meta/tokens` : '/messages/0/meta/tags/0'
    return i % 2 === 0 ? { op: 'replace' as const, path, value: i } : { op: 'add' as const, path, value: 'tag' }
  })
  const ms = microseconds(1, () => applyPatch(document, ops)) / 1_000
  return {
    id: 'P9',
    name: `state 1 MB: a patch of ${operationsMax} operations against its budget of ${manyOperationsBudgetMs} ms`,
    ratio: manyOperationsBudgetMs / ms,
    bar: 1,
    unit: 'x',
    detail: `${ms.toFixed(1)} ms`,
  }
}

/** Both versions as `ctx.state` makes them, and what it sends between them. */
async function changed(messages: number) {
  const events: StateBody[] = []
  const state = createState(chat(messages), body => {
    events.push(body)
    return Promise.resolve()
  })
  await state.set(chat(messages))
  const before = state.value
  await state.update(draft => {
    draft.messages.push({ id: 'new', role: 'user', content: 'and one more', meta: { tokens: 3, tags: [] } })
    draft.text += 'token '
    draft.counter++
  })
  const patchChars = Buffer.byteLength(JSON.stringify(events[1]))
  return { before, after: state.value, patchChars, stateChars: Buffer.byteLength(JSON.stringify(state.value)) }
}

function diffRows(label: string, runs: number, before: Chat, after: Chat, judged: boolean): Row[] {
  const copy = JSON.parse(JSON.stringify(after)) as Chat
  assert.deepEqual(applyPatch(before, diff(before, after)), after)
  assert.deepEqual(diff(before, copy), diff(before, after))
  const ours = microseconds(runs * 20, () => diff(before, after))
  const oursOfCopies = microseconds(runs, () => diff(before, copy))
  const fast = microseconds(runs, () => fastCompare(before, after))
  const fastOfCopies = microseconds(runs, () => fastCompare(before, copy))
  const delta = microseconds(runs, () => jsondiffpatch.diff(before, after))
  const row = (name: string, theirs: number, mine: number, bar: number | null): Row => ({
    id: 'P9',
    name: `state ${label}: ${name}`,
    ratio: theirs / mine,
    bar,
    unit: 'x',
    detail: `${mine.toFixed(1)} µs against ${theirs.toFixed(1)} µs`,
  })
  return [
    row('diff of two versions of ctx.state against fast-json-patch', fast, ours, judged ? 5 : null),
    row('diff of two versions of ctx.state against jsondiffpatch', delta, ours, null),
    row('diff of a parsed copy, nothing shared, against fast-json-patch', fastOfCopies, oursOfCopies, null),
  ]
}

/** Keeping the old version is the job: fast-json-patch clones for it (its non-mutating mode), ours shares. */
function applyRow(label: string, runs: number, before: Chat, after: Chat): Row {
  const ops = diff(before, after)
  const theirs = deepClone(before) as Chat
  assert.deepEqual(fastApply(theirs, ops as Parameters<typeof fastApply>[1], true, false).newDocument, after)
  const ours = microseconds(runs * 20, () => applyPatch(before, ops))
  const fast = microseconds(runs, () => fastApply(theirs, ops as Parameters<typeof fastApply>[1], true, false))
  return {
    id: 'P9',
    name: `state ${label}: apply that keeps the old version against fast-json-patch`,
    ratio: fast / ours,
    bar: null,
    unit: 'x',
    detail: `${ours.toFixed(1)} µs against ${fast.toFixed(1)} µs`,
  }
}

/** The median of five rounds, after one to warm up. */
function microseconds(runs: number, work: () => unknown): number {
  const rounds: number[] = []
  for (let round = 0; round <= 5; round++) {
    const begin = performance.now()
    for (let i = 0; i < runs; i++) work()
    if (round > 0) rounds.push(((performance.now() - begin) * 1_000) / runs)
  }
  return rounds.sort((a, b) => a - b)[2] as number
}

function chat(messages: number): Chat {
  return {
    messages: Array.from({ length: messages }, (_, i) => ({
      id: `m${i}`,
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `Sentence ${i} of a talk that goes on. `.repeat(4),
      meta: { tokens: i % 97, tags: ['a', 'b'] },
    })),
    text: 'The answer so far ',
    counter: 0,
  }
}
