// Proves the summarizer: sentences are taken, never made; HTML is read in one pass; pages are fetched within their
// bounds from public addresses only; and the summary arrives as tokens. Pages come from a real server on loopback.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { summarizer, textCharsMax } from '../examples/summarizer/agent.ts'
import type { SummarizerInput } from '../examples/summarizer/agent.ts'
import { textOf } from '../examples/summarizer/html.ts'
import { isPublic } from '../examples/summarizer/page.ts'
import { sentencesOf, summarize } from '../examples/summarizer/summary.ts'
import { RuncastError } from '../src/error.ts'
import type { Body } from '../src/event.ts'

const article = [
  'A run log keeps every event of a run. Dr. Lee likes tea in the afternoon and biscuits too.',
  'Readers of the run log see every event of the run in order. The weather was mild on that day.',
  'A late reader reads the same run log from the first event. Somebody had painted the old door green.',
].join('\n\n')

test('the sentences about the main subject are chosen, in the order of the text', () => {
  assert.deepEqual(summarize(article, 3), {
    sentences: [
      'A run log keeps every event of a run.',
      'Readers of the run log see every event of the run in order.',
      'A late reader reads the same run log from the first event.',
    ],
    of: 6,
  })
})

test('what is said twice is chosen once', () => {
  const twice =
    'The engine burns the fuel in four strokes. The engine burns the fuel in four strokes. Cold water from the lake cools it down slowly.'
  assert.deepEqual(summarize(twice, 2).sentences, [
    'The engine burns the fuel in four strokes.',
    'Cold water from the lake cools it down slowly.',
  ])
})

test('a line end within a paragraph, a title and an initial do not end a sentence; an empty line does', () => {
  assert.deepEqual(sentencesOf('Mr. and Dr. J. Doe\nmet here. Then\r\nthey left\n\nNew part'), [
    'Mr. and Dr. J. Doe met here.',
    'Then they left',
    'New part',
  ])
})

test('every sentence of a summary stands in the text, at most as many as asked, each place once', () => {
  const part = fc.constantFrom(
    'Alpha beta gamma delta epsilon. ',
    'One two three four five six! ',
    '日本語の文章です。',
    'Dr. ',
    '\n',
    '\n\n',
    'e.g. ',
    'word ',
    '? ',
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 40 }), fc.integer({ min: 1, max: 20 }), (parts, count) => {
      const text = parts.join('')
      const { sentences, of } = summarize(text, count)
      assert.equal(sentences.length, Math.min(count, of))
      let rest = text.replace(/\s+/g, ' ')
      for (const sentence of sentences) {
        assert.ok(rest.includes(sentence), sentence)
        rest = rest.slice(rest.indexOf(sentence) + sentence.length)
      }
    }),
  )
})

test('HTML becomes paragraphs without scripts, styles, comments and navigation', () => {
  const page = `<!DOCTYPE html><HEAD><title>No</title></HEAD><nav>Menu</nav><h1>Head&amp;line</h1>
    <script>if (a < b) document.write("<p>no</p>")</script><style>p { color: red }</style><!-- <p>no</p> -->
    <p>One <b>bold</b> word,\n 3 < 4 &mdash; it&#39;s &#x263A; &unknown; &#0;.<p>Two<br>Three`
  assert.equal(textOf(page), "Head&line\n\nOne bold word, 3 < 4 — it's ☺ &unknown; \ufffd.\n\nTwo\n\nThree")
})

test('broken HTML of any kind gives text and never throws', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '</',
    '<p',
    '<p>',
    '<script>',
    '</script',
    '<!--',
    '-->',
    '&',
    '&#',
    '&#x110000;',
    '&amp;',
    '&constructor;',
    'İ',
    'a',
    ' ',
    '\n',
  )
  fc.assert(fc.property(fc.array(piece), parts => assert.equal(typeof textOf(parts.join('')), 'string')))
  assert.equal(textOf('a<script>never closed'), 'a')
  assert.equal(textOf('&constructor;'), '&constructor;')
})

const addresses = {
  public: '8.8.8.8 172.15.255.255 172.32.0.1 100.128.0.1 223.255.255.255 2606:4700::1111 2001:4860:4860::8888'.split(
    ' ',
  ),
  special:
    '0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255 192.168.1.1 224.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 64:ff9b::7f00:1 2001::1 2001:db8::1 2002:7f00:1:: fc00::1 fe80::1 ff02::1 localhost 1'.split(
      ' ',
    ),
}

test('only addresses of the open internet count as public', () => {
  for (const address of addresses.public) assert.ok(isPublic(address), address)
  for (const address of addresses.special) assert.ok(!isPublic(address), address)
})

async function summarized(
  input: SummarizerInput,
  environment: Record<string, string> = {},
  signal = new AbortController().signal,
) {
  const bodies: Body[] = []
  const agent = summarizer(input, signal, environment)
  let step = await agent.next()
  for (; !step.done; step = await agent.next()) bodies.push(step.value)
  return { bodies, output: step.value }
}

test('the tokens of a run join to exactly its output, with progress that rises to 1', async () => {
  const { bodies, output } = await summarized({ text: article, sentences: 2 })
  const tokens = bodies.flatMap(body => (body.type === 'token' ? [body.content] : []))
  assert.equal(tokens.join(''), output.summary)
  assert.equal(tokens.length, output.summary.split(' ').length)
  const steps = bodies.flatMap(body => (body.type === 'progress' ? [body.progress] : []))
  assert.deepEqual(steps, [0.1, 0.4, 0.7, 1])
})

test('a pause between two words can be asked for; the words stay the same, and a cancel ends the pause', async () => {
  const slowly = await summarized({ text: article, sentences: 1 }, { SUMMARIZER_WORD_PAUSE_MS: '1' })
  const { output } = await summarized({ text: article, sentences: 1 })
  assert.deepEqual(slowly.output, output)
  const controller = new AbortController()
  const agent = summarizer({ text: article }, controller.signal, { SUMMARIZER_WORD_PAUSE_MS: '10000' })
  await assert.rejects(async () => {
    for await (const body of agent) if (body.type === 'token') setImmediate(() => controller.abort(new Error('enough')))
  }, /abort/)
})

test('a cancel between two words ends the summary with its reason', async () => {
  const controller = new AbortController()
  const agent = summarizer({ text: article }, controller.signal, {})
  await assert.rejects(async () => {
    for await (const body of agent) if (body.type === 'token') controller.abort(new Error('enough'))
  }, /enough/)
})

const invalid: [name: string, input: unknown][] = [
  ['neither text nor url', {}],
  ['both text and url', { text: 'a', url: 'http://example.org' }],
  ['no sentence', { text: ' \n ' }],
  ['0 sentences', { text: 'a', sentences: 0 }],
  ['21 sentences', { text: 'a', sentences: 21 }],
  ['a text one character too long', { text: 'a'.repeat(textCharsMax + 1) }],
  ['an unknown field', { text: 'a', words: 3 }],
  ['a URL that is none', { url: 'example' }],
  ['a file URL', { url: 'file:///etc/passwd' }],
  ['a URL with a password', { url: 'http://a:b@example.org/' }],
  ['a loopback address', { url: 'http://127.0.0.1:1/' }],
  ['a loopback address written as one number', { url: 'http://2130706433/' }],
  ['a loopback address within IPv6', { url: 'http://[::ffff:127.0.0.1]/' }],
  ['a name that leads to loopback', { url: 'http://localhost:1/' }],
]

for (const [name, input] of invalid) {
  test(`${name} is refused as invalid_input`, async () => {
    await assert.rejects(summarized(input as SummarizerInput), hasCode('invalid_input'))
  })
}

test('a text at the limit is summarized', async () => {
  assert.equal((await summarized({ text: 'a'.repeat(textCharsMax) })).output.summary.length, textCharsMax)
})

function hasCode(code: string) {
  return (thrown: unknown) => thrown instanceof RuncastError && thrown.code === code
}

async function site(listener: RequestListener) {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const open = { SUMMARIZER_ALLOW_PRIVATE_ADDRESSES: '1' }

test('a page is fetched through a redirect, read in its character set, and stripped of HTML', async () => {
  await using pages = await site((request, response) => {
    if (request.url === '/old') return response.writeHead(302, { location: '/new' }).end()
    response.writeHead(200, { 'content-type': 'text/html; charset=iso-8859-1' })
    return response.end(
      Buffer.from('<p>The caf\xe9 serves very good coffee every day.</p><script>no()</script>', 'latin1'),
    )
  })
  const { output } = await summarized({ url: `${pages.url}/old` }, open)
  assert.equal(output.summary, 'The café serves very good coffee every day.')
})

test('a server on a private address is not even asked unless the environment allows it', async () => {
  let asked = 0
  await using pages = await site((_request, response) => {
    asked++
    response.writeHead(200, { 'content-type': 'text/plain' }).end('A sentence that nobody may read.')
  })
  for (const host of ['127.0.0.1', 'localhost']) {
    await assert.rejects(summarized({ url: pages.url.replace('127.0.0.1', host) }), hasCode('invalid_input'))
  }
  assert.equal(asked, 0)
  await summarized({ url: pages.url }, open)
  assert.equal(asked, 1)
})

const bad: [name: string, code: string, answer: RequestListener][] = [
  ['is no text', 'invalid_input', (_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end('x')],
  ['has no type', 'invalid_input', (_, response) => response.writeHead(200).end('x')],
  ['is missing', 'invalid_input', (_, response) => response.writeHead(404, { 'content-type': 'text/plain' }).end('x')],
  ['redirects for ever', 'invalid_input', (_, response) => response.writeHead(302, { location: '/' }).end()],
  [
    'redirects to a file',
    'invalid_input',
    (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  ],
  [
    'has an unknown character set',
    'invalid_input',
    (_, response) => response.writeHead(200, { 'content-type': 'text/plain; charset=klingon' }).end('x'),
  ],
  [
    'is compressed unasked',
    'invalid_input',
    (_, response) => response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'br' }).end('x'),
  ],
  [
    'has more than 1 MiB',
    'too_large',
    (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<p>${' '.repeat(1_048_574)}`),
  ],
  [
    'has more text than is scored',
    'too_large',
    (_, response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('a'.repeat(textCharsMax + 1)),
  ],
  [
    'breaks off in the middle',
    'unavailable',
    (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '100' })
      response.write('half', () => response.destroy())
    },
  ],
]

for (const [name, code, listener] of bad) {
  test(`a page that ${name} is refused with ${code}`, async () => {
    await using pages = await site(listener)
    await assert.rejects(summarized({ url: pages.url }, open), hasCode(code))
  })
}

test('a cancel while a page is silent ends the fetch with its reason and closes the connection', async () => {
  const controller = new AbortController()
  const closed = Promise.withResolvers<void>()
  await using pages = await site((_request, response) => {
    response.on('close', closed.resolve)
    controller.abort(new Error('enough'))
  })
  await assert.rejects(summarized({ url: pages.url }, open, controller.signal), /enough/)
  await closed.promise
})
