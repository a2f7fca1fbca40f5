// The README as its reader follows it: its files are written, its commands are run, in its order, and what it says they
// print is what they print. So that it cannot promise what is not there.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { notYet } from '../src/config/unsupported.ts'
import { folder } from './cli-process.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const readme = read('README.md')

interface Block {
  readonly language: string
  /** What stands behind the language: a file's name, or `server`. */
  readonly name: string
  readonly text: string
}

const blocks: Block[] = [...readme.matchAll(/^```(\w+) ?(.*)\n([^]*?)^```$/gm)].map(
  ([, language = '', name = '', text = '']) => ({
    language,
    name,
    text,
  }),
)

/** Would run these very tests, a server on the default port, or need a broker: those are in cli.test.ts and cli-serve.test.ts. */
const notHere = /^npm start|^npx runcast serve/

/** `…` stands for what differs from time to time. */
function shows(printed: string, promised: string): void {
  const pattern = promised
    .trimEnd()
    .split('…')
    .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  assert.match(printed, new RegExp(`^${pattern.join('[^]*?')}`))
}

test('the README runs as it is: its agent, its commands, its output', async () => {
  using here = folder()
  for (const { name, text, language } of blocks) {
    const client = pathToFileURL(join(root, 'src/client/index.ts')).href
    if (language === 'ts') here.write(name, text.replace("'runcast/client'", `'${client}'`))
  }
  const served =
    blocks
      .find(({ name }) => name === 'server')
      ?.text.trim()
      .split(' ')
      .slice(3) ?? []
  assert.deepEqual(served, ['agent.ts'])
  await using server = await here.serve(served)
  const runcast = `"${process.execPath}" "${join(root, 'bin', 'runcast.js')}"`
  let printed = ''
  let shown = 0
  for (const { language, name, text } of blocks) {
    if (language === 'text') {
      shows(printed, text)
      shown++
    }
    if (language !== 'sh' || name === 'server' || notHere.test(text)) continue
    const script = text.replaceAll('http://127.0.0.1:8080', server.url).replaceAll('npx runcast', runcast)
    const env = { PATH: process.env.PATH, RUNCAST_URL: server.url }
    const done = spawnSync('bash', ['-ec', script], { cwd: here.path, env, encoding: 'utf8', timeout: 120_000 })
    assert.equal(done.status, 0, `${text}\n${done.stdout}${done.stderr}`)
    printed = done.stdout
  }
  assert.equal(shown, 2)
  assert.match(printed, /What I know about cursors\.\n[^]*asked about cursors/, 'tail and logs')
  const client = spawnSync(process.execPath, ['read.ts'], {
    cwd: here.path,
    env: { PATH: process.env.PATH, RUNCAST_URL: server.url },
    encoding: 'utf8',
    timeout: 120_000,
  })
  assert.equal(client.stdout, 'What I know about clients. completed\n', client.stderr)
})

test('the README has both commands, and each is a script of the package', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const lines =
    blocks
      .find(({ text }) => notHere.test(text))
      ?.text.trim()
      .split('\n') ?? []
  assert.deepEqual(
    lines.map(line => /^npm (\w+)/.exec(line)?.[1]),
    ['start', 'test'],
  )
  assert.ok(scripts['start'] && scripts['test'])
})

test('what the README says that run refuses is what run refuses', () => {
  const [, list = ''] = /`run` refuses them until they work: ([^]*?)\.\n/.exec(readme) ?? []
  const named = new Set([...list.matchAll(/`([\w.]+)`/g)].map(([, path]) => path))
  assert.deepEqual(named, new Set(notYet.map(({ path }) => path)), 'mend the limits of the README')
})

test('every file that the README and the architecture name is there', () => {
  const links = [...readme.matchAll(/\]\(([\w./-]+)\)/g)].map(([, path = '']) => path)
  const architecture = read('ARCHITECTURE.md')
  const inSrc = [...architecture.matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts|[\w-]+\/)`/g)].map(([, path = '']) => path)
  const missing = [
    ...links.filter(path => !existsSync(join(root, path))),
    ...inSrc.filter(path => !existsSync(join(root, 'src', path)) && !existsSync(join(root, path))),
  ]
  assert.ok(links.length > 5 && inSrc.length > 20)
  assert.deepEqual(missing, [])
})

test('every command of the README is one, and every command is in the README', () => {
  const help = spawnSync(process.execPath, [join(root, 'bin', 'runcast.js'), '--help'], { encoding: 'utf8' }).stdout
  const known = [...help.matchAll(/^ {2}(\w+)(?: \[options\])?(?: [<[].*?[>\]])? {2,}\w/gm)].map(([, name]) => name)
  const named = [...readme.matchAll(/^\| `runcast (\w+)/gm)].map(([, name]) => name)
  assert.deepEqual(new Set(named), new Set(known.filter(name => name !== 'help')))
})
