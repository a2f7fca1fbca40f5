// Masks secrets in everything that leaves an agent, once, at the exit to the log. It exists because a secret that is
// split over two tokens is in neither of them: text that may become one waits, and all later events of the run behind it.
// It must never reorder events, hold more than its bound, or scan more of a text than what is held and a little before.
// Left alone: `type`, the name of a custom event (its type on the wire), the base64 of an `item`, numbers.

import { RuncastError } from './error.ts'
import type { Body } from './event.ts'
import { createJsonMask } from './mask-json.ts'
import { openAlways, openMatch } from './open-match.ts'
import { createTextScan, type SecretPattern, type TextScan, maskedText } from './text-scan.ts'

/** What may be held back: the longest common secret, the private key of an RSA-4096 certificate, has 3.3 KB. */
export const holdBytesDefault = 4 * 1024
/** Texts of a run that are remembered at the same time; parallel model calls and tool calls are far fewer. */
const textsMax = 64

export interface RedactorOptions {
  readonly mask?: string
  readonly holdBytesMax?: number
}

/** One per run: it knows how far each of the run's texts is decided. */
export interface Redactor {
  /** Takes the next event of the run; commits, in order, what is free to go. */
  push(body: Body, commit: Commit): void
  /** Lets everything go, whole matches masked. A secret that is completed later still has its rest masked. */
  release(commit: Commit): void
  /** A whole JSON value, its strings and keys masked; the same object if nothing was. */
  value<T>(json: T): T
  /** A whole event, not held, its `type` left alone. For what does not come in the run's order, such as its end. */
  body(body: Body): Body
  readonly held: boolean
  /** Characters of text, and JSON of other events, that wait now. */
  readonly heldBytes: number
}

export type Commit = (body: Body) => void

/** The users' patterns from the configuration. With the `u` flag if that accepts them, so that `.` is a character. */
export function compilePatterns(sources: readonly string[]): RegExp[] {
  return sources.map(source => {
    const pattern = compiled(source)
    secretPattern(pattern)
    return pattern
  })
}

export function createRedactor(patterns: readonly RegExp[], options: RedactorOptions = {}): Redactor {
  const mask = options.mask ?? '[REDACTED]'
  const holdBytesMax = options.holdBytesMax ?? holdBytesDefault
  const secrets = patterns.map(secretPattern)
  const json = createJsonMask(text => maskedText(text, secrets, mask))
  const texts = new Map<string, TextScan>()
  const queue: Waiting[] = []
  let queuedBytes = 0

  const heldBytes = () => {
    const head = queue[0]
    // Of the first event only what is undecided is held for a reason; the rest of a long token counts for nothing.
    return head?.text ? queuedBytes - Math.max(0, Math.min(head.text.decided, head.to) - head.from) : queuedBytes
  }

  const enqueue = (waiting: Waiting) => {
    queue.push(waiting)
    queuedBytes += waiting.bytes
  }

  const drain = (commit: Commit) => {
    for (let head = queue[0]; head && (!head.text || head.text.decided >= head.to); head = queue[0]) {
      queue.shift()
      queuedBytes -= head.bytes
      const body = head.text ? rendered(head, head.text) : head.body
      if (body) commit(body)
    }
  }

  const keepBound = (commit: Commit) => {
    while (heldBytes() > holdBytesMax) {
      queue[0]?.text?.decideMore()
      drain(commit)
    }
  }

  const release = (commit: Commit) => {
    for (const text of texts.values()) text.decideAll()
    drain(commit)
  }

  const textOf = (key: string): TextScan => {
    let text = texts.get(key)
    if (!text) {
      if (texts.size >= textsMax) forgetIdle(texts)
      text = createTextScan(secrets, { mask, holdCharsMax: holdBytesMax })
      texts.set(key, text)
    }
    return text
  }

  const finish = (key: string) => {
    texts.get(key)?.decideAll()
    texts.delete(key)
  }

  const pushText = (body: Body, part: TextPart) => {
    const text = textOf(part.key)
    const from = text.end
    text.add(part.content)
    enqueue({
      body: json.body(body, part.field),
      text,
      part,
      from,
      to: text.end,
      bytes: Math.max(1, part.content.length),
    })
    if (part.last) finish(part.key)
  }

  const pushWhole = (body: Body, commit: Commit) => {
    if (body.type === 'tool') finish(toolKey(body.call_id))
    drain(commit)
    const redacted = json.body(body)
    if (queue.length === 0) commit(redacted)
    else enqueue({ body: redacted, text: undefined, bytes: JSON.stringify(redacted).length })
  }

  return {
    push(body, commit) {
      if (decidesAll.has(body.type)) release(commit)
      const part = textPart(body)
      if (part) pushText(body, part)
      else pushWhole(body, commit)
      drain(commit)
      keepBound(commit)
    },
    release,
    value: whole => json.value(whole),
    body: body => json.body(body),
    get held() {
      return queue.length > 0
    },
    get heldBytes() {
      return heldBytes()
    },
  }
}

/** For whole values that are kept beside the events; what has no secret stays the same object. */
export function maskOf(patterns: readonly RegExp[] | undefined): <T>(json: T) => T {
  return patterns?.length ? createRedactor(patterns).value : json => json
}

/** Nobody knows how long it is until the next token after these. */
const decidesAll: ReadonlySet<string> = new Set(['complete', 'error', 'cancelled', 'input'])

type Waiting =
  | { readonly body: Body; readonly text: undefined; readonly bytes: number }
  | {
      readonly body: Body
      readonly text: TextScan
      readonly part: TextPart
      /** Where its characters begin and end in the text. */
      readonly from: number
      readonly to: number
      readonly bytes: number
    }

/** The piece of a longer text that an event carries. */
interface TextPart {
  readonly key: string
  readonly field: 'content' | 'delta'
  readonly content: string
  readonly last: boolean
  /** Whether the event says nothing but this. */
  readonly only: boolean
}

function textPart(body: Body): TextPart | undefined {
  if (body.type === 'token') {
    const key = `${body.channel ?? 'text'} ${body.llm_request_id ?? ''}`
    const last = body.finish_reason !== undefined
    return { key, field: 'content', content: body.content, last, only: !last }
  }
  if (body.type === 'tool' && body.delta !== undefined) {
    const last = body.stage !== 'arguments'
    const only = !last && body.arguments === undefined && body.result === undefined && body.error === undefined
    return { key: toolKey(body.call_id), field: 'delta', content: body.delta, last, only }
  }
  return undefined
}

function toolKey(callId: string): string {
  return `tool ${callId}`
}

/** The event with what is left of its text; undefined if it said nothing but what was masked in an earlier one. */
function rendered(waiting: Extract<Waiting, { part: TextPart }>, text: TextScan): Body | undefined {
  const { body, part, from } = waiting
  const content = text.render(from, part.content)
  if (content === part.content) return body
  if (content === '' && part.only) return undefined
  return { ...body, [part.field]: content } as Body
}

/** The oldest text of which nothing waits. Texts that wait are bounded by what may be held. */
function forgetIdle(texts: Map<string, TextScan>): void {
  for (const [key, text] of texts) if (text.decided === text.end) return void texts.delete(key)
}

function compiled(source: string): RegExp {
  try {
    return new RegExp(source, 'gu')
  } catch (strict) {
    // Patterns from other languages escape more than `u` accepts, such as `\-`. But these mean nothing without it.
    const loose = /\\(?:[pP]\{|u\{|k<)/.test(source) ? undefined : looselyCompiled(source)
    if (loose) return loose
    const reason = strict instanceof Error ? strict.message : String(strict)
    throw refused(source, `is not a regular expression (${reason})`, 'give one that JavaScript accepts', strict)
  }
}

function looselyCompiled(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'g')
  } catch {
    return undefined
  }
}

/** What is known about a pattern, once and not per run. Nobody is left inside a pattern, so runs can share it. */
const secretPatterns = new WeakMap<RegExp, SecretPattern>()

/** The pattern with what the scan needs; its own `g` and `y` do not matter. */
function secretPattern(pattern: RegExp): SecretPattern {
  const seen = secretPatterns.get(pattern)
  if (seen) return seen
  const full = new RegExp(pattern.source, `g${pattern.flags.replaceAll(/[dgy]/g, '')}`)
  const known = openMatch(full)
  if (known ? known.lengthMin === 0 : full.test('')) {
    throw refused(pattern.source, 'can match empty text', 'make it match at least one character')
  }
  const secret = { full, open: known?.open ?? openAlways, needs: known?.needs ?? '' }
  secretPatterns.set(pattern, secret)
  return secret
}

function refused(pattern: string, says: string, fix: string, cause?: unknown): RuncastError {
  return new RuncastError('invalid_request', `redact_patterns: /${pattern}/ ${says}; ${fix}`, {
    details: { field: 'redact_patterns', pattern },
    cause,
  })
}
