// Writes into docs/requirements.md which tests prove each row: `npm test && npm run requirements`. With `--check` it
// writes nothing and fails when the page says of a row that it is proven and the last run of all tests did not.
// Why from a run and not from the sources: a test that was skipped or failed proves nothing, whatever its title says.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'

const root = join(import.meta.dirname, '..')
const page = join(root, 'docs', 'requirements.md')
const results = join(root, '.cache', 'test-results.jsonl')
/** A row with more has them counted: the page is read by people. */
const promisesMax = 6

/** A requirement (`DK1`) or a hazard (`H1`), as it stands at the start of a title, or behind the row of a suite. */
const idPattern = '(?:DK|OL|PX|DF|ON|H)\\d+'
const titlePattern = new RegExp(`^(?:([^:]+): )?((?:${idPattern} )+)(.+)$`, 's')

export interface Promised {
  readonly file: string
  readonly ids: readonly string[]
  readonly promise: string
  /** Which row of a table of backends, transports … it was run for. */
  readonly row?: string
}

/** What a title promises; undefined when it names neither a requirement nor a hazard. */
export function promisedBy(title: string, file: string): Promised | undefined {
  const [, row, ids, promise] = titlePattern.exec(title) ?? []
  if (ids === undefined || promise === undefined) return undefined
  return { file, ids: ids.trim().split(' '), promise, ...(row === undefined ? {} : { row }) }
}

/** The cells of each row of the page, by its id. */
export function requirementRows(text = readFileSync(page, 'utf8')): Map<string, readonly string[]> {
  const lines = text.split('\n').map(cellsOf)
  return new Map(lines.flatMap(cells => (cells?.[0] === undefined ? [] : [[cells[0], cells] as const])))
}

if (import.meta.main) main(process.argv.includes('--check'))

function main(checkOnly: boolean): void {
  if (!existsSync(results)) throw new Error('no results of a run of all tests; run: npm test')
  const passed = readFileSync(results, 'utf8').trim().split('\n').map(readResult)
  const old = readFileSync(page, 'utf8')
  const proofs = proofsById(passed.filter(entry => entry !== undefined))
  const rows = [...requirementRows(old)]
  const lost = rows.filter(([id, cells]) => cells[4] !== '' && !proofs.has(id)).map(([id]) => id)
  const proven = rows.filter(([id]) => proofs.has(id)).length
  console.log(`${proven} of ${rows.length} requirements are proven by a test that passed`)
  if (lost.length > 0) console.log(`no longer: ${lost.join(', ')}`)
  if (checkOnly) process.exitCode = lost.length > 0 ? 1 : 0
  else writeFileSync(page, withProofs(old, proofs, `${proven} of ${rows.length} rows are proven.`))
}

function readResult(line: string): Promised | undefined {
  const { file, title, passed } = JSON.parse(line) as { file: string; title: string; passed: boolean }
  return passed ? promisedBy(title, file) : undefined
}

function proofsById(passed: readonly Promised[]): Map<string, Promised[]> {
  const byId = new Map<string, Promised[]>()
  for (const promised of passed) for (const id of promised.ids) byId.set(id, [...(byId.get(id) ?? []), promised])
  return byId
}

function withProofs(text: string, proofs: Map<string, Promised[]>, count: string): string {
  const lines = text.split('\n').map(line => {
    const cells = cellsOf(line)
    if (cells === undefined) return /^\d+ of \d+ rows are proven\.$/.test(line) ? count : line
    return `| ${[...cells.slice(0, 4), cellOf(proofs.get(cells[0] ?? '') ?? [])].join(' | ')} |`
  })
  return lines.join('\n')
}

/** `log.suite: a promise (memory, sqlite); another` for each file, in the order of the names. */
function cellOf(promised: readonly Promised[]): string {
  const files = [...new Set(promised.map(entry => entry.file))].sort()
  return files
    .map(file =>
      filePart(
        file,
        promised.filter(entry => entry.file === file),
      ),
    )
    .join('<br>')
}

function filePart(file: string, promised: readonly Promised[]): string {
  const promises = [...new Set(promised.map(entry => entry.promise))].sort()
  const texts = promises.slice(0, promisesMax).map(promise => {
    const rows = promised.flatMap(entry => (entry.promise === promise && entry.row ? [entry.row] : []))
    return rows.length === 0 ? promise : `${promise} (${[...new Set(rows)].sort().join(' · ')})`
  })
  const more = promises.length > promisesMax ? [`and ${promises.length - promisesMax} more`] : []
  const link = `[${basename(file, '.ts').replace(/\.test$/, '')}](${relative('docs', file)})`
  return `${link}: ${[...texts, ...more].map(plain).join('; ')}`
}

/** Titles are free text; a bar or a line end would break the table, a tag or a star would be drawn. */
function plain(text: string): string {
  return text.replace(/[\\|<>*_`[\]]/g, '\\$&').replaceAll(/\s+/g, ' ')
}

/** The five cells of a row, `id | feature | source | proof | tests`; undefined for every other line. */
function cellsOf(line: string): readonly string[] | undefined {
  if (!/^\| [A-Z]{2}\d+ \|/.test(line)) return undefined
  const cells = line.split(/(?<!\\)\|/).slice(1, -1)
  return [0, 1, 2, 3, 4].map(index => cells[index]?.trim() ?? '')
}
