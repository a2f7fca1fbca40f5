// The command line as its users meet it: real processes, real files, a real server on a free port, and exit codes.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../src/client/index.ts'
import { folder } from './cli-process.ts'
import { freePort } from './services/child.ts'

const commandsOfInit = [
  'init my-agent --streaming sse',
  'init my-agent --streaming-events chat',
  'init my-agent --async-runs --streaming-events chat',
  'init my-agent --streaming-events token,step,custom:fraud',
  'init my-agent --async-runs --streaming-backend redis',
]

for (const command of commandsOfInit) {
  test(`DK83 runcast ${command} writes what validate accepts`, async () => {
    using here = folder()
    const made = await here.run(command.split(' '))
    assert.equal(made.code, 0, made.stderr)
    const checked = await here.run(['validate'])
    assert.equal(checked.code, 0, checked.stderr)
    assert.match(checked.stdout, /valid: Dockfile\.yaml \(1 agent/)
    const refused =
      /will refuse this:\n.*Dockfile\.yaml:\d+ streaming\.backend: the redis backend is not in this version/
    for (const { stderr } of [made, checked]) assert.equal(refused.test(stderr), command.includes('redis'), stderr)
  })
}

test('DK83 what init writes runs as it is', async () => {
  using here = folder()
  await here.run(['init', 'my-agent'])
  const tested = await here.run(['test', '--input', '{"name":"Ada"}'])
  assert.equal(tested.code, 0, tested.stderr)
  assert.equal(tested.stdout, 'Hello, Ada!\n')
})

for (const command of ['add streaming --events chat --async-runs', 'add streaming --events debug --backend redis']) {
  test(`DK84 runcast ${command} keeps the other keys and validates`, async () => {
    const before =
      '# mine\nversion: "1.0"\nagent: { name: a, handler: "./a.ts:run" } # keep\nexpose:\n  port: 9191\nstreaming:\n  allow_client_ids: false\n'
    using here = folder({ 'Dockfile.yaml': before, 'a.ts': 'export const run = () => 1' })
    const added = await here.run(command.split(' '))
    assert.equal(added.code, 0, added.stderr)
    const after = readFileSync(join(here.path, 'Dockfile.yaml'), 'utf8')
    for (const kept of ['# mine', '# keep', 'port: 9191', 'allow_client_ids: false'])
      assert.ok(after.includes(kept), kept)
    assert.match(after, /allowed: (chat|debug)/)
    assert.equal(/will refuse this:/.test(added.stderr), command.includes('redis'), added.stderr)
    const checked = await here.run(['validate'])
    assert.equal(checked.code, 0, checked.stderr)
  })
}

test('DK84 add streaming refuses an unknown event with exit code 1 and leaves the file as it was', async () => {
  const before = 'version: "1.0"\nagent: { name: a, handler: "./a.ts:run" }\n'
  using here = folder({ 'Dockfile.yaml': before })
  const added = await here.run(['add', 'streaming', '--events', 'tokn'])
  assert.equal(added.code, 1)
  assert.match(
    added.stderr,
    /"tokn" is not an event type; .*or minimal, chat, debug or all alone; did you mean token\?/,
  )
  assert.equal(readFileSync(join(here.path, 'Dockfile.yaml'), 'utf8'), before)
})

test('what an agent imports of runcast is the package that runs it, in a folder that has installed nothing', async () => {
  using here = folder({
    'agent.ts': `import { defineAgent, getCurrentContext, RuncastError } from 'runcast'
import { emptyView } from 'runcast/view'
const below = async () => getCurrentContext()?.token('from below')
export default defineAgent({ name: 'own' }, async () => {
  await below()
  if (!emptyView) throw new Error('no view')
  throw new RuncastError('timeout', 'too late')
})
`,
  })
  const tested = await here.run(['test', 'agent.ts'])
  assert.equal(tested.stdout, 'from below\n', tested.stderr)
  assert.match(tested.stderr, /too late/)
})

test('DK85 init leaves existing files untouched without --force, and an agent file also with it', async () => {
  using here = folder({ 'Dockfile.yaml': '# mine\n', 'agent.ts': '// mine\n' })
  const refused = await here.run(['init', 'my-agent'])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /Dockfile\.yaml is there already; --force/)
  assert.equal(readFileSync(join(here.path, 'Dockfile.yaml'), 'utf8'), '# mine\n')
  const forced = await here.run(['init', 'my-agent', '--force'])
  assert.equal(forced.code, 0, forced.stderr)
  assert.match(readFileSync(join(here.path, 'Dockfile.yaml'), 'utf8'), /name: my-agent/)
  assert.equal(readFileSync(join(here.path, 'agent.ts'), 'utf8'), '// mine\n')
})

test('DK85 init that refuses its arguments writes nothing', async () => {
  using here = folder()
  assert.equal((await here.run(['init', 'My Agent'])).code, 1)
  assert.equal((await here.run(['init', 'a', '--streaming-events', 'tokn'])).code, 1)
  assert.equal(existsSync(join(here.path, 'Dockfile.yaml')), false)
  assert.equal(existsSync(join(here.path, 'agent.ts')), false)
})

test('DK86 validate names every problem with file, line, value and fix, and ends with 1', async () => {
  using here = folder({
    'Dockfile.yaml': 'version: "1.0"\nagent: { name: Bad Name, handler: x }\nexpose:\n  port: 99999\n  sreaming: sse\n',
  })
  const { code, stderr } = await here.run(['validate'])
  assert.equal(code, 1)
  assert.match(stderr, /Dockfile\.yaml has 4 problems/)
  assert.match(stderr, /Dockfile\.yaml:4 expose\.port: 99999/)
  assert.match(stderr, /Dockfile\.yaml:5 expose\.sreaming: .*streaming/)
  assert.doesNotMatch(stderr, /\n\s+at /, 'a stack')
})

test('of several agents in a file the default export is the default, else the first by name, and it is said', async () => {
  const agent = (name: string) => `{ name: '${name}', framework: 'f', run: async () => '${name}' }`
  using here = folder({
    'main.ts': `export const apple = ${agent('apple')}\nexport default ${agent('zebra')}\nexport const bear = ${agent('bear')}`,
    'none.ts': `export const bear = ${agent('bear')}\nexport const apple = ${agent('apple')}`,
    'one.ts': `export const one = ${agent('one')}`,
  })
  const tested = async (...words: string[]) => here.run(['test', ...words, '--json'])
  const main = await tested('main.ts')
  assert.match(main.stdout, /"agent_name":"zebra"/)
  assert.match(main.stderr, /agent zebra, the default; --agent gives another: zebra, apple, bear/)
  const none = await tested('none.ts')
  assert.match(none.stdout, /"agent_name":"apple"/)
  assert.match(none.stderr, /agent apple, the default; --agent gives another: apple, bear/)
  for (const words of [['one.ts'], ['none.ts', '--agent', 'bear']])
    assert.doesNotMatch((await tested(...words)).stderr, /the default/)
})

test('DK86 validate and run name the agents whose file is not there', async () => {
  using here = folder({
    'here.ts': 'export const run = () => 1',
    'Dockfile.yaml':
      'version: "1.0"\nagent: { name: a, handler: ./here.ts:run }\nruncast:\n  agents:\n    b:\n      entrypoint: ./gone:build\n    c: { handler: gone.too:run }\n',
  })
  for (const command of ['validate', 'run']) {
    const { code, stderr } = await here.run([command])
    assert.equal(code, 1)
    assert.match(
      stderr,
      /Dockfile\.yaml:6 runcast\.agents\.b\.entrypoint: "\.\/gone:build" names a file that is not there: \/.*gone\{.*; create it or mend/,
    )
    assert.match(stderr, /Dockfile\.yaml:7 runcast\.agents\.c\.handler: "gone\.too:run" /)
    assert.doesNotMatch(stderr, /here\.ts/)
  }
})

test('DK86 unknown commands and options are usage (2); refused values and files that are not there are failures (1)', async () => {
  using here = folder()
  const codes: Record<string, number> = {
    nope: 2,
    'run --nope': 2,
    'runs nope': 2,
    'runs show': 2,
    'validate a b': 2,
    'run --port 65536': 1,
    'tail r1 --max-wait soon': 1,
    'init a --streaming morse': 1,
    validate: 1,
    run: 1,
    'run nothing.ts': 1,
    'runs list --url nonsense': 1,
    '--help': 0,
    'tail --help': 0,
    '--version': 0,
  }
  for (const [words, code] of Object.entries(codes)) {
    const ended = await here.run(words.split(' '))
    assert.equal(ended.code, code, `${words}: ${ended.stderr}`)
    assert.ok(ended.stdout + ended.stderr !== '', `${words} says nothing`)
  }
})

test('DK86 the help of every command fits a terminal of 80 columns, and says what each option is', async () => {
  using here = folder()
  const helpOf = async (...command: string[]): Promise<void> => {
    const { stdout, code } = await here.run([...command, '--help'])
    assert.equal(code, 0)
    const lines = stdout.split('\n')
    assert.deepEqual(
      lines.filter(line => line.length > 80 || /^ {2}-\S.*>$/.test(line) || /^ {2}-\S.*> +\(/.test(line)),
      [],
      command.join(' '),
    )
    const listed = lines.slice(lines.indexOf('Commands:') + 1)
    const inner = lines.includes('Commands:') ? listed.flatMap(line => /^ {2}(\w+)/.exec(line)?.[1] ?? []) : []
    for (const name of inner) if (name !== 'help') await helpOf(...command, name)
  }
  await helpOf()
})

test('DK86 run refuses parts that come later, and says so', async () => {
  using here = folder()
  await here.run(['init', 'my-agent', '--streaming-backend', 'redis'])
  const { code, stderr } = await here.run(['run', '--port', '0'])
  assert.equal(code, 1)
  assert.match(stderr, /streaming\.backend: the redis backend is not in this version; set backend: sqlite or memory/)
})

const talker = `export async function* run({ words = 3, pauseMs = 0, fail = false }, context) {
  console.log('talking to', context.run_id)
  for (let n = 1; n <= words; n++) {
    yield 'w' + n + ' '
    if (pauseMs > 0) await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
  if (fail) throw new Error('no more words')
  return { words }
}
`
const dockfile = (more = '') => `version: "1.0"\nagent: { name: talker, handler: "./agent.ts:run" }\n${more}`
const talking = (more?: string) => folder({ 'Dockfile.yaml': dockfile(more), 'agent.ts': talker })

test('DK86 DK1 run serves the agents, says what to try, logs their lines with their run, and logs shows them while it runs', async () => {
  using here = talking()
  await using server = await here.serve()
  const health = await fetch(`${server.url}/health`)
  assert.equal(((await health.json()) as { status: string }).status, 'ok')
  assert.equal(server.stdout.match(/^ {2}curl /gm)?.length, 3)
  const env = { RUNCAST_URL: server.url }
  const [one, other] = [await here.run(['runs', 'start'], env), await here.run(['runs', 'start'], env)]
  const [run, otherRun] = [one.stdout.trim(), other.stdout.trim()]
  await here.run(['tail', run], env)
  await here.run(['tail', otherRun], env)
  const all = await here.run(['logs'])
  assert.equal(all.code, 0, all.stderr)
  assert.ok(all.stdout.includes(`talking to ${run}`) && all.stdout.includes(`talking to ${otherRun}`))
  const ofNone = await here.run(['logs', '--run', 'mistyped'])
  assert.deepEqual([ofNone.code, ofNone.stdout], [0, ''])
  assert.match(ofNone.stderr, /nothing is logged of run "mistyped"/)
  const ofOne = await here.run(['logs', '--run', run, '--json'])
  const lines = ofOne.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { run_id: string; agent: string; msg: string })
  assert.deepEqual(
    lines.map(({ run_id, agent, msg }) => [run_id, agent, msg]),
    [[run, 'talker', `talking to ${run}`]],
  )
  assert.match(server.stderr, new RegExp(`talker ${run} talking to`))
})

test('DK86 logs -f shows the lines of an agent while it runs', async () => {
  using here = talking()
  await using server = await here.serve()
  await using following = here.start(['logs', '-f'])
  await following.saw(/serving talker/)
  const start = ['runs', 'start', '--input', '{"words":100000,"pauseMs":20}', '--url', server.url]
  const { stdout } = await here.run(start)
  await following.saw(new RegExp(`talking to ${stdout.trim()}`))
  assert.match((await here.run(['runs', 'list', '--url', server.url])).stdout, /running/)
})

test('DK86 the three lines that run prints work when they are pasted', async () => {
  using here = talking()
  await using server = await here.serve()
  const { spawnSync } = await import('node:child_process')
  const [start = '', list = '', events = ''] = server.stdout.match(/^ {2}curl .*$/gm) ?? []
  const paste = (line: string) => spawnSync('bash', ['-c', line], { encoding: 'utf8', timeout: 120_000 }).stdout
  assert.match(paste(start), /event: complete\n/)
  const { runs } = JSON.parse(paste(list)) as { runs: { run_id: string }[] }
  assert.match(
    paste(events.replace('/RUN/', `/${runs[0]?.run_id}/`)),
    /^retry: \d+\nevent: token\n[^]*id: 3\n[^]*event: complete\n/,
  )
})

test('PX48 SIGTERM lets the run that runs finish, tells its reader, and ends with 0', async () => {
  using here = talking()
  await using server = await here.serve()
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, { words: 10, pauseMs: 50 })
  const reader = here.start(['tail', run_id, '--url', server.url])
  await reader.saw(/w1 /)
  server.child.kill('SIGTERM')
  const read = await reader.ended
  assert.equal(read.code, 0, read.stderr)
  assert.equal(read.stdout, 'w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 \n')
  assert.equal((await server.ended).code, 0)
})

test('PX48 a server that is stopped in the moment in which it says that it is there ends with 0', async () => {
  using here = talking()
  const server = here.start(['run', '--port', '0'])
  await server.saw(/http:/)
  server.child.kill('SIGTERM')
  assert.equal((await server.ended).code, 0)
})

test('what a start compiled is kept for the next where only its user can write', async () => {
  using here = talking()
  assert.equal((await here.run(['validate'], { XDG_CACHE_HOME: '' })).code, 0)
  const kept = join(here.path, '.cache', 'runcast')
  assert.equal(statSync(kept).mode & 0o777, 0o700)
  assert.ok(readdirSync(join(kept, 'compiled')).length > 0)
  const open = join(here.path, 'open', 'runcast', 'compiled')
  mkdirSync(open, { recursive: true })
  chmodSync(open, 0o777) // others may have laid something there
  assert.equal((await here.run(['validate'], { XDG_CACHE_HOME: join(here.path, 'open') })).code, 0)
  assert.deepEqual(readdirSync(open), [])
  writeFileSync(join(here.path, 'no-folder'), '')
  const unkept = await here.run(['validate'], { XDG_CACHE_HOME: join(here.path, 'no-folder') })
  assert.deepEqual([unkept.code, unkept.stderr], [0, ''])
})

test('PX48 what does not finish within the grace is sealed, and its reader ends with 1', async () => {
  using here = talking('runcast: { shutdown_grace: 200ms }\n')
  await using server = await here.serve()
  await using runs = connect(server.url)
  const { run_id } = await runs.start(undefined, { words: 100_000, pauseMs: 20 })
  const reader = here.start(['tail', run_id, '--url', server.url])
  await reader.saw(/w1 /)
  server.child.kill('SIGINT')
  const read = await reader.ended
  assert.equal(read.code, 1)
  assert.match(read.stderr, /failed: the server is shutting down \(interrupted\)/)
  assert.equal((await server.ended).code, 130)
})

test('DK86 run says which port is in use', async () => {
  using here = talking()
  await using server = await here.serve()
  const { code, stderr } = await here.run(['run', '--port', new URL(server.url).port])
  assert.equal(code, 1)
  assert.match(stderr, /error: 127\.0\.0\.1:\d+ is in use; .*--port/)
})

test('DK86 test runs one agent in process: its words on stdout alone, its end as the exit code', async () => {
  using here = talking()
  const well = await here.run(['test'])
  assert.deepEqual([well.code, well.stdout], [0, 'w1 w2 w3 \n'])
  assert.match(well.stderr, /talking to/)
  const failing = await here.run(['test', '--input', '{"fail":true}'])
  assert.deepEqual([failing.code, failing.stdout], [1, 'w1 w2 w3 \n'])
  assert.match(failing.stderr, /failed: no more words \(agent_error\)/)
  const json = await here.run(['test', '--json'])
  const events = json.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { sequence: number; type: string })
  assert.deepEqual(
    events.map(({ type }) => type),
    ['started', 'token', 'token', 'token', 'complete'],
  )
  assert.deepEqual(
    events.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5],
  )
  const bad = await here.run(['test', '--input', 'hello'])
  assert.equal(bad.code, 1)
  assert.match(bad.stderr, /--input is no JSON.*'"hello"'/)
})

test('DK81 the log line of an agent that failed masks what its error event masks', async () => {
  using here = folder()
  here.write(
    'fails.mjs',
    'export const run = async ({ key }) => { throw new Error(`no such key: ${key}`, { cause: new Error(key) }) }\n',
  )
  here.write(
    'Dockfile.yaml',
    'version: "1.0"\nagent: { name: fails, handler: ./fails.mjs:run }\npolicies: { safety: { redact_patterns: ["sk-[a-z]+"] } }\n',
  )
  await using server = await here.serve()
  const body = JSON.stringify({ key: 'sk-canary' })
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${server.url}/invoke`, { method: 'POST', headers, body })
  assert.match(await answer.text(), /no such key: \[REDACTED\]/)
  await server.saw(/the agent failed: no such key: \[REDACTED\].*\n\s+at /)
  const { stdout } = await here.run(['logs', '--json'])
  assert.match(stdout, /"type":"Error".*no such key: \[REDACTED\]/)
  assert.ok(!(stdout + server.stderr).includes('canary'))
})

test('DK86 test ends an agent that waits for what nobody here can tell it, and says where it is told', async () => {
  using here = folder()
  here.write('asks.ts', 'export const run = async (input, context) => (await context.ask("who?")) ?? "nobody"\n')
  here.write('stuck.ts', 'export const run = () => new Promise(() => {})\n')
  for (const file of ['asks.ts', 'stuck.ts']) {
    const { code, stderr } = await here.run(['test', file])
    assert.equal(code, 1, stderr)
    assert.match(stderr, /the agent waits, and nothing is left here that could wake it; .*POST \/runs\/RUN\/input\n/)
  }
})

test('DK86 test makes an example input from the schema of the agent', async () => {
  const schema =
    'io_schema: { input: { type: object, required: [words], properties: { words: { type: integer, minimum: 2 } } } }\n'
  using here = talking(schema)
  const { code, stdout, stderr } = await here.run(['test'])
  assert.equal(code, 0, stderr)
  assert.equal(stdout, 'w1 w2 \n')
  assert.match(stderr, /input \{"words":2\} \(from its schema/)
})

test('an agent file that does not load is named with the line that is wrong', async () => {
  using here = folder()
  here.write('broken.ts', '\nexport function* (')
  here.write('throws.ts', '\n\nthrow new Error("no key")\n')
  const broken = await here.run(['run', 'broken.ts'])
  assert.match(broken.stderr, /^error: broken\.ts does not load: .*\(.*broken\.ts:2\)$/m)
  const throws = await here.run(['test', 'throws.ts'])
  assert.match(throws.stderr, /^error: throws\.ts does not load: no key \(.*throws\.ts:3:7\)$/m)
  assert.deepEqual([broken.code, throws.code], [1, 1])
})

test('an address that is none, and a configuration for an agent file, are named with what to give', async () => {
  using here = talking()
  const host = await here.run(['run', '--port', '0', '--host', '256.1.1.1'])
  assert.match(host.stderr, /^error: --host 256\.1\.1\.1 is no address of this machine; give another/)
  const file = await here.run(['run', 'Dockfile.yaml'])
  assert.match(file.stderr, /^error: Dockfile\.yaml is no agent file; .*--dockfile Dockfile\.yaml/)
  assert.deepEqual([host.code, file.code], [1, 1])
})

test('DK76 DK86 doctor misses the API key that run would miss, and the lines to try name the variable that has it', async () => {
  using here = folder({ 'agent.mjs': 'export const run = async () => 1\n' })
  here.write(
    'Dockfile.yaml',
    `version: "1.0"\nagent: { name: keyed, handler: ./agent.mjs:run }\nexpose: { port: ${await freePort()} }\nauth: { mode: api_key, api_keys: { prefix: TEAM_ } }\n`,
  )
  const without = await here.run(['doctor'])
  assert.equal(without.code, 1)
  assert.match(without.stdout, /^FAIL keys +auth\.mode is api_key, but no variable begins with TEAM_; set it/m)
  assert.equal((await here.run(['run'])).code, 1)
  const env = { TEAM_ANN: 'secret' }
  const doctor = await here.run(['doctor'], env)
  assert.equal(doctor.code, 0, doctor.stdout)
  await using server = await here.serve([], env)
  await server.saw(/curl -sN -H "X-API-Key: \$TEAM_ANN"/)
  assert.ok(!(server.stdout + doctor.stdout).includes('secret'))
})

test('DK86 doctor finds a healthy folder well, and says what is wrong with a broken one', async () => {
  using here = talking(`streaming: { backend: sqlite }\nexpose: { port: ${await freePort()} }\n`)
  const well = await here.run(['doctor'])
  assert.equal(well.code, 0, well.stdout)
  for (const part of ['node', 'configuration', 'agents', 'port', 'storage', 'streaming']) {
    assert.match(well.stdout, new RegExp(`^ok +${part}`, 'm'))
  }
  here.write('agent.ts', 'export const nothing = 1\n')
  const broken = await here.run(['doctor'])
  assert.equal(broken.code, 1)
  assert.match(broken.stdout, /^FAIL agents .*exports no run; it exports nothing/m)
})

test('DK86 doctor --url says once that nothing answers, and what to do', async () => {
  using here = talking()
  const url = `http://127.0.0.1:${await freePort()}`
  const { code, stdout } = await here.run(['doctor', '--url', url])
  assert.equal(code, 1)
  assert.deepEqual(stdout.match(/^FAIL .*$/gm), [
    `FAIL health         nothing answers at ${url}: fetch failed: connect ECONNREFUSED ${url.slice(7)}; is a server running there (npx runcast run)?`,
  ])
})

test('DK86 doctor --url finds a proxy that buffers streams, and one that does not', async () => {
  using here = talking()
  await using server = await here.serve()
  for (const buffering of [false, true]) {
    const pass = async (request: IncomingMessage, response: ServerResponse) => {
      const answer = await fetch(server.url + request.url, { headers: { accept: String(request.headers.accept) } })
      response.writeHead(answer.status, { 'content-type': String(answer.headers.get('content-type')) })
      if (buffering) response.write(Buffer.from(await answer.arrayBuffer()))
      else for await (const piece of answer.body ?? []) response.write(piece)
      response.end()
    }
    const proxy = createServer((request, response) => void pass(request, response)).listen(0, '127.0.0.1')
    await new Promise(resolve => proxy.once('listening', resolve))
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const { code, stdout } = await here.run(['doctor', '--url', url])
    proxy.close()
    assert.equal(code, buffering ? 1 : 0, stdout)
    assert.match(stdout, buffering ? /^FAIL streaming .*buffers/m : /^ok +streaming .*nothing buffers/m)
  }
})

test('DK86 runs lists, shows, starts and cancels; a repeated cancel is refused', async () => {
  using here = talking()
  await using server = await here.serve()
  const runs = (...words: string[]) => here.run(['runs', ...words, '--url', server.url])
  const started = await runs(
    'start',
    'talker',
    '--input',
    '{"words":100000,"pauseMs":20}',
    '--run-id',
    'mine',
    '--thread',
    't1',
  )
  assert.equal(started.stdout, 'mine\n')
  assert.equal((await runs('start', '--run-id', 'mine')).code, 1)
  assert.match((await runs('list', '--thread', 't1')).stdout, /^mine +running +talker/)
  const cancelled = await runs('cancel', 'mine', '--reason', 'enough')
  assert.deepEqual([cancelled.code, cancelled.stdout], [0, 'mine cancelled\n'])
  const shown = (await runs('show', 'mine')).stdout
  assert.match(shown, /^reason: +enough$/m)
  assert.match(shown, /^cancel_requested_at: \S+$/m)
  const again = await runs('cancel', 'mine')
  assert.equal(again.code, 1)
  assert.match(again.stderr, /the run mine has ended/)
  const lines = (await runs('list', '--json')).stdout.trim().split('\n')
  assert.deepEqual(
    lines.map(line => (JSON.parse(line) as { run_id: string }).run_id),
    ['mine'],
  )
})

test('DK86 OL45 ON3 the example agents are served, and stream what they promise in its order', async () => {
  using here = folder()
  const examples = join(import.meta.dirname, '..', 'examples', 'Dockfile.yaml')
  await using server = await here.serve(['--dockfile', examples], { RUNCAST_DB: join(here.path, 'runs.db') })
  const { agents } = (await (await fetch(`${server.url}/info`)).json()) as { agents: { name: string }[] }
  const tools = ['stream-items', 'stream-text', 'stream-query', 'stream-progress', 'stream-failure']
  assert.deepEqual(
    agents.map(({ name }) => name),
    ['sales-analyst', 'summarizer', ...tools],
  )
  const env = { RUNCAST_URL: server.url }
  const ask = (agent: string, input: unknown) =>
    here.run(['runs', 'start', agent, '--tail', '--json', '--input', JSON.stringify(input)], env)
  const chart = await ask('sales-analyst', { question: 'Create a chart with sales data' })
  const shown = new Set(['progress', 'text', 'chart', 'complete'])
  const told = eventsIn(chart.stdout).filter(({ type }) => shown.has(type))
  assert.deepEqual(
    told.map(({ type, position, chart_type }) => [type, position ?? chart_type].filter(Boolean).join(' ')),
    ['progress', 'progress', 'progress', 'text before', 'chart bar', 'text after', 'complete'],
  )
  for (const tool of tools) {
    const { code, stdout } = await ask(tool, { count: 3, delayMs: 0 })
    const fails = tool === 'stream-failure'
    const items = tool === 'stream-query' ? ['item'] : ['item', 'item', 'item']
    assert.deepEqual(
      eventsIn(stdout).map(({ type }) => type),
      ['started', ...items, fails ? 'error' : 'complete'],
      tool,
    )
    assert.equal(code, fails ? 1 : 0)
  }
  assert.equal((await ask('summarizer', { text: 'One is here. Two is there.' })).code, 0)
  assert.equal((await ask('summarizer', { txt: 'x' })).code, 1)
})

function eventsIn(text: string) {
  const lines = text.trim().split('\n')
  return lines.map(line => JSON.parse(line) as { type: string; position?: string; chart_type?: string })
}
