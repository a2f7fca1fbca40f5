// The rules of the house as a test: who imports whom, what has a row, where clocks and dice may stand, what files look
// like. Why: a rule that is only written down holds until the first busy day. Each failure says what to do about it.
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join, matchesGlob, sep } from 'node:path'
import { test } from 'node:test'
import { requirementRows } from '../scripts/requirements.ts'
import { codes } from '../src/error.ts'
import { importsOf, reachableFrom, withoutComments } from './tidy/import-graph.ts'
import { above, floors, rooms } from './tidy/rooms.ts'

const root = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
/** What people wrote: neither generated nor installed nor built. */
const written = globSync('{src,test,scripts,bench,examples,web}/**/*.{ts,tsx,mjs,js,css,html,py,rs,go}', {
  cwd: root,
  exclude: path => /(^|[\\/])(node_modules|gen|dist|fixtures|target|\.\w+)$/.test(path),
}).map(path => path.split(sep).join('/'))
const sources = written.filter(file => /\.(tsx?|mjs)$/.test(file))
const src = sources.filter(file => file.startsWith('src/'))
const graph = new Map(src.map(file => [file, importsOf(root, file)] as const))

/** Longer than anyone reads at a sitting; we aim at 300. A test file is a list of promises, each read alone. */
const fileLinesMax = { test: 1_000, other: 500 }

const longFiles: Record<string, string> = {
  'src/formats/dashstream-hot-decode.ts': 'one reader for each message, side by side: none is long',
}

/** Where time, randomness and ids come from. Everyone else gets them as arguments. */
const edges = ['src/server.ts', 'src/cli/**', 'src/deps.ts', 'src/client/deps.ts', 'src/react/**']

const clocks: Record<string, { words: string[]; reason: string }> = {
  'src/backends/sqlite.ts': {
    words: ['setInterval'],
    reason: 'the poll of PRAGMA data_version is its bell across processes; its period is an argument',
  },
}

test('every import goes to a part that the plan of the house lets it see', () => {
  const wrong = [...graph].flatMap(([file, imports]) => {
    return imports
      .filter(({ target }) => target.startsWith('src/'))
      .filter(({ target, kind }) => (kind === 'type' ? !mayName(file, target) : !maySee(file, target)))
      .map(({ target, kind }) => `${file} imports ${kind === 'type' ? 'types of ' : ''}${target}`)
  })
  assert.deepEqual(wrong, [], 'move the code, or add to test/tidy/rooms.ts and say why')
})

test('every part of src has its place in the plan of the house', () => {
  const homeless = src.filter(file => seenBy(file) === undefined)
  assert.deepEqual(homeless, [], 'give it a row in test/tidy/rooms.ts')
})

test('no circle of imports, but through a lazy one', () => {
  const eager = new Map([...graph].map(([file, imports]) => [file, imports.filter(({ kind }) => kind === 'value')]))
  const circles = src.flatMap(file => {
    const back = [...reachableFrom(eager, file)].find(([other]) =>
      eager.get(other)?.some(({ target }) => target === file),
    )
    return back === undefined ? [] : [[...back[1], file].join(' -> ')]
  })
  assert.deepEqual(circles, [])
})

for (const entry of ['src/client/index.ts', 'src/state/fold.ts', 'src/react/index.ts']) {
  if (!existsSync(join(root, entry))) continue
  test(`${entry} runs in a browser: nothing of Node is reachable from it`, () => {
    const ways = [...reachableFrom(graph, entry)].filter(([target]) => target.startsWith('node:'))
    assert.deepEqual(
      ways.map(([, way]) => way.join(' -> ')),
      [],
    )
  })
}

test('what src imports is a dependency; what is optional is an optional peer, and imported lazily', () => {
  const { dependencies, peerDependencies = {} } = JSON.parse(read('package.json')) as {
    dependencies: Record<string, string>
    peerDependencies?: Record<string, string>
  }
  const wrong = [...graph].flatMap(([file, imports]) =>
    imports
      .filter(({ target }) => !/^(src\/|node:|\.)/.test(target) && !existsSync(join(root, target)))
      .filter(({ target }) => dependencies[target] === undefined)
      .filter(({ target, kind }) => peerDependencies[target] === undefined || (kind === 'value' && target !== 'react'))
      .map(({ target, kind }) => `${file} imports ${target} (${kind})`),
  )
  assert.deepEqual(wrong, [])
})

test('every backend has a row in test/log.test.ts, every format one in test/formats.test.ts', () => {
  const formats = src.filter(file => file.startsWith('src/formats/') && /^export const \w+: Format\b/m.test(read(file)))
  const rows = [
    ...src.filter(file => file.startsWith('src/backends/')).map(file => ({ file, table: 'test/log.test.ts' })),
    ...formats.map(file => ({ file, table: 'test/formats.test.ts' })),
  ]
  const missing = rows.filter(({ file, table }) => {
    return !importsOf(root, table).some(({ target, kind }) => target === file && kind === 'value')
  })
  assert.ok(rows.length >= 2)
  assert.deepEqual(missing, [])
})

test('the codes of src/error.ts and their HTTP status are those of PROTOCOL.md', () => {
  const [, section = ''] = read('PROTOCOL.md').split(/^## 6\. Errors$/m)
  const told = [...(section.split(/^## /m)[0] ?? '').matchAll(/\| `(\w+)` \| (\d{3}) /g)]
  const known = Object.entries(codes).map(([code, { http }]) => `${code} ${http}`)
  assert.deepEqual(told.map(([, code, http]) => `${code} ${http}`).sort(), known.sort())
})

test('time, randomness and ids are arguments', () => {
  const words = /\bDate\.now\b|\bMath\.random\b|\bnew Date\(\)|\bsetTimeout\b|\bsetInterval\b|\brandomUUID\b/g
  const wrong = src
    .filter(file => !edges.some(edge => matchesGlob(file, edge)))
    .flatMap(file => (withoutComments(read(file)).match(words) ?? []).map(word => ({ file, word })))
    .filter(({ file, word }) => !clocks[file]?.words.includes(word))
  assert.deepEqual(wrong, [], 'take it from deps, or give the file a reason in this test')
})

test('no file is called utils, helpers, common, manager or handler', () => {
  const banned = /(^|[-_./])(utils?|helpers?|commons?|managers?|handlers?)([-_./]|$)/i
  assert.deepEqual(
    written.filter(file => banned.test(file)),
    [],
    'if it deserves a function it deserves a name',
  )
})

test('no file is longer than anyone reads, but those with a reason', () => {
  const long = sources
    .map(file => ({ file, lines: read(file).trimEnd().split('\n').length }))
    .filter(({ file, lines }) => lines > (file.startsWith('test/') ? fileLinesMax.test : fileLinesMax.other))
    .filter(({ file }) => longFiles[file] === undefined)
  assert.deepEqual(long, [], 'part it, or give it a reason in this test')
})

test('every file opens with what it is', () => {
  const mute = sources.filter(file => !/^(#!.*\n)?\/[/*]/.test(read(file)))
  assert.deepEqual(mute, [], 'begin with two to five lines: what this is, why, and what it must never do')
})

test('every id at the head of a title is a requirement of docs/requirements.md, or a hazard', () => {
  const rows = requirementRows()
  assert.equal(rows.size, 240)
  const titles = written
    .filter(file => file.startsWith('test/') && /\.(test|suite)\.ts$/.test(file))
    .flatMap(file => [...read(file).matchAll(/['"`](?:[^'"`\n:]*: )?((?:(?:DK|OL|PX|DF|ON|H)\d+ )+)/g)])
    .flatMap(([, ids = '']) => ids.trim().split(' '))
  assert.ok(titles.length > 100)
  const isHazard = (id: string) => /^H\d+$/.test(id) && Number(id.slice(1)) >= 1 && Number(id.slice(1)) <= hazardLast
  assert.deepEqual(
    titles.filter(id => !rows.has(id) && !isHazard(id)),
    [],
  )
})

/** The bug classes that tests name are numbered H1 to H150. */
const hazardLast = 150

/** What a file may import; undefined when the plan does not know it. */
function seenBy(file: string): readonly string[] | undefined {
  const room = rooms.find(entry => file.startsWith(entry.room))
  if (room !== undefined) return room.strangers ? room.sees : [...room.sees, room.room]
  const name = basename(file, '.ts')
  const floor = floors.findIndex(({ files }) => files.split(' ').includes(name))
  if (floor < 0) return undefined
  const below = floors.slice(0, floor + 1)
  const files = below.flatMap(entry => entry.files.split(' '))
  return [
    ...below.flatMap(entry => entry.folders),
    ...files.slice(0, files.indexOf(name)).map(earlier => `src/${earlier}.ts`),
  ]
}

function maySee(file: string, target: string): boolean {
  return (seenBy(file) ?? []).some(part => target.startsWith(part) || matchesGlob(target, part))
}

function mayName(file: string, target: string): boolean {
  return maySee(file, target) || !above.some(part => target.startsWith(part))
}
