// Redaction against its promise: whatever way a text is cut into tokens, what comes out is the masked whole, in order.
// The reference below masks the whole text at once, with nothing of the code under test.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RuncastError } from '../src/error.ts'
import { type Body, eventTypes } from '../src/event.ts'
import { openMatch } from '../src/open-match.ts'
import { compilePatterns, createRedactor, holdBytesDefault, type RedactorOptions } from '../src/redact.ts'

const mask = '[REDACTED]'
/** More than any text of these tests, so that the bound plays no part. */
const unbounded: RedactorOptions = { holdBytesMax: 1_000_000 }

const privateKey = `-----BEGIN RSA PRIVATE KEY-----\n${'MIIEpAIBAAKCAQEA7x\n'.repeat(8)}-----END RSA PRIVATE KEY-----`
const canary = 'sk-CANARY0123456789'

/** Patterns that people use, secrets that they match, and text that looks like the beginning of one. */
const rows: { source: string; secrets: string[]; nearly: string[] }[] = [
  {
    source: 'sk-[A-Za-z0-9]{8,}',
    secrets: [canary, 'sk-abcdefgh'],
    nearly: ['sk-', 's', 'sk-abc', 'task-', 'sk-1234567 '],
  },
  {
    source: '\\b\\d{4}-\\d{4}-\\d{4}-\\d{4}\\b',
    secrets: ['4111-1111-1111-1111'],
    nearly: ['4111-1111-', 'x4111-1111-1111-1111', '4111-1111-1111-11112', '12', '2024-12-24'],
  },
  {
    source: '(?:password|passwd)=\\S+',
    secrets: ['password=hunter2', 'passwd=geheim!'],
    nearly: ['pass', 'password', 'passwd =x', 'password= '],
  },
  { source: 'AKIA[0-9A-Z]{16}', secrets: ['AKIAIOSFODNN7EXAMPLE'], nearly: ['AKIA', 'AKIAIOSFODNN7', 'AKIAx'] },
  {
    source: '[\\w.+-]+@[\\w-]+(?:\\.[\\w-]+)+',
    secrets: ['ada@example.com', 'a.b+c@mail.example.org'],
    nearly: ['@', 'ada@', 'ada@example', 'ada@example.'],
  },
  { source: 'foo|foobar|ba[rz]qux', secrets: ['foo', 'barqux', 'bazqux'], nearly: ['fo', 'ba', 'barqu', 'bar'] },
  {
    source: '-----BEGIN [A-Z ]+-----[\\s\\S]*?-----END [A-Z ]+-----',
    secrets: [privateKey],
    nearly: ['-----', '-----BEGIN ', '-----END A-----', '--'],
  },
]
const sources = rows.map(row => row.source)
const noise = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom(' ', '\n', 'Hello ', 'the end. ', '😀', 'a', '-', '='),
)

/** A text made of secrets, almost-secrets and other things, for some of the patterns. */
function textOf(some: typeof rows): fc.Arbitrary<string> {
  const secret = fc.constantFrom(...some.flatMap(row => row.secrets))
  const nearly = fc.constantFrom(...some.flatMap(row => row.nearly))
  return fc.array(fc.oneof(noise, secret, nearly), { maxLength: 8 }).map(parts => parts.join(''))
}

/** Any way to cut it, also between the halves of a character. */
function cut(text: string): fc.Arbitrary<string[]> {
  return fc
    .oneof(fc.constant(1), fc.integer({ min: 1, max: 12 }))
    .chain(mean => fc.array(fc.integer({ min: 0, max: 2 * mean - 1 }), { minLength: 1, maxLength: 20 }))
    .map(lengths => {
      const pieces: string[] = []
      let at = 0
      for (let index = 0; at < text.length; index++) {
        // An empty piece now and then, but not for ever.
        const length = Math.max(lengths[index % lengths.length] ?? 0, index % 3 === 0 ? 1 : 0)
        pieces.push(text.slice(at, at + length))
        at += length
      }
      return pieces
    })
}

/** The reference: all matches in the whole text, overlapping ones taken together, one mask each. */
function maskedWhole(text: string, patterns: readonly RegExp[]): string {
  const secret = Array.from({ length: text.length }, () => 0)
  const ranges = patterns
    .flatMap(pattern => [...text.matchAll(pattern)].map(match => [match.index, match.index + match[0].length] as const))
    .sort((a, b) => a[0] - b[0])
  let group = 0
  let until = 0
  for (const [start, end] of ranges) {
    if (start >= until) group++
    until = Math.max(until, end)
    secret.fill(group, start, until)
  }
  return text.split('').reduce((whole, char, at) => {
    if (secret[at] === 0) return whole + char
    return secret[at] === secret[at - 1] ? whole : whole + mask
  }, '')
}

function run(patterns: readonly RegExp[], options: RedactorOptions = {}) {
  const redactor = createRedactor(patterns, options)
  const out: Body[] = []
  const commit = (body: Body) => void out.push(body)
  return {
    out,
    redactor,
    push: (...bodies: Body[]) => {
      for (const body of bodies) redactor.push(body, commit)
    },
    release: () => redactor.release(commit),
    text: (request?: string) => tokensOf(out, request),
  }
}

function token(content: string, more: Partial<Extract<Body, { type: 'token' }>> = {}): Body {
  return { type: 'token', content, ...more }
}

function argument(delta: string, callId = 'c1'): Body {
  return { type: 'tool', call_id: callId, tool_name: 'search', stage: 'arguments', delta }
}

function tokensOf(bodies: readonly Body[], request?: string): string {
  return bodies
    .flatMap(body => (body.type === 'token' && body.llm_request_id === request ? [body.content] : []))
    .join('')
}

function argumentsOf(bodies: readonly Body[], callId: string): string {
  return bodies.flatMap(body => (body.type === 'tool' && body.call_id === callId ? [body.delta ?? ''] : [])).join('')
}

for (const row of rows) {
  test(`DK81 ${row.source} masks the whole text, however it is cut into tokens`, () => {
    const patterns = compilePatterns([row.source])
    fc.assert(
      fc.property(
        textOf([row]).chain(text => fc.tuple(fc.constant(text), cut(text))),
        ([text, pieces]) => {
          const { push, release, text: emitted } = run(patterns, unbounded)
          push(...pieces.map(piece => token(piece)))
          release()
          assert.equal(emitted(), text.replaceAll(patterns[0]!, mask))
        },
      ),
    )
  })

  test(`DK81 ${row.source} masks each secret at every place where one cut can fall`, () => {
    const patterns = compilePatterns([row.source])
    for (const secret of row.secrets) {
      const text = `say ${secret} now`
      for (let at = 0; at <= text.length; at++) {
        const { push, text: emitted, release } = run(patterns, unbounded)
        push(token(text.slice(0, at)), token(text.slice(at), { finish_reason: 'stop' }))
        assert.equal(emitted(), text.replaceAll(patterns[0]!, mask), `cut at ${at}`)
        release()
        assert.equal(emitted().includes(secret), false)
      }
    }
  })
}

test('DK81 H104 texts of several calls, with all patterns and other events between, come out masked and in order', () => {
  const patterns = compilePatterns(sources)
  const streams = fc.tuple(...[0, 1, 2].map(() => textOf(rows).chain(cut)))
  fc.assert(
    fc.property(streams, fc.array(fc.nat(3), { maxLength: 60 }), (pieces, turns) => {
      const { push, release, out, redactor } = run(patterns, unbounded)
      const queues = pieces.map(list => [...list])
      let marks = 0
      for (const turn of [...turns, ...queues.flatMap((queue, index) => queue.map(() => index))]) {
        const piece = queues[turn]?.shift()
        if (piece === undefined) push({ type: 'progress', step: `${marks++}`, progress: 0 })
        else push(turn === 2 ? argument(piece) : token(piece, { llm_request_id: `r${turn}` }))
      }
      release()
      assert.equal(redactor.held, false)
      assert.equal(redactor.heldBytes, 0)
      const whole = pieces.map(list => maskedWhole(list.join(''), patterns))
      assert.deepEqual([tokensOf(out, 'r0'), tokensOf(out, 'r1'), argumentsOf(out, 'c1')], whole)
      const order = out.flatMap(body => (body.type === 'progress' ? [body.step] : []))
      assert.deepEqual(
        order,
        Array.from({ length: marks }, (_, index) => `${index}`),
      )
    }),
  )
})

test('DK81 events without secrets pass unchanged, in order, and all of them after a release', () => {
  const patterns = compilePatterns(sources)
  const body = fc.oneof(
    fc
      .record({ content: fc.oneof(noise, fc.constantFrom('sk-', 'pass', 'AKIA', '')), id: fc.constantFrom('a', 'b') })
      .map(({ content, id }) => token(content.replaceAll(/[@\d]/g, '').slice(0, 5), { llm_request_id: id })),
    fc.constant<Body>({ type: 'progress', step: 'one', progress: 0.5 }),
    fc.constant<Body>({ type: 'custom', name: 'note', data: { list: [1, null, 'x'] } }),
  )
  fc.assert(
    fc.property(fc.array(body, { maxLength: 30 }), bodies => {
      const whole = maskedWhole(tokensOf(bodies, 'a'), patterns) + maskedWhole(tokensOf(bodies, 'b'), patterns)
      fc.pre(!whole.includes(mask))
      const { push, release, out } = run(patterns, unbounded)
      push(...bodies)
      release()
      assert.equal(out.length, bodies.length)
      for (const [index, same] of out.entries()) assert.equal(same, bodies[index])
    }),
  )
})

test('DK81 with the bound hit all the time, order is kept, all is emitted, and what waits stays within the bound', () => {
  const patterns = compilePatterns(sources)
  fc.assert(
    fc.property(textOf(rows).chain(cut), fc.integer({ min: 0, max: 40 }), (pieces, holdBytesMax) => {
      const { push, release, out, redactor } = run(patterns, { holdBytesMax })
      for (const [index, piece] of pieces.entries()) {
        push(token(piece, { index }))
        assert.ok(redactor.heldBytes <= holdBytesMax, `${redactor.heldBytes} held`)
      }
      release()
      const indices = out.map(body => (body.type === 'token' ? (body.index ?? -1) : -1))
      assert.deepEqual(
        indices,
        indices.toSorted((a, b) => a - b),
      )
      const kept = tokensOf(out).replaceAll(mask, '')
      assert.ok(isSubsequence(kept, pieces.join('')), `${kept} is not in order`)
    }),
  )
})

/** Small patterns of all constructions over few letters, so that near misses are frequent. */
const { pattern: anyPattern } = fc.letrec<{ pattern: string; sequence: string; piece: string; unit: string }>(tie => ({
  unit: fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '\\w', '\\W', ' ', '\\x61', '\\u0062'),
    },
    { weight: 1, arbitrary: tie('pattern').map(inner => `(?:${inner})`) },
    { weight: 1, arbitrary: tie('pattern').map(inner => `(${inner})`) },
  ),
  piece: fc.oneof(
    { maxDepth: 3 },
    { weight: 6, arbitrary: tie('unit') },
    {
      weight: 4,
      arbitrary: fc
        .tuple(tie('unit'), fc.constantFrom('*', '+', '?', '{2}', '{2,}', '{1,3}', '*?', '+?', '??', '{1,2}?'))
        .map(([unit, quantifier]) => unit + quantifier),
    },
    { weight: 2, arbitrary: fc.constantFrom('\\b', '\\B', '^', '$') },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom('?=', '?!', '?<=', '?<!'), tie('unit'))
        .map(([sign, unit]) => `(${sign}${unit})`),
    },
  ),
  sequence: fc.array(tie('piece'), { minLength: 1, maxLength: 4 }).map(pieces => pieces.join('')),
  pattern: fc.oneof(
    { maxDepth: 3 },
    { weight: 4, arbitrary: tie('sequence') },
    { weight: 1, arbitrary: fc.tuple(tie('sequence'), tie('sequence')).map(([left, right]) => `${left}|${right}`) },
  ),
}))

test('DK81 any pattern masks the same in pieces as in the whole text', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', '\n'), maxLength: 14 })
  let judged = 0
  fc.assert(
    fc.property(
      anyPattern,
      fc.constantFrom('g', 'gu', 'gi', 'gm', 'gs'),
      text.chain(whole => fc.tuple(fc.constant(whole), cut(whole))),
      (source, flags, [whole, pieces]) => {
        const pattern = new RegExp(source, flags)
        const known = openMatch(pattern)
        // A lookahead inside a lookbehind is the one thing here that is held without being understood.
        fc.pre(known !== undefined && known.lengthMin > 0)
        const { push, release, text: emitted } = run([pattern], unbounded)
        push(...pieces.map(piece => token(piece)))
        release()
        assert.equal(emitted(), whole.replaceAll(pattern, mask), `/${source}/${flags}`)
        judged++
      },
    ),
    { numRuns: 2000, maxSkipsPerRun: 1000 },
  )
  assert.equal(judged >= 2000, true)
})

for (const [source, secret] of [
  ['(["\'])secret\\1', '"secret"'],
  ['(?<quote>[\'"])secret\\k<quote>', "'secret'"],
  ['key:\\p{Lu}{4}', 'key:ÄÖÜS'],
  ['🔑\\u{1F600}+', '🔑😀😀'],
  ['(?<=token )[a-f]{4}(?![a-f])', 'cafe'],
  ['(?i:pin)\\d{4}', 'PIN1234'],
] as const) {
  test(`DK81 ${source} is understood, or held, in every cut`, () => {
    const patterns = compilePatterns([source])
    const text = `a token ${secret}, said`
    assert.ok(maskedWhole(text, patterns).includes(mask))
    for (let at = 0; at <= text.length; at++) {
      for (let then = at; then <= text.length; then++) {
        const { push, release, text: emitted } = run(patterns, unbounded)
        push(token(text.slice(0, at)), token(text.slice(at, then)), token(text.slice(then)))
        release()
        assert.equal(emitted(), maskedWhole(text, patterns))
      }
    }
  })
}

test('DK81 a secret over several tokens is masked where it begins, and its empty tokens are not emitted', () => {
  const { push, out, redactor } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  push(token('My key is s'), { type: 'progress', step: 'between', progress: 1 }, token('k-abcd'))
  assert.equal(redactor.held, true)
  push(token('efgh'), token('ij, ok'), token('!', { finish_reason: 'stop' }))
  assert.deepEqual(out, [
    token(`My key is ${mask}`),
    { type: 'progress', step: 'between', progress: 1 },
    token(', ok'),
    token('!', { finish_reason: 'stop' }),
  ])
  assert.equal(redactor.held, false)
})

test('DK81 the last token of a part is emitted though all of it was masked, because it carries the reason', () => {
  const { push, out } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  push(token('sk-abcd'), token('efgh', { finish_reason: 'stop' }))
  assert.deepEqual(out, [token(mask), token('', { finish_reason: 'stop' })])
})

for (const last of [
  { type: 'complete', output: null, latency_seconds: 1 },
  { type: 'error', error: 'broke', code: 'agent_error' },
  { type: 'cancelled' },
  { type: 'input', input_id: 'i', kind: 'question' },
] as const satisfies readonly Body[]) {
  test(`DK81 ${last.type} comes after everything that was held, and holds nothing itself`, () => {
    const { push, out, redactor } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
    push(token('see sk-'), { type: 'text', content: 'waits' }, last)
    assert.deepEqual(out, [token('see sk-'), { type: 'text', content: 'waits' }, last])
    assert.equal(redactor.heldBytes, 0)
  })
}

test('DK81 tool arguments are one text per call, decided when the call goes on', () => {
  const { push, out } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  push(argument('{"key":"sk-ab'), argument('sk-zz', 'c2'), argument('cdefgh12'), argument('"}'))
  assert.equal(argumentsOf(out, 'c1'), `{"key":"${mask}`)
  push({ type: 'tool', call_id: 'c2', tool_name: 'search', stage: 'started' })
  assert.equal(argumentsOf(out, 'c1'), `{"key":"${mask}"}`)
  assert.equal(argumentsOf(out, 'c2'), 'sk-zz')
  assert.equal(out.at(-1)?.type, 'tool')
})

test('DK81 at the bound the text goes on, and a secret that is completed later has its rest masked', () => {
  const { push, release, out, text, redactor } = run(compilePatterns([sources[6]!]), { holdBytesMax: 64 })
  const [head, body, tail] = ['-----BEGIN A KEY-----\n', 'x'.repeat(100), 'zzz\n-----END A KEY-----']
  push(token(head), token(body))
  assert.equal(text(), head + body, 'more than the bound cannot be held')
  push(token(tail), token(' and so on'))
  release()
  assert.equal(text(), `${head}${body}${mask} and so on`)
  assert.equal(redactor.held, false)
  assert.equal(out.length, 4)
})

test('DK81 a secret longer than the bound is masked once, and as long as it goes on', () => {
  for (const some of [[sources[0]!], sources, [...sources, '[a-z]{32,}']]) {
    for (const count of [5, 50, 500, 20_000]) {
      const { push, release, text, redactor } = run(compilePatterns(some), { holdBytesMax: 64 })
      push(token('a sk-'), ...Array.from({ length: count }, () => token('abcde')), token(' end'))
      release()
      assert.equal(text(), `a ${mask} end`)
      const whole = `a sk-${'abcde'.repeat(count)} end`
      assert.equal(redactor.value(whole), `a ${mask} end`)
      push(token(whole, { llm_request_id: 'r' }), token('.', { llm_request_id: 'r', finish_reason: 'stop' }))
      release()
      assert.equal(text('r'), `a ${mask} end.`)
    }
  }
})

test('DK81 a bound that is hit for one pattern does not let go what another has just begun', () => {
  const { push, release, text } = run(compilePatterns(sources), { holdBytesMax: 64 })
  push(token(`-----BEGIN B-----${'.'.repeat(60)} sk-ab`), token('cdefghij.'))
  release()
  assert.equal(text(), `-----BEGIN B-----${'.'.repeat(60)} ${mask}.`)
})

test('DK81 what was let go for a question is masked from where the secret goes on', () => {
  const { push, release, text } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  push(token('sk-abc'))
  release()
  push(token('defghijk'), token(' ok'))
  release()
  assert.equal(text(), `sk-abc${mask} ok`)
})

test('DK81 a long token holds back only its undecided end, and the default bound holds a private key', () => {
  const { push, out, text, redactor } = run(compilePatterns(sources))
  push(token(`${'word '.repeat(4000)}sk-abc`))
  assert.equal(out.length, 0)
  assert.equal(redactor.heldBytes, 6)
  push(token('defgh'), token(' '), token('', { finish_reason: 'stop' }))
  assert.equal(text(), `${'word '.repeat(4000)}${mask} `)

  const key = `-----BEGIN PRIVATE KEY-----\n${`${'k'.repeat(64)}\n`.repeat(49)}-----END PRIVATE KEY-----`
  assert.ok(key.length > 3200 && key.length < holdBytesDefault)
  const second = run(compilePatterns(sources))
  second.push(...(key.match(/[^]{1,3}/g) ?? []).map(piece => token(piece)), token('.'))
  second.release()
  assert.equal(second.text(), `${mask}.`)
})

test('H15 the halves of a character that two tokens share stay in order and are never sent apart from each other', () => {
  const { push, out } = run(compilePatterns(['😀[a-z]{3}']))
  const [first, second] = ['😀'.slice(0, 1), '😀'.slice(1)]
  push(token(`a${first}`))
  assert.equal(out.length, 0)
  push(token(`${second}ab`), token('c.'))
  assert.deepEqual(out, [token(`a${mask}`), token('.')])
})

test('DK81 DF35 H104 a canary planted in every field of every event is nowhere in what comes out', () => {
  const at = (field: string) => `${field} ${canary}.`
  const plant = { [at('key')]: [at('deep'), { more: at('deeper') }], n: 1 }
  const bodies: Body[] = [
    {
      type: 'started',
      agent_name: at('a'),
      framework: at('f'),
      thread_id: at('t'),
      scenario: at('s'),
      user_id: at('u'),
      company_id: at('c'),
    },
    { type: 'token', content: at('c'), finish_reason: at('f'), llm_request_id: at('l'), model: at('m') },
    { type: 'step', node_name: at('n'), phase: 'end', input_keys: [at('i')], output_keys: [at('o')] },
    { type: 'progress', step: at('s'), progress: 1, message: at('m'), metadata: plant },
    { type: 'checkpoint', name: at('n'), data: plant },
    { type: 'state', version: 1, base_version: 0, snapshot: plant, hash: 'h' },
    {
      type: 'state',
      version: 2,
      base_version: 1,
      ops: [{ op: 'add', path: `/${at('key')}/0`, value: plant }],
      hash: 'h',
    },
    { type: 'state', version: 3, base_version: 2, ops: [{ op: 'move', path: `/${at('p')}`, from: `/${at('f')}` }] },
    { type: 'tool', call_id: at('c'), tool_name: at('t'), stage: 'arguments', delta: at('d') },
    {
      type: 'tool',
      call_id: at('c'),
      tool_name: at('t'),
      stage: 'failed',
      arguments: plant,
      result: plant,
      error: at('e'),
    },
    {
      type: 'metrics',
      scope: at('s'),
      scope_id: at('i'),
      metrics: { [at('m')]: { value: at('v'), unit: at('u') } },
      tags: { t: at('t') },
    },
    { type: 'text', content: at('c'), language: at('l') },
    { type: 'chart', chart_id: at('i'), chart_type: at('t'), option: plant, title: at('t'), data_source: at('d') },
    { type: 'item', data: plant },
    { type: 'item', bytes: 'AAAA', media_type: at('m') },
    { type: 'warning', code: at('c'), message: at('m'), step: at('s'), details: plant },
    { type: 'custom', name: 'mine', data: plant, other: plant },
    { type: 'input', input_id: at('i'), kind: 'answer', prompt: at('p'), value: plant, by: at('b'), details: plant },
    { type: 'complete', output: plant, latency_seconds: 1, metadata: plant },
    { type: 'error', error: at('e'), code: at('c'), details: plant },
    { type: 'cancelled', reason: at('r'), by: at('b') },
  ]
  assert.deepEqual(new Set(bodies.map(body => body.type)), new Set(eventTypes))
  const { push, release, out } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  push(...structuredClone(bodies))
  release()
  assert.deepEqual(
    out.map(body => body.type),
    bodies.map(body => body.type),
  )
  for (const body of out) assert.equal(JSON.stringify(body).includes('CANARY'), false, JSON.stringify(body))
  assert.equal(JSON.stringify(out).split(mask).length, JSON.stringify(bodies).split(canary).length)
})

test('DK81 a type is never masked, nor the name of a custom event or the base64 of an item', () => {
  const { push, release, out } = run([/token|state|item|custom|mine|AAAA|op/g])
  const bodies: Body[] = [
    token('x'),
    { type: 'state', version: 1, base_version: 0, ops: [{ op: 'remove', path: '/a' }] },
    { type: 'item', bytes: 'AAAA', media_type: 'm' },
    { type: 'custom', name: 'mine', data: null },
  ]
  push(...bodies)
  release()
  assert.deepEqual(out, bodies)
})

test('DK81 a patch still leads to the key that was masked, and a masked state has no hash that cannot be right', () => {
  const { push, out } = run(compilePatterns(['password=\\S+']))
  push(
    { type: 'state', version: 1, base_version: 0, snapshot: { a: 1 }, hash: 'h1' },
    {
      type: 'state',
      version: 2,
      base_version: 1,
      ops: [{ op: 'add', path: '/password=x~1y/b', value: 1 }],
      hash: 'h2',
    },
    { type: 'state', version: 3, base_version: 2, ops: [{ op: 'replace', path: '/a', value: 2 }], hash: 'h3' },
  )
  assert.deepEqual(out, [
    { type: 'state', version: 1, base_version: 0, snapshot: { a: 1 }, hash: 'h1' },
    { type: 'state', version: 2, base_version: 1, ops: [{ op: 'add', path: `/${mask}/b`, value: 1 }] },
    { type: 'state', version: 3, base_version: 2, ops: [{ op: 'replace', path: '/a', value: 2 }] },
  ])
})

test('DK81 a value is copied only where something changed, and two masked keys stay two', () => {
  const redactor = createRedactor(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  const clean = { list: [1, { deep: 'x' }], date: new Date(0) }
  assert.equal(redactor.value(clean), clean)
  const mixed = { clean, dirty: [canary], ['sk-aaaaaaaa']: 1, ['sk-bbbbbbbb']: 2, ['__proto__']: 3 }
  const result: Record<string, unknown> = redactor.value(mixed)
  assert.equal(result['clean'], clean)
  assert.deepEqual(Object.entries(result).slice(1), [
    ['dirty', [mask]],
    [mask, 1],
    [`${mask} (2)`, 2],
    ['__proto__', 3],
  ])
  assert.deepEqual(mixed.dirty, [canary])
  assert.equal(redactor.value(`x ${canary}`), `x ${mask}`)
  assert.deepEqual(redactor.value({ toJSON: () => canary }), mask)
})

test('DK81 the rest of a secret has a mask of its own when other text went out between', () => {
  const { push, release, text } = run(compilePatterns(['ab', 'b-{100}c']), { holdBytesMax: 40 })
  push(token('ab'), token('-'.repeat(50)), token(`${'-'.repeat(50)}c.`))
  release()
  assert.equal(text(), `${mask}${'-'.repeat(50)}${mask}.`)
})

test('DK81 a beginning that never becomes a secret does not hold the text for ever', () => {
  const { push, redactor, text } = run(compilePatterns([sources[6]!]), { holdBytesMax: 64 })
  const pieces = ['-----BEGIN A-----', ...Array.from({ length: 1000 }, () => ' word')]
  push(...pieces.map(piece => token(piece)))
  assert.equal(redactor.held, false)
  assert.equal(text(), pieces.join(''))
})

test('DK81 what is complete is not held on, also when the pattern could take more', () => {
  const { push, redactor, text } = run(compilePatterns([sources[6]!]))
  push(token(privateKey), token(' and'))
  assert.equal(redactor.held, false)
  assert.equal(text(), `${mask} and`)
})

test('DK81 deep in a text a word border is judged by the character before, however long ago that went out', () => {
  const { push, release, text } = run(compilePatterns([sources[1]!]))
  for (let count = 0; count < 5; count++) {
    push(token(`${'y'.repeat(1023)}x`), token('4111-1111-1111-1111 '), token(`${'y'.repeat(1003)} `))
    push(token('4111-1111-1111-1111'))
    push(token(','))
  }
  release()
  assert.equal(text(), `${'y'.repeat(1023)}x4111-1111-1111-1111 ${'y'.repeat(1003)} ${mask},`.repeat(5))
})

test('DK81 long texts are masked like short ones, and a huge word without end does not stop the process', () => {
  const patterns = compilePatterns(sources)
  const filler = 'nothing to see here, move on. '.repeat(300)
  const secrets = rows.flatMap(row => row.secrets)
  const text = secrets.map(secret => `${filler} ${secret} `).join('')
  assert.ok(text.length > 64 * 1024)
  const expected = maskedWhole(text, patterns)
  const { push, release, text: emitted, redactor } = run(patterns)
  assert.equal(redactor.value(text), expected)
  push(token(text))
  release()
  assert.equal(emitted(), expected)

  // In one go the pattern of the mail address would take some 10 ** 12 steps for it.
  const word = 'a'.repeat(1_000_000)
  const image = `data:${word}`
  assert.equal(redactor.value(image), image)
  assert.equal(redactor.value(`${image} ada@example.com`), `${image} ${mask}`)
})

test('DK81 more texts at a time than are remembered lose nothing, and the ones that wait are not forgotten', () => {
  const { push, release, out } = run(compilePatterns(['sk-[A-Za-z0-9]{8,}']))
  const ids = Array.from({ length: 200 }, (_, index) => `r${index}`)
  for (const piece of ['key: sk-ab', 'cdefgh12', ' end']) {
    push(...ids.map(id => token(piece, { llm_request_id: id })))
  }
  release()
  for (const id of ids) assert.equal(tokensOf(out, id), `key: ${mask} end`)
})

test('DK81 the mask can be chosen and is taken as it is', () => {
  const redactor = createRedactor([/sk-\w+/], { mask: '$&$1' })
  assert.equal(redactor.value('a sk-x b sk-y'), 'a $&$1 b $&$1')
})

test('DK81 a pattern that is no expression, or matches nothing at all, is refused by its name', () => {
  for (const source of ['[', '(?:', 'a{2,1}', '\\p{Nope}', '\\p{L}\\-']) {
    assert.throws(() => compilePatterns(['ok', source]), refusal(source, 'is not a regular expression'))
  }
  for (const source of ['', 'a*', 'a?|b', '(?=a)', '\\b', '(?:)', '(?<!x)', '(a|)\\1']) {
    assert.throws(() => compilePatterns([source]), refusal(new RegExp(source).source, 'can match empty text'))
    assert.throws(
      () => createRedactor([new RegExp(source)]),
      refusal(new RegExp(source).source, 'can match empty text'),
    )
  }
})

test('DK81 patterns get the u flag, or none if only that refuses them', () => {
  assert.deepEqual(compilePatterns(['a.', 'a\\-b', '\\p{L}+']).map(String), ['/a./gu', '/a\\-b/g', '/\\p{L}+/gu'])
})

function refusal(pattern: string, says: string) {
  return (thrown: unknown) => {
    assert.ok(thrown instanceof RuncastError)
    assert.equal(thrown.code, 'invalid_request')
    assert.ok(thrown.message.includes(`/${pattern}/ ${says}`), thrown.message)
    assert.equal(thrown.details['pattern'], pattern)
    return true
  }
}

function isSubsequence(part: string, whole: string): boolean {
  let at = 0
  for (const char of part) {
    at = whole.indexOf(char, at)
    if (at === -1) return false
    at += char.length
  }
  return true
}
