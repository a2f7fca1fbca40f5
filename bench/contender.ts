// A contender is a server in a process of its own, so that its CPU time can be told from the load client's.
// The harness forks it, lets readers connect, says go, and asks for the CPU seconds in between.
import { type ChildProcess, fork } from 'node:child_process'

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
  const { port } = await answer<{ port: number }>(child)
  return {
    port,
    ask(question) {
      const answered = answer(child)
      child.send(question)
      return answered as Promise<never>
    },
    async [Symbol.asyncDispose]() {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    },
  }
}

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const exited = (code: number | null) => reject(new Error(`the server left with ${code}`))
    child.once('exit', exited)
    child.once('message', message => {
      child.off('exit', exited)
      resolve(message as T)
    })
  })
}

/** The other end: answers what {@link contender} asks. `usage` is the same question for every server. */
export function serveQuestions(port: number, answers: Record<string, (question: never) => unknown>): void {
  let since = process.cpuUsage()
  const reply = async (question: { ask: string }): Promise<void> => {
    if (question.ask === 'usage') {
      const { user, system } = process.cpuUsage(since)
      globalThis.gc?.()
      since = process.cpuUsage() // a collection that we force is no cost of the server
      process.send?.({ cpu: (user + system) / 1e6, rss: process.memoryUsage().rss } satisfies Usage)
    } else process.send?.((await answers[question.ask]?.(question as never)) ?? {})
  }
  process.on('message', (question: { ask: string }) => void reply(question))
  process.send?.({ port })
}
