// Derives from a pattern the pattern that also matches "could still become a match": what redaction needs to know about
// a text of which more is to come. It must never call a match final that more text could change, nor see as settled
// what could still begin a secret.
//
// Every part X of the pattern becomes (?:X|END): whoever reads past the end of the text is let through. The engine still
// tries its ways in the same order, so the first way that either matches or runs out of text wins, as it would with
// the whole text. A match that ends before the end of the text is therefore final; one that touches the end is open.

import ret, { type Root, type Token } from 'ret'

// ret's declarations promise a `default` that its module does not have; the function itself is the module.
const tokenizer = ret as unknown as (source: string) => Root
const { types } = ret

/** What `openMatch` found out about a pattern. */
export interface OpenMatch {
  /** Matches from every place where the pattern matches or may do so with more text; at the latest, empty, at the end. */
  readonly open: RegExp
  /** The fewest characters of a match. */
  readonly lengthMin: number
  /** Text that is in every match, to be looked for first: it is cheap, and most texts do not have it. Or empty. */
  readonly needs: string
}

/** Undefined for syntax that ret or this file does not know (inline flags, the `v` flag, …): then {@link openAlways}. */
export function openMatch(pattern: RegExp): OpenMatch | undefined {
  if (pattern.unicodeSets) return undefined
  try {
    const { text, atoms } = withOpaqueAtoms(pattern)
    const root = tokenizer(text)
    const writer = createWriter(atoms, pattern.multiline ? endOfLines : end)
    return {
      open: new RegExp(writer.alternatives(root, 'open'), pattern.flags),
      lengthMin: writer.lengthMin(root),
      needs: pattern.ignoreCase ? '' : writer.longestLiteral(root),
    }
  } catch (error) {
    // ret and RegExp refuse with SyntaxError, the writer with Unsupported; anything else is a mistake of ours.
    if (error instanceof SyntaxError || error === unsupported) return undefined
    throw error
  }
}

/** The stand-in for a pattern that we cannot read: all text is open, and held up to the bound. Slow, but safe. */
export const openAlways = /[^]*/g

/**
 * The end of the text as it is now. With the `m` flag `$` is also the end of a line. `(?![^])` alone will not do: with
 * the `u` flag V8 finds it true between the halves of a character.
 */
const end = '$'
const endOfLines = '$(?![^])'

/** Thrown and caught inside this file. */
const unsupported = new Error('unsupported')

/** What ret shall not look into: escapes, classes and characters of two units, whose meaning depends on the flags. */
const atom =
  /\\(?:k<[^>]*>|x[\da-fA-F]{2}|u[\da-fA-F]{4}|c[A-Za-z]|0[0-7]{0,2}|[1-9]\d*|[^])|\[(?:\\[^]|[^\]\\])*\]|\(\?<[=!]|[\uE000-\uF8FF]/g
/** The same with the `u` flag: code points, not units, and properties. */
const unicodeAtom = new RegExp(
  `\\\\(?:[pP]\\{[^}]*\\}|u\\{[^}]*\\}|u[dD][89abAB][\\da-fA-F]{2}\\\\u[dD][c-fC-F][\\da-fA-F]{2})|[\\uD800-\\uDBFF][\\uDC00-\\uDFFF]|${atom.source}`,
  'g',
)

/** The first private-use character; each atom is handed to ret as one of these, and written back as it was. */
const atomCodeMin = 0xe000
const atomsMax = 6400

function withOpaqueAtoms(pattern: RegExp): { text: string; atoms: readonly string[] } {
  const atoms: string[] = []
  const text = pattern.source.replaceAll(pattern.unicode ? unicodeAtom : atom, source => {
    const placeholder = String.fromCharCode(atomCodeMin + atoms.length)
    atoms.push(source)
    // ret knows no lookbehind: it gets a lookahead that begins with the atom `(?<=`.
    return source.startsWith('(?<') ? `(?${source.at(-1)}${placeholder}` : placeholder
  })
  if (atoms.length > atomsMax) throw unsupported
  return { text, atoms }
}

/** `open`: with the way out at the end of the text. `full`: as it was. */
type Mode = 'open' | 'full'
type Group = Extract<Token, { remember: boolean }>

function createWriter(atoms: readonly string[], textEnd: string) {
  const hasReference = atoms.some(isReference)
  let behind = false

  const atomOf = (code: number) => atoms[code - atomCodeMin]

  const orEnd = (source: string, mode: Mode) => (mode === 'open' ? `(?:${source}|${textEnd})` : source)

  /** All of it: what is tried after this must not take some of it back. */
  const rest = `[^]*${textEnd}`

  const alternatives = (node: Root | Group, mode: Mode): string =>
    optionsOf(node)
      .map(option => option.map(token => write(token, mode)).join(''))
      .join('|')

  const write = (token: Token, mode: Mode): string => {
    switch (token.type) {
      case types.CHAR:
        return char(token.value, mode)
      case types.SET:
        return orEnd('.', mode)
      case types.POSITION:
        return orEnd(token.value, mode)
      case types.REPETITION: {
        // ret has no word for lazy: `a*?` arrives as `(a*)?`, which JavaScript itself would not accept.
        const inner = token.value
        if (inner.type === types.REPETITION) return `${write(inner, mode)}?`
        return `${write(inner, mode)}{${token.min},${token.max === Infinity ? '' : token.max}}`
      }
      case types.GROUP:
        return group(token, mode)
      case types.REFERENCE:
        throw unsupported
    }
  }

  const char = (code: number, mode: Mode): string => {
    const source = atomOf(code)
    if (source === undefined) return orEnd(String.fromCharCode(code).replace(/[\\^$.*+?()[\]{}|/]/, '\\$&'), mode)
    if (source.startsWith('(?<')) return ''
    // How much of the referred text the rest of the text repeats cannot be asked for: what does not match is open.
    if (isReference(source)) return mode === 'open' ? `(?:${source}|${rest})` : source
    return orEnd(source, mode)
  }

  const group = (token: Group, mode: Mode): string => {
    if (token.followedBy === true || token.notFollowedBy === true) {
      return isBehind(token) ? lookbehind(token, mode) : lookahead(token, mode)
    }
    const inner = alternatives(token, mode)
    if (!hasReference || !(token.remember || token.name !== undefined)) return `(?:${inner})`
    return token.name === undefined ? `(${inner})` : `(?<${token.name}>${inner})`
  }

  /** Only text that is here already is looked at, so it is as it was. */
  const lookbehind = (token: Group, mode: Mode): string => {
    behind = true
    const inner = alternatives(token, 'full')
    behind = false
    return orEnd(`(?<${token.followedBy === true ? '=' : '!'}${inner})`, mode)
  }

  /** Three answers: yes and no only if more text cannot change them; else all the rest is taken, which is open. */
  const lookahead = (token: Group, mode: Mode): string => {
    // Written twice, its groups would be counted twice; inside a lookbehind it may look past the end.
    if (hasReference || behind) throw unsupported
    const sign = token.followedBy === true ? '=' : '!'
    if (mode === 'full') return `(?${sign}${alternatives(token, 'full')})`
    const open = `(?:${alternatives(token, 'open')})`
    const unknown = `(?!${open}[^])(?=${open}${textEnd})${rest}`
    return sign === '=' ? `(?:(?=${open}[^])|${unknown})` : `(?:(?!${open})|${unknown})`
  }

  const isBehind = (token: Group): boolean => {
    const first = optionsOf(token)[0]?.[0]
    return first?.type === types.CHAR && atomOf(first.value)?.startsWith('(?<') === true
  }

  const lengthMin = (node: Root | Token): number => {
    switch (node.type) {
      case types.CHAR: {
        const source = atomOf(node.value)
        return source === undefined || !(/^\\[bB]$/.test(source) || isReference(source)) ? 1 : 0
      }
      case types.SET:
        return 1
      case types.REPETITION:
        return node.value.type === types.REPETITION ? lengthMin(node.value) : node.min * lengthMin(node.value)
      case types.ROOT:
      case types.GROUP:
        if ('followedBy' in node || 'notFollowedBy' in node) return 0
        return Math.min(...optionsOf(node).map(option => option.reduce((sum, token) => sum + lengthMin(token), 0)))
      case types.POSITION:
      case types.REFERENCE:
        return 0
    }
  }

  const longestLiteral = (root: Root): string => {
    let longest = ''
    let current = ''
    for (const token of root.stack ?? []) {
      const plain = token.type === types.CHAR && atomOf(token.value) === undefined
      current = plain ? current + String.fromCharCode(token.value) : ''
      if (current.length > longest.length) longest = current
    }
    return longest
  }

  return { alternatives, lengthMin, longestLiteral }
}

function optionsOf(node: Root | Group): Token[][] {
  return node.options ?? [node.stack ?? []]
}

function isReference(source: string): boolean {
  return /^\\(?:k|[1-9])/.test(source)
}
