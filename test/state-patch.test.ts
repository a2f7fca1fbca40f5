// applyPatch against the official suite and against what the suite leaves out: hostile indices, keys, sizes and failures.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuncastError } from '../src/error.ts'
import type { PatchOperation } from '../src/event.ts'
import { applyPatch, copiedSizeMax, depthMax, operationsMax, pathCharsMax } from '../src/state/patch.ts'

const load = createRequire(import.meta.url)

interface OfficialCase {
  comment?: string
  doc: unknown
  patch: PatchOperation[]
  expected?: unknown
  error?: string
  disabled?: boolean
}

for (const [file, active] of [
  ['tests.json', 75],
  ['spec_tests.json', 16],
] as const) {
  test(`DF12 H90 H92 H93 every active case of the official ${file} comes out as stated`, () => {
    const cases = load(`json-patch-test-suite/${file}`) as OfficialCase[]
    let judged = 0
    for (const { comment, doc, patch, expected, error, disabled } of cases) {
      if (disabled === true) continue
      const label = `${comment ?? ''} ${JSON.stringify(patch)}`
      const original = structuredClone(doc)
      if (error !== undefined) assert.throws(() => applyPatch(doc, patch), isRefusal, label)
      else assert.deepEqual(applyPatch(doc, patch), expected ?? doc, label)
      assert.deepEqual(doc, original, `${label} changed its document`)
      judged++
    }
    assert.equal(judged, active)
  })
}

test('H90 an index that is not a plain number, or is past the end, is refused with its reason', () => {
  const document = { list: [1, 2] }
  for (const index of [
    'NaN',
    '-1',
    '01',
    '1.0',
    '1e0',
    '+1',
    ' 1',
    '',
    '3',
    '9007199254740993',
    'length',
    '__proto__',
  ]) {
    const refused = refusalOf(() => applyPatch(document, [{ op: 'add', path: `/list/${index}`, value: 0 }]))
    assert.equal(refused.details['index'], 0)
    assert.equal(refused.details['path'], `/list/${index}`)
  }
  for (const op of ['remove', 'replace', 'test'] as const) {
    for (const index of ['-', '2']) {
      const operation = op === 'remove' ? { op, path: `/list/${index}` } : { op, path: `/list/${index}`, value: 0 }
      refusalOf(() => applyPatch(document, [operation]))
    }
  }
  assert.deepEqual(document, { list: [1, 2] })
})

test('H90 add inserts before the index, at the end by length or "-", and never overwrites', () => {
  const added = (index: string) => applyPatch([1, 2], [{ op: 'add', path: `/${index}`, value: 0 }])
  assert.deepEqual(['0', '1', '2', '-'].map(added), [
    [0, 1, 2],
    [1, 0, 2],
    [1, 2, 0],
    [1, 2, 0],
  ])
})

test('H91 __proto__, constructor and prototype are keys like others, and no prototype is touched', () => {
  for (const key of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const changed = applyPatch({}, [
      { op: 'add', path: `/${key}`, value: { polluted: 1 } },
      { op: 'add', path: `/${key}/deep`, value: 2 },
      { op: 'copy', from: `/${key}`, path: '/copied' },
      { op: 'move', from: '/copied', path: `/${key}/inner` },
    ]) as Record<string, unknown>
    assert.equal(Object.getPrototypeOf(changed), Object.prototype)
    assert.equal(JSON.stringify(changed), `{"${key}":{"polluted":1,"deep":2,"inner":{"polluted":1,"deep":2}}}`)
    assert.equal(JSON.stringify(applyPatch(changed, [{ op: 'remove', path: `/${key}` }])), '{}')
    refusalOf(() => applyPatch({}, [{ op: 'replace', path: `/${key}`, value: 1 }]))
    refusalOf(() => applyPatch({}, [{ op: 'add', path: `/${key}/polluted`, value: 1 }]))
  }
  assert.equal('polluted' in {}, false)
  const parsed = JSON.parse('{"__proto__":{"a":1},"b":1}') as unknown
  assert.equal(
    JSON.stringify(applyPatch(parsed, [{ op: 'replace', path: '/b', value: 2 }])),
    '{"__proto__":{"a":1},"b":2}',
  )
})

test('H92 test compares deeply whatever the order of keys, and tells types apart', () => {
  const document = { v: { a: 1, b: [{ c: null }] } }
  assert.equal(applyPatch(document, [{ op: 'test', path: '/v', value: { b: [{ c: null }], a: 1 } }]), document)
  for (const value of [
    { a: 1 },
    { a: '1', b: [{ c: null }] },
    { a: 1, b: { 0: { c: null } } },
    [],
    null,
    { a: 1, b: [{ d: null }] },
  ]) {
    refusalOf(() => applyPatch(document, [{ op: 'test', path: '/v', value }]))
  }
})

test('H93 H145 a bad operation at any position of a patch of edits, moves, copies and removes changes nothing', () => {
  const document = deepFreeze({ a: { x: 1 }, list: [{ y: 1 }, 2, 3], gone: true })
  const good: PatchOperation[] = [
    { op: 'add', path: '/list/1', value: { z: [] } },
    { op: 'add', path: '/list/1/z/-', value: 1 },
    { op: 'move', from: '/list/0', path: '/a/moved' },
    { op: 'copy', from: '/a', path: '/b' },
    { op: 'replace', path: '/b/moved/y', value: 9 },
    { op: 'remove', path: '/gone' },
    { op: 'move', from: '/list', path: '/b/list' },
    { op: 'test', path: '/a/moved/y', value: 1 },
  ]
  const bad: PatchOperation[] = [
    { op: 'remove', path: '/absent' },
    { op: 'move', from: '/absent', path: '/a/moved' },
    { op: 'copy', from: '/a', path: '/no/such/parent' },
    { op: 'test', path: '/a', value: 'other' },
  ]
  for (let at = 0; at <= good.length; at++) {
    for (const operation of bad) {
      const ops = [...good.slice(0, at), operation, ...good.slice(at)]
      assert.equal(refusalOf(() => applyPatch(document, ops)).details['index'], at)
    }
  }
  assert.deepEqual(applyPatch(document, good), {
    a: { x: 1, moved: { y: 1 } },
    b: { x: 1, moved: { y: 9 }, list: [{ z: [1] }, 2, 3] },
  })
})

test('H93 a value is never moved into its own child, nor the document removed', () => {
  refusalOf(() => applyPatch({ a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }]))
  refusalOf(() => applyPatch({ a: 1 }, [{ op: 'move', from: '', path: '/a' }]))
  refusalOf(() => applyPatch({ a: 1 }, [{ op: 'remove', path: '' }]))
  assert.deepEqual(applyPatch({ a: 1, ab: 2 }, [{ op: 'move', from: '/a', path: '/ab' }]), { ab: 1 })
  assert.deepEqual(applyPatch({ a: { b: 1 } }, [{ op: 'move', from: '/a', path: '' }]), { b: 1 })
})

test('DF12 malformed operations and pointers are refused with the field named', () => {
  const malformed: [unknown, RegExp][] = [
    [null, /not an object/],
    [{ op: 'spam', path: '/a' }, /"spam" is none of/],
    [{ path: '/a' }, /nothing is none of/],
    [{ op: 'add', path: '/a' }, /no value/],
    [{ op: 'add', path: 'a', value: 1 }, /begin with/],
    [{ op: 'add', path: '/~2', value: 1 }, /"~"/],
    [{ op: 'add', path: '/~', value: 1 }, /"~"/],
    [{ op: 'add', value: 1 }, /path must be a string/],
    [{ op: 'move', path: '/a' }, /from must be a string/],
    [{ op: 'add', path: '/b', value: () => 1 }, /not JSON/],
    [{ op: 'add', path: '/b', value: new Map() }, /not JSON/],
    [{ op: 'add', path: '/a/b', value: 1 }, /below a number/],
  ]
  for (const [operation, reason] of malformed) {
    assert.match(refusalOf(() => applyPatch({ a: 1 }, [operation as PatchOperation])).message, reason)
  }
  refusalOf(() => applyPatch({}, { op: 'add' } as unknown as PatchOperation[]))
})

test('H97 operations, path length and depth are bounded: the edge is applied, one beyond is refused', () => {
  const many = (count: number): PatchOperation[] =>
    Array.from({ length: count }, () => ({ op: 'replace', path: '/n', value: 1 }))
  assert.deepEqual(applyPatch({ n: 0 }, many(operationsMax)), { n: 1 })
  assert.match(refusalOf(() => applyPatch({ n: 0 }, many(operationsMax + 1))).message, /at most 10000 .* has 10001/)

  const key = 'k'.repeat(pathCharsMax - 1)
  assert.deepEqual(applyPatch({}, [{ op: 'add', path: `/${key}`, value: 1 }]), { [key]: 1 })
  const long = refusalOf(() => applyPatch({}, [{ op: 'add', path: `/${key}k`, value: 1 }]))
  assert.match(long.message, /1001 characters/)
  assert.ok(JSON.stringify(long).length < 1_000, 'the error repeats the hostile path')

  assert.deepEqual(applyPatch(null, [{ op: 'add', path: '', value: nested(depthMax) }]), nested(depthMax))
  refusalOf(() => applyPatch(null, [{ op: 'add', path: '', value: nested(depthMax + 1) }]))
  refusalOf(() => applyPatch(null, [{ op: 'add', path: '', value: nested(10_000) }]))
  refusalOf(() => applyPatch([], [{ op: 'add', path: '/-', value: nested(depthMax) }]))
})

test('H97 copies and moves cannot grow a document past its depth, nor by doubling', () => {
  const half = nested(depthMax / 2)
  const document = { a: half, b: { c: half } }
  const deepest = `/b/c${'/0'.repeat(depthMax / 2 - 1)}/-`.slice(0, pathCharsMax)
  assert.ok(deepest.endsWith('/0'), 'the path is as deep as one may be')
  const ops: PatchOperation[] = [{ op: 'move', from: '/a', path: `${deepest.slice(0, -2)}/-` }]
  const within = applyPatch({ a: nested(10), b: { c: half } }, ops) as object
  assert.ok(!Object.hasOwn(within, 'a'))
  refusalOf(() => applyPatch({ a: nested(depthMax - 100), b: { c: half } }, ops))
  assert.ok(applyPatch(document, [{ op: 'copy', from: '/a', path: '/b/d' }]))

  const doubling: PatchOperation[] = Array.from({ length: 500 }, () => ({ op: 'copy', from: '/l', path: '/l/-' }))
  const refused = refusalOf(() => applyPatch({ l: [1] }, doubling))
  assert.match(refused.message, new RegExp(`more than ${copiedSizeMax}`))
})

test('H94 what a patch does not touch keeps its identity, and a container is copied once per patch', () => {
  const document = { kept: { deep: [1] }, list: [{ a: 1 }, { a: 2 }], n: 0 }
  const changed = applyPatch(document, [
    { op: 'replace', path: '/list/1/a', value: 3 },
    { op: 'replace', path: '/n', value: 1 },
  ]) as typeof document
  assert.equal(changed.kept, document.kept)
  assert.equal(changed.list[0], document.list[0])
  assert.notEqual(changed.list, document.list)
  assert.equal(document.list[1]?.a, 2)

  // Counted, not timed: each read of the source's element 0 is one copy of the array.
  let copies = 0
  const watched = new Proxy(
    Array.from({ length: 100 }, (_, i) => i),
    {
      get(target, key, receiver) {
        if (key === '0') copies++
        return Reflect.get(target, key, receiver) as unknown
      },
    },
  )
  const ops: PatchOperation[] = Array.from({ length: operationsMax }, (_, i) => ({
    op: 'replace',
    path: `/${1 + (i % 99)}`,
    value: i,
  }))
  applyPatch(watched, ops)
  assert.equal(copies, 1)
})

test('H95 the new parts of a result are frozen, and parts copied within a patch do not change together', () => {
  const value = { inner: [1] }
  const changed = applyPatch({ a: { n: 1 } }, [
    { op: 'replace', path: '/a/n', value: 2 },
    { op: 'copy', from: '/a', path: '/b' },
    { op: 'replace', path: '/a/n', value: 3 },
    { op: 'add', path: '/c', value },
    { op: 'add', path: '/c/inner/-', value: 2 },
  ])
  assert.deepEqual(changed, { a: { n: 3 }, b: { n: 2 }, c: { inner: [1, 2] } })
  assert.deepEqual(value, { inner: [1] })
  const frozen = (part: unknown): boolean =>
    typeof part !== 'object' || part === null || (Object.isFrozen(part) && Object.values(part).every(frozen))
  assert.ok(frozen(changed))
})

test('DF12 H93 any pointer made of a key finds that key again', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 50, unit: fc.constantFrom('~', '/', '0', '1', 'a', '', '"', 'é', '_') }),
      key => {
        const pointer = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const added = applyPatch({}, [{ op: 'add', path: pointer, value: 1 }])
        assert.deepEqual(Object.entries(added as object), [[key, 1]])
      },
    ),
  )
})

function nested(levels: number): unknown {
  let value: unknown = []
  for (let i = 1; i < levels; i++) value = [value]
  return value
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze)
  return value
}

function isRefusal(thrown: unknown): boolean {
  return thrown instanceof RuncastError && thrown.code === 'invalid_request'
}

function refusalOf(work: () => unknown): RuncastError {
  try {
    work()
  } catch (thrown) {
    assert.ok(thrown instanceof RuncastError, `not a RuncastError: ${String(thrown)}`)
    assert.equal(thrown.code, 'invalid_request')
    return thrown
  }
  return assert.fail('it was not refused')
}
