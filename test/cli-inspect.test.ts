// The commands that look back, as a user has them: the same run through a server and through its file prints the same, and
// what they print is held to goldens.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from '../src/client/index.ts'
import { csvColumns } from '../src/inspect/csv.ts'
import { type Folder, folder, type Running } from './cli-process.ts'

const agent = `export async function* run({ last = 'x', pauseMs = 0 }) {
  yield { type: 'step', node_name: 'plan', phase: 'start' }
  yield { type: 'token', content: 'Hello ', llm_request_id: 'q1', model: 'gpt-4o' }
  yield { type: 'token', content: 'world', llm_request_id: 'q1', model: 'gpt-4o' }
  if (pauseMs > 0) await new Promise(resolve => setTimeout(resolve, pauseMs))
  yield { type: 'metrics', scope: 'llm', metrics: { tokens_prompt: { value: 1000 }, tokens_completion: { value: 0 } }, tags: { model: 'gpt-4o' } }
  yield { type: 'tool', call_id: 'c1', tool_name: '=cmd|x', stage: 'completed', result: 0, duration_ms: 7 }
  yield { type: 'state', version: 1, base_version: 0, snapshot: { n: 1, list: ['a'] } }
  yield { type: 'checkpoint', name: 'mid', data: { n: 1 } }
  yield { type: 'state', version: 2, base_version: 1, ops: [{ op: 'replace', path: '/n', value: 0 }, { op: 'add', path: '/list/1', value: last }] }
  yield { type: 'step', node_name: 'plan', phase: 'end', duration_ms: 20 }
  yield { type: 'metrics', scope: 'llm', metrics: { tokens_prompt: { value: 5 }, tokens_completion: { value: 5 } }, tags: { model: 'nobody-knows' } }
  return ''
}
`
const dockfile = `version: "1.0"
agent: { name: talker, handler: "./agent.ts:run" }
streaming: { backend: sqlite }
`

let here: Folder
let server: Running & { readonly url: string }
let run = ''
let other = ''
let file = ''

before(async () => {
  here = folder({ 'Dockfile.yaml': dockfile, 'agent.ts': agent })
  server = await here.serve()
  file = join(here.path, '.runcast', 'runs.db')
  await using runs = connect(server.url)
  run = (await runs.start(undefined, {}, { thread: 't1', labels: { company_id: 'acme' } })).run_id
  await ended(runs, run)
  other = (await runs.start(undefined, { last: 'y' })).run_id
  await ended(runs, other)
})

after(async () => {
  await server[Symbol.asyncDispose]()
  here[Symbol.dispose]()
})

async function ended(runs: ReturnType<typeof connect>, id: string): Promise<void> {
  for await (const batch of runs.tail(id)) if (batch.state === 'sealed') return
}

/** Through the server and through the file, which must agree. */
async function both(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [remote, local] = await Promise.all([
    here.run([...args, '--source', server.url]),
    here.run([...args, '--source', file]),
  ])
  assert.deepEqual(local, remote)
  return local
}

/** Ids, times and measured durations, which differ from run to run. */
function steady(text: string): string {
  return text
    .replaceAll(run, 'RUN')
    .replaceAll(other, 'OTHER')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/(duration: +)\d+ ms/g, '$1? ms')
    .replaceAll(/in [\d.]+ s/g, 'in ? s')
    .replaceAll(/(gpt-4o +1 +0).*/g, '$1 ?')
}

test('DF27 H134 inspect shows a summary, the node table and the events, from a server as from its file', async () => {
  const { code, stdout } = await both('inspect', run)
  assert.equal(code, 0)
  assert.equal(
    steady(stdout),
    `run_id:         RUN
status:         completed
agent:          talker
framework:      runcast
thread_id:      t1
company_id:     acme
first_at:       TIME
last_at:        TIME
duration:       ? ms
events:         12 (1 to 12)
  metrics:      2
  state:        2
  step:         2
  token:        2
  checkpoint:   1
  complete:     1
  started:      1
  tool:         1
tokens:         1005 in, 5 out, 1010 in total
cost_usd:       unknown (0.0025 of it known)
prices:         Runcast's example, as of 2024-10-22, not checked since; give yours with --prices

kind   name    calls  failed  total ms  mean ms
node   plan        1       0        20       20
tool   =cmd|x      1       0         7        7
model  gpt-4o      1       0 ?

      1  TIME  talker started (run RUN)
      2  TIME  step plan start
      3  TIME  token "Hello "
      4  TIME  token "world"
      5  TIME  metrics llm tokens_prompt=1000, tokens_completion=0
      6  TIME  tool =cmd|x completed in 7 ms 0
      7  TIME  state 1
      8  TIME  checkpoint mid
      9  TIME  state 2 (2 changed)
     10  TIME  step plan end in 20 ms
     11  TIME  metrics llm tokens_prompt=5, tokens_completion=5
     12  TIME  complete in ? s ""
`,
  )
})

test('DF27 inspect --json has the same, with the events as they are on the wire, in the window that was asked for', async () => {
  const { stdout } = await both('inspect', run, '--json', '--from', '5', '--to', '9', '--types', 'state,tool')
  const found = JSON.parse(stdout) as { usage: object; nodes: { name: string }[]; log: { sequence: number }[] }
  assert.deepEqual(
    found.log.map(({ sequence }) => sequence),
    [6, 7, 9],
  )
  assert.deepEqual(
    found.nodes.map(({ name }) => name),
    ['plan', '=cmd|x', 'gpt-4o'],
  )
  const usage = {
    input_tokens: 1005,
    output_tokens: 5,
    total_tokens: 1010,
    cost_usd: null,
    known_cost_usd: 0.0025,
    prices_as_of: '2024-10-22',
  }
  assert.deepEqual(found.usage, usage)
  const { stdout: short, stderr } = await both('inspect', run, '--limit', '0')
  assert.doesNotMatch(short, /step plan start/)
  assert.match(stderr, /^12 more events: --from/m)
})

test('DF28 replay shows the run again, from an event or a checkpoint on, with the text on stdout', async () => {
  const whole = await both('replay', run, '--speed', 'max')
  assert.deepEqual([whole.code, whole.stdout], [0, 'Hello world\n'])
  assert.match(whole.stderr, /checkpoint mid\n[^]*complete in/)
  const late = await both('replay', run, '--from-checkpoint', 'mid', '--json', '--speed', '1000')
  const sequences = late.stdout
    .trim()
    .split('\n')
    .map(line => (JSON.parse(line) as { sequence: number }).sequence)
  assert.deepEqual(sequences, [8, 9, 10, 11, 12])
  const wrong = await both('replay', run, '--from-checkpoint', 'nope')
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /has no checkpoint "nope"; it has mid/)
})

test('DF28 replay --at shows the state, the text and the open steps as they were at that event', async () => {
  const { stdout } = await both('replay', run, '--at', '8')
  assert.equal(
    steady(stdout),
    `run:            RUN
at:             8 (TIME)
status:         running
open step:      plan
checkpoint:     mid (event 8)
input_tokens:   1000
output_tokens:  0
total_tokens:   1000
state:          version 1
{
  "n": 1,
  "list": [
    "a"
  ]
}
text:
Hello world
`,
  )
  const views = await Promise.all([0, 3, 12].map(at => both('replay', run, '--at', String(at), '--json')))
  const told = views.map(view => JSON.parse(view.stdout) as { at: number; status: string; parts: unknown[] })
  assert.deepEqual(
    told.map(({ at, status, parts }) => [at, status, parts.length]),
    [
      [0, 'accepted', 0],
      [3, 'running', 1],
      [12, 'completed', 2],
    ],
  )
  const past = await both('replay', run, '--at', '13')
  assert.equal(past.code, 1)
  assert.match(past.stderr, /has 12 events so far, there is no event 13/)
})

test('DF29 diff shows what changed between two events, and between two runs', async () => {
  const points = await both('diff', run, '--from', '7', '--to', '11')
  assert.equal(
    steady(points.stdout),
    `RUN at 7 → RUN at 11
state: version 1 → 2
- /n 1
+ /n 0
+ /list/1 "x"
checkpoints: none → mid
input_tokens: 1000 → 1005
output_tokens: 0 → 5
total_tokens: 1000 → 1010
`,
  )
  const runs = await both('diff', run, other, '--json')
  const { state } = JSON.parse(runs.stdout) as { state: { ops: unknown } }
  assert.deepEqual(state.ops, [{ op: 'replace', path: '/list/1', value: 'y', before: 'x' }])
  assert.equal((await both('diff', run, run)).stdout.split('\n')[1], 'nothing changed')
  assert.equal((await both('diff', run)).code, 1)
})

test('DF30 H133 export writes JSON, JSON lines and CSV, all of the same events', async () => {
  const [lines, array, csv] = await Promise.all([
    both('export', run),
    both('export', run, '--format', 'json'),
    both('export', run, '--format', 'csv'),
  ])
  const events = lines.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { sequence: number; type: string })
  assert.deepEqual(JSON.parse(array.stdout), events)
  assert.equal(events.length, 12)
  const rows = csv.stdout.trimEnd().split('\r\n')
  assert.equal(rows[0], csvColumns.join(','))
  assert.equal(rows.length, 13)
  const tool = `${run}:6,${run},6,TIME,tool,,,,,,,,"'=cmd|x",c1,completed,7,,,,,,,"{""result"":0}"`
  assert.equal(rows[6]?.replace(/\d{4}-[\d:T.-]+Z/, 'TIME'), tool)
  const named = join(here.path, 'out.ndjson')
  const { stdout } = await here.run(['export', run, '--source', file, '--types', 'tool', '--output', named])
  assert.equal(stdout, '')
  assert.equal(readFileSync(named, 'utf8'), `${lines.stdout.split('\n')[5]}\n`)
})

test('DF31 flamegraph writes an SVG, and folded stacks', async () => {
  const { stdout } = await both('flamegraph', run, '--folded')
  assert.match(stdout, /^talker;plan;=cmd\|x 7000$/m)
  const { stdout: svg } = await both('flamegraph', run)
  assert.match(svg, /^<svg [^]*<title>tool =cmd\|x: 7 ms in total, 7 ms of its own, 1 call[^]*<\/svg>\n$/)
})

test('DF32 H126 H135 costs are by model, node and tenant; the prices are the user’s, and say what day they are of; unknown is unknown and zero is 0', async () => {
  const { stdout } = await both('costs', run)
  assert.equal(
    stdout,
    `model         told  input tokens  output tokens  total tokens                      cost USD
gpt-4o           1          1000              0          1000                        0.0025
nobody-knows     1             5              5            10                       unknown
total            2          1005              5          1010  unknown (0.0025 of it known)

node     told  input tokens  output tokens  total tokens                      cost USD
plan        1          1000              0          1000                        0.0025
unknown     1             5              5            10                       unknown
total       2          1005              5          1010  unknown (0.0025 of it known)

tenant  told  input tokens  output tokens  total tokens  cost USD
acme       2          1005              5          1010  unknown (0.0025 of it known)
total      2          1005              5          1010  unknown (0.0025 of it known)

1 run, cost in USD: unknown (0.0025 of it known)
by the prices of Runcast's example, as of 2024-10-22, not checked since; give yours with --prices
`,
  )
  assert.match(
    (await both('costs', '--help')).stdout.replaceAll(/\s+/g, ' '),
    /Runcast's example, .* not checked since/,
  )
  const free = { input_per_million: 0, output_per_million: 0 }
  writeFileSync(join(here.path, 'free.json'), JSON.stringify({ 'gpt-4o': free, 'nobody-knows': free }))
  const zero = await both('costs', '--prices', 'free.json', '--by', 'run', '--json')
  const rows = zero.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { name: string; cost_usd: number })
  const byName = Object.fromEntries(rows.map(({ name, cost_usd }) => [name, cost_usd]))
  assert.deepEqual(byName, { [run]: 0, [other]: 0, total: 0 })
  assert.equal((JSON.parse(zero.stdout.trim().split('\n').at(-1) ?? '') as { prices_as_of: null }).prices_as_of, null)
  const undated = await both('costs', run, '--prices', 'free.json', '--by', 'model')
  assert.match(undated.stdout, /by the prices of free\.json, without a date\n$/)
  writeFileSync(join(here.path, 'dated.json'), JSON.stringify({ as_of: '2026-01-31', 'gpt-4o': free }))
  const dated = await both('costs', run, '--prices', 'dated.json', '--by', 'model')
  assert.match(dated.stdout, /unknown \(0 of it known\)\nby the prices of dated\.json, as of 2026-01-31\n$/)
})

test('DF33 profile is over all runs, or those of a thread, an agent, a time', async () => {
  const calls = async (...args: string[]) => {
    const { stdout } = await both('profile', '--json', ...args)
    const rows = stdout.trim().split('\n').filter(Boolean)
    return rows.map(row => JSON.parse(row) as { name: string; calls: number; p95_ms: number })[0]
  }
  const all = await calls()
  assert.deepEqual([all?.name, all?.calls, all?.p95_ms], ['plan', 2, 20])
  assert.equal((await calls('--thread', 't1'))?.calls, 1)
  assert.equal((await calls('--agent', 'nobody'))?.calls, undefined)
  assert.equal((await calls('--since', '1h'))?.calls, 2)
  assert.equal((await calls('--since', '2999-01-01'))?.calls, undefined)
})

test('DF26 tail reads a file as it reads a server, and ends as the run did', async () => {
  const { code, stdout } = await both('tail', run)
  assert.deepEqual([code, stdout], [0, 'Hello world\n'])
})

test('DF26 tail --all follows every run that goes on or begins, of a thread or of all, until it is stopped', async () => {
  await using runs = connect(server.url)
  const before = await runs.start(undefined, { pauseMs: 3_600_000 })
  for await (const batch of runs.tail(before.run_id)) if (batch.last >= 4) break
  await using all = here.start(['tail', '--all', '--source', file, '--json'])
  await using some = here.start(['tail', '--url', server.url, '--thread', 't2', '--types', 'token'])
  await all.saw(/"sequence":4,/)
  await some.saw(/following 0 runs/)
  const { run_id } = await runs.start(undefined, {}, { thread: 't2' })
  await all.saw(new RegExp(`"type":"complete","run_id":"${run_id}"`))
  await some.saw(/complete in/)
  await runs.cancel(before.run_id)
  await all.saw(/"type":"cancelled"/)
  for (const { child } of [all, some]) child.kill('SIGINT')
  const [every, few] = await Promise.all([all.ended, some.ended])
  assert.deepEqual([every.code, few.code], [130, 130])
  const events = every.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { run_id: string; sequence: number })
  for (const [id, count] of [
    [before.run_id, 5],
    [run_id, 12],
  ] as const) {
    const sequences = events.filter(event => event.run_id === id).map(({ sequence }) => sequence)
    assert.deepEqual(
      sequences,
      Array.from({ length: count }, (_, n) => n + 1),
    )
  }
  assert.equal(events.length, 17)
  const lines = few.stdout
    .trim()
    .split('\n')
    .map(line => line.replace(/\d{4}-\S+Z/, 'TIME').replace(/in [\d.]+ s/, 'in ? s'))
  assert.deepEqual(lines, [
    `${run_id} 3  TIME  token "Hello "`,
    `${run_id} 4  TIME  token "world"`,
    `${run_id} 12  TIME  complete in ? s ""`,
  ])
})

test('a run that still runs is read up to where it is, and not waited for', async () => {
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, { pauseMs: 3_600_000 })
  for await (const batch of runs.tail(run_id)) if (batch.last >= 4) break
  const { code, stdout } = await both('inspect', run_id, '--json')
  const { status, events } = JSON.parse(stdout) as { status: string; events: number }
  assert.deepEqual([code, status, events], [0, 'running', 4])
  await runs.cancel(run_id)
})

test('what cannot be read is refused by what it is, with 1; wrong usage with 2', async () => {
  for (const [source, says] of [
    ['nope.db', /there is no file nope\.db/],
    ['.', /\. is no file; give the path/],
    ['agent.ts', /agent\.ts is not a SQLite file/],
    ['ftp://host/x', /nothing here reads ftp:\/\//],
  ] as const) {
    const { code, stderr } = await here.run(['inspect', run, '--source', source])
    assert.equal(code, 1)
    assert.match(stderr, says)
  }
  for (const command of ['inspect', 'tail', 'export'] as const) {
    for (const [types, says] of [
      ['step,tokn', /--types: there is no event type "tokn"; give custom, .* or custom:NAME, .*; did you mean token\?/],
      ['step,', /--types: there is no event type ""/],
      ['custom:a b', /--types: there is no event type "custom:a b"/],
    ] as const) {
      const { code, stdout, stderr } = await here.run([command, run, '--types', types, '--source', file])
      assert.deepEqual([code, stdout], [1, ''], command)
      assert.match(stderr, says)
    }
  }
  const missing = await both('inspect', 'nope')
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /there is no run "nope"/)
  assert.equal((await here.run(['export', run, '--format', 'xml'])).code, 1)
  for (const args of [
    ['replay', run, '--nope'],
    ['tail', run, '--all'],
    ['tail', '--all', '--after', '3'],
  ]) {
    assert.equal((await here.run(args)).code, 2)
  }
})
