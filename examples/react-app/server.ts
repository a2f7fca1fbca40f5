// The page of main.tsx, bundled by esbuild into a folder, and a server that has it beside its API.
// `node examples/react-app/server.ts`, then open the address that it prints.
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { defineAgent } from '../../src/agent/define.ts'
import type { Agent } from '../../src/agent/define.ts'
import { serve, type Served } from '../../src/server.ts'

/** Bundles the page; returns the folder that it stands in. */
export async function buildPage(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'runcast-react-app-'))
  await build({
    entryPoints: [join(import.meta.dirname, 'main.tsx')],
    outfile: join(dir, 'assets', 'main.js'),
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'silent',
  })
  const page =
    '<!doctype html><title>One run</title><div id="root"></div><script type="module" src="/assets/main.js"></script>'
  await writeFile(join(dir, 'index.html'), page)
  return dir
}

export async function startApp(agents: readonly Agent[], port = 8080): Promise<Served> {
  return serve({ agents, port, web: { dir: await buildPage() } })
}

const parrot = defineAgent({ name: 'parrot' }, async function* (input: unknown) {
  for (const word of `You asked: ${(input as { question: string }).question}`.split(' ')) {
    yield `${word} `
    await new Promise(resolve => setTimeout(resolve, 150))
  }
})

if (import.meta.main) console.log((await startApp([parrot])).url)
