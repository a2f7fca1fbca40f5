// Which topic a message goes to, and how that topic must be. One topic keeps the order of a thread for every reader; a
// tree of topics is for readers that want one kind, or one tenant. Two tenants must never meet in one name.
import { RuncastError } from '../../error.ts'
import { chatTopics } from '../../formats/chat.ts'
import { dashTopics } from '../../formats/dashstream.ts'
import type { Message } from '../../formats/format.ts'
import { eventConfigs, partitionsDefault, stateConfigs, type TopicPlan } from '../../kafka/topics.ts'

export interface RoutingOptions {
  readonly format: 'dashstream' | 'chat'
  /** All into this one topic. Default for dashstream: `dashstream-events`. */
  readonly topic?: string | undefined
  /**
   * A tree: `PREFIX.{events,state,checkpoints,metrics,errors}.TENANT`, or for chat `PREFIX.{status,text,chart,error,complete}`
   * of the tenant `default`, and the same with `.TENANT` of any other.
   */
  readonly topicPrefix?: string | undefined
  /** Of topics that are made, and of those that are there. Default 10. */
  readonly partitions?: number | undefined
}

export interface Routing {
  /** Of every topic. */
  readonly partitions: number
  topicOf(tenant: string, message: Pick<Message, 'topic'>): string
  plans(tenant: string): TopicPlan[]
  /** Refuses tenants that have no topic of their own. */
  check(tenants: readonly string[]): void
}

export const dashTopicDefault = 'dashstream-events'
export const chatPrefixDefault = 'ondash.llm'
const tenantDefault = 'default'

export function createRouting(options: RoutingOptions): Routing {
  const { format, topic, topicPrefix, partitions = partitionsDefault } = options
  const single = topic ?? (format === 'dashstream' && topicPrefix === undefined ? dashTopicDefault : undefined)
  const prefix = topicPrefix ?? chatPrefixDefault
  const ends = format === 'chat' ? chatTopics : [...new Set(Object.values(dashTopics))]
  const nameOf = (tenant: string, end: string) => {
    if (single !== undefined) return single
    // An envelope of chat.v1 does not say whose it is: the plain names are those of a server without tenants.
    return format === 'chat' && tenant === tenantDefault ? `${prefix}.${end}` : `${prefix}.${end}.${tenant}`
  }
  return {
    partitions,
    topicOf: (tenant, message) => nameOf(tenant, message.topic),
    plans(tenant) {
      const names =
        single === undefined ? ends.map(end => [end, nameOf(tenant, end)] as const) : [['', single] as const]
      return names.map(([end, name]) => ({
        topic: name,
        partitions,
        configs: end === 'state' || end === 'checkpoints' ? stateConfigs : eventConfigs,
      }))
    },
    check(tenants) {
      if (topic !== undefined && topicPrefix !== undefined) {
        throw new RuncastError('invalid_request', 'topic and topicPrefix exclude each other; keep one of the two')
      }
      for (const tenant of tenants) {
        const name = nameOf(tenant, 'checkpoints')
        if (/^[A-Za-z0-9._-]{1,249}$/.test(name)) continue
        const message = `${JSON.stringify(name.slice(0, 300))} is no name of a topic: letters, digits, . _ -, at most 249`
        throw new RuncastError('invalid_request', message, { details: { tenant } })
      }
    },
  }
}
