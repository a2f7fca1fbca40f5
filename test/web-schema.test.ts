// The schema that the inspector reads off a run's states: its history adds up, whatever the states are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { changesBetween, createSchemaHistory, shapeOf } from '../web/src/inspect/schema.ts'

test('DF39 the changes of a schema add up: each begins where those before it ended, and all of them lead to the last state', () => {
  const states = fc.array(fc.jsonValue({ maxDepth: 4 }), { minLength: 1, maxLength: 12 })
  const property = fc.property(states, values => {
    const history = createSchemaHistory()
    values.forEach((value, index) => history.take(index + 1, value))
    const kinds = new Map<string, string>()
    for (const { changes, more } of history.versions) {
      assert.equal(more, 0)
      for (const { path, before, after } of changes) {
        assert.equal(before, kinds.get(path), path)
        if (after === undefined) kinds.delete(path)
        else kinds.set(path, after)
      }
    }
    for (const { path, after } of changesBetween(undefined, shapeOf(values.at(-1)))) {
      const seen = kinds.get(path)?.split(' or ') ?? []
      // A list's entries are all that was ever seen in it.
      if (path.includes('[]'))
        assert.deepEqual(
          after?.split(' or ').filter(kind => !seen.includes(kind)),
          [],
          path,
        )
      else assert.equal(seen.join(' or '), after, path)
    }
  })
  fc.assert(property)
})

test('DF39 a list that is emptied and filled with the same kind of entries changes no schema; another kind does', () => {
  const history = createSchemaHistory()
  const states = [{ a: [1] }, { a: [] }, { a: [2, 3] }, { a: ['x'] }, { a: [4] }, { 'a.b': null }]
  states.forEach((state, index) => history.take(index + 1, state))
  assert.deepEqual(history.versions, [
    {
      sequence: 1,
      changes: [
        { path: '', after: 'object' },
        { path: 'a', after: 'list' },
        { path: 'a[]', after: 'number' },
      ],
      more: 0,
    },
    { sequence: 4, changes: [{ path: 'a[]', before: 'number', after: 'number or string' }], more: 0 },
    {
      sequence: 6,
      changes: [
        { path: 'a', before: 'list' },
        { path: 'a[]', before: 'number or string' },
        { path: '["a.b"]', after: 'null' },
      ],
      more: 0,
    },
  ])
})
