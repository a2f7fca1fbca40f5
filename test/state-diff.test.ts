// diff and stateChange: any two JSON values, and the shapes of change that agents really make.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { PatchOperation } from '../src/event.ts'
import { diff, snapshotRatio, stateChange } from '../src/state/diff.ts'
import { applyPatch, equal, operationsMax, pathCharsMax } from '../src/state/patch.ts'

/** Small alphabets, so that keys and elements meet each other and arrays move around. */
const json = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, 0, 1, 2, '', 'a', 'b'),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string({ maxLength: 3 }),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'a/b', '~', '', '0', '__proto__', 'constructor'), tie('value'), {
      maxKeys: 4,
    }),
  ),
})).value

test('DF12 H142 H144 the difference of any two JSON values, as text over the wire, turns one into the other', () => {
  fc.assert(
    fc.property(json, json, (before, after) => {
      const ops = overTheWire(diff(before, after)) as PatchOperation[]
      assert.ok(equal(applyPatch(before, ops), after))
      if (equal(before, after)) assert.deepEqual(ops, [])
    }),
    { numRuns: 2_000 },
  )
})

test('DF12 the difference is right where parts are shared, moved, doubled and edited', () => {
  const element = fc.oneof(
    fc.nat(5),
    fc.record({ id: fc.nat(5), tags: fc.array(fc.nat(2), { maxLength: 3 }) }, { noNullPrototype: true }),
  )
  const edit = fc.record({
    at: fc.nat(20),
    del: fc.nat(4),
    add: fc.array(element, { maxLength: 4 }),
    again: fc.nat(20),
  })
  fc.assert(
    fc.property(fc.array(element, { maxLength: 20 }), fc.array(edit, { maxLength: 4 }), (list, edits) => {
      const after: unknown[] = [...list]
      for (const { at, del, add, again } of edits) {
        after.splice(at, del, ...add)
        if (list[again] !== undefined) after.splice(at, 0, list[again])
      }
      assert.deepEqual(applyPatch({ list }, diff({ list }, { list: after })), { list: after })
      const copy = overTheWire(after)
      assert.deepEqual(applyPatch({ list }, diff({ list }, { list: copy })), { list: copy })
    }),
    { numRuns: 1_000 },
  )
})

test('DF12 an appended message, a token and a counter cost three operations', () => {
  const messages = Array.from({ length: 1_000 }, (_, i) => ({ id: i, content: `message ${i}` }))
  const before = { messages, text: 'Hel', counter: 1 }
  const added = { id: 1_000, content: 'new' }
  assert.deepEqual(diff(before, { messages: [...messages, added], text: 'Hell', counter: 2 }), [
    { op: 'add', path: '/messages/1000', value: added },
    { op: 'replace', path: '/text', value: 'Hell' },
    { op: 'replace', path: '/counter', value: 2 },
  ])
})

test('DF12 identical parts are skipped without being read', () => {
  const unreadable = new Proxy({}, { ownKeys: () => assert.fail('a shared part was walked') })
  assert.deepEqual(diff({ big: unreadable, n: 1 }, { big: unreadable, n: 2 }), [
    { op: 'replace', path: '/n', value: 2 },
  ])
})

test('DF12 a window of messages that slides costs its two ends, shared or parsed anew', () => {
  const messages = Array.from({ length: 50 }, (_, i) => ({ id: i, content: { text: `message ${i}` } }))
  const slid = [...messages.slice(2), { id: 50, content: { text: 'new' } }]
  const expected = [
    { op: 'remove', path: '/0' },
    { op: 'remove', path: '/0' },
    { op: 'add', path: '/48', value: slid.at(-1) },
  ]
  assert.deepEqual(diff(messages, slid), expected)
  assert.deepEqual(diff(messages, overTheWire(slid)), expected)
})

test('DF12 elements removed here and there, and one edited, cost one operation each', () => {
  const list = Array.from({ length: 30 }, (_, i) => ({ id: i }))
  const after = list
    .filter(({ id }) => id !== 3 && id !== 17)
    .map(item => (item.id === 20 ? { ...item, done: true } : item))
  assert.deepEqual(diff(list, after), [
    { op: 'remove', path: '/3' },
    { op: 'remove', path: '/16' },
    { op: 'add', path: '/18/done', value: true },
  ])
})

test('H144 a change from 0 to -0 is no change', () => {
  assert.deepEqual(diff({ a: 0, l: [0] }, { a: -0, l: [-0] }), [])
  assert.equal(stateChange({ a: -0 }, { a: 0 }), undefined)
})

test('H97 a change whose path or count applyPatch would refuse is sent as the replacement of its container', () => {
  const long = 'k'.repeat(pathCharsMax)
  const before = { outer: { [long]: 1, other: 1 } }
  const after = { outer: { [long]: 2, other: 1 } }
  assert.deepEqual(diff(before, after), [{ op: 'replace', path: '/outer', value: after.outer }])
  assert.deepEqual(applyPatch(before, diff(before, after)), after)

  const many = Object.fromEntries(Array.from({ length: operationsMax + 1 }, (_, i) => [`k${i}`, i]))
  assert.deepEqual(diff({}, many), [{ op: 'replace', path: '', value: many }])
  const edge = Object.fromEntries(Object.entries(many).slice(1))
  assert.equal(diff({}, edge).length, operationsMax)
})

test('DF12 H96 a snapshot is sent exactly when the patch is more than 1.1 times as long as the state', () => {
  let snapshots = 0
  let patches = 0
  fc.assert(
    fc.property(json, json, fc.nat(200), (was, is, size) => {
      const padding = '"'.repeat(size)
      const before = { was, padding }
      const after = { was: is, padding }
      const change = stateChange(before, after)
      if (change === undefined) return assert.ok(equal(before, after))
      const patchChars = JSON.stringify(diff(before, after)).length
      const stateChars = JSON.stringify(after).length
      assert.equal('snapshot' in change, stateChars < patchChars / snapshotRatio, `${patchChars} ${stateChars}`)
      if ('snapshot' in change) snapshots++
      else patches++
    }),
    { numRuns: 1_000 },
  )
  assert.ok(snapshots > 0 && patches > 0, 'both outcomes were seen')
})

test('H96 an insertion at the head of a thousand is one operation; a rewritten thousand is a snapshot', () => {
  const list = Array.from({ length: 1_000 }, (_, i) => `item ${i}`)
  assert.deepEqual(stateChange(list, ['new', ...list]), { ops: [{ op: 'add', path: '/0', value: 'new' }] })
  const rewritten = list.map(item => item.toUpperCase())
  assert.deepEqual(stateChange(list, rewritten), { snapshot: rewritten })
})

test('H96 the decision for a tiny patch does not read the rest of a large state', () => {
  let reads = 0
  const large = Array.from({ length: 10_000 }, () => 'x'.repeat(20))
  const watched = new Proxy(large, {
    get(target, key, receiver) {
      reads++
      return Reflect.get(target, key, receiver) as unknown
    },
  })
  assert.deepEqual(stateChange({ large: watched, n: 1 }, { large: watched, n: 2 }), {
    ops: [{ op: 'replace', path: '/n', value: 2 }],
  })
  assert.ok(reads < 20, `${reads} reads`)
})

function overTheWire(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
