// Canonical JSON and the hash over it: the vectors that differ between languages, and what a difference proves.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuncastError } from '../src/error.ts'
import { canonicalJson } from '../src/state/canonical.ts'
import { notContradicted, stateHash } from '../src/state/hash.ts'
import { depthMax } from '../src/state/patch.ts'

test('DF12 H88 H143 H144 numbers are spelled as RFC 8785 says', () => {
  const spelled: [number, string][] = [
    [1.0, '1'],
    [-0, '0'],
    [-0.0, '0'],
    [1e16, '10000000000000000'],
    [1e20, '100000000000000000000'],
    [1e21, '1e+21'],
    [1e-6, '0.000001'],
    [1e-7, '1e-7'],
    [2 ** 53 + 2, '9007199254740994'],
    [9007199254740992, '9007199254740992'],
    // RFC 8785, appendix B.
    [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'],
    [295147905179352830000, '295147905179352830000'],
    [9.999999999999997e22, '9.999999999999997e+22'],
    [1e23, '1e+23'],
    [0.000001, '0.000001'],
    [333333333.3333332, '333333333.3333332'],
    [333333333.33333325, '333333333.33333325'],
    [-0.0000033333333333333333, '-0.0000033333333333333333'],
    [1424953923781206.25, '1424953923781206.2'],
  ]
  for (const [value, text] of spelled) assert.equal(canonicalJson([value]), `[${text}]`)
})

test('DF12 H88 keys are ordered by UTF-16 code units, so U+1F600 stands before U+FF61', () => {
  assert.equal(
    canonicalJson({ '｡': 1, '😀': 2, b: 3, a: 4, B: 5, '10': 6, '9': 7, '': 8 }),
    '{"":8,"10":6,"9":7,"B":5,"a":4,"b":3,"😀":2,"｡":1}',
  )
  // The example of RFC 8785, section 3.2.3.
  const unsorted = { '€': 1, '\r': 2, '\ufb33': 3, '1': 4, '😀': 5, '\u0080': 6, ö: 7 }
  assert.equal(canonicalJson(unsorted), '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}')
})

test('DF12 H88 the serialisation example of RFC 8785, section 3.2.2, comes out byte for byte', () => {
  const value = {
    numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: '€$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
  }
  const text =
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
    '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
  assert.equal(canonicalJson(value), text)
})

test('H88 H89 what has no canonical text is refused as unverifiable, with its place', () => {
  const refused: [unknown, string][] = [
    [{ a: [Number.NaN] }, '/a/0'],
    [{ a: Number.POSITIVE_INFINITY }, '/a'],
    [{ a: '\ud83d' }, '/a'],
    [{ '\ude00': 1 }, '/\ude00'],
    [{ 'a/b': 2n ** 53n + 1n }, '/a~1b'],
    [[undefined], '/0'],
    [{ f: () => 1 }, '/f'],
    [{ m: new Map() }, '/m'],
    [undefined, ''],
  ]
  for (const [value, path] of refused) {
    assert.throws(
      () => canonicalJson(value),
      thrown =>
        thrown instanceof RuncastError &&
        thrown.code === 'invalid_request' &&
        thrown.details['reason'] === 'unverifiable' &&
        thrown.details['path'] === path,
    )
  }
})

test('H97 canonical JSON deeper than the limit, or of a value that holds itself, is refused instead of overflowing', () => {
  const nest = (levels: number) => {
    let value: unknown[] = []
    for (let i = 1; i < levels; i++) value = [value]
    return value
  }
  assert.equal(canonicalJson(nest(depthMax)).length, 2 * depthMax)
  assert.throws(() => canonicalJson(nest(depthMax + 1)), RuncastError)
  const round: unknown[] = []
  round.push(round)
  assert.throws(() => canonicalJson(round), RuncastError)
})

test('DF12 H142 canonical JSON is JSON of the same value, and the same text for any order of keys', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), value => {
      const text = canonicalJson(value)
      const parsed = JSON.parse(text) as unknown
      assert.equal(JSON.stringify(parsed).length, JSON.stringify(value).length)
      assert.equal(canonicalJson(parsed), text)
      assert.equal(canonicalJson(reversed(value)), text)
    }),
  )
})

test('DF12 the state hash is the SHA-256 of the canonical text in lower-case hex', () => {
  const value = { b: 'ö😀', a: [1, -0] }
  const expected = createHash('sha256').update('{"a":[1,0],"b":"ö😀"}', 'utf8').digest('hex')
  assert.equal(stateHash(value), expected)
  assert.equal(stateHash({}), '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
})

test('H89 H143 a hash that the spelling of numbers could explain contradicts nothing; one of a state without numbers is judged', () => {
  const value = { n: [1e16], s: 'x' }
  assert.ok(notContradicted(value, stateHash(value)))
  assert.ok(notContradicted({ s: 'x' }, stateHash({ s: 'x' }).toUpperCase()))
  const spelledOtherwise = createHash('sha256').update('{"n":[1e16],"s":"x"}').digest('hex')
  assert.ok(notContradicted(value, spelledOtherwise))
  assert.ok(!notContradicted({ s: 'x' }, spelledOtherwise))
  assert.ok(notContradicted({ n: 2n ** 53n + 1n }, spelledOtherwise))
})

function reversed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(reversed)
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  )
}
