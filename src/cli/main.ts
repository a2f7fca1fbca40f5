// The command: what there is, what it takes, how it ends. Each command's work is in its own file and is loaded only when it
// is called, so that help comes at once. Nothing here may import the server.
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { version } from '../package.ts'
import { exitCodes } from './exit-codes.ts'

let code: number = exitCodes.ok

/** Loads a command's file and runs it; what it resolves with is the exit code. */
function act<Words extends unknown[]>(load: () => Promise<(...words: Words) => Promise<number | void>>) {
  return async (...words: unknown[]) => {
    code = (await (await load())(...(words as Words))) ?? exitCodes.ok
  }
}

const program = new Command('runcast')
  .description('The run log for AI agents: serve agents, and read their runs live, late and again.')
  .version(version, '-v, --version')
  .showHelpAfterError('(--help shows what there is)')
  .addHelpText(
    'after',
    `
First steps:
  $ runcast init my-agent     writes a Dockfile and an agent
  $ runcast test              runs the agent once, here
  $ runcast run               serves it at http://127.0.0.1:8080
  $ runcast runs start --tail starts a run there and follows it

Exit codes: 0 done or complete, 1 failed or refused, 2 wrong usage, 3 cancelled,
4 cut off, 130 interrupted. RUNCAST_URL and RUNCAST_TOKEN stand for --url and
--token; NO_COLOR turns colours off.`,
  )

const dockfile = () =>
  new Option('--dockfile <path>', 'a Dockfile or TOML, or the folder that has one').default(undefined, 'this folder')
const backend = (flag: string) =>
  new Option(`${flag} <backend>`, 'where runs are kept').choices(['memory', 'sqlite', 'redis'])
const topicHelp = `A topic: kafka://BROKER:PORT/TOPIC, with more brokers or topics behind commas.
Behind a question mark: format=chat for chat.v1 (the topic PREFIX.* is then all
five), tls=true, ca=FILE, and of a client certificate cert=FILE and key=FILE.
RUNCAST_KAFKA_USERNAME, RUNCAST_KAFKA_PASSWORD and RUNCAST_KAFKA_MECHANISM
(PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) say who we are.`
const json = () => new Option('--json', 'one JSON object per line, for programs')
const input = () => new Option('--input <json>', 'the input: JSON, @file, or - for stdin')

program
  .command('init <name>')
  .description('write a Dockfile, and an agent to begin with, into this folder')
  .addOption(new Option('--streaming <transport>', 'how events are streamed').choices(['sse', 'websocket', 'none']))
  .option('--streaming-events <events>', 'minimal, chat, debug, all, or a list: "token,step,custom:fraud"')
  .option('--async-runs', 'runs that outlive their connection: /runs')
  .addOption(backend('--streaming-backend'))
  .option('--force', 'overwrite the Dockfile that is there')
  .addHelpText(
    'after',
    '\nExamples:\n  $ runcast init my-agent\n  $ runcast init my-agent --async-runs --streaming-events chat',
  )
  .action(act(async () => (await import('./init.ts')).init))

program
  .command('add')
  .description('add a section to the Dockfile')
  .command('streaming')
  .description('set the streaming section of the Dockfile; everything else in it stays')
  .option('--events <events>', 'minimal, chat, debug, all, or a list: "token,step,custom:fraud"')
  .option('--async-runs', 'runs that outlive their connection: /runs')
  .addOption(backend('--backend'))
  .option('--dockfile <path>', 'which file')
  .addHelpText('after', '\nExample:\n  $ runcast add streaming --events chat --async-runs')
  .action(act(async () => (await import('./add.ts')).streaming))

program
  .command('validate [path]')
  .description('check a configuration: every problem with its line and how to mend it')
  .action(act(async () => (await import('./validate.ts')).validate))

program
  .command('run [files...]')
  .description('serve the agents of a Dockfile, or of agent files')
  .addOption(dockfile())
  .option('--port <port>', 'overrides expose.port; 0 = any free one', wholeNumber('a port', 0, 65_535))
  .option('--host <host>', 'overrides expose.host')
  .option('--reload', 'start again when a file changes; a broken one leaves the old version running')
  .addHelpText(
    'after',
    '\nExamples:\n  $ runcast run\n  $ runcast run agent.ts --port 3000\n  $ runcast run --dockfile examples --reload',
  )
  .action(act(async () => (await import('./run.ts')).run))

program
  .command('serve <source>')
  .description('open the page, read-only, over runs that others write: a Kafka topic, or a SQLite file')
  .option('--tenant <tenant>', 'whose runs; default: those of "default"')
  .option('--port <port>', 'default: 8080; 0 = any free one', wholeNumber('a port', 0, 65_535))
  .option('--host <host>', 'default: 127.0.0.1')
  .addOption(
    new Option('--auth <mode>', 'whether to ask for the API key in DOCKRION_API_KEY')
      .choices(['none', 'api_key'])
      .default('none'),
  )
  .addHelpText('after', `\n${topicHelp}`)
  .addHelpText(
    'after',
    `\nExamples:\n  $ runcast serve 'kafka://localhost:9092/ondash.llm.*?format=chat'\n  $ runcast serve .runcast/runs.db --port 3000`,
  )
  .action(act(async () => (await import('./serve.ts')).serve))

program
  .command('test [files...]')
  .description('run one agent once, in this process, and show its events')
  .addOption(dockfile())
  .option('--agent <name>', 'which agent; default: the first that the server lists')
  .addOption(input())
  .addOption(json())
  .addHelpText('after', `\nExamples:\n  $ runcast test\n  $ runcast test agent.ts --input '{"name":"Ada"}'`)
  .action(act(async () => (await import('./test.ts')).test))

program
  .command('doctor')
  .description('check everything a run needs; with --url a server, through its proxies')
  .addOption(dockfile())
  .option('--url <url>', 'look at this server')
  .option('--token <token>', 'its API key')
  .action(act(async () => (await import('./doctor.ts')).doctor))

program
  .command('logs')
  .description('show what a server and its agents logged')
  .addOption(dockfile())
  .option('-f, --follow', 'go on with what is logged from now on')
  .option('--run <run>', 'only the lines of this run')
  .addOption(
    new Option('-n, --lines <count>', 'how many at most').argParser(wholeNumber('a count', 0, 1_000_000)).default(200),
  )
  .addOption(json())
  .action(act(async () => (await import('./logs.ts')).logs))

const runs = program.command('runs').description('the runs of a server')

remote(runs.command('list'))
  .description('list runs, newest first')
  .addOption(
    new Option('--status <status>', 'only these').choices(['accepted', 'running', 'completed', 'failed', 'cancelled']),
  )
  .option('--agent <name>', 'the runs of this agent')
  .option('--thread <id>', 'the runs of this conversation')
  .option('--limit <count>', 'how many per page', wholeNumber('a count', 1, 500))
  .option('--cursor <cursor>', 'the next page')
  .option('--all', 'every page')
  .addOption(json())
  .action(act(async () => (await import('./runs.ts')).list))

remote(runs.command('show <run>'))
  .description('a run, with its output or error once it ended')
  .addOption(json())
  .action(act(async () => (await import('./runs.ts')).show))

remote(runs.command('start [agent]'))
  .description('start a run and print its id')
  .addOption(input())
  .option('--thread <id>', 'the conversation that it belongs to')
  .option('--run-id <id>', 'an id of your own')
  .addOption(
    new Option('--on-busy <what>', 'when the thread has a run already').choices(['reject', 'queue', 'interrupt']),
  )
  .option('--tail', 'follow it to its end, and end as it did')
  .addOption(json())
  .addHelpText('after', `\nExample:\n  $ runcast runs start my-agent --input '{"name":"Ada"}' --tail`)
  .action(act(async () => (await import('./runs.ts')).start))

remote(runs.command('cancel <run>'))
  .description('cancel a run and wait until it has ended')
  .option('--reason <text>', 'why; readers are told')
  .addOption(json())
  .action(act(async () => (await import('./runs.ts')).cancel))

source(program.command('tail').addArgument(new Argument('[run]', 'its id')))
  .description('follow a run live, through cuts and restarts, and end as it did')
  .option(
    '--after <sequence>',
    'the last sequence you have seen',
    wholeNumber('a sequence', 0, Number.MAX_SAFE_INTEGER),
  )
  .option('--types <types>', 'only these, such as token,custom:fraud')
  .option(
    '--max-wait <duration>',
    'give up when the server is away for so long (exit code 4); default: never',
    duration,
  )
  .option('--all', 'in place of a run: every run that goes on or begins')
  .option('--thread <id>', 'in place of a run: those of this conversation')
  .option('--agent <name>', 'in place of a run: those of this agent')
  .addOption(json())
  .addHelpText('after', '\nThe text goes to stdout, everything else to stderr:\n  $ runcast tail RUN > answer.txt')
  .action(act(async () => (await import('./tail.ts')).tail))

const sequence = (what: string, from = 1) => wholeNumber(what, from, Number.MAX_SAFE_INTEGER)
const prices = () =>
  new Option(
    '--prices <file>',
    "yours in place of Runcast's example, which is of an older day and not checked since: JSON, " +
      '{"as_of": "2026-01-31", "MODEL": {"input_per_million": 2.5, "output_per_million": 10}}',
  )
const windowed = (command: Command) =>
  command
    .option('--from <sequence>', 'the first event', sequence('a sequence'))
    .option('--to <sequence>', 'the last event', sequence('a sequence'))
    .option('--types <types>', 'only these, such as step,tool,custom:fraud')
const selected = (command: Command) =>
  command
    .option('--thread <id>', 'the runs of this conversation')
    .option('--agent <name>', 'the runs of this agent')
    .option('--since <when>', 'those of the last 24h, 7d, … or since 2026-01-31T12:00:00Z')

windowed(source(program.command('inspect <run>')))
  .description('what a run was: a summary, its nodes, tools and models, its events')
  .addOption(
    new Option('--limit <count>', 'how many events are shown at most')
      .argParser(wholeNumber('a count', 0, 1_000_000))
      .default(100),
  )
  .addOption(prices())
  .addOption(json())
  .action(act(async () => (await import('./inspect.ts')).inspect))

source(program.command('replay <run>'))
  .description('show a run as it was, at its own pace; or what it amounted to at one event')
  .option('--from <sequence>', 'the first event', sequence('a sequence'))
  .option('--to <sequence>', 'the last event', sequence('a sequence'))
  .addOption(new Option('--from-checkpoint <name>', 'begin at the newest checkpoint of this name').conflicts('from'))
  .addOption(
    new Option('--at <sequence>', 'its state, text and open steps at this event; 0 = before the first')
      .argParser(sequence('a sequence', 0))
      .conflicts(['from', 'to', 'fromCheckpoint']),
  )
  .option('--speed <factor>', 'so many times as fast, or max', '1')
  .addOption(json())
  .addHelpText('after', '\nExamples:\n  $ runcast replay RUN --speed 10\n  $ runcast replay RUN --at 120 --json')
  .action(act(async () => (await import('./replay.ts')).replay))

source(program.command('diff <run> [other]'))
  .description('what changed between two events of a run, or between two runs')
  .option('--from <sequence>', 'the event before; default: the start, of two runs the end', sequence('a sequence', 0))
  .option('--to <sequence>', 'the event after; default: the end', sequence('a sequence', 0))
  .addOption(json())
  .action(act(async () => (await import('./diff.ts')).diff))

windowed(source(program.command('export <run>')))
  .description('write the events of a run')
  .addOption(
    new Option('--format <format>', 'how they are written').choices(['json', 'ndjson', 'csv']).default('ndjson'),
  )
  .option('-o, --output <file>', 'default: stdout')
  .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
  .action(act(async () => (await import('./export.ts')).exportRun))

source(program.command('flamegraph <run>'))
  .description('where the time of a run went, as SVG')
  .option('-o, --output <file>', 'default: stdout')
  .addOption(new Option('--folded', 'folded stacks in microseconds instead, for other programs').conflicts('json'))
  .addOption(json())
  .action(act(async () => (await import('./flamegraph.ts')).flamegraph))

selected(source(program.command('costs [runs...]')))
  .description('what runs used and cost, by model, node and tenant; default: all runs')
  .addOption(new Option('--by <what>', 'only this table').choices(['model', 'node', 'tenant', 'agent', 'run']))
  .addOption(prices())
  .addOption(json())
  .action(act(async () => (await import('./costs.ts')).costs))

selected(source(program.command('profile [runs...]')))
  .description('how often nodes, tools and models were called, and how long that took; default: all runs')
  .addOption(json())
  .action(act(async () => (await import('./profile.ts')).profile))

function source(command: Command): Command {
  return remote(command)
    .option('--tenant <tenant>', 'whose runs, of a file or a topic')
    .addOption(
      new Option(
        '--source <source>',
        "a server's address, the path of a SQLite file, or kafka://BROKER:PORT/TOPIC",
      ).conflicts('url'),
    )
    .addHelpText('after', `\n${topicHelp}`)
}

function remote(command: Command): Command {
  return command
    .option('--url <url>', 'the server; default: RUNCAST_URL, else http://127.0.0.1:8080')
    .option('--token <token>', 'its API key; default: RUNCAST_TOKEN')
}

function wholeNumber(what: string, min: number, max: number) {
  return (text: string): number => {
    const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (number >= min && number <= max) return number
    throw new InvalidArgumentError(`Give ${what} from ${min} to ${max}.`)
  }
}

/** As durations in a Dockfile, without loading what reads one. */
function duration(text: string): number {
  const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? []
  if (number === undefined) throw new InvalidArgumentError('Give a duration such as 30s or 5m.')
  return Math.round(Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? 1000))
}

/** Wrong usage is 2; a value that is refused is 1, as a file that is refused. */
function codeOf({ code: what, exitCode }: CommanderError): number {
  if (exitCode === 0) return exitCodes.ok
  return what === 'commander.invalidArgument' ? exitCodes.failed : exitCodes.usage
}

function everyCommand(command: Command, configure: (command: Command) => void): void {
  configure(command)
  for (const inner of command.commands) everyCommand(inner, configure)
}

async function main(): Promise<number> {
  // `runcast tail RUN | head`: the reader has what it wanted.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? code : exitCodes.failed))
  }
  everyCommand(program, command => command.exitOverride())
  try {
    await program.parseAsync()
    return code
  } catch (thrown) {
    if (thrown instanceof CommanderError) return codeOf(thrown)
    const { reportError } = await import('./report-error.ts')
    reportError(thrown)
    return exitCodes.failed
  }
}

const ended = await main()
// Not left to the event loop: an agent's forgotten timer must not keep the command alive.
process.stdout.write('', () => process.stderr.write('', () => process.exit(ended)))
