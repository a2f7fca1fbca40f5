// The topics that we need, made with their documented settings or refused when they are there with others. Nobody may
// find out from lost records that a topic was made by accident with the broker's defaults (H110).
import { RuncastError } from '../error.ts'
import { answered, type clientOptions, type Kafka, kafkaError } from './client.ts'

export interface TopicPlan {
  readonly topic: string
  readonly partitions: number
  readonly configs: Readonly<Record<string, string>>
}

/** Of the order of a thread's records: more can be added to a topic only by breaking it, so it is ample from the start. */
export const partitionsDefault = 10

const dayMs = 86_400_000

/** Events: kept a week, deleted by age. A record holds what the formats may send and what Kafka adds to it. */
export const eventConfigs = {
  'cleanup.policy': 'delete',
  'retention.ms': String(7 * dayMs),
  'max.message.bytes': String(2 * 1024 * 1024),
} as const

/** States and checkpoints of the topic tree are kept longer: a month. */
export const stateConfigs = { ...eventConfigs, 'retention.ms': String(30 * dayMs) } as const

/** The newest record of each key is kept for ever. */
export const compactedConfigs = { 'cleanup.policy': 'compact' } as const

/**
 * Makes what is missing, and waits until the brokers know it. Returns what is wrong with those that cannot be as planned, by
 * topic: the others may be used.
 */
export async function ensureTopics(
  kafka: Kafka,
  base: ReturnType<typeof clientOptions>,
  plans: readonly TopicPlan[],
  sleep: Sleep,
): Promise<Map<string, string>> {
  const wrong = new Map<string, string>()
  const admin = new kafka.Admin(base)
  try {
    const there = new Set(await admin.listTopics())
    const old: TopicPlan[] = []
    const made: string[] = []
    for (const plan of new Map(plans.map(one => [one.topic, one])).values()) {
      const { topic } = plan
      const outcome = there.has(topic) ? 'there' : await create(admin, plan)
      if (outcome === 'there') old.push(plan)
      else if (outcome === 'made') made.push(topic)
      else wrong.set(topic, outcome.refused)
    }
    if (old.length > 0) for (const [topic, problem] of await check(kafka, admin, old)) wrong.set(topic, problem)
    if (made.length > 0) await known(admin, made, sleep)
    return wrong
  } finally {
    await admin.close()
  }
}

/** Refuses to go on with topics that are not as planned, and names all that is wrong with them. */
export function topicsRefused(wrong: ReadonlyMap<string, string>): RuncastError {
  const topics = [...wrong].map(([topic, problem]) => `${topic}: ${problem}`)
  const message = `topics are not as they must be: ${topics.join('; ')}; change them, or name other topics`
  return new RuncastError('refused_by_policy', message, { details: { topics } })
}

type Admin = InstanceType<Kafka['Admin']>
type Sleep = (ms: number) => Promise<void>

/** `there` is one whose name was not listed yet. Refused are names that Kafka takes for another's (`a.b` and `a_b`). */
async function create(
  admin: Admin,
  { topic, partitions, configs }: TopicPlan,
): Promise<'made' | 'there' | { refused: string }> {
  const list = Object.entries(configs).map(([name, value]) => ({ name, value }))
  try {
    // As many copies as the broker makes by default: it alone knows its cluster.
    await admin.createTopics({ topics: [{ topic, partitions, replicas: -1 }], configs: list })
    return 'made'
  } catch (error) {
    if (answered(error, 'TOPIC_ALREADY_EXISTS')) return 'there'
    if (answered(error, 'INVALID_TOPIC_EXCEPTION', 'POLICY_VIOLATION')) return { refused: kafkaError(error).message }
    throw error
  }
}

/** Who writes to a topic before all brokers have heard of it is told that there is none. */
async function known(admin: Admin, topics: readonly string[], sleep: Sleep): Promise<void> {
  for (let tries = 0; tries < knownTries; tries++) {
    const metadata = await admin.metadata({ topics: [...topics], forceUpdate: true }).catch((error: unknown) => {
      // The client's word for it has no code of Kafka's.
      if (!String(error).includes('Unknown topic ') && !answered(error, 'LEADER_NOT_AVAILABLE')) throw error
    })
    if (topics.every(topic => metadata?.topics.has(topic))) return
    await sleep(knownPollMs)
  }
}

const knownPollMs = 20
/** A cluster tells its brokers within milliseconds; what it does not know after seconds, the next answer complains of. */
const knownTries = 250

async function check(kafka: Kafka, admin: Admin, plans: readonly TopicPlan[]): Promise<Map<string, string>> {
  const resources = plans.map(({ topic, configs }) => ({
    resourceType: kafka.ConfigResourceTypes.TOPIC,
    resourceName: topic,
    configurationKeys: Object.keys(configs),
  }))
  const described = await admin.describeConfigs({ resources })
  const { topics } = await admin.metadata({ topics: plans.map(({ topic }) => topic) })
  const wrong = new Map<string, string>()
  for (const { topic, partitions, configs } of plans) {
    const found = described.find(({ resourceName }) => resourceName === topic)?.configs ?? []
    const problems = found.flatMap(({ name, value }) => {
      const planned = configs[name]
      return planned === undefined || enough(name, value, planned) ? [] : [`${name} is ${value}, not ${planned}`]
    })
    const count = topics.get(topic)?.partitionsCount
    // Keys go to partitions by their number: another one breaks the order of every thread (H40).
    if (count !== partitions) problems.push(`partitions is ${count}, not ${partitions}`)
    if (problems.length > 0) wrong.set(topic, problems.join(', '))
  }
  return wrong
}

/** Larger records and a longer memory do no harm. */
function enough(name: string, value: string | null | undefined, planned: string): boolean {
  if (value === planned) return true
  const [is, wants] = [Number(value), Number(planned)]
  if (name === 'max.message.bytes') return is >= wants
  return name === 'retention.ms' && (is === -1 || is >= wants)
}
