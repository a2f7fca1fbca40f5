// Readers that are programs of their own: started with a URL, they print one JSON line per event.
// What they need is installed on first use into .cache, never into the machine.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { findProgram } from '../services/child.ts'
import type { ReadEvent } from './readers.ts'

const run = promisify(execFile)
const here = import.meta.dirname
const cache = join(dirname(dirname(here)), '.cache')

/** What the module of go-sse asks for. */
const goMinorMin = 22

/** The first words of the command; the URL follows. */
type Program = () => Promise<readonly [string, ...string[]]>

export async function* programEvents(
  program: Program,
  args: string[],
  signal?: AbortSignal,
): AsyncGenerator<ReadEvent> {
  const [file, ...words] = await program()
  signal?.throwIfAborted()
  const child = spawn(file, [...words, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = () => void child.kill('SIGKILL')
  signal?.addEventListener('abort', kill)
  const closed = once(child, 'close')
  const stderr = text(child.stderr)
  try {
    yield* jsonLines(child.stdout.setEncoding('utf8'))
    const [code] = await closed
    if (code !== 0) throw new Error(`${file} ended with ${code}: ${await stderr}`)
  } finally {
    signal?.removeEventListener('abort', kill)
    kill()
    await closed
  }
}

export const fetchEventSourceProgram: Program = async () => [process.execPath, join(here, 'fetch-event-source.ts')]

export const pythonProgram: Program = async () => {
  const requirements = join(here, 'python', 'requirements.txt')
  const venv = await made('python', readFileSync(requirements), async dir => {
    await run('python3', ['-m', 'venv', dir])
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    await run(join(dir, 'bin', 'python'), [...pip, '--requirement', requirements])
  })
  return [join(venv, 'bin', 'python'), join(here, 'python', 'httpx_sse_reader.py')]
}

export const goProgram: Program = async () => {
  const source = join(here, 'go')
  const inputs = Buffer.concat(['go.mod', 'go.sum', 'main.go'].map(name => readFileSync(join(source, name))))
  const dir = await made('go', inputs, async into => {
    await run('go', ['build', '-o', join(into, 'go-sse'), '.'], { cwd: source })
  })
  return [join(dir, 'go-sse')]
}

export function missingPython(): string | undefined {
  const fix = 'sudo apt-get install python3 python3-venv'
  if (findProgram('python3') === undefined) return `python3 is not installed: ${fix}`
  try {
    execFileSync('python3', ['-c', 'import ensurepip'], { stdio: 'ignore' })
    return undefined
  } catch {
    return `python3 cannot make a venv: ${fix}`
  }
}

export function missingGo(): string | undefined {
  const fix = `install Go 1.${goMinorMin} or newer (Debian 12: golang-go from bookworm-backports)`
  if (findProgram('go') === undefined) return `go is not installed: ${fix}`
  const version = execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim()
  const minor = Number(/^go1\.(\d+)/.exec(version)?.[1] ?? 0)
  return minor < goMinorMin ? `${version} is too old for go-sse: ${fix}` : undefined
}

/** A folder of .cache named by its inputs, made once: under another name first, so that nobody finds it half made. */
async function made(kind: string, inputs: Buffer, make: (dir: string) => Promise<void>): Promise<string> {
  const dir = join(cache, kind, createHash('sha256').update(inputs).digest('hex').slice(0, 16))
  if (existsSync(dir)) return dir
  const fresh = `${dir}-${process.pid}`
  mkdirSync(fresh, { recursive: true })
  try {
    await make(fresh)
    renameSync(fresh, dir)
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true })
    // Another process may have been faster.
    if (!existsSync(dir)) throw error
  }
  return dir
}

/** Splits at newlines only: node:readline also splits at U+2028, which JSON may contain. */
async function* jsonLines(chunks: AsyncIterable<string>): AsyncGenerator<ReadEvent> {
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as ReadEvent
  }
}

// CI makes them ahead of the tests, where a failing download has a name.
if (import.meta.main) await Promise.all([pythonProgram(), goProgram()])
