// The same two readers without a browser: `runcast tail` twice, each in a process of its own. What stands on its standard
// output is what its reader has; the rest, such as a lost connection, it says on standard error.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { connect } from '../../src/client/index.ts'
import type { Audience } from '../demo.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'runcast.js')

export async function openTerminals(url: string): Promise<Audience> {
  const terminals: Terminal[] = []
  const nth = (index: number) => terminals[index] as Terminal
  const names = ['terminal A', 'terminal B']
  return {
    kind: 'terminals',
    readers: names.map((name, index) => ({
      name,
      shows: words => nth(index).until(({ texts }) => (texts.at(-1)?.match(/\S+/g)?.length ?? 0) > words),
      lost: () => nth(index).until(({ said }) => said().includes('trying again')),
      ended: () => nth(index).ended,
      texts: async () => nth(index).texts,
    })),
    async ask(agent, text) {
      await using runs = connect(url)
      await runs.start(agent, { text })
    },
    async join(run) {
      for (const _ of names) terminals.push(openTerminal(url, run))
    },
    async [Symbol.asyncDispose]() {
      for (const { close } of terminals) await close()
    },
  }
}

type Terminal = ReturnType<typeof openTerminal>

function openTerminal(url: string, run: string) {
  const child = spawn(process.execPath, [program, 'tail', run, '--url', url], { stdio: ['ignore', 'pipe', 'pipe'] })
  const texts: string[] = []
  let said = ''
  let look = () => {}
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    texts.push((texts.at(-1) ?? '') + more)
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (more: string) => {
    said += more
    look()
  })
  const gone = once(child, 'close').then(([code]) => {
    look()
    return code as number | null
  })
  const seen = { texts, said: () => said }
  return {
    texts,
    async until(holds: (seen: { texts: readonly string[]; said: () => string }) => boolean): Promise<void> {
      while (!holds(seen)) {
        if (child.exitCode !== null) throw new Error(`runcast tail ended with ${child.exitCode}: ${said}`)
        await new Promise<void>(resolve => (look = resolve))
      }
    },
    ended: gone.then(code => {
      if (code !== 0) throw new Error(`runcast tail ended with ${code}: ${said}`)
    }),
    async close() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
