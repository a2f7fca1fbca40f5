// `${VAR}` in configuration values, the .env file, and the files of a folder, with real files where files are meant.

import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { checkConfig, loadConfig, parseConfig } from '../src/config/load.ts'
import { showProblem } from '../src/config/problem.ts'
import { substitute } from '../src/config/substitute.ts'
import { RuncastError } from '../src/error.ts'

const head = 'version: "1.0"\nagent: {name: a, handler: "a:b"}\n'

async function folder(context: TestContext, files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'runcast-config-'))
  context.after(() => rm(path, { recursive: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return path
}

/** [written, what comes out] with A=one, EMPTY='' and N undefined. */
const texts: [string, string][] = [
  ['${A}', 'one'],
  ['x-${A}-${A}', 'x-one-one'],
  ['${A:-two}', 'one'],
  ['${N:-two}', 'two'],
  ['${N:-}', ''],
  ['${toString:-two}', 'two'],
  ['${__proto__:-two}', 'two'],
  ['a${N:-}b', 'ab'],
  ['${EMPTY}', ''],
  ['${EMPTY:-two}', 'two'],
  ['${N:-a:-b}', 'a:-b'],
  ['${N:-redis://h:1/0}', 'redis://h:1/0'],
  ['$${A}', '${A}'],
  ['$${A} ${A}', '${A} one'],
  ['$$${A}', '$${A}'],
  ['$A $ {A} a$', '$A $ {A} a$'],
  ['${DOLLAR}', 'a ${A} $& $1'],
]

for (const [written, expected] of texts) {
  test(`DK75 ${written} becomes ${JSON.stringify(expected)}`, () => {
    const env = { A: 'one', EMPTY: '', DOLLAR: 'a ${A} $& $1' }
    const { value, findings } = substitute({ in: [written] }, env)
    assert.deepEqual(value, { in: [expected] })
    assert.deepEqual(findings, [])
  })
}

for (const written of ['${', '${}', '${A', '${1X}', '${A B}', '${A-b}', '${A:-${B}}', '${A:b}']) {
  test(`DK75 ${written} is refused with the way to write it`, () => {
    const { findings } = substitute(written, { A: 'one' })
    assert.match(findings[0]?.says ?? '', /not well written/)
    assert.match(findings[0]?.fix ?? '', /\$\{NAME:-default\}/)
  })
}

test('DK75 a missing variable without default names the file, line, path, variable and the fix', () => {
  const { problems } = checkConfig(`${head}streaming:\n  backend: redis\n  redis:\n    url: "\${REDIS_URL}"\n`, {
    file: 'conf/Dockfile.yaml',
    format: 'yaml',
    env: {},
  })
  assert.deepEqual(problems.map(showProblem), [
    'conf/Dockfile.yaml:6 streaming.redis.url: the variable REDIS_URL is not set; set REDIS_URL in the environment or in .env, or give a default: ${REDIS_URL:-value}',
  ])
})

test('DK75 a number or boolean that is all a variable is read from its text; a part of a text stays text', () => {
  const text = `${head}expose: {port: "\${PORT}", rest: "\${REST}", host: "\${HOST}"}\nstreaming:\n  events: {heartbeat_interval: "\${BEAT:-20}", max_run_duration: "\${RUN}"}\nruncast: {limits: {body_bytes: "\${BODY}"}}\n`
  const env = { PORT: '9090', REST: 'false', HOST: '10', RUN: '2h', BODY: '64KiB' }
  const { expose, streaming, limits } = parseConfig(text, { file: 'd', format: 'yaml', env })
  assert.deepEqual([expose.port, expose.rest, expose.host, limits.bodyBytes], [9090, false, '10', 65_536])
  assert.deepEqual([streaming.events.heartbeatIntervalMs, streaming.events.maxRunDurationMs], [20_000, 7_200_000])
  for (const [key, bad] of Object.entries({ PORT: 'abc', REST: 'yes' })) {
    const { problems } = checkConfig(text, { file: 'd', format: 'yaml', env: { ...env, [key]: bad } })
    assert.deepEqual(
      problems.map(({ line, value }) => [line, value]),
      [[3, '(hidden)']],
    )
  }
  const part = checkConfig(`${head}expose: {port: "8\${PORT}"}\n`, { file: 'd', format: 'yaml', env: { PORT: '080' } })
  assert.equal(part.problems.length, 1)
})

test('DK75 DK74 a bound holds for a value that came from a variable', () => {
  const text = `${head}expose: {port: "\${PORT}"}\n`
  assert.equal(checkConfig(text, { file: 'd', format: 'yaml', env: { PORT: '65535' } }).problems.length, 0)
  assert.match(
    checkConfig(text, { file: 'd', format: 'yaml', env: { PORT: '65536' } }).problems[0]?.message ?? '',
    /is above 65535/,
  )
})

test('DK75 variables work in lists, in TOML and never in keys', () => {
  const yaml = parseConfig(`${head}streaming: {events: {allowed: ["\${E}"]}}\n`, {
    file: 'd',
    format: 'yaml',
    env: { E: 'token' },
  })
  assert.deepEqual(yaml.streaming.events.allowed, { types: new Set(['token']), heartbeat: false })
  const toml = parseConfig('[streaming]\nbuffer_size = "${SIZE}"\n', { file: 't', format: 'toml', env: { SIZE: '12' } })
  assert.equal(toml.direct.bufferSize, 12)
  const { problems } = checkConfig(`${head}"\${K}": 1\n`, { file: 'd', format: 'yaml', env: { K: 'expose' } })
  assert.equal(problems[0]?.message, 'this key is unknown')
})

test('DK75 the section of another backend may stand when the backend itself is a variable', () => {
  const text = `${head}streaming:\n  backend: "\${BACKEND:-memory}"\n  redis: {url: "redis://h"}\n`
  assert.deepEqual(checkConfig(text, { file: 'd', format: 'yaml', env: {} }).problems, [])
})

test('DK75 a text without ${ is never changed, and no value of a variable is expanded again', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, value) => {
      if (!text.includes('${')) assert.equal(substitute(text, { V: value }).value, text)
      assert.equal(substitute('<${V}>', { V: value }).value, `<${value}>`)
    }),
  )
})

test('DK75 .env beside the Dockfile is read, and the shell wins over it', async context => {
  const path = await folder(context, {
    'Dockfile.yaml': `${head}expose: {port: "\${PORT}", host: "\${HOST}"}\n`,
    '.env': '# local\nPORT=9001\nHOST="a.example"\nOTHER=x\n',
  })
  const config = await loadConfig({ path: join(path, 'Dockfile.yaml'), env: { HOST: 'b.example' } })
  assert.deepEqual([config.expose.port, config.expose.host], [9001, 'b.example'])
  assert.deepEqual(config.env, { PORT: '9001', OTHER: 'x' })
})

test('a required secret may come from .env; the default of an optional one is given to the agent', async context => {
  const secrets = `${head}secrets:\n  required: [{name: NEED}]\n  optional: [{name: REGION, default: eu}, {name: ZONE, default: z}]\n`
  const path = await folder(context, { 'Dockfile.yaml': secrets, '.env': 'NEED=yes\n' })
  const config = await loadConfig({ path, env: { ZONE: 'mine' } })
  assert.deepEqual(config.env, { NEED: 'yes', REGION: 'eu' })
  await writeFile(join(path, '.env'), 'NEED=\n')
  await assert.rejects(loadConfig({ path, env: {} }), /the required secret "NEED" is not set/)
})

test('a path in a file is relative to that file, from wherever it is loaded; an absolute one stays', async context => {
  const sections =
    'runcast:\n  sqlite: {path: data/runs.db}\n  kafka: {brokers: ["b:1"], ca: ca.pem, cert: tls/c.pem, key: tls/k.pem}\n'
  const sqlite = 'streaming: {backend: sqlite}\n'
  const path = await folder(context, { 'Dockfile.yaml': `${head}${sqlite}${sections}` })
  const named = [path, join(path, 'Dockfile.yaml'), relative('.', path)]
  for (const name of named) {
    const config = await loadConfig({ path: name, env: {} })
    assert.equal(config.sqlite.path, join(path, 'data', 'runs.db'), name)
    const { ca, cert, key } = config.kafka ?? {}
    assert.deepEqual(
      [ca, cert, key],
      [join(path, 'ca.pem'), join(path, 'tls', 'c.pem'), join(path, 'tls', 'k.pem')],
      name,
    )
  }
  const elsewhere = join(tmpdir(), 'elsewhere.db')
  await writeFile(join(path, 'Dockfile.yaml'), `${head}${sqlite}runcast: {sqlite: {path: ${elsewhere}}}\n`)
  assert.equal((await loadConfig({ path, env: {} })).sqlite.path, elsewhere)
})

test('a folder is searched for its one configuration file', async context => {
  const yaml = await folder(context, { 'Dockfile.yaml': head, 'pyproject.toml': '[x]\n' })
  assert.equal((await loadConfig({ path: yaml, env: {} })).file, join(yaml, 'Dockfile.yaml'))
  const toml = await folder(context, { 'runcast.toml': '[streaming]\n' })
  assert.equal((await loadConfig({ path: toml, env: {} })).format, 'toml')
})

test('H18 a file that is not UTF-8 is refused by its name, not read with other values; a byte order mark is none', async context => {
  const path = await folder(context, { 'Dockfile.yaml': `\uFEFF${head.replaceAll('\n', '\r\n')}` })
  assert.equal((await loadConfig({ path, env: {} })).agents.length, 1)
  await writeFile(join(path, '.env'), Buffer.from('NAME=caf\xe9\n', 'latin1'))
  await assert.rejects(loadConfig({ path, env: {} }), /\.env: it is not UTF-8; save it as UTF-8/)
  await writeFile(join(path, 'Dockfile.yaml'), Buffer.from(`\uFEFF${head}`, 'utf16le'))
  await assert.rejects(loadConfig({ path, env: {} }), /Dockfile\.yaml: it is not UTF-8/)
})

test('a link that leads to itself is refused by its name', async context => {
  const path = await folder(context, {})
  await symlink('Dockfile.yaml', join(path, 'Dockfile.yaml'))
  await assert.rejects(loadConfig({ path, env: {} }), /Dockfile\.yaml: it cannot be read: ELOOP/)
})

test('a Dockfile and a TOML in one folder are refused by name', async context => {
  const path = await folder(context, { 'Dockfile.yaml': head, 'runcast.toml': '[streaming]\n' })
  await assert.rejects(
    loadConfig({ path, env: {} }),
    (thrown: unknown) =>
      thrown instanceof RuncastError &&
      thrown.code === 'invalid_request' &&
      /Dockfile\.yaml and runcast\.toml are both here/.test(thrown.message),
  )
  assert.equal((await loadConfig({ path: join(path, 'Dockfile.yaml'), env: {} })).format, 'yaml')
})

test('a file that is not there is not_found, with the command that writes one', async context => {
  const path = await folder(context, {})
  for (const missing of [path, join(path, 'Dockfile.yaml')]) {
    await assert.rejects(
      loadConfig({ path: missing, env: {} }),
      (thrown: unknown) =>
        thrown instanceof RuncastError && thrown.code === 'not_found' && /runcast init/.test(thrown.message),
    )
  }
})
