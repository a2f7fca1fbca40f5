// What a page downloads: the client must be small, and hold nothing of Node.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** What a page pays before it shows anything; half a small picture. */
const clientGzipBytesMax = 15_000

const bundled = async (entry: string) => {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    logLevel: 'silent',
  })
  return { code: outputFiles[0]?.text ?? '', inputs: Object.keys(metafile.inputs) }
}

/** Names that Node has and a browser has not. */
const nodeNames = /\b(?:Buffer|process|require|__dirname|setImmediate)\b/

test('the client is bundled for a browser with nothing of Node, without the core, in less than 15 kB', async t => {
  const { code, inputs } = await bundled('src/client/index.ts')
  assert.doesNotMatch(code, /node:/)
  assert.doesNotMatch(code, nodeNames)
  for (const input of inputs) {
    assert.match(input, /^src\/(client\/|transports\/http\/|event\.ts|error\.ts|iterate\.ts)/)
  }
  const bytes = gzipSync(code).length
  t.diagnostic(`runcast/client: ${code.length} bytes, ${bytes} gzipped`)
  assert.ok(bytes < clientGzipBytesMax, `${bytes} bytes`)
})

test('the fold of a view is bundled for a browser too, apart from the client', async t => {
  const { code } = await bundled('src/state/fold.ts')
  assert.doesNotMatch(code, /node:/)
  assert.doesNotMatch(code, nodeNames)
  t.diagnostic(`runcast/view: ${code.length} bytes, ${gzipSync(code).length} gzipped`)
})
