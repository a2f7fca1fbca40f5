// A contender is a server in a process of its own, so that its CPU time can be told from the load client's.
// The harness forks it, lets readers connect, says go, and asks for the CPU seconds in between.
import { type ChildProcess, fork } from 'node:child_process'
import { within } from './patience.ts'

export interface Contender extends AsyncDisposable {
  readonly port: number
  /** Asks the server for something and waits for its answer. */
  ask<T = unknown>(question: Record<string, unknown>): Promise<T>
}

export interface Usage {
  /** CPU seconds of the server since it was last asked. */
  readonly cpu: number
  readonly rss: number
}

export async function contender(script: string, args: readonly string[] = []): Promise<Contender> {
  const child = fork(new URL(script, import.meta.url), args, {
    execArgv: ['--disable-warning=ExperimentalWarning', '--expose-gc'],
  })
  const end = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
  try {
    const { port } = await answer<{ port: number }>(child, script)
    return {
      port,
      ask(question) {
        const answered = answer(child, `${script}, asked to ${String(question['ask'])}`)
        // Who is gone is told of by its exit, or by what cannot be sent to it.
        if (child.connected) child.send(question)
        return answered as Promise<never>
      },
      [Symbol.asyncDispose]: end,
    }
  } catch (thrown) {
    await end()
    throw thrown
  }
}

/** The next thing that it says. Rejects when that is an error, when it dies, and when it says nothing. */
async function answer<T>(child: ChildProcess, who: string): Promise<T> {
  const said = Promise.withResolvers<T>()
  const exited = () => said.reject(new Error(`${who}: the server left with ${child.exitCode ?? child.signalCode}`))
  const heard = (message: unknown) => {
    const { failed } = message as { failed?: string }
    if (failed === undefined) said.resolve(message as T)
    else said.reject(new Error(`${who}: ${failed}`))
  }
  child.once('exit', exited)
  child.once('message', heard)
  if (!child.connected) exited()
  try {
    return await within(who, said.promise)
  } finally {
    child.off('exit', exited)
    child.off('message', heard)
  }
}

/**
 * What V8 does by itself once a process has been idle for some seconds: it also gives back the young generation, which a
 * burst of connections grows to 32 MB, however little is left of each. Twice: buffers go after the objects that hold them.
 */
function settle(): void {
  for (let time = 0; time < 2; time++) globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

/** The other end: answers what {@link contender} asks. `usage` is the same question for every server. */
export function serveQuestions(port: number, answers: Record<string, (question: never) => unknown>): void {
  let since = process.cpuUsage()
  const reply = async (question: { ask: string; settled?: boolean }): Promise<object> => {
    if (question.ask === 'usage') {
      const { user, system } = process.cpuUsage(since)
      if (question.settled) settle()
      else globalThis.gc?.()
      since = process.cpuUsage() // a collection that we force is no cost of the server
      return { cpu: (user + system) / 1e6, rss: process.memoryUsage().rss } satisfies Usage
    }
    const act = answers[question.ask]
    if (act === undefined) throw new Error(`this server cannot ${question.ask}`)
    return ((await act(question as never)) as object | undefined) ?? {}
  }
  process.on('message', (question: { ask: string }) => {
    reply(question).then(
      answered => process.send?.(answered),
      (error: unknown) => process.send?.({ failed: String(error) }),
    )
  })
  process.on('disconnect', () => process.exit()) // the harness is gone
  process.send?.({ port })
}
