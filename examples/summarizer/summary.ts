// An extractive summary: the sentences of a text whose words are the most frequent in it (SumBasic),
// less what a chosen sentence says already (marginal relevance). No model: the same text gives the same summary.
// It must never change, join or invent a sentence: what it gives stands in the text.

/** Telling words below which a sentence is a headline, a button or a cry. */
const wordsMin = 3
/** Shorter sentences are scored as if they had so many words, or two frequent words alone would win. */
const scoredWordsMin = 8

export interface Summary {
  /** In the order of the text. */
  sentences: string[]
  /** Sentences that could have been chosen. */
  of: number
}

/** The `count` sentences that say most about the text. */
export function summarize(text: string, count: number): Summary {
  const candidates = sentencesOf(text).map(sentence => ({ sentence, words: contentWords(sentence), said: 0 }))
  const full = candidates.filter(candidate => candidate.words.length >= wordsMin)
  const pool = full.length === 0 ? candidates : full
  const weights = frequencies(pool.map(candidate => candidate.words))
  const scores = pool.map(candidate => scoreOf(candidate, weights))
  const chosen = new Set<number>()
  while (chosen.size < Math.min(count, pool.length)) {
    const best = bestOf(pool, scores, chosen)
    chosen.add(best)
    const words = new Set(pool[best]?.words)
    for (const other of pool) other.said = Math.max(other.said, overlap(words, new Set(other.words)))
  }
  const sentences = [...chosen].toSorted((a, b) => a - b).map(index => pool[index]?.sentence ?? '')
  return { sentences, of: pool.length }
}

/** Sentences with their spaces made single. Lines of one paragraph belong together, as in mails and plain-text books. */
export function sentencesOf(text: string): string[] {
  const sentences: string[] = []
  for (const paragraph of text.split(/\n[ \t\r]*\n/)) {
    let open = ''
    for (const { segment } of sentenceSegmenter.segment(paragraph.replace(/\s+/g, ' ').trim())) {
      open += segment
      if (abbreviation.test(segment)) continue
      sentences.push(open.trim())
      open = ''
    }
    if (open.trim() !== '') sentences.push(open.trim())
  }
  return sentences.filter(sentence => sentence !== '')
}

interface Candidate {
  sentence: string
  words: string[]
  /** How much of it a chosen sentence says already, 0..1. */
  said: number
}

/** The mean weight of its words. */
function scoreOf({ words }: Candidate, weights: ReadonlyMap<string, number>): number {
  let sum = 0
  for (const word of words) sum += weights.get(word) ?? 0
  return sum / Math.max(words.length, scoredWordsMin)
}

function bestOf(pool: readonly Candidate[], scores: readonly number[], chosen: ReadonlySet<number>): number {
  let best = -1
  let bestScore = -1
  for (const [index, { said }] of pool.entries()) {
    if (chosen.has(index)) continue
    const score = (scores[index] ?? 0) * (1 - said)
    // Of equals the earlier wins: texts tend to say the main thing first.
    if (score > bestScore) [best, bestScore] = [index, score]
  }
  return best
}

/** Shared words by all words of both (Jaccard). */
function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let shared = 0
  for (const word of a) if (b.has(word)) shared++
  return shared === 0 ? 0 : shared / (a.size + b.size - shared)
}

function frequencies(texts: readonly string[][]): Map<string, number> {
  const counts = new Map<string, number>()
  let total = 0
  for (const word of texts.flat()) {
    counts.set(word, (counts.get(word) ?? 0) + 1)
    total++
  }
  return new Map([...counts].map(([word, count]) => [word, count / total]))
}

const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })
const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })

/** The segmenter ends a sentence behind these and behind initials ("J. Doe"), which readers do not. */
const abbreviation = /(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|cf|No|Fig|\p{Lu})\.\s*$/u

function contentWords(sentence: string): string[] {
  const words: string[] = []
  for (const { segment, isWordLike } of wordSegmenter.segment(sentence.toLowerCase())) {
    if (isWordLike && !stopWords.has(segment)) words.push(segment)
  }
  return words
}

/** English words that say nothing about a text's subject. In other languages frequency alone decides. */
const stopWords: ReadonlySet<string> = new Set(
  (
    'a about after all also an and any are as at be because been before being between both but by can could did do does ' +
    'down during each few for from had has have he her here his how i if in into is it its just may me might more most my ' +
    'no not now of off on one only or other our out over own said same she should since so some such than that the their ' +
    'them then there these they this those through to too under until up us very was we were what when where which while ' +
    "who whose why will with would you your it's don't"
  ).split(' '),
)
