// What a Dockfile must keep beyond the shape of single keys: rules over two keys, or over a key and the environment.
// They read the plain tree, valid or not, so that their findings come together with those of the schema.
// A section that cannot act because another part was chosen is refused (H49): `auth.api_keys` without `mode: api_key`
// would look like protection. It is let pass when the choice itself came from a variable.

import { nearest } from './nearest.ts'
import { type Finding, type Path, valueAt } from './problem.ts'
import type { Env } from './substitute.ts'

export interface Facts {
  readonly value: unknown
  readonly env: Env
  /** Whether the value at a path was written as `${…}`. */
  readonly substituted: (path: Path) => boolean
}

type Rule = (facts: Facts) => readonly (Finding | undefined)[]

export function ruleFindings(facts: Facts): Finding[] {
  return rules.flatMap(rule => rule(facts).filter(finding => finding !== undefined))
}

const get = (facts: Facts, dotted: string) => valueAt(facts.value, dotted.split('.'))

/** [section, the key that must choose it, the choice, what that key is when unset] */
const chosenBy = [
  ['auth.api_keys', 'auth.mode', 'api_key', 'none'],
  ['auth.jwt', 'auth.mode', 'jwt', 'none'],
  ['streaming.redis', 'streaming.backend', 'redis', 'memory'],
  ['runcast.sqlite', 'streaming.backend', 'sqlite', 'memory'],
] as const

const sectionsAct: Rule = facts =>
  chosenBy.map(([section, key, choice, unset]) => {
    if (get(facts, section) === undefined || facts.substituted(key.split('.'))) return undefined
    const chosen = get(facts, key) ?? unset
    const known = chosenBy.some(row => row[1] === key && (row[2] === chosen || row[3] === chosen))
    // A choice that is no choice is told by the schema.
    if (typeof chosen !== 'string' || chosen === choice || !known) return undefined
    const says = `it has no effect while ${key} is ${chosen}`
    return { path: section.split('.'), says, fix: `set ${key}: ${choice}, or delete this section` }
  })

const somethingServes: Rule = facts => {
  if (get(facts, 'expose.rest') !== false || get(facts, 'expose.streaming') !== 'none') return []
  const says = 'rest is false and streaming is none, so that nothing is served'
  return [{ path: ['expose'], says, fix: 'set rest: true, or streaming: sse' }]
}

const agentsAreWhole: Rule = facts => {
  const agents = agentsOf(facts)
  const names = new Set<unknown>()
  const findings: (Finding | undefined)[] = agents.map(({ path, name, agent }) => {
    const both = valueAt(agent, ['entrypoint']) !== undefined && valueAt(agent, ['handler']) !== undefined
    const neither = valueAt(agent, ['entrypoint']) === undefined && valueAt(agent, ['handler']) === undefined
    if (typeof agent !== 'object' || agent === null) return undefined
    if (both) return { path, says: 'it has an entrypoint and a handler', fix: 'keep one of the two' }
    if (neither) return { path, says: 'it has neither entrypoint nor handler', fix: 'give handler: module:function' }
    if (names.has(name))
      return { path, says: 'another agent has the same name', fix: 'give every agent a name of its own' }
    if (name !== undefined) names.add(name)
    return undefined
  })
  if (agents.length === 0)
    findings.push({ path: ['agent'], says: 'there is no agent', fix: 'give agent: {name, handler}' })
  if (get(facts, 'agent') === undefined && get(facts, 'io_schema') !== undefined) {
    findings.push({
      path: ['io_schema'],
      says: 'it belongs to agent, which is missing',
      fix: 'move it to the agent in runcast.agents',
    })
  }
  return findings
}

function agentsOf(facts: Facts): { path: Path; name: unknown; agent: unknown }[] {
  const single = get(facts, 'agent')
  const several = get(facts, 'runcast.agents')
  const first = single === undefined ? [] : [{ path: ['agent'], name: valueAt(single, ['name']), agent: single }]
  if (typeof several !== 'object' || several === null) return first
  const rest = Array.isArray(several)
    ? several.map((agent: unknown, index) => ({
        path: ['runcast', 'agents', index],
        name: valueAt(agent, ['name']),
        agent,
      }))
    : Object.entries(several).map(([name, agent]) => ({
        path: ['runcast', 'agents', name],
        name,
        agent: agent as unknown,
      }))
  return [...first, ...rest]
}

const jwtHasAKey: Rule = facts => {
  const jwt = get(facts, 'auth.jwt')
  const path = ['auth', 'jwt']
  if (get(facts, 'auth.mode') === 'jwt' && jwt === undefined) {
    return [{ path, says: 'it is missing while auth.mode is jwt', fix: 'give jwks_url or public_key_env' }]
  }
  if (typeof jwt !== 'object' || jwt === null) return []
  const given = ['jwks_url', 'public_key_env'].filter(key => valueAt(jwt, [key]) !== undefined).length
  return [
    given === 1
      ? undefined
      : { path, says: `it has ${given} sources of keys`, fix: 'give jwks_url or public_key_env, one of the two' },
  ]
}

const limitsNameRoles: Rule = facts => {
  const limits = get(facts, 'auth.rate_limits')
  const roles = get(facts, 'auth.roles')
  if (typeof limits !== 'object' || limits === null || !Array.isArray(roles) || roles.length === 0) return []
  const names = [
    ...roles.map((role: unknown) => valueAt(role, ['name'])).filter(name => typeof name === 'string'),
    'default',
  ]
  return Object.keys(limits).map(role => {
    if (names.includes(role)) return undefined
    const fix = `give a role of auth.roles, or default${nearest(role, names)}`
    return { path: ['auth', 'rate_limits', role], says: `${JSON.stringify(role)} is not a role`, fix }
  })
}

const secretsAreSet: Rule = facts => {
  const seen = new Set<string>()
  return (['required', 'optional'] as const).flatMap(kind => {
    const entries = get(facts, `secrets.${kind}`)
    if (!Array.isArray(entries)) return []
    return entries.map((entry: unknown, index): Finding | undefined => {
      const name = valueAt(entry, ['name'])
      const path = ['secrets', kind, index, 'name']
      if (typeof name !== 'string') return undefined
      if (seen.has(name)) return { path, says: '%v is listed twice', fix: 'delete one of the two' }
      seen.add(name)
      // Empty is missing: a key that is required and empty would only fail later, far from here.
      if (kind === 'optional' || (facts.env[name] ?? '') !== '') return undefined
      return {
        path,
        ofEnv: true,
        says: 'the required secret %v is not set',
        fix: 'set it in the environment or in .env',
      }
    })
  })
}

const kafkaHasOneTarget: Rule = facts => {
  if (get(facts, 'runcast.kafka.topic') === undefined || get(facts, 'runcast.kafka.topic_prefix') === undefined)
    return []
  return [{ path: ['runcast', 'kafka', 'topic_prefix'], says: 'topic is given too', fix: 'keep one of the two' }]
}

const kafkaSaysWhoWeAreInWhole: Rule = facts =>
  [
    ['cert', 'key'],
    ['key', 'cert'],
  ].map(([given, other]) => {
    if (get(facts, `runcast.kafka.${given}`) === undefined || get(facts, `runcast.kafka.${other}`) !== undefined)
      return undefined
    const fix = `give the file of the ${other} too, or delete ${given}`
    return { path: ['runcast', 'kafka', String(given)], says: `there is no ${other} with it`, fix }
  })

const rules: readonly Rule[] = [
  agentsAreWhole,
  somethingServes,
  sectionsAct,
  jwtHasAKey,
  limitsNameRoles,
  secretsAreSet,
  kafkaHasOneTarget,
  kafkaSaysWhoWeAreInWhole,
]
