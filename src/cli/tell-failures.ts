// An agent whose failures are logged with their stack: a run's `error` event carries only the message, for whoever reads
// runs should not see the inside of the server; whoever writes the agent must. It changes nothing else, and tells no secret:
// what a run's `error` masks is masked here.
import { type Logger, stdSerializers } from 'pino'
import type { Agent, AgentResult } from '../agent/define.ts'

export function tellingFailures(agent: Agent, plainLogger: Logger, mask: <T>(json: T) => T): Agent {
  const serializers = { err: (error: Error) => mask(stdSerializers.err(error)) }
  const logger = plainLogger.child({}, { serializers })
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
