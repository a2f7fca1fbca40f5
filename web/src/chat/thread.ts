// A conversation that is open: its stored messages, and behind them every run of its thread as it happens, whoever began
// it. It must never show a run twice, whether it comes from the store, from the thread's feed, or from our own send.
import {
  followThread,
  RuncastError,
  type Runs,
  type ThreadBatch,
  type ThreadCursor,
  type View,
} from '../../../src/client/index.ts'
import { emptyView, foldBatch } from '../../../src/state/fold.ts'
import { type AgentChoice, inputFor } from '../agents.ts'
import type { Message, MessagePage, Server } from '../server.ts'
import { createSignal, type Signal } from '../signal.ts'
import { partOf, partOfWords, type Stopping, type Turn, wordsOf } from './turn.ts'

export interface ThreadState {
  readonly loading: boolean
  /** Why the conversation cannot be read. */
  readonly failed?: RuncastError
  readonly turns: readonly Turn[]
  /** `before` of the page with older messages. */
  readonly older?: number
}

export interface Thread {
  readonly id: string
  readonly state: Signal<ThreadState>
  /** Reads until the returned function is called. */
  open(): () => void
  send(agent: AgentChoice, words: string): void
  stop(run: string): Promise<void>
  answer(run: string, input_id: string, value: unknown): Promise<void>
  loadOlder(): Promise<void>
}

export interface ThreadOptions {
  readonly server: Server
  readonly id: string
  /** Nothing can be stored of it yet. */
  readonly isNew: boolean
  /** A run began or ended: lists may want to look again. */
  readonly changed: () => void
}

/** A tab in the background gives its connection back after that long: a browser has six to a server, and more tabs. */
const hiddenMsMax = 20_000
/** A refusal that may pass is asked again so late. */
const againMs = 3_000

interface Live {
  view: View
  agent?: AgentChoice
  stopping?: Stopping | undefined
}

interface Sent {
  readonly key: string
  readonly agent: AgentChoice
  readonly words: string
  run_id?: string
  error?: RuncastError | undefined
}

export function openThread({ server, id, isNew, changed }: ThreadOptions): Thread {
  const { runs } = server
  const state = createSignal<ThreadState>({ loading: !isNew, turns: [] })
  let messages: readonly Message[] = []
  let older: number | undefined
  let failed: RuncastError | undefined
  let loading = !isNew
  /** Runs whose answer is among the messages. */
  const stored = new Set<string>()
  /** Runs of which nobody knows any more whom to ask again. */
  const forgotten = new Set<string>()
  const live = new Map<string, Live>()
  const sent: Sent[] = []
  let cursor: ThreadCursor | undefined
  let agents: readonly AgentChoice[] = []

  const publish = () => {
    const turns = [...storedTurns(messages, stored).map(askable), ...liveTurns()]
    state.set({ loading, turns, ...(failed && { failed }), ...(older !== undefined && { older }) })
  }
  const soon = onceAFrame(publish)

  const liveTurns = (): Turn[] => {
    const sending = sent.some(one => one.run_id === undefined && !one.error)
    const mine = new Map(sent.flatMap(one => (one.run_id === undefined ? [] : [[one.run_id, one] as const])))
    const turns: Turn[] = []
    for (const [run_id, { view, stopping }] of live) {
      const own = mine.get(run_id)
      mine.delete(run_id)
      // It may be the run that we are just starting, whose id is still on its way.
      if (sending && !own && view.terminal === undefined) continue
      const words = messages.find(message => message.run_id === run_id && message.role === 'user')
      const said = own ? [partOfWords(own.words)] : words?.content.map(partOf)
      turns.push({
        key: run_id,
        run_id,
        ...(said && { said }),
        answer: { source: 'live', view, stopping },
        ...again(said, own?.agent ?? agentOf(view)),
      })
    }
    for (const one of sent) {
      if (one.run_id !== undefined && !mine.has(one.run_id)) continue
      const sending = one.error ?? 'sending'
      turns.push({
        key: one.run_id ?? one.key,
        said: [partOfWords(one.words)],
        sending,
        again: () => void deliver(one),
      })
    }
    return turns
  }

  const again = (said: Turn['said'], agent: AgentChoice | undefined): Pick<Turn, 'again'> => {
    const words = wordsOf(said)
    return words === undefined || !agent ? {} : { again: () => send(agent, words) }
  }
  /** A stored answer does not say who gave it; its run does, while that is kept. */
  const askable = (turn: Turn): Turn => {
    const { said, answer, run_id } = turn
    const words = wordsOf(said)
    if (answer === undefined || run_id === undefined || words === undefined || forgotten.has(run_id)) return turn
    return { ...turn, again: () => void askAgain(run_id, words) }
  }
  const askAgain = async (run: string, words: string) => {
    const info = await runs.get(run).catch(() => undefined)
    const agent = agents.find(({ name }) => name === info?.agent)
    if (agent) return send(agent, words)
    forgotten.add(run)
    return publish()
  }
  const agentOf = (view: View) => agents.find(agent => agent.name === view.agent_name)

  const takePage = (page: MessagePage) => {
    messages = page.messages
    older = page.before
    for (const { role, run_id } of messages) if (role === 'assistant' && run_id !== undefined) stored.add(run_id)
  }

  const load = async () => {
    try {
      takePage(await server.messages(id))
      failed = undefined
    } catch (error) {
      // Not begun yet, or a server that keeps no conversations: then the feed tells everything.
      const known = RuncastError.from(error)
      if (known.code !== 'not_found') throw known
    } finally {
      loading = false
      publish()
    }
  }

  /** What was said to a run that somebody else began. */
  const learnWords = async () => {
    const page = await server.messages(id).catch(() => undefined)
    const known = new Set(messages.map(message => message.id))
    const fresh = page?.messages.filter(({ id: one, role }) => role === 'user' && !known.has(one)) ?? []
    if (fresh.length === 0) return
    messages = [...messages, ...fresh]
    soon()
  }

  const take = ({ run_id, batch, cursor: next }: ThreadBatch) => {
    if (stored.has(run_id) || (batch.last === 0 && batch.state === 'sealed')) {
      cursor = next
      return
    }
    const before = live.get(run_id)
    if (!before && !sent.some(one => one.run_id === run_id)) void learnWords()
    const view = foldBatch(before?.view ?? emptyView(run_id), batch)
    const stopping = view.terminal ? undefined : batch.state === 'cancelling' ? 'stopping' : before?.stopping
    live.set(run_id, { ...before, view, stopping })
    cursor = next
    if (!before || (view.terminal && !before.view.terminal)) changed()
    soon()
  }

  const follow = async (signal: AbortSignal) => {
    while (!signal.aborted) {
      try {
        if (loading || failed) await load()
        await followThread(passingOver(runs, { stored, older: older !== undefined }), id, { cursor, signal }, take)
      } catch (error) {
        if (signal.aborted) return
        failed = RuncastError.from(error)
        publish()
        if (failed.code === 'unauthenticated' || failed.code === 'forbidden') return
      }
      await pause(againMs, signal)
    }
  }

  const deliver = async (one: Sent) => {
    one.error = undefined
    publish()
    try {
      const info = await runs.start(one.agent.name, inputFor(one.agent, one.words), {
        thread: id,
        idempotencyKey: one.key,
      })
      one.run_id = info.run_id
    } catch (error) {
      one.error = RuncastError.from(error)
    }
    changed()
    publish()
  }

  const send = (agent: AgentChoice, words: string) => {
    const one: Sent = { key: crypto.getRandomValues(new Uint32Array(4)).join('-'), agent, words }
    sent.push(one)
    void deliver(one)
  }

  return {
    id,
    state,
    open() {
      void server.offer().then(
        found => (agents = found.agents),
        () => {},
      )
      return whileSeen(follow)
    },
    send,
    async stop(run) {
      const one = live.get(run)
      if (!one || one.stopping) return
      live.set(run, { ...one, stopping: 'requested' })
      publish()
      const told = await runs.tell(run, { type: 'cancel', reason: 'stopped by the reader' }).then(
        () => undefined,
        (error: unknown) => RuncastError.from(error),
      )
      const now = live.get(run)
      // Its end was faster than our wish.
      const refused = told && told.code !== 'run_ended'
      if (now && !now.view.terminal) live.set(run, { ...now, stopping: refused ? undefined : 'stopping' })
      publish()
      if (refused) throw told
    },
    answer: (run, input_id, value) => runs.tell(run, { type: 'input', input_id, value }),
    async loadOlder() {
      if (older === undefined) return
      const page = await server.messages(id, older)
      messages = [...page.messages, ...messages]
      older = page.before
      for (const { role, run_id } of page.messages) if (role === 'assistant' && run_id !== undefined) stored.add(run_id)
      publish()
    },
  }
}

/** Messages as turns: those of one run belong together. What was said to a run that is live stands there. */
function storedTurns(messages: readonly Message[], stored: ReadonlySet<string>): Turn[] {
  const turns = new Map<string, Turn>()
  for (const message of messages) {
    const { id, role, run_id, content } = message
    const key = run_id ?? id
    if (role === 'user') {
      if (run_id === undefined || stored.has(run_id))
        turns.set(key, { ...turns.get(key), key, ...(run_id && { run_id }), said: content.map(partOf) })
    } else turns.set(key, { ...turns.get(key), key, ...(run_id && { run_id }), answer: { source: 'stored', message } })
  }
  return [...turns.values()]
}

/** The runs, but those that are stored, or older than what is loaded, end at once: their events need not come again. */
function passingOver(runs: Runs, { stored, older }: { stored: ReadonlySet<string>; older: boolean }): Runs {
  // The feed has the runs in their order: before the first one that is loaded, they are on older pages.
  let tooOld = older && stored.size > 0
  return {
    ...runs,
    async follow(target, options, deliver) {
      if (typeof target !== 'string') return runs.follow(target, options, deliver)
      if (stored.has(target)) tooOld = false
      else if (!tooOld) return runs.follow(target, options, deliver)
      await deliver({ after: 0, last: 0, events: [], state: 'sealed' })
    },
  }
}

/** Runs the work while somebody looks, and shortly after; again from where it was when they come back. */
function whileSeen(work: (signal: AbortSignal) => Promise<void>): () => void {
  let current: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const start = () => {
    current ??= new AbortController()
    void work(current.signal)
  }
  const look = () => {
    clearTimeout(timer)
    if (document.visibilityState === 'visible') {
      if (!current) start()
    } else {
      timer = setTimeout(() => {
        current?.abort()
        current = undefined
      }, hiddenMsMax)
    }
  }
  document.addEventListener('visibilitychange', look)
  start()
  return () => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', look)
    current?.abort()
  }
}

/** Once a frame at most: tokens come faster than anybody can see. A hidden tab has no frames. */
function onceAFrame(work: () => void): () => void {
  let waiting = false
  const run = () => {
    waiting = false
    work()
  }
  return () => {
    if (waiting) return
    waiting = true
    if (document.visibilityState === 'visible') requestAnimationFrame(run)
    else setTimeout(run, 250)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
