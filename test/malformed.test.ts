// Bad input: whatever a request says wrongly, it gets a clear typed error that names what is wrong, and the server
// serves the next request. One row per mistake; the rows of configurations are in config-errors.test.ts.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { z } from 'zod'
import { defineAgent } from '../src/agent/define.ts'
import type { Code } from '../src/error.ts'
import { type Served, serve } from '../src/server.ts'
import { apiKeys } from '../src/transports/http/auth.ts'

const strict = defineAgent(
  {
    name: 'strict',
    input: z.strictObject({
      text: z.string().max(100),
      times: z.number().int().min(1).max(5).optional(),
      tags: z.array(z.string()).optional(),
      nested: z.strictObject({ deep: z.boolean() }).optional(),
    }),
  },
  async ({ text }) => text,
)
const fromJsonSchema = defineAgent(
  {
    name: 'json-schema',
    input: {
      type: 'object',
      required: ['n'],
      properties: { n: { type: 'integer', maximum: 3 } },
      additionalProperties: false,
    },
  },
  async (input: { n: number }) => input.n,
)

let served: Served
let guarded: Served
before(async () => {
  served = await serve({ agents: [strict, fromJsonSchema], port: 0, bodyBytesMax: 10_000 })
  const authenticate = apiKeys({ keys: new Map([['ci', 'right']]), header: 'x-api-key', allowBearer: true })
  guarded = await serve({ agents: [strict], port: 0, authenticate })
  const answer = await post('/runs?run_id=done', { text: 'hello' })
  assert.equal(answer.status, 202)
  await (await fetch(`${served.url}/runs/done/events`)).text()
})
after(async () => {
  await served.stop(0)
  await guarded.stop(0)
})

const json = { 'content-type': 'application/json' }

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return fetch(served.url + path, { method: 'POST', headers: { ...json, ...headers }, body: text })
}

interface Row {
  readonly ids: string
  readonly title: string
  readonly send: () => Promise<Response>
  readonly status: number
  readonly code: string
  /** What the message must name. */
  readonly names: RegExp
}

const ok = { text: 'x' }
const get =
  (path: string, headers: Record<string, string> = {}) =>
  () =>
    fetch(served.url + path, { headers })
const row = (
  title: string,
  status: number,
  code: string,
  names: RegExp,
  send: () => Promise<Response>,
  ids = code === 'invalid_input' ? 'DK6 H116' : code === 'unauthenticated' ? 'DK76 H116' : 'H116',
): Row => ({
  ids,
  title,
  status,
  code,
  names,
  send,
})

const entryPoints = ['/invoke', '/invoke/stream', '/runs']
const badInputs: readonly [string, unknown, RegExp][] = [
  ['a missing field', {}, /text/],
  ['a field of another type', { text: 1 }, /text/],
  ['a text that is too long', { text: 'x'.repeat(101) }, /text/],
  ['a number below its range', { ...ok, times: 0 }, /times/],
  ['a number above its range', { ...ok, times: 6 }, /times/],
  ['a fraction for an integer', { ...ok, times: 1.5 }, /times/],
  ['an unknown field', { ...ok, tetx: 1 }, /tetx/],
  ['a wrong element of a list', { ...ok, tags: ['a', 1] }, /tags\.1/],
  ['a list of wrong elements', { ...ok, tags: Array(1_000).fill(1) }, /tags\.9: [^;]*; and 990 more$/],
  ['an unknown field with a long name', { ...ok, ['x'.repeat(5_000)]: 1 }, /"x+…$/],
  ['a wrong field inside a field', { ...ok, nested: { deep: 'yes' } }, /nested\.deep/],
  ['a list for an object', [], /object/],
  ['null', null, /object/],
  ['a string', '"text"', /object/],
  ['a number', 7, /object/],
]
const badBodies: readonly [string, string, RegExp][] = [
  ['half an object', '{"text":', /JSON/],
  ['single quotes', "{'text':'x'}", /JSON/],
  ['a trailing comma', '{"text":"x",}', /JSON/],
  ['two objects', '{"text":"x"}{}', /JSON/],
  ['an SSE frame', 'data: {"text":"x"}\n\n', /JSON/],
  ['NaN', '{"text":NaN}', /JSON/],
  ['a bare word', 'hello', /JSON/],
]
const levels = (count: number) => '['.repeat(count) + ']'.repeat(count)
const badWhole: readonly [string, BodyInit, Record<string, string>, RegExp][] = [
  ['4,000 levels', levels(4_000), {}, /nested deeper than 100 levels/],
  ['101 levels', `{"text":${levels(100)}}`, {}, /text\.0.*nested deeper/],
  ['a number beyond every double', '{"text":"x","tags":[1,-1e999]}', {}, /"tags\.1".*1\.8e308/],
  ['white space', '   ', {}, /JSON/],
  ['bytes that are no UTF-8', new Uint8Array([0x22, 0xff, 0xfe, 0x80, 0x22]), {}, /not UTF-8/],
  ['Latin-1', new Uint8Array([0x22, 0xe9, 0x22]), { 'content-type': 'application/json; charset=latin1' }, /not UTF-8/],
  ['a text that is no UTF-8', new Uint8Array([0xe9]), { 'content-type': 'text/plain' }, /not UTF-8/],
  ['a compressed body', '{"text":"x"}', { 'content-encoding': 'gzip' }, /content-encoding "gzip"/],
  ['an unknown JSON', '{"text":"x"}', { 'content-type': 'application/x+json' }, /x\+json.*application\/json/],
  ['an empty content-type', '{"text":"x"}', { 'content-type': '' }, /content-type ""/],
]
const badStarts: readonly [string, string, number, string, RegExp][] = [
  ['a run id that begins with _', '?run_id=_x', 400, 'invalid_run_id', /_x/],
  ['a run id of 129 characters', `?run_id=${'a'.repeat(129)}`, 400, 'invalid_run_id', /128/],
  ['a run id with a space', '?run_id=a%20b', 400, 'invalid_run_id', /a b/],
  ['a run id with a slash', '?run_id=..%2Fetc', 400, 'invalid_run_id', /etc/],
  ['a run id with a newline', '?run_id=a%0Ab', 400, 'invalid_run_id', /\\n/],
  ['an empty run id', '?run_id=', 400, 'invalid_run_id', /1 to 128/],
  ['a run id of letters that are not ASCII', '?run_id=%C3%A9%F0%9F%98%80', 400, 'invalid_run_id', /é/],
  ['a run id with a header', '?run_id=a%0D%0AX-Evil:%201', 400, 'invalid_run_id', /a\\r\\nX-Evil/],
  ['a query that is no UTF-8', '?thread_id=%ff', 400, 'invalid_request', /"thread_id=%ff".*percent-encoded/],
  ['a query that is not percent-encoded', '?thread_id=%zz', 400, 'invalid_request', /%zz.*percent-encoded/],
  ['a parameter without a name', '?=1', 400, 'invalid_request', /"": unknown/],
  ['a parameter in brackets', '?agent[]=strict', 400, 'invalid_request', /agent\[\].*run_id, agent/],
  ['the parameter __proto__', '?__proto__=1', 400, 'invalid_request', /__proto__: unknown/],
  ['the parameter constructor', '?constructor=1', 400, 'invalid_request', /constructor: unknown/],
  ['a run id that exists', '?run_id=done', 409, 'conflict', /done/],
  ['an agent that is not there', '?agent=nobody', 404, 'not_found', /nobody.*strict/],
  ['an empty agent', '?agent=', 404, 'not_found', /strict/],
  ['an empty thread', '?thread_id=', 400, 'invalid_request', /thread_id/],
  ['a blank thread', '?thread_id=%20', 400, 'invalid_request', /thread_id.*blank/],
  ['a thread name of 201 characters', `?thread_id=${'t'.repeat(201)}`, 400, 'invalid_request', /thread_id/],
  ['an unknown on_busy', '?on_busy=wait', 400, 'invalid_request', /on_busy.*wait/],
  ['an unknown parameter', '?threadid=1', 400, 'invalid_request', /threadid.*thread_id/],
  ['a timeout of 0', '?timeout=0', 400, 'invalid_request', /timeout/],
  ['a timeout of 3601', '?timeout=3601', 400, 'invalid_request', /timeout/],
  ['the same parameter twice', '?agent=strict&agent=strict', 400, 'invalid_request', /agent/],
]
const badCursors: readonly [string, string, RegExp][] = [
  ['after=-1', '?after=-1', /after.*-1/],
  ['after=2^53', '?after=9007199254740992', /^after: Too big: expected int to be <=9007199254740991, got [^;]*$/],
  ['after=1.5', '?after=1.5', /after.*1\.5/],
  ['after=abc', '?after=abc', /after.*abc/],
  ['after=1e400', '?after=1e400', /after/],
  ['after=1e3', '?after=1e3', /after.*1e3/],
  ['after=0x10', '?after=0x10', /after.*0x10/],
  ['an after without a value', '?after=', /after.*""/],
  ['one bad cursor beside a good one', '?after=1&from_sequence=x', /from_sequence.*x/],
  ['after=NaN', '?after=NaN', /after.*"NaN"/],
  ['after=Infinity', '?after=Infinity', /after.*"Infinity"/],
  ['after=+1', '?after=%2B1', /after.*"\+1"/],
  ['after in other digits', '?after=%D9%A1', /after.*"١"/],
  ['after twice', '?after=1&after=2', /after.*\["1","2"\]/],
  ['a timeout of 400 digits', `?timeout=${'9'.repeat(400)}`, /timeout.*"9{140}…"/],
  ['after beyond safe integers', '?after=9007199254740993', /after/],
  ['from_sequence=-1', '?from_sequence=-1', /from_sequence/],
  ['from_sequence=first', '?from_sequence=first', /from_sequence.*first/],
  ['strict=maybe', '?strict=maybe', /strict.*maybe/],
  ['timeout=soon', '?timeout=soon', /timeout.*soon/],
  ['an unknown event type', '?types=tokens', /tokens.*token/],
  ['an empty types', '?types=', /types/],
  ['a custom name that is none', '?types=custom:a-b', /custom:a-b/],
  ['one bad type among good ones', '?types=token,,step', /types/],
  ['a misspelt parameter', '?form_sequence=3', /form_sequence.*from_sequence/],
]
const badEventIds = ['abc', '-1', '1.5', '1e3', '0x10', '1e3x', '9007199254740993', ' 7 x', '[object Object]']
const badLists: readonly [string, string, RegExp][] = [
  ['an unknown status', '?status=done', /status.*done/],
  ['a limit of 0', '?limit=0', /limit/],
  ['a limit of 501', '?limit=501', /limit/],
  ['a limit that is no number', '?limit=many', /limit.*many/],
  ['a cursor that is none of ours', '?cursor=abc', /cursor.*abc/],
  ['a cursor with a bad run id', '?cursor=5.%20', /cursor/],
  ['a cursor with a time in other digits', '?cursor=1e3.done', /cursor.*1e3/],
  ['a cursor with a blank time', '?cursor=%20.done', /cursor.* \.done/],
  ['a limit without a value', '?limit=', /limit.*""/],
  ['an unknown parameter', '?thread=1', /thread.*thread_id/],
]

const idsOf = (title: string) =>
  /characters/.test(title)
    ? 'H119 H116'
    : /parameter/.test(title)
      ? 'H73 H116'
      : /empty thread|blank thread/.test(title)
        ? 'H41 H116'
        : 'H116'

const rows: Row[] = [
  ...entryPoints.flatMap(path => [
    ...badInputs.map(([title, input, names]) =>
      row(`${path}: ${title}`, 422, 'invalid_input', names, () => post(path, input)),
    ),
    ...badBodies.map(([title, body, names]) =>
      row(`${path}: ${title} for JSON`, 400, 'invalid_request', names, () => post(path, body)),
    ),
    row(`${path}: no body`, 422, 'invalid_input', /object/, () => fetch(served.url + path, { method: 'POST' })),
    row(`${path}: a body that is too large`, 413, 'too_large', /large/, () => post(path, { text: 'x'.repeat(20_000) })),
    ...badWhole.map(([title, body, headers, names]) =>
      row(`${path}: ${title}`, 400, 'invalid_request', names, () =>
        fetch(served.url + path, { method: 'POST', headers: { ...json, ...headers }, body }),
      ),
    ),
    row(`${path}: a form`, 400, 'invalid_request', /form-urlencoded.*application\/json/, () =>
      post(path, 'text=x', { 'content-type': 'application/x-www-form-urlencoded' }),
    ),
    row(`${path}: bytes`, 400, 'invalid_request', /octet-stream.*application\/json/, () =>
      post(path, 'xx', { 'content-type': 'application/octet-stream' }),
    ),
    row(`${path}: text for an object`, 422, 'invalid_input', /object/, () =>
      post(path, 'hello', { 'content-type': 'text/plain' }),
    ),
    row(`${path}: JSON Schema names the field`, 422, 'invalid_input', /n/, () => post(`${path}?agent=json-schema`, {})),
    row(`${path}: JSON Schema names the bound`, 422, 'invalid_input', /n.*3/, () =>
      post(`${path}?agent=json-schema`, { n: 4 }),
    ),
  ]),
  ...badStarts.map(([title, query, status, code, names]) =>
    row(`/runs: ${title}`, status, code, names, () => post(`/runs${query}`, ok), idsOf(title)),
  ),
  row('/runs: an idempotency key with another input', 409, 'conflict', /key/, async () => {
    await post('/runs', ok, { 'idempotency-key': 'twice' })
    return post('/runs', { text: 'other' }, { 'idempotency-key': 'twice' })
  }),
  ...badCursors.map(([title, query, names]) =>
    row(`events: ${title}`, 400, 'invalid_request', names, get(`/runs/done/events${query}`), 'H72 H73 H116'),
  ),
  ...badEventIds.map(id =>
    row(
      `events: Last-Event-ID ${id}`,
      400,
      'invalid_request',
      /Last-Event-ID/,
      get('/runs/done/events', { 'last-event-id': id }),
      'H13 H72 H116',
    ),
  ),
  ...badLists.map(([title, query, names]) =>
    row(`list: ${title}`, 400, 'invalid_request', names, get(`/runs${query}`), idsOf(title)),
  ),
  ...['', '/events', '/snapshot'].map(part =>
    row(`/runs/nobody${part}`, 404, 'not_found', /nobody/, get(`/runs/nobody${part}`)),
  ),
  row('a run id that cannot be one', 404, 'not_found', /%|x/, get('/runs/%00x')),
  row('a run id with dots', 404, 'not_found', /there is no/, get('/runs/..%2f..%2fetc')),
  row('snapshot at -1', 400, 'invalid_request', /at.*-1/, get('/runs/done/snapshot?at=-1')),
  row('snapshot at x', 400, 'invalid_request', /at.*x/, get('/runs/done/snapshot?at=x')),
  row('input without a body', 400, 'invalid_request', /input_id/, () => post('/runs/done/input', {})),
  row('input with an empty id', 400, 'invalid_request', /input_id/, () =>
    post('/runs/done/input', { input_id: '', value: 1 }),
  ),
  row('input with an unknown field', 400, 'invalid_request', /vaule/, () =>
    post('/runs/done/input', { input_id: 'a', vaule: 1 }),
  ),
  row('input for a run that ended', 409, 'run_ended', /done/, () =>
    post('/runs/done/input', { input_id: 'a', value: 1 }),
  ),
  row('cancel of a run that ended', 409, 'run_ended', /done/, () =>
    fetch(`${served.url}/runs/done`, { method: 'DELETE' }),
  ),
  row('cancel of a run that is not there', 404, 'not_found', /nobody/, () =>
    fetch(`${served.url}/runs/nobody/cancel`, { method: 'POST' }),
  ),
  row('a query where none is known', 400, 'invalid_request', /x: unknown.*none/, get('/runs/done?x=1')),
  row('a thousand parameters', 400, 'invalid_request', /a0, a1, a2, a3, a4 and 995 more: unknown/, () =>
    get(`/runs?${Array.from({ length: 1000 }, (_, n) => `a${n}=1`).join('&')}`)(),
  ),
  row('a part of a path that is too long', 400, 'invalid_request', /"\/runs\/a+…" has more than 256/, () =>
    get(`/runs/${'a'.repeat(300)}`)(),
  ),
  row('a path of 12,000 characters', 404, 'not_found', /^there is no GET \/a{139};/, () =>
    get(`/${'a'.repeat(12_000)}`)(),
  ),
  row('a run that is no UTF-8', 400, 'invalid_request', /"\/runs\/%ff".*percent-encoded/, get('/runs/%ff')),
  row('a reason of 1,001 characters', 400, 'invalid_request', /reason.*1000.*"r{140}…"/, () =>
    post(`/runs/done/cancel?reason=${'r'.repeat(1001)}`, null),
  ),
  row('an answer without a value', 400, 'invalid_request', /value: it is missing/, () =>
    post('/runs/done/input', { input_id: 'a' }),
  ),
  row('two Last-Event-IDs', 400, 'invalid_request', /Last-Event-ID.*"1, 2"/, () =>
    fetch(`${served.url}/runs/done/events`, {
      headers: [
        ['last-event-id', '1'],
        ['last-event-id', '2'],
      ],
    }),
  ),
  row('a thread of a face with half a character', 400, 'invalid_request', /thread_id "\\ud800".*half/, () =>
    post('/agui/strict', '{"threadId":"\\ud800","runId":"half","messages":[{"id":"m","role":"user","content":"x"}]}'),
  ),
  row('a list of wrong messages', 400, 'invalid_request', /messages\.9: [^;]*; and 990 more$/, () =>
    post('/api/chat', { id: 'c', messages: Array(1_000).fill(1) }),
  ),
  row('a thread of a face that is too long', 400, 'invalid_request', /thread_id.*201 characters.*200/, () =>
    post('/api/chat', {
      id: 'c'.repeat(201),
      messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'x' }] }],
    }),
  ),
  row('an AG-UI request without anything', 400, 'invalid_request', /threadId: it is missing; runId.*messages/, () =>
    post('/agui', {}),
  ),
  row('TRACE', 404, 'not_found', /TRACE/, () => raw('TRACE /runs HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')),
  row('a path that is not there', 404, 'not_found', /GET \/run;/, get('/run')),
  row('a method that is not there', 404, 'not_found', /PUT/, () => fetch(`${served.url}/runs`, { method: 'PUT' })),
  row('a thread feed with a bad cursor', 400, 'invalid_request', /after/, get('/threads/t/events?after=x')),
  row('no API key', 401, 'unauthenticated', /x-api-key/, () => fetch(`${guarded.url}/runs`)),
  row('a wrong API key', 401, 'unauthenticated', /not known/, () =>
    fetch(`${guarded.url}/runs`, { headers: { 'x-api-key': 'wrong' } }),
  ),
  row('an empty API key', 401, 'unauthenticated', /x-api-key/, () =>
    fetch(`${guarded.url}/runs`, { headers: { 'x-api-key': '' } }),
  ),
  row('a wrong bearer', 401, 'unauthenticated', /not known/, () =>
    fetch(`${guarded.url}/runs`, { headers: { authorization: 'Bearer wrong' } }),
  ),
  row('another scheme', 401, 'unauthenticated', /x-api-key/, () =>
    fetch(`${guarded.url}/runs`, { headers: { authorization: 'Basic cmlnaHQ=' } }),
  ),
  row('a stream without a key', 401, 'unauthenticated', /x-api-key/, () => fetch(`${guarded.url}/runs/x/events`)),
]

for (const { ids, title, send, status, code, names } of rows) {
  test(`${ids} ${title} is refused with ${code}, and the next request is served`, async () => {
    await refused(await send(), { status, code, names })
  })
}

async function refused(answer: Response, { status, code, names }: Pick<Row, 'status' | 'code' | 'names'>) {
  const text = await answer.text()
  assert.equal(answer.status, status, text)
  const body = JSON.parse(text) as { success: boolean; error: string; code: string; details: object }
  assert.deepEqual(Object.keys(body), ['success', 'error', 'code', 'details'])
  assert.equal(body.success, false)
  assert.equal(body.code, code, text)
  assert.match(body.error, names)
  assert.doesNotMatch(text, /\.ts:|node_modules/, 'no stack')
  assert.ok(text.length < 2_000, 'a refusal repeats no page of what was sent')
  assert.equal((await fetch(`${served.url}/health`)).status, 200)
}

/** Requests that fetch cannot make. */
const frames: readonly [string, string | Uint8Array, number, Code, RegExp][] = [
  ['no HTTP at all', 'hello\r\n\r\n', 400, 'invalid_request', /no HTTP/],
  ['a TLS handshake', new Uint8Array([0x16, 3, 1, 0]), 400, 'invalid_request', /no HTTP/],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request', /no HTTP/],
  ['a version that is none', 'GET / HTTP/9.9\r\nhost: x\r\n\r\n', 400, 'invalid_request', /version/],
  ['a method with a space', 'GE T / HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'invalid_request', /method/],
  ['a method in small letters', 'get / HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'invalid_request', /method/],
  ['a path without a slash', 'GET runs HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'invalid_request', /url/],
  ['a path with a byte beyond ASCII', 'GET /runs/\u00e9 HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'invalid_request', /url/],
  ['a header without a colon', 'GET / HTTP/1.1\r\nhost x\r\n\r\n', 400, 'invalid_request', /header/],
  ['no Host', 'GET /runs HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'invalid_request', /Host is missing/],
  [
    'an expectation that is none',
    'POST /runs HTTP/1.1\r\nhost: x\r\nexpect: 200-maybe\r\ncontent-length: 0\r\n\r\n',
    417,
    'invalid_request',
    /"200-maybe"/,
  ],
  [
    'two content lengths',
    'POST /runs HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}',
    400,
    'invalid_request',
    /Content-Length/,
  ],
  [
    'a length and chunks',
    'POST /runs HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    400,
    'invalid_request',
    /Transfer-Encoding/,
  ],
  [
    'a coding that is none',
    'POST /runs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{}',
    400,
    'invalid_request',
    /Transfer-Encoding/,
  ],
  [
    'a negative content length',
    'POST /runs HTTP/1.1\r\nhost: x\r\ncontent-length: -2\r\n\r\n{}',
    400,
    'invalid_request',
    /Content-Length/,
  ],
  [
    'a bad chunk size',
    'POST /runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n',
    400,
    'invalid_request',
    /chunk/,
  ],
  [
    'a bad percent encoding',
    'GET /runs/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
    400,
    'invalid_request',
    /%zz/,
  ],
  [
    'headers of 100 kB',
    `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`,
    431,
    'too_large',
    /fewer or shorter headers/,
  ],
]

/** Sends bytes as they are; the answer when the server has closed the connection. */
async function raw(bytes: string | Uint8Array): Promise<Response> {
  const { hostname, port } = new URL(served.url)
  const socket = connect({ host: hostname, port: Number(port) })
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  socket.on('error', () => {})
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  await new Promise(resolve => socket.once('close', resolve))
  const text = Buffer.concat(chunks).toString()
  const [head = '', body = ''] = text.split('\r\n\r\n')
  // A short body in chunks is one chunk.
  const plain = /transfer-encoding: chunked/i.test(head) ? (body.split('\r\n')[1] ?? '') : body
  return new Response(plain, { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 599) })
}

for (const [title, bytes, status, code, names] of frames) {
  test(`H116 ${title} is refused with ${code}, and the next request is served`, async () => {
    await refused(await raw(bytes), { status, code, names })
  })
}

test('H116 a body that stops half-way takes nothing from others, and its connection can be left', async () => {
  const { hostname, port } = new URL(served.url)
  const stopped = connect({ host: hostname, port: Number(port) })
  const head = 'POST /runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
  stopped.write(`${head}5\r\n{"t`)
  assert.equal((await post('/invoke', ok)).status, 200)
  stopped.resetAndDestroy()
  assert.equal((await post('/invoke', ok)).status, 200)
})

test('H116 what looks odd and is not wrong is served: a byte order mark, an absolute URL, HEAD, OPTIONS, percent-encoding', async () => {
  assert.equal((await post('/invoke', `\uFEFF${JSON.stringify(ok)}`)).status, 200)
  for (const line of ['GET http://elsewhere.example/runs?limit=1', 'HEAD /runs', 'GET /%72uns', 'GET /runs?&&']) {
    assert.equal((await raw(`${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)).status, 200, line)
  }
  const name = encodeURIComponent('a\r\nX-Evil: 1 é😀')
  assert.equal((await post(`/runs?thread_id=${name}&run_id=odd`, ok)).status, 202)
  const { runs } = (await (await get(`/runs?thread_id=${name}`)()).json()) as { runs: { run_id: string }[] }
  assert.deepEqual(
    runs.map(({ run_id }) => run_id),
    ['odd'],
  )
})

test('DK76 every endpoint but health, readiness and docs wants the key, streams too; the right one opens them', async () => {
  const paths = [
    '/runs',
    '/runs/x',
    '/runs/x/events',
    '/runs/x/snapshot',
    '/threads/x/events',
    '/metrics',
    '/schema',
    '/info',
  ]
  for (const path of paths) {
    assert.equal((await fetch(guarded.url + path)).status, 401, path)
    const leaving = new AbortController()
    for (const headers of [{ 'x-api-key': 'right' }, { authorization: 'Bearer right' }]) {
      assert.notEqual((await fetch(guarded.url + path, { headers, signal: leaving.signal })).status, 401, path)
    }
    leaving.abort()
  }
  for (const path of entryPoints) {
    const send = (headers: Record<string, string>) =>
      fetch(guarded.url + path, { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(ok) })
    assert.equal((await send({})).status, 401, path)
    assert.ok((await send({ 'x-api-key': 'right' })).status < 300, path)
  }
  for (const path of ['/health', '/ready', '/docs', '/openapi.json'])
    assert.equal((await fetch(guarded.url + path)).status, 200, path)
})
