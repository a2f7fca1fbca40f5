// Text to plain values, and the line of every key, from YAML and from TOML.
// Lines are taken here once, as a map from path to line, so that no later step needs the syntax tree.
// It must never quote the text in what it reports: the line at fault may hold a secret.

import { parse as parseTomlText, TomlError } from 'smol-toml'
import { isAlias, isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { type Finding, pathText, type Path } from './problem.ts'

export interface Source {
  readonly value: unknown
  /** Path text to line, for every key and list entry that the file holds. */
  readonly lines: ReadonlyMap<string, number>
  readonly findings: readonly Finding[]
}

export function readSource(text: string, format: 'yaml' | 'toml'): Source {
  const plain = text.startsWith('\uFEFF') ? text.slice(1) : text
  return format === 'yaml' ? readYaml(plain) : readToml(plain)
}

function readYaml(text: string): Source {
  const counter = new LineCounter()
  // prettyErrors would quote the source.
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, logLevel: 'error' })
  const lineAt = (node: Node | null | undefined) => counter.linePos(node?.range?.[0] ?? 0).line
  // One is enough: what follows a syntax error is mostly its echo. Its last words may quote the text.
  const findings = [...document.errors, ...document.warnings].slice(0, 1).map(({ code, message, pos }) => {
    const { line } = counter.linePos(pos[0])
    const what = code === 'MULTIPLE_DOCS' ? 'it holds several documents' : firstLine(message).replace(/: ".*$/, '')
    const inFlow = /[{[,].*\$\{/.test(text.split('\n')[line - 1] ?? '')
    const fix = yamlFixes[code] ?? (inFlow ? 'put ${…} in quotes inside { } and [ ]' : 'mend the syntax at this line')
    return { path: [], line: Math.max(1, line), says: `this is not valid YAML: ${what}`, fix }
  })
  const lines = new Map<string, number>()
  const visit = (node: unknown, path: Path): void => {
    if (isAlias(node) && node.resolve(document) === undefined) {
      const says = `this is not valid YAML: there is no anchor &${node.source}`
      findings.push({ path: [], line: lineAt(node), says, fix: 'put the value in quotes, or define the anchor before' })
    } else if (isMap(node)) {
      for (const pair of node.items) {
        if (!isPair(pair) || !isScalar(pair.key)) {
          const says = 'this is not valid YAML here: a key is not a text'
          const line = lineAt(isPair(pair) && isNode(pair.key) ? pair.key : node)
          findings.push({ path: [], line, says, fix: 'write a name before the colon' })
          continue
        }
        const inner = [...path, String(pair.key.value)]
        lines.set(pathText(inner), lineAt(pair.key))
        visit(pair.value, inner)
      }
    } else if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) {
        lines.set(pathText([...path, index]), lineAt(isNode(item) ? item : node))
        visit(item, [...path, index])
      }
    }
  }
  visit(document.contents, [])
  if (findings.length > 0) return { value: undefined, lines, findings }
  try {
    return { value: document.toJS(), lines, findings }
  } catch (thrown) {
    const says = `this is not valid YAML: ${firstLine(String(thrown))}`
    return {
      value: undefined,
      lines,
      findings: [{ path: [], says, fix: 'write the value out instead of using aliases' }],
    }
  }
}

const yamlFixes: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'delete one of the two',
  TAB_AS_INDENT: 'indent with spaces',
  MULTIPLE_DOCS: 'keep one document in the file',
  TAG_RESOLVE_FAILED: 'delete the tag',
}

function readToml(text: string): Source {
  const lines = tomlLines(text)
  try {
    return { value: parseTomlText(text, { unsafeKeyBehaviour: 'throw' }), lines, findings: [] }
  } catch (thrown) {
    const says = `this is not valid TOML: ${firstLine(String((thrown as Error).message)).replace(/^Invalid TOML document: /, '')}`
    const line = thrown instanceof TomlError ? thrown.line : 1
    return { value: undefined, lines, findings: [{ path: [], line, says, fix: 'mend the syntax at this line' }] }
  }
}

// The parser tells no positions of values. Our tables are flat, so that headers and `key =` at the start of a line
// find them; inside an inline table or a long string the line of the table has to do.
function tomlLines(text: string): Map<string, number> {
  const lines = new Map<string, number>()
  const remember = (path: readonly string[], line: number) => {
    for (let length = 1; length <= path.length; length += 1) {
      const key = pathText(path.slice(0, length))
      if (!lines.has(key)) lines.set(key, line)
    }
  }
  let table: string[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[\[?([^\]]+)\]/.exec(line)
    const key = /^\s*([\w\-."' ]+?)\s*=/.exec(line)
    if (header) table = tomlKey(header[1] ?? '')
    if (header) remember(table, index + 1)
    else if (key) remember([...table, ...tomlKey(key[1] ?? '')], index + 1)
  }
  return lines
}

function tomlKey(text: string): string[] {
  return text.split('.').map(part => part.trim().replace(/^(["'])(.*)\1$/, '$2'))
}

const firstLine = (text: string) => text.split('\n', 1)[0] ?? ''
