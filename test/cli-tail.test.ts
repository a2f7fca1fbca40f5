// `runcast tail` and `run --reload`: following through cuts, kills and new versions, and ending as the run did.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../src/client/index.ts'
import { folder } from './cli-process.ts'
import { cutPipe, seeded } from './cut-pipe.ts'

const talker = (word: string) => `export async function* run({ words = 3, pauseMs = 0, fail = false }) {
  for (let n = 1; n <= words; n++) {
    yield '${word}' + n + ' '
    if (pauseMs > 0) await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
  if (fail) throw new Error('no more words')
}
`
const talking = () =>
  folder({
    'Dockfile.yaml':
      'version: "1.0"\nagent: { name: talker, handler: "./agent.ts:run" }\nstreaming: { backend: sqlite }\nruncast: { retry_interval: 50ms }\n',
    'agent.ts': talker('w'),
  })
const endless = { words: 1_000_000, pauseMs: 10 }
const wordsTo = (last: number, word = 'w') => Array.from({ length: last }, (_, n) => `${word}${n + 1} `).join('')

function sequencesOf(text: string): number[] {
  const lines = text.trim().split('\n').filter(Boolean)
  return lines.map(line => (JSON.parse(line) as { sequence: number }).sequence)
}

test('tail ends as the run did: 0 complete, 1 failed, 3 cancelled, also when it comes late', async () => {
  using here = talking()
  await using server = await here.serve()
  await using runs = connect(server.url)
  const ends = [
    { input: {}, code: 0, says: /complete in/ },
    { input: { fail: true }, code: 1, says: /failed: no more words/ },
    { input: endless, code: 3, says: /cancelled: enough/ },
  ]
  for (const { input, code, says } of ends) {
    const { run_id } = await runs.start(undefined, input)
    const live = here.start(['tail', run_id, '--url', server.url])
    await live.saw(/w3 /)
    if (code === 3) await runs.cancel(run_id, 'enough')
    const ended = await live.ended
    assert.equal(ended.code, code, ended.stderr)
    assert.match(ended.stderr, says)
    const late = await here.run(['tail', run_id, '--url', server.url])
    assert.deepEqual([late.code, late.stdout], [code, ended.stdout])
    const { last_sequence } = await runs.get(run_id)
    const over = await here.run(['tail', run_id, '--after', String(last_sequence), '--url', server.url])
    assert.deepEqual([over.code, over.stdout], [code, ''])
  }
})

test('tail through a pipe that is cut again and again sees every event once, in order', async () => {
  using here = talking()
  await using server = await here.serve()
  await using runs = connect(server.url)
  await using pipe = await cutPipe(
    { port: Number(new URL(server.url).port) },
    { random: seeded(7), plan: { cutAfterBytes: [600, 4_000], resetShare: 0.5 } },
  )
  const { run_id } = await runs.start(undefined, { words: 60 })
  const { code, stdout, stderr } = await here.run(['tail', run_id, '--json', '--url', pipe.url])
  assert.equal(code, 0, stderr)
  assert.ok(pipe.cuts > 1, `${pipe.cuts} cuts`)
  assert.deepEqual(
    sequencesOf(stdout),
    Array.from({ length: 62 }, (_, n) => n + 1),
  )
})

test('tail over a server that is killed and started again resumes where it was, and learns how the run ended', async () => {
  using here = talking()
  const first = await here.serve()
  const port = new URL(first.url).port
  const { stdout: id } = await here.run(['runs', 'start', '--input', JSON.stringify(endless), '--url', first.url])
  await using reader = here.start(['tail', id.trim(), '--json', '--url', first.url])
  await reader.saw(/"sequence":5,/)
  first.child.kill('SIGKILL')
  await first.ended
  await reader.saw(/trying again from \d+/)
  await using second = await here.serve(['--port', port])
  const { code, stdout, stderr } = await reader.ended
  assert.equal(code, 1, stderr)
  assert.match(stderr, /connected again/)
  const sequences = sequencesOf(stdout)
  assert.deepEqual(
    sequences,
    sequences.map((_, n) => n + 1),
  )
  assert.match(stdout.trim().split('\n').at(-1) ?? '', /"type":"error".*"code":"interrupted"/)
  assert.equal(second.url, first.url)
})

test('tail gives up with 4 only when --max-wait is over, and before the run has ended', async () => {
  using here = talking()
  const server = await here.serve()
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, endless)
  await using reader = here.start(['tail', run_id, '--max-wait', '500ms', '--url', server.url])
  await reader.saw(/w1 /)
  server.child.kill('SIGKILL')
  const { code, stderr } = await reader.ended
  assert.equal(code, 4)
  assert.match(stderr, /gave up: the server was away for 500ms/)
})

test('Ctrl-C ends tail with 130 and leaves the run running', async () => {
  using here = talking()
  await using server = await here.serve()
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, endless)
  await using reader = here.start(['tail', run_id, '--url', server.url])
  await reader.saw(/w1 /)
  reader.child.kill('SIGINT')
  assert.equal((await reader.ended).code, 130)
  assert.equal((await runs.get(run_id)).status, 'running')
})

test('a run that is not there is a failure, not a wait', async () => {
  using here = talking()
  await using server = await here.serve()
  const { code, stderr } = await here.run(['tail', 'nope', '--url', server.url])
  assert.equal(code, 1)
  assert.match(stderr, /error: there is no run "nope"/)
})

test('run --reload keeps the old version when the new one is broken, and lets its runs finish before it is replaced', async () => {
  using here = talking()
  await using server = await here.serve(['--reload'])
  const env = { RUNCAST_URL: server.url }
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, { words: 30, pauseMs: 50 })
  const reader = here.start(['tail', run_id], env)
  await reader.saw(/w1 /)
  here.write('agent.ts', 'export async function* run( {')
  await server.saw(/agent\.ts does not load[^]*the version before goes on/)
  assert.equal((await fetch(`${server.url}/health`)).status, 200)
  here.write('agent.ts', talker('new'))
  await server.saw(/stopping/)
  const read = await reader.ended
  assert.deepEqual([read.code, read.stdout], [0, `${wordsTo(30)}\n`])
  await server.saw(/stopping[^]*serving talker/)
  const after = await here.run(['runs', 'start', '--tail'], env)
  assert.deepEqual([after.code, after.stdout], [0, `${wordsTo(3, 'new')}\n`])
  server.child.kill('SIGTERM')
  assert.equal((await server.ended).code, 0)
  await assert.rejects(fetch(`${server.url}/health`), 'no server is left behind')
})

/** Lasts until the version behind it has ended. */
const outlasting = `import { existsSync } from 'node:fs'
export async function run() {
  while (!existsSync(import.meta.dirname + '/gone')) await new Promise(resolve => setTimeout(resolve, 20))
}
`
/** Loads, says so, and ends. */
const shortLived = `import { writeFileSync } from 'node:fs'
${talker('never')}
const end = () => {
  writeFileSync(import.meta.dirname + '/gone', '')
  process.exit(3)
}
const send = process.send?.bind(process)
process.send = told => send(told, end)
`

test('run --reload outlives a new version that ends while the old one is drained, and serves the next one that works', async () => {
  using here = talking()
  here.write('agent.ts', outlasting)
  await using server = await here.serve(['--reload'])
  await using runs = connect(server.url)
  await runs.start(undefined, {})
  here.write('agent.ts', shortLived)
  await server.saw(/stopping[^]*waiting for a change/)
  here.write('agent.ts', talker('new'))
  await server.saw(/waiting for a change[^]*serving talker/)
  const after = await here.run(['runs', 'start', '--tail'], { RUNCAST_URL: server.url })
  assert.deepEqual([after.code, after.stdout], [0, `${wordsTo(3, 'new')}\n`])
})
