// Random protobuf messages from a descriptor, for properties that must hold for every message of a schema:
// any field may be absent, enums also hold numbers that nobody has named, numbers lie at the edges of their types.
import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from '@bufbuild/protobuf'
import fc from 'fast-check'

export function messages<Desc extends DescMessage>(desc: Desc): fc.Arbitrary<MessageShape<Desc>> {
  return init(desc, 0).map(value => create(desc, value as never))
}

/** Deeper than this no nested message is made: enough for an attribute in a map in an array in an event in a batch. */
const nestingMax = 8

function init(desc: DescMessage, depth: number): fc.Arbitrary<object> {
  const parts: Record<string, fc.Arbitrary<unknown>> = {}
  for (const member of desc.members) {
    if (member.kind === 'oneof') {
      const cases = member.fields.map(field => value(field, depth).map(v => ({ case: field.localName, value: v })))
      parts[member.localName] =
        depth >= nestingMax
          ? fc.constant({ case: undefined })
          : fc.oneof(
              { weight: 1, arbitrary: fc.constant({ case: undefined }) },
              ...cases.map(c => ({ weight: 2, arbitrary: c })),
            )
    } else parts[member.localName] = value(member, depth)
  }
  return fc.record(parts, { requiredKeys: [] })
}

function value(field: DescField, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case 'message':
      return nested(field.message, depth)
    case 'enum':
      return enumNumbers
    case 'scalar':
      return scalar(field.scalar)
    case 'list':
      return fc.array(
        field.listKind === 'message'
          ? nested(field.message, depth)
          : field.listKind === 'enum'
            ? enumNumbers
            : scalar(field.scalar),
        { maxLength: depth >= nestingMax ? 0 : 3 },
      )
    case 'map':
      return fc.dictionary(
        text,
        field.mapKind === 'message'
          ? nested(field.message, depth)
          : field.mapKind === 'enum'
            ? enumNumbers
            : scalar(field.scalar),
        { maxKeys: depth >= nestingMax ? 0 : 3 },
      )
  }
}

function nested(desc: DescMessage, depth: number): fc.Arbitrary<object> {
  // Lazy: messages may hold themselves.
  return fc.constant(undefined).chain(() => init(desc, depth + 1))
}

const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(
    '',
    'x'.repeat(127),
    'é'.repeat(64),
    'x'.repeat(128),
    'x'.repeat(20_000),
    '\ud800',
    '\ufeffbom',
    '__proto__',
  ),
)
const enumNumbers = fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 12 }) }, fc.constantFrom(83, 999, 2 ** 31 - 1, -1))
// Mostly the numbers that occur, up to 2^53; the others often enough.
const usual = { weight: 9, arbitrary: fc.bigInt(0n, 2n ** 53n - 1n) }
const edges = fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 31n, 2n ** 35n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n)
const int64s = fc.oneof(usual, edges, fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n))
const uint64s = fc.oneof(usual, edges, fc.bigInt(0n, 2n ** 64n - 1n))

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return text
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 40 })
    case ScalarType.BOOL:
      return fc.boolean()
    case ScalarType.DOUBLE:
      return fc.oneof(fc.double(), fc.constantFrom(-0, 0, Number.NaN))
    case ScalarType.FLOAT:
      return fc.float()
    case ScalarType.INT64:
      return int64s
    case ScalarType.UINT64:
      return uint64s
    case ScalarType.UINT32:
      return fc.oneof(fc.nat({ max: 0xffff_ffff }), fc.constantFrom(0, 127, 128, 2 ** 31, 0xffff_ffff))
    default:
      return fc.integer()
  }
}
