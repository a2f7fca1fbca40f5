// The demonstration, `npm run demo`: two browsers read an answer as it is written, the server is killed with -9 in the
// middle and started again, and both read on, without a lost or doubled word. What is compared is what the agent says when
// nothing goes wrong, the stored log, a client that stayed, and every text that each browser showed at any moment.
// It must never touch the data of whoever runs it: its server keeps everything in a temporary folder.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { summarize } from '../examples/summarizer/summary.ts'
import { connect, type Event, type RunInfo, type Runs } from '../src/client/index.ts'
import { freePort, type ServiceProcess, startService, temporaryDir } from '../test/services/child.ts'
import { openBrowsers } from './demo/browsers.ts'
import { openTerminals } from './demo/terminals.ts'

const root = join(import.meta.dirname, '..')
const agent = 'summarizer'
/** As fast as a model that writes some ten words a second: one can follow it, and it is over in a quarter of a minute. */
const wordPauseMsDefault = 90
/** So many words must be on the screen before the server dies, and the server must have as many left. */
const wordsBeforeKill = 40
/** What `summarizer` takes unless it is told otherwise, as the page does. */
const sentences = 3

const question = [
  'An answer is a log of numbered events, so every reader of the answer, in whatever browser and on whatever device,',
  'reads the same words in the same order, and knows by the number of the last event where to go on.',
  'Laptops sleep, and trains enter tunnels.',
  'When the server dies in the middle of a sentence, the log of the answer stays on the disk with every event that a',
  'reader has seen, because an event is written to the log before anyone is told of it.',
  'Deployments come at the wrong moment.',
  'When the server is back, it runs the agent again, matches its words with the events of the log, and writes only what',
  'the log does not have yet, while each reader asks for the events after the last one that it has seen, and so no word',
  'is lost and no word comes twice.',
].join(' ')

/** Somebody who reads the answer, in a browser or a terminal. */
export interface Reader {
  readonly name: string
  /** Resolves when so many words are shown. */
  shows(words: number): Promise<void>
  /** Resolves when it says that the connection is lost. */
  lost(): Promise<void>
  /** Resolves when it shows that the answer has ended. */
  ended(): Promise<void>
  /** Every text that it showed, in order; the last one is what it shows now. */
  texts(): Promise<readonly string[]>
}

export interface Audience extends AsyncDisposable {
  readonly kind: string
  /** The first reader asks the agent. */
  ask(agent: string, question: string): Promise<void>
  /** All open the answer. */
  join(run: string): Promise<void>
  readonly readers: readonly Reader[]
  /** A PNG of what all of them show now; a terminal has none. */
  picture?(caption: string): Promise<Buffer>
}

/** What one of those who read had at the end. */
export interface Account {
  readonly name: string
  readonly text: string
  /** What was shown on the way and does not begin the final text: a word that went away, changed or stood twice for a moment. */
  readonly takenBack: readonly string[]
  /** The numbers of the events, where events were read. */
  readonly sequences?: readonly number[]
}

export interface Outcome {
  /** What the agent says when nobody kills it. */
  readonly expected: string
  readonly accounts: readonly Account[]
  /** The words in the log when the server was dead. */
  readonly wordsAtKill: number
  readonly run: RunInfo
  /** Names and sizes of what was written. */
  readonly pictures: readonly string[]
}

export interface DemoOptions {
  readonly open: (url: string) => Promise<Audience>
  readonly tell: (line: string) => void
  readonly wordPauseMs?: number
  /** Where pictures go, if there are any. */
  readonly picturesDir?: string
}

export async function demonstrate({ open, tell, wordPauseMs, picturesDir }: DemoOptions): Promise<Outcome> {
  await using server = await startServer(wordPauseMs ?? wordPauseMsDefault)
  const url = `http://127.0.0.1:${server.port}`
  await using audience = await open(url)
  await using runs = connect(url)
  const { readers, kind } = audience
  const pictures: string[] = []
  const picture = async (name: string, caption: string) => {
    if (!audience.picture || picturesDir === undefined) return
    mkdirSync(picturesDir, { recursive: true })
    const file = join(picturesDir, name)
    writeFileSync(file, await audience.picture(caption))
    pictures.push(file)
  }

  tell(`The server runs at ${url}, process ${server.pid}. Its log is a SQLite file.`)
  await audience.ask(agent, question)
  const run = await onlyRun(runs)
  const stayed = readAlong(runs, run)
  await audience.join(run)
  await all(readers, reader => reader.shows(wordsBeforeKill))
  tell(`An answer streams in ${readers.length} ${kind}; both have more than ${wordsBeforeKill} words of it.`)
  // Held for the photograph: a slow machine would take it when the answer is over.
  server.pause()
  await picture('demo-1-streaming.png', 'An answer streams in two browsers.').finally(() => server.resume())
  await all(readers, reader => reader.shows(wordsBeforeKill + 3))

  const { pid } = server
  await server.kill('SIGKILL')
  tell(`kill -9 ${pid}: the server is dead, in the middle of a sentence.`)
  await all(readers, reader => reader.lost())
  const wordsAtKill = wordsOf((await stayed.soFar()).text).length
  tell(`Both ${kind} say that the connection is lost, and keep the ${wordsAtKill} words that they have.`)
  await picture('demo-2-killed.png', 'kill -9: the server is dead. Both keep what they have, and try again.')

  await server.restart()
  tell(`The server is started again, process ${server.pid}. Nobody touches the ${kind}.`)
  await all(readers, reader => reader.shows(wordsAtKill + 1))
  tell('Both go on.')
  await all(readers, reader => reader.ended())
  await picture('demo-3-continued.png', 'The server is back: both went on by themselves, to the end.')

  return {
    expected: summarize(question, sentences).sentences.join(' '),
    accounts: [
      accountOf('the stored log', await storedLog(runs, run)),
      accountOf('a client that stayed', await stayed.whole),
      ...(await all(readers, async reader => shownBy(reader))),
    ],
    wordsAtKill,
    run: await runs.get(run),
    pictures,
  }
}

/** What is not as promised; empty when no word is lost or doubled. */
export function problemsOf({ expected, accounts, run, wordsAtKill }: Outcome): string[] {
  const words = wordsOf(expected)
  const problems: string[] = []
  if (wordsAtKill >= words.length) problems.push('the answer was complete before the server was killed')
  if (run.status !== 'completed') problems.push(`the run is ${run.status}`)
  for (const { name, text, takenBack, sequences } of accounts) {
    const had = wordsOf(text)
    const at = Math.max(words.length, had.length)
    const wrong = Array.from({ length: at }, (_, n) => n).find(n => had[n] !== words[n])
    if (wrong !== undefined)
      problems.push(`${name}: word ${wrong + 1} is ${quoted(had[wrong])}, not ${quoted(words[wrong])}`)
    const [gone] = takenBack
    if (gone !== undefined) problems.push(`${name}: showed what it took back: …${gone.slice(-60)}`)
    const skipped = sequences?.find((sequence, index) => sequence !== index + 1)
    if (skipped !== undefined) problems.push(`${name}: event ${skipped} is out of order, missing or doubled`)
  }
  return problems
}

const quoted = (word: string | undefined) => (word === undefined ? 'missing' : `"${word}"`)

export function wordsOf(text: string): string[] {
  return text.match(/\S+/g) ?? []
}

/** The example agents, with a folder of their own: database, conversations and the server's log. */
async function startServer(wordPauseMs: number): Promise<ServiceProcess> {
  const dir = temporaryDir('demo')
  const dockfile = join(dir, 'Dockfile.yaml')
  const example = readFileSync(join(root, 'examples', 'Dockfile.yaml'), 'utf8')
  writeFileSync(dockfile, example.replaceAll('./agents.ts:', `${join(root, 'examples', 'agents.ts')}:`))
  const port = await freePort()
  return startService({
    name: 'runcast',
    command: process.execPath,
    args: [join(root, 'bin', 'runcast.js'), 'run', '--dockfile', dockfile, '--port', String(port)],
    env: {
      SUMMARIZER_WORD_PAUSE_MS: String(wordPauseMs),
      RUNCAST_BACKEND: 'sqlite',
      RUNCAST_DB: join(dir, 'runs.db'),
      HOST: '127.0.0.1',
    },
    dir,
    port,
    readyLine: 'serving',
    removeDir: true,
  })
}

/** The server is new: the run that comes is ours. */
async function onlyRun(runs: Runs): Promise<string> {
  for (;;) {
    const [run] = (await runs.list()).runs
    if (run) return run.run_id
    await sleep(50)
  }
}

/** Follows the run from its first event through everything that happens. */
function readAlong(runs: Runs, run: string) {
  const events: Event[] = []
  const read = async () => {
    for await (const batch of runs.tail(run)) events.push(...batch.events)
    return events
  }
  return { whole: read(), soFar: async () => ({ text: textOf(events) }) }
}

/** The log as it is at the end, from its first event. */
async function storedLog(runs: Runs, run: string): Promise<readonly Event[]> {
  return readAlong(runs, run).whole
}

function accountOf(name: string, events: readonly Event[]): Account {
  return { name, text: textOf(events), takenBack: [], sequences: events.map(event => event.sequence) }
}

async function shownBy(reader: Reader): Promise<Account> {
  const texts = await reader.texts()
  const text = texts.at(-1) ?? ''
  let longest = 0
  const takenBack = texts.filter(one => {
    const grew = one.length >= longest
    longest = Math.max(longest, one.length)
    return !grew || !text.startsWith(one)
  })
  return { name: reader.name, text, takenBack }
}

function textOf(events: readonly Event[]): string {
  return events.map(event => (event.type === 'token' ? event.content : '')).join('')
}

function all<T>(readers: readonly Reader[], work: (reader: Reader) => Promise<T>): Promise<T[]> {
  return Promise.all(readers.map(work))
}

/** Browsers where there is one, else terminals. */
async function chooseAudience(wanted: string | undefined): Promise<DemoOptions['open']> {
  if (wanted === 'terminals') return openTerminals
  const chromium = await import('../test/services/chromium.ts').catch(() => undefined)
  const missing = chromium ? chromium.missing() : 'playwright-core is not installed: npm install'
  if (!chromium || missing !== undefined) {
    console.log(`${missing}. Two terminals read instead.`)
    return openTerminals
  }
  return async url => openBrowsers(await chromium.startChromium(), url)
}

const usage = 'npm run demo [-- --in terminals] [-- --pictures DIR]'

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { in: { type: 'string' }, pictures: { type: 'string' } } })
  if (values.in !== undefined && !['browsers', 'terminals'].includes(values.in)) {
    console.error(usage)
    process.exitCode = 2
    return
  }
  const picturesDir = values.pictures ?? join(root, '.cache', 'demo')
  const outcome = await demonstrate({
    open: await chooseAudience(values.in),
    tell: line => console.log(line),
    picturesDir,
  })
  console.log()
  for (const { name, text, sequences } of outcome.accounts) {
    const numbers = sequences ? `, events 1 to ${sequences.length}` : ''
    console.log(`${name.padEnd(22)} ${wordsOf(text).length} words${numbers}`)
  }
  console.log(`${'without the kill'.padEnd(22)} ${wordsOf(outcome.expected).length} words`)
  const problems = problemsOf(outcome)
  for (const problem of problems) console.log(`WRONG  ${problem}`)
  console.log(problems.length === 0 ? '\nWord by word the same: nothing lost, nothing doubled.' : '\nThis must not be.')
  if (outcome.pictures.length > 0) console.log(`Pictures:\n${outcome.pictures.map(file => `  ${file}`).join('\n')}`)
  process.exitCode = problems.length === 0 ? 0 : 1
}

if (import.meta.main) await main()
