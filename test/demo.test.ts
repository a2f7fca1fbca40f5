// The demonstration as a test: what `npm run demo` shows is true, in browsers and in terminals, and its judge would notice
// if it were not.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { demonstrate, type Outcome, problemsOf, wordsOf } from '../scripts/demo.ts'
import { openBrowsers } from '../scripts/demo/browsers.ts'
import { openTerminals } from '../scripts/demo/terminals.ts'
import { serviceOrSkip } from './services/require.ts'

/** Quicker than for people, and still seconds away from its end when the server dies. */
const wordPauseMs = 80
/** Three of them stand in the README. */
const pictureBytesMax = 120_000

test('ON13 DK72 two browsers read on through kill -9 and a restart, without a lost or doubled word', async t => {
  const browser = await serviceOrSkip(t, 'chromium')
  if (!browser) return
  const picturesDir = mkdtempSync(join(tmpdir(), 'runcast-pictures-'))
  t.after(() => rmSync(picturesDir, { recursive: true, force: true }))
  const tell = (line: string) => t.diagnostic(line)
  const outcome = await demonstrate({ open: url => openBrowsers(browser, url), tell, wordPauseMs, picturesDir })
  assertSeamless(outcome, ['the stored log', 'a client that stayed', 'browser A', 'browser B'])
  const sizes = readdirSync(picturesDir).map(file => statSync(join(picturesDir, file)).size)
  assert.equal(sizes.length, 3)
  assert.ok(
    sizes.every(size => size > 10_000 && size <= pictureBytesMax),
    `${sizes.join()} bytes`,
  )
})

test('DK72 two terminals read on through kill -9 and a restart, without a lost or doubled word', async t => {
  const outcome = await demonstrate({ open: openTerminals, tell: line => t.diagnostic(line), wordPauseMs })
  assertSeamless(outcome, ['the stored log', 'a client that stayed', 'terminal A', 'terminal B'])
})

function assertSeamless(outcome: Outcome, names: readonly string[]): void {
  const { expected, accounts, run, wordsAtKill } = outcome
  assert.deepEqual(
    accounts.map(({ name }) => name),
    names,
  )
  assert.ok(wordsAtKill > 0 && wordsAtKill < wordsOf(expected).length, `${wordsAtKill} words at the kill`)
  for (const { name, text, takenBack, sequences } of accounts) {
    assert.deepEqual(wordsOf(text), wordsOf(expected), name)
    assert.deepEqual(takenBack, [], name)
    assert.deepEqual(
      sequences ?? [],
      (sequences ?? []).map((_, index) => index + 1),
      name,
    )
  }
  assert.equal(run.status, 'completed')
  assert.deepEqual(run.output, { summary: expected })
  assert.equal(accounts[0]?.sequences?.length, run.last_sequence)
  assert.deepEqual(problemsOf(outcome), [])
}

const fine: Outcome = {
  expected: 'one two three',
  accounts: [{ name: 'A', text: 'one two three', takenBack: [], sequences: [1, 2, 3] }],
  wordsAtKill: 1,
  run: { status: 'completed' } as Outcome['run'],
  pictures: [],
}
const reads = (change: Partial<Outcome['accounts'][number]>): Outcome => ({
  ...fine,
  accounts: fine.accounts.map(account => ({ ...account, ...change })),
})
const damages: readonly [name: string, outcome: Outcome, problem: RegExp][] = [
  ['a lost word', reads({ text: 'one three' }), /A: word 2 is "three", not "two"/],
  ['a doubled word', reads({ text: 'one two two three' }), /A: word 3 is "two", not "three"/],
  ['a missing end', reads({ text: 'one two' }), /A: word 3 is missing/],
  ['a word too many', reads({ text: 'one two three four' }), /A: word 4 is "four", not missing/],
  ['a word that stood twice for a moment', reads({ takenBack: ['one one'] }), /took back: …one one/],
  ['a doubled event', reads({ sequences: [1, 2, 2, 3] }), /event 2 is out of order/],
  ['a lost event', reads({ sequences: [1, 3] }), /event 3 is out of order/],
  ['a run that failed', { ...fine, run: { status: 'failed' } as Outcome['run'] }, /the run is failed/],
  ['a kill that came too late', { ...fine, wordsAtKill: 3 }, /complete before the server was killed/],
]

test('the demonstration finds nothing wrong where nothing is', () => assert.deepEqual(problemsOf(fine), []))

for (const [name, outcome, problem] of damages) {
  test(`the demonstration finds ${name}`, () => assert.match(problemsOf(outcome).join('\n'), problem))
}
