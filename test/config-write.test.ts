// Dockfiles that we write: what `init` and `add streaming` put into a file is valid, and nothing else is touched.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { parseConfig } from '../src/config/load.ts'
import { addStreaming, initDockfile, type InitOptions } from '../src/config/write.ts'
import { RuncastError } from '../src/error.ts'

const read = (text: string) => parseConfig(text, { file: 'Dockfile.yaml', format: 'yaml', env: {} })

const commands: [string, InitOptions, (config: ReturnType<typeof read>) => unknown, unknown][] = [
  ['--streaming sse', { name: 'my-agent', streaming: 'sse' }, config => config.expose.streaming, 'sse'],
  [
    '--streaming-events chat',
    { name: 'my-agent', events: 'chat' },
    config => config.streaming.events.allowed,
    { types: new Set(['token', 'step', 'text', 'chart']), heartbeat: true },
  ],
  ['--async-runs', { name: 'my-agent', asyncRuns: true, events: 'chat' }, config => config.streaming.asyncRuns, true],
  [
    '--streaming-events "token,step,custom:fraud"',
    { name: 'my-agent', events: 'token,step,custom:fraud' },
    config => config.streaming.events.allowed,
    { types: new Set(['token', 'step', 'custom:fraud']), heartbeat: false },
  ],
  [
    '--async-runs --streaming-backend redis',
    { name: 'my-agent', asyncRuns: true, backend: 'redis' },
    config => [config.streaming.asyncRuns, config.streaming.backend],
    [true, 'redis'],
  ],
]

for (const [command, options, look, expected] of commands) {
  test(`DK83 what init ${command} writes is valid and says it`, () => {
    const text = initDockfile(options)
    const config = read(text)
    assert.equal(config.agents[0]?.name, 'my-agent')
    assert.deepEqual(look(config), expected)
    assert.match(text, /^# How this agent is served/)
  })
}

test('DK83 every legal set of options makes a valid Dockfile that says the same', () => {
  const options = fc.record(
    {
      name: fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
      streaming: fc.constantFrom('sse' as const, 'websocket' as const, 'none' as const),
      events: fc.oneof(
        fc.constantFrom('minimal', 'chat', 'debug', 'all'),
        fc.array(fc.constantFrom('token', 'step', 'custom', 'custom:null', 'custom:yes', 'heartbeat')),
      ),
      asyncRuns: fc.boolean(),
      backend: fc.constantFrom('memory' as const, 'sqlite' as const, 'redis' as const),
      handler: fc.constantFrom('./a.ts:run', 'pkg.module:main', 'a b/c:d#.ts:x', "it's:me"),
    },
    { requiredKeys: ['name'] },
  )
  fc.assert(
    fc.property(options, chosen => {
      const config = read(initDockfile(chosen as InitOptions))
      assert.equal(config.agents[0]?.name, chosen.name)
      assert.equal(config.expose.streaming, chosen.streaming ?? 'sse')
      assert.equal(config.streaming.backend, chosen.backend ?? 'memory')
      assert.equal(config.streaming.asyncRuns, chosen.asyncRuns ?? true)
      const { module, function: called } = config.agents[0]?.target ?? {}
      assert.equal(`${module}:${called}`, chosen.handler ?? './agent.ts:run')
    }),
  )
})

test('DK83 a bad name, handler or event is refused', () => {
  for (const bad of [
    { name: 'My Agent' },
    { name: '' },
    { name: '${X}' },
    { name: 'a', handler: 'x' },
    { name: 'a', events: 'tokn' },
  ]) {
    assert.throws(
      () => initDockfile(bad),
      (thrown: unknown) => thrown instanceof RuncastError && thrown.code === 'invalid_request',
      JSON.stringify(bad),
    )
  }
})

const existing = `# Our agent
version: "1.0" # never changes

agent:
  name: desk # as on the door
  handler: "\${HANDLER}"

# keys come from the vault
secrets:
  required:
    - { name: VAULT_KEY }
policies:
  safety:
    redact_patterns:
      - 'sk-[a-z0-9]{4,}   a very long pattern that must not be folded, however long it is, since folding would change it for ever'
`

test('DK84 add streaming --events chat --async-runs keeps other keys and comments', () => {
  const text = addStreaming(existing, { events: 'chat', asyncRuns: true })
  assert.ok(text.startsWith(existing))
  const { streaming, ...others } = parse(text) as Record<string, unknown>
  assert.deepEqual(others, parse(existing))
  assert.deepEqual(streaming, { async_runs: true, events: { allowed: 'chat' } })
})

test('DK84 add streaming --events debug --backend redis changes only what it names', () => {
  const before = `${existing}streaming:\n  # short, for the proxy\n  events: {allowed: chat, heartbeat_interval: 5} # here\n  async_runs: false\n`
  const text = addStreaming(before, { events: 'debug', backend: 'redis' })
  assert.deepEqual((parse(text) as Record<string, unknown>)['streaming'], {
    events: { allowed: 'debug', heartbeat_interval: 5 },
    async_runs: false,
    backend: 'redis',
  })
  for (const comment of ['# Our agent', '# never changes', '# as on the door', '# short, for the proxy', '# here']) {
    assert.ok(text.includes(comment), comment)
  }
})

test('DK84 streaming that was off is switched on, and an empty section is filled', () => {
  const text = addStreaming(`${existing}expose:\n  streaming: none # for now\nstreaming:\n`, { events: ['token'] })
  const { expose, streaming } = parse(text) as Record<string, unknown>
  assert.deepEqual([expose, streaming], [{ streaming: 'sse' }, { events: { allowed: ['token'] } }])
})

test('DK84 adding twice is adding once, and line ends stay', () => {
  const once = addStreaming(existing, { events: 'chat', asyncRuns: true })
  assert.equal(addStreaming(once, { events: 'chat', asyncRuns: true }), once)
  const windows = addStreaming(existing.replaceAll('\n', '\r\n'), { events: 'chat' })
  assert.equal(windows.replaceAll('\r\n', '').includes('\n'), false)
})

test('DK84 a bad event, a file with a problem and a section that is no map are refused', () => {
  const refused = [
    () => addStreaming(existing, { events: 'token,stpe' }),
    () => addStreaming(`${existing}expose: {prot: 1}\n`, { events: 'chat' }),
    () => addStreaming(`${existing}streaming: 5\n`, { events: 'chat' }),
    () => addStreaming('a: [', { events: 'chat' }),
    () => addStreaming('', { events: 'chat' }),
    () => addStreaming('- a\n', { events: 'chat' }),
  ]
  for (const run of refused) {
    assert.throws(run, (thrown: unknown) => thrown instanceof RuncastError && thrown.code === 'invalid_request')
  }
})
