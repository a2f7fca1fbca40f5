// `runcast test`: runs one agent once, in this process and without a server, and ends as the run did. The runs of the
// real log are not touched.
import { Console } from 'node:console'
import { jsonSchemaOf } from '../agent/schema.ts'
import { memory } from '../backends/memory.ts'
import { realDeps } from '../deps.ts'
import { type Agent, agentOf } from '../agent/define.ts'
import { createRuns } from '../local-runs.ts'
import { optionsOf } from '../server.ts'
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts'
import { exampleOf, readInput } from './input.ts'
import { createPrinter } from './print-events.ts'
import { loadProject, type Project } from './project.ts'
import { coloursOf, note } from './terminal.ts'

export interface TestOptions {
  readonly dockfile?: string
  readonly agent?: string
  readonly input?: string
  readonly json?: boolean
}

export async function test(files: readonly string[], options: TestOptions): Promise<ExitCode> {
  // What an agent logs is not what it says.
  globalThis.console = new Console({ stdout: process.stderr, stderr: process.stderr })
  const project = await loadProject({ dockfile: options.dockfile, files })
  const agent = agentOf(project.agents, options.agent)
  if (options.agent === undefined && project.agents.length > 1) {
    note(
      `agent ${agent.name}, the default; --agent gives another: ${project.agents.map(({ name }) => name).join(', ')}`,
    )
  }
  const input = options.input === undefined ? exampleFor(agent) : readInput(options.input)
  await using runs = createRuns(await runsOptions(project))
  const { run_id } = await runs.start(agent.name, input)
  let interrupted = false
  const interrupt = () => {
    if (interrupted) process.exit(exitCodes.interrupted)
    interrupted = true
    runs.tell(run_id, { type: 'cancel', reason: 'Ctrl-C' }).catch(() => {}) // it has just ended
  }
  process.on('SIGINT', interrupt)
  const printer = createPrinter({ run_id, json: options.json })
  let stuck = false
  const nothingLeft = () => {
    if (stuck) process.exit(exitCodes.failed) // it does not listen to its signal
    stuck = true
    printer.finish()
    printer.notice(stuckText)
    runs.tell(run_id, { type: 'cancel', reason: 'nothing is left that could wake it' }).catch(() => {})
  }
  process.on('beforeExit', nothingLeft)
  await runs.follow(run_id, {}, printer.take)
  printer.finish()
  process.off('beforeExit', nothingLeft)
  process.off('SIGINT', interrupt)
  if (interrupted) return exitCodes.interrupted
  return stuck ? exitCodes.failed : exitCodeOf((await runs.get(run_id)).status)
}

const stuckText =
  'the agent waits, and nothing is left here that could wake it; a question is answered where it is served: `runcast run`, ' +
  'then in its page, or by POST /runs/RUN/input'

function exampleFor(agent: Agent): unknown {
  const input = exampleOf(jsonSchemaOf(agent.input))
  const { dim } = coloursOf(process.stderr)
  note(
    dim(
      `input ${JSON.stringify(input)} (${agent.input ? 'from its schema' : 'it has no schema'}; --input gives another)`,
    ),
  )
  return input
}

/** Everything that the configuration says of runs, but not where they are kept or who may start them. */
async function runsOptions({ config, agents }: Project) {
  const { postgres: _postgres, kafka: _kafka, otel: _otel, ...settings } = config
  const here = {
    ...settings,
    streaming: { ...config.streaming, backend: 'memory' as const },
    auth: { ...config.auth, mode: 'none' as const },
  }
  return { ...(await optionsOf(here, agents, process.env)), log: memory(), agents, deps: realDeps }
}
