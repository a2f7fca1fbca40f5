// P12: how long `runcast run` takes until it listens, beyond Node itself, and what a user installs for the default.
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from './fanout.ts'
import { within } from './patience.ts'
import type { Row } from './row.ts'

const rounds = 9

/**
 * Milliseconds until a process says that it is there, of each round. Each is stopped politely, as users stop theirs: what
 * it compiled is kept for the next.
 */
async function startsMs(args: readonly string[], said: RegExp, cache: string): Promise<number[]> {
  const times: number[] = []
  const env = { ...process.env, XDG_CACHE_HOME: cache }
  for (let round = 0; round < rounds; round++) {
    const began = performance.now()
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
    const heard = new Promise<void>((resolve, reject) => {
      let text = ''
      const hear = (chunk: Buffer) => {
        text += chunk
        if (said.test(text)) resolve()
      }
      child.stdout.on('data', hear)
      child.stderr.on('data', hear)
      child.once('exit', code => reject(new Error(`left with ${code}: ${text}`)))
    })
    const gone = new Promise(resolve => child.once('close', resolve))
    try {
      await within(args.join(' '), heard)
      times.push(performance.now() - began)
      child.kill('SIGTERM')
      await within(args.join(' '), gone)
    } finally {
      child.kill('SIGKILL')
    }
  }
  return times
}

/** A project as a newcomer has it: one agent, one Dockfile. */
function project(): string {
  const dir = mkdtempSync(join(tmpdir(), 'runcast-start-'))
  writeFileSync(join(dir, 'agent.mjs'), "export async function* hello(name) { yield 'Hello ' + name }\n")
  writeFileSync(join(dir, 'Dockfile.yaml'), 'version: "1.0"\nagent: { name: hello, handler: "agent.mjs:hello" }\n')
  return dir
}

type Locked = Record<string, { readonly dependencies?: Record<string, string> } | undefined>

/** The folders of what `npm install runcast` brings: neither development, nor what one may choose, nor Node itself. */
function installed(): string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Locked }
  const found = new Set<string>()
  const add = (from: string) => {
    for (const name of Object.keys(packages[from]?.dependencies ?? {})) {
      const path = nearest(packages, from, name)
      if (found.has(path)) continue
      found.add(path)
      add(path)
    }
  }
  add('')
  return [...found]
}

/** Where Node looks a package up, from the folder of who asks. */
function nearest(packages: Locked, from: string, name: string): string {
  const path = join(from, 'node_modules', name)
  if (packages[path]) return path
  if (from === '') throw new Error(`package-lock.json has no ${name}`)
  return nearest(packages, from.slice(0, Math.max(0, from.lastIndexOf('node_modules') - 1)), name)
}

function bytesOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.name === 'node_modules') return sum // a package of its own
    const path = join(folder, entry.name)
    return sum + (entry.isDirectory() ? bytesOf(path) : statSync(path).size)
  }, 0)
}

export async function run(): Promise<Row[]> {
  const dir = project()
  const cache = join(dir, 'cache')
  const bare = median(await startsMs(['-e', 'console.log("up"); setTimeout(() => {}, 1e4)'], /up/, cache))
  const command = ['bin/runcast.js', 'run', '--dockfile', dir, '--port', '0']
  const [first = Number.NaN, ...later] = await startsMs(command, /http:\/\//, cache)
  const cold = median(later)
  rmSync(dir, { recursive: true })
  const packages = installed()
  const megabytes = packages.reduce((sum, path) => sum + bytesOf(path), 0) / 1e6
  return [
    {
      id: 'P12',
      name: 'cold start of runcast run',
      ratio: cold - bare,
      bar: 300,
      atMost: true,
      unit: 'ms beyond Node itself',
      detail: `${Math.round(cold)} ms against ${Math.round(bare)} ms, from the sources of a clone`,
    },
    {
      id: 'P12',
      name: 'the first start of all, with nothing compiled yet',
      ratio: first - bare,
      bar: null,
      unit: 'ms beyond Node itself',
      detail: 'once',
    },
    {
      id: 'P12',
      name: 'what it installs besides itself',
      ratio: packages.length,
      bar: 80,
      atMost: true,
      unit: 'packages',
    },
    { id: 'P12', name: 'what they take', ratio: megabytes, bar: 30, atMost: true, unit: 'MB' },
  ]
}
