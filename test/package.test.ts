// The package as a user gets it: built, packed, unpacked into a folder of its own, and used from there by a strict
// consumer and by the command. The sources are out of reach, so what is missing in the package is missing here.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..')
const run = promisify(execFile)
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const pack = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  files: string[]
  exports: Record<string, string | { types: string; default: string }>
  dependencies: Record<string, string>
}

const home = mkdtempSync(join(tmpdir(), 'runcast-package-'))
const installed = join(home, 'node_modules', 'runcast')
after(() => rmSync(home, { recursive: true, force: true }))

before(async () => {
  const staged = join(home, 'staged')
  mkdirSync(staged)
  for (const path of ['package.json', ...pack.files]) {
    if (path !== 'dist' && existsSync(join(root, path)))
      cpSync(join(root, path), join(staged, path), { recursive: true })
  }
  const build = join(root, 'tsconfig.build.json')
  await run(process.execPath, [tsc, '-p', build, '--outDir', join(staged, 'dist')], { cwd: root })
  // Windows has npm as a script for its shell; the words are ours.
  await run('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: staged, shell: process.platform === 'win32' })
  mkdirSync(installed, { recursive: true })
  await run('tar', ['-xzf', join(staged, `runcast-${version()}.tgz`), '-C', installed, '--strip-components=1'])
  // As npm would put them beside it; nothing else of this repository can be found from there.
  for (const name of [...Object.keys(pack.dependencies), 'react', '@types/node', '@types/react']) {
    const link = join(home, 'node_modules', name)
    mkdirSync(join(link, '..'), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link, 'junction')
  }
})

const version = () => (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version

const consumer = `
import { createRuns, defineAgent, getCurrentContext, memory, realDeps, type RuncastError, type Event, type Runs, stream } from 'runcast'
import { stoppable } from 'runcast/aisdk'
import { connect } from 'runcast/client'
import { chat, chatJson, embedding, type Format, vectorOf } from 'runcast/formats'
import { api, fetchHandler, serve, serveSource } from 'runcast/http'
import { useRun } from 'runcast/react'
import { fileSource, kafkaSource, type Source } from 'runcast/sources'
import { sqlite } from 'runcast/sqlite'
import { emptyView, foldBatch, type Part, textOf, type View } from 'runcast/view'
import { z } from 'zod'

const input = z.object({ who: z.string() })
const greet = defineAgent({ name: 'greet', input }, async function* ({ who }, context) {
  context.progress('greet', 0.5)
  yield \`Hello, \${who.toUpperCase()}\`
  return { same: getCurrentContext() === context }
})

const types: string[] = []
const events: Event[] = []
for await (const event of stream(greet, { who: 'ten lines' })) {
  types.push(event.type)
  events.push(event)
}
const written = ({ encoder }: Format) => encoder({ run: events[0]?.run_id ?? '' })(events).map(({ payload }) => payload)
const lines = written(chatJson).map(line => JSON.parse(Buffer.from(line).toString()) as { text?: { content: string } })

const views: View[] = []
for (const log of [memory(), sqlite({ path: ':memory:' })]) {
  const runs: Runs = createRuns({ log, agents: [greet], deps: realDeps })
  const { run_id } = await runs.start('greet', { who: 'the core' })
  let view = emptyView()
  for await (const batch of runs.tail(run_id)) view = foldBatch(view, batch)
  views.push(view)
  await runs[Symbol.asyncDispose]()
}

const server = await serve({ agents: [greet], port: 0, web: true })
const remote = connect(server.url)
const refused = await remote.start('greet', { who: 3 }).catch((error: RuncastError) => error.code)
const page = await fetch(server.url)
await remote[Symbol.asyncDispose]()
await server.stop(0)

const source: Source = kafkaSource({ brokers: ['127.0.0.1:1'], format: 'chat', group: 'g', deps: realDeps })
const shown = await serveSource({ source, port: 0 })
const { read_only } = (await (await fetch(shown.url + '/info')).json()) as { read_only: boolean }
await shown.stop()

const handler = fetchHandler(await api({ agents: [greet] }))
const health = (await (await handler(new Request('http://here/health'))).json()) as { version: string }
const parts: readonly Part[] = views[0]?.parts ?? []
process.stdout.write(JSON.stringify({
  types,
  texts: views.map(textOf),
  outputs: views.map(view => view.terminal),
  refused,
  version: health.version,
  page: page.status,
  parts: parts.length,
  read_only,
  others: [typeof useRun, typeof stoppable, typeof fileSource],
  said: lines.flatMap(({ text }) => text?.content ?? []),
  protobuf: written(chat).length === lines.length,
  vector: [...vectorOf(embedding([0.5, -1], { encoding: 'float16' }))],
}))
`

test('a strict consumer finds every entry with its types, and each works from the package alone', async () => {
  writeFileSync(join(home, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(home, 'use.ts'), consumer)
  const options = {
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
  }
  const more = { target: 'es2024', module: 'nodenext', noEmit: true, types: ['node'] }
  writeFileSync(
    join(home, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...options, ...more }, files: ['use.ts'] }),
  )
  await run(process.execPath, [tsc, '-p', home]).catch(({ stdout }) => assert.fail(stdout))
  const { stdout } = await run(process.execPath, ['use.ts'], { cwd: home })
  const { page, outputs, ...told } = JSON.parse(stdout)
  assert.deepEqual(told, {
    types: ['started', 'progress', 'token', 'complete'],
    texts: ['Hello, THE CORE', 'Hello, THE CORE'],
    refused: 'invalid_input',
    version: version(),
    parts: 1,
    read_only: true,
    others: ['function', 'function', 'function'],
    said: ['Hello, TEN LINES'],
    protobuf: true,
    vector: [0.5, -1],
  })
  assert.deepEqual(
    outputs.map((end: { output?: unknown }) => end.output),
    [{ same: true }, { same: true }],
  )
  assert.equal(page, existsSync(join(root, 'web', 'dist', 'index.html')) ? 200 : 503)
})

test('sources work wherever they lie, also below a folder called dist', async () => {
  const clone = join(home, 'dist', 'clone')
  for (const path of ['package.json', 'bin', 'src']) cpSync(join(root, path), join(clone, path), { recursive: true })
  mkdirSync(join(clone, 'web', 'dist'), { recursive: true })
  writeFileSync(join(clone, 'web', 'dist', 'index.html'), 'the page of this clone')
  symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'), 'junction')
  const said = await run(process.execPath, [join(clone, 'bin', 'runcast.js'), '--version'])
  assert.equal(said.stdout.trim(), version())
  const serves = `
    import { defineAgent } from './src/index.ts'
    import { serve } from './src/http.ts'
    const server = await serve({ agents: [defineAgent({ name: 'a' }, async () => 1)], port: 0, web: true })
    process.stdout.write(await (await fetch(server.url)).text())
    await server.stop(0)`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', serves], { cwd: clone })
  assert.equal(stdout, 'the page of this clone')
})

test('every entry of the package is a file of it, with its types', () => {
  const entries = Object.values(pack.exports).flatMap(entry =>
    typeof entry === 'string' ? [entry] : Object.values(entry),
  )
  assert.ok(entries.length > 10)
  for (const entry of entries) assert.ok(existsSync(join(installed, entry)), entry)
})

test('the command of the package says its version, writes a project, runs its agent, and has its prices', async () => {
  const bin = join(installed, 'bin', 'runcast.js')
  const here = join(home, 'project')
  mkdirSync(here)
  const command = (...words: string[]) => run(process.execPath, [bin, ...words], { cwd: here })
  assert.equal((await command('--version')).stdout.trim(), version())
  await command('init', 'hello')
  assert.match((await command('validate')).stdout, /^valid: Dockfile\.yaml/)
  assert.match((await command('test', '--input', '{"name":"Ada"}')).stdout, /Hello, Ada!/)
  const { readPrices } = (await import(join(installed, 'dist', 'src', 'cli', 'prices.js'))) as {
    readPrices(file: undefined): Promise<object>
  }
  assert.equal(typeof (await readPrices(undefined)), 'object')
})
