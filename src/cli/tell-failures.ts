// An agent whose failures are logged with their stack: a run's `error` event carries only the message, for whoever reads
// runs should not see the inside of the server; whoever writes the agent must. It changes nothing else.
import type { Logger } from 'pino'
import type { Agent, AgentResult } from '../agent/define.ts'

export function tellingFailures(agent: Agent, logger: Logger): Agent {
  return {
    ...agent,
    run(input, context) {
      const fail = (err: unknown): never => {
        // Told to stop, it may end as it likes.
        if (!context.signal.aborted)
          logger.error({ run_id: context.run_id, agent: agent.name, err }, 'the agent failed')
        throw err
      }
      let result: AgentResult<unknown>
      try {
        result = agent.run(input, context)
      } catch (error) {
        return fail(error)
      }
      if (result instanceof Promise) return result.then(value => watched(value, fail), fail)
      return watched(result, fail)
    },
  }
}

type Watched = AsyncGenerator<unknown, unknown, unknown>

function watched(result: unknown, fail: (error: unknown) => never): unknown {
  if (typeof result !== 'object' || result === null || !(Symbol.asyncIterator in result) || !('next' in result))
    return result
  const generator = result as Watched
  const watching: Watched = {
    next: (...given) => generator.next(...given).catch(fail),
    return: value => generator.return(value),
    throw: error => generator.throw(error).catch(fail),
    [Symbol.asyncIterator]: () => watching,
    [Symbol.asyncDispose]: () => generator[Symbol.asyncDispose](),
  }
  return watching
}
