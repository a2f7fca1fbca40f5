// The summarizer: a text or a page's address in, its most telling sentences out, streamed word by word with progress.
// It exists to show token streaming without a model. It must never wait or read without bounds: input comes from strangers.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import * as z from 'zod'
import { RuncastError } from '../../src/error.ts'
import type { Body } from '../../src/event.ts'
import { fetchText } from './page.ts'
import { summarize } from './summary.ts'

/** Some 45,000 words, scored in a tenth of a second: longer would hold up every other run of the process. */
export const textCharsMax = 262_144
/** Nobody reads a longer summary; the text itself is then better. */
const sentencesMax = 20
const sentencesDefault = 3
/** Slower than that, nobody takes it for a stream. */
const wordPauseMsMax = 10_000

const inputSchema = z
  .strictObject({
    text: z.string().max(textCharsMax).optional(),
    url: z.string().max(2_000).optional(),
    sentences: z.int().min(1).max(sentencesMax).default(sentencesDefault),
  })
  .refine(input => (input.text === undefined) !== (input.url === undefined), 'send either text or url')

export type SummarizerInput = z.input<typeof inputSchema>

/** Yields progress and tokens; returns the whole summary. */
export async function* summarizer(
  input: SummarizerInput,
  signal: AbortSignal,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): AsyncGenerator<Body, { summary: string }, void> {
  const parsed = inputSchema.safeParse(input)
  if (!parsed.success) throw new RuncastError('invalid_input', z.prettifyError(parsed.error))
  const { text: given, url, sentences } = parsed.data
  yield progress(0.1, url === undefined ? 'Reading the text...' : 'Fetching the page...')
  const allowPrivate = environment['SUMMARIZER_ALLOW_PRIVATE_ADDRESSES'] === '1'
  const text = url === undefined ? (given ?? '') : await fetchText(url, { signal, allowPrivate })
  if (text.length > textCharsMax) {
    throw new RuncastError(
      'too_large',
      `url has ${text.length} characters of text; at most ${textCharsMax} are summarized`,
    )
  }
  yield progress(0.4, `Scoring the sentences of ${text.length} characters...`)
  const chosen = summarize(text, sentences)
  if (chosen.sentences.length === 0) throw new RuncastError('invalid_input', 'There is no sentence in it to summarize')
  yield progress(0.7, `Writing ${chosen.sentences.length} of ${chosen.of} sentences...`)
  const summary = chosen.sentences.join(' ')
  const pauseMs = wordPauseMs(environment)
  for (const content of summary.match(/\S+\s*/g) ?? []) {
    signal.throwIfAborted()
    yield { type: 'token', content }
    // A turn of the event loop per word: readers see words arrive, and a cancel gets a word in.
    await (pauseMs === 0 ? nextTurn() : sleep(pauseMs, undefined, { signal }))
  }
  yield progress(1, 'Done')
  return { summary }
}

/** `SUMMARIZER_WORD_PAUSE_MS` lets people see the words arrive as a model's would; without it they come as fast as they go. */
function wordPauseMs(environment: Readonly<Record<string, string | undefined>>): number {
  const asked = Number(environment['SUMMARIZER_WORD_PAUSE_MS'] ?? 0)
  return Number.isFinite(asked) ? Math.min(Math.max(asked, 0), wordPauseMsMax) : 0
}

/** One step from its start to its end: a page shows one line, with what happens now. */
function progress(done: number, message: string): Body {
  return { type: 'progress', step: 'summarize', progress: done, message }
}
