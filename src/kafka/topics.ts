// The topics that we need, made with their documented settings or refused when they are there with others. Nobody may
// find out from lost records that a topic was made by accident with the broker's defaults (H110).
import { RuncastError } from '../error.ts'
import { answered, type clientOptions, type Kafka } from './client.ts'

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

/** Makes what is missing. Throws `refused_by_policy` for a topic that is there with other settings, naming all of them. */
export async function ensureTopics(
  kafka: Kafka,
  base: ReturnType<typeof clientOptions>,
  plans: readonly TopicPlan[],
): Promise<void> {
  const admin = new kafka.Admin(base)
  try {
    const there = new Set(await admin.listTopics())
    const old: TopicPlan[] = []
    for (const plan of plans) if (there.has(plan.topic) || !(await create(admin, plan))) old.push(plan)
    if (old.length > 0) await check(kafka, admin, old)
  } finally {
    await admin.close()
  }
}

type Admin = InstanceType<Kafka['Admin']>

/** False when it is there, though its name was not listed yet. */
async function create(admin: Admin, { topic, partitions, configs }: TopicPlan): Promise<boolean> {
  const list = Object.entries(configs).map(([name, value]) => ({ name, value }))
  try {
    // As many copies as the broker makes by default: it alone knows its cluster.
    await admin.createTopics({ topics: [{ topic, partitions, replicas: -1 }], configs: list })
    return true
  } catch (error) {
    if (answered(error, 'TOPIC_ALREADY_EXISTS')) return false
    throw error
  }
}

async function check(kafka: Kafka, admin: Admin, plans: readonly TopicPlan[]): Promise<void> {
  const resources = plans.map(({ topic, configs }) => ({
    resourceType: kafka.ConfigResourceTypes.TOPIC,
    resourceName: topic,
    configurationKeys: Object.keys(configs),
  }))
  const described = await admin.describeConfigs({ resources })
  const { topics } = await admin.metadata({ topics: plans.map(({ topic }) => topic) })
  const wrong = plans.flatMap(({ topic, partitions, configs }) => {
    const found = described.find(({ resourceName }) => resourceName === topic)?.configs ?? []
    const settings = found.flatMap(({ name, value }) => {
      const planned = configs[name]
      return planned === undefined || enough(name, value, planned) ? [] : [`${name} is ${value}, not ${planned}`]
    })
    const count = topics.get(topic)?.partitionsCount
    // Keys go to partitions by their number: another one breaks the order of every thread (H40).
    const counted = count === partitions ? [] : [`partitions is ${count}, not ${partitions}`]
    return [...settings, ...counted].map(problem => `${topic}: ${problem}`)
  })
  if (wrong.length === 0) return
  const message = `topics are there with other settings: ${wrong.join('; ')}; change them, or name other topics`
  throw new RuncastError('refused_by_policy', message, { details: { topics: wrong } })
}

/** Larger records and a longer memory do no harm. */
function enough(name: string, value: string | null | undefined, planned: string): boolean {
  if (value === planned) return true
  const [is, wants] = [Number(value), Number(planned)]
  if (name === 'max.message.bytes') return is >= wants
  return name === 'retention.ms' && (is === -1 || is >= wants)
}
