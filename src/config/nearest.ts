// "did you mean": the known word nearest to a mistyped one. A leaf, so that keys, choices and event names
// are all helped by the same rule. It must never suggest a word that is further away than a slip of the fingers.

/** `; did you mean X?` or nothing. Words are compared without case, and `-` counts as `_`. */
export function nearest(word: unknown, known: readonly string[]): string {
  const found = nearestWord(word, known)
  return found === undefined ? '' : `; did you mean ${found}?`
}

export function nearestWord(word: unknown, known: readonly string[]): string | undefined {
  if (typeof word !== 'string' || word.length > wordLengthMax) return undefined
  const from = plain(word)
  // A third of the letters may be wrong, at most three: beyond that the guess is noise.
  const within = Math.min(3, Math.max(1, Math.floor(from.length / 3)))
  let best: { word: string; distance: number } | undefined
  for (const candidate of known) {
    const distance = editDistance(from, plain(candidate))
    if (distance <= within && (best === undefined || distance < best.distance)) best = { word: candidate, distance }
  }
  return best?.word
}

/** `a, b or c`. */
export function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

// No key or choice is near this long, and the distance costs length squared.
const wordLengthMax = 64

const plain = (word: string) => word.toLowerCase().replaceAll('-', '_')

// Levenshtein with swapped neighbours (optimal string alignment): swapping two letters is the most common slip.
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const cell = (row: number, column: number) => rows[row]?.[column] ?? 0
  for (let row = 1; row <= a.length; row += 1) {
    rows.push([row])
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        cell(row - 1, column) + 1,
        cell(row, column - 1) + 1,
        cell(row - 1, column - 1) + (same ? 0 : 1),
      )
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, cell(row - 2, column - 2) + 1)
      rows[row]?.push(cost)
    }
  }
  return cell(a.length, b.length)
}
