// The plan of the house as a table: which part of src/ may import which. test/tidy.test.ts holds the code to it.
// A row that grows is a decision: say in the commit why the part has to know more.

/** Types may come from anywhere but above: they leave nothing behind. What is above, nobody below may name. */
export const above = ['src/server.ts', 'src/serve-source.ts', 'src/load-agents.ts', 'src/index.ts', 'src/cli/']

/** What every part may see: the leaves. */
const leaves = ['src/event.ts', 'src/error.ts', 'src/iso-time.ts']
const log = [...leaves, 'src/shape.ts', 'src/batch.ts', 'src/iterate.ts', 'src/log.ts', 'src/bells.ts']
/** Folds of events, without a clock, a log or a network. */
const pure = ['src/state/', 'src/formats/', 'src/gen/']

/** What offers agents and their runs to others. */
const serving = [
  ...log,
  ...pure,
  'src/follow.ts',
  'src/runs.ts',
  'src/direct.ts',
  'src/agent/schema.ts',
  'src/agent/define.ts',
]

export interface Room {
  /** A folder, with a slash, or a file of src/ itself. */
  readonly room: string
  readonly sees: readonly string[]
  /** Files of the room that may not know each other. */
  readonly strangers?: boolean
}

export const rooms: readonly Room[] = [
  { room: 'src/gen/', sees: [] },
  { room: 'src/state/', sees: leaves },
  { room: 'src/agent/', sees: [...leaves, 'src/json-schema.ts', 'src/state/'] },
  { room: 'src/config/', sees: [...leaves, 'src/json-schema.ts'] },
  { room: 'src/sqlite/', sees: [...log, 'src/private-file.ts'] },
  { room: 'src/backends/', sees: [...log, 'src/sqlite/'], strangers: true },
  { room: 'src/layers/', sees: log, strangers: true },
  { room: 'src/formats/', sees: [...leaves, 'src/shape.ts', 'src/batch.ts', 'src/state/', 'src/gen/'] },
  {
    room: 'src/client/',
    sees: [...leaves, 'src/batch.ts', 'src/iterate.ts', 'src/state/', 'src/transports/*/client.ts'],
  },
  { room: 'src/react/', sees: [...leaves, 'src/batch.ts', 'src/iterate.ts', 'src/state/', 'src/client/'] },
  {
    room: 'src/transports/',
    sees: [...serving, 'src/client/'],
  },
  {
    room: 'src/faces/',
    // The schema: what a chat client sends is shaped after what the agent takes. The message: what a user said is read
    // out of a run's input in one way, by whoever shows it.
    sees: [...serving, 'src/transports/', 'src/conversations/message.ts'],
  },
  {
    room: 'src/conversations/',
    sees: [
      ...log,
      ...pure,
      'src/follow.ts',
      // A message is what a run's view says, and there is one way to a view.
      'src/view-at.ts',
      'src/runs.ts',
      'src/retention.ts',
      'src/agent/schema.ts',
      'src/private-file.ts',
    ],
  },
  // Clients, topics and fetches, as the sink and the source both need them.
  { room: 'src/kafka/', sees: leaves },
  {
    room: 'src/sinks/',
    sees: [...log, ...pure, 'src/follow.ts', 'src/view-at.ts', 'src/runs.ts', 'src/turn.ts', 'src/kafka/'],
  },
  {
    room: 'src/sources/',
    // A source keeps what it read in a log of its own, and forgets it as a server does.
    // A file is read through its own backend, opened for reading.
    sees: [
      ...log,
      ...pure,
      'src/follow.ts',
      'src/view-at.ts',
      'src/retention.ts',
      'src/turn.ts',
      'src/runs.ts',
      'src/local-runs.ts',
      'src/backends/memory.ts',
      'src/kafka/',
      'src/backends/sqlite.ts',
    ],
  },
  { room: 'src/inspect/', sees: [...leaves, 'src/state/'] },
  { room: 'src/cli/', sees: ['src/'] },
]

/**
 * The files of src/ itself, from the ground up: each sees what stands before it, the folders of its floor, and those of the
 * floors below.
 */
export const floors: readonly { readonly folders: readonly string[]; readonly files: string }[] = [
  {
    folders: [],
    files: 'private-file json-schema error event iso-time turn text-scan open-match shape batch iterate log bells',
  },
  {
    folders: ['src/state/', 'src/agent/'],
    files:
      'run-info follow view-at persist retention mask-json redact output-limit replay exit feeds runs owner deps recovery starts local-runs',
  },
  { folders: ['src/backends/memory.ts', 'src/layers/'], files: 'direct' },
  { folders: ['src/'], files: 'load-agents package web listen server serve-source sources http index' },
]
