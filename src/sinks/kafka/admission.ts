// Which tenants are exported: those whose topics are as they must be, or could be made so. What is wrong with the topics
// of one keeps no other from being exported; it must never be told of twice, though each session finds the same.
import { RuncastError } from '../../error.ts'
import type { clientOptions, Kafka } from '../../kafka/client.ts'
import { ensureTopics, topicsRefused } from '../../kafka/topics.ts'
import type { Deps } from '../../runs.ts'
import type { Routing } from './routing.ts'

export interface Admission {
  /** All that we were told of. */
  readonly tenants: ReadonlySet<string>
  /** Those whose topics cannot be used, and why. */
  readonly refused: ReadonlyMap<string, RuncastError>
  /** Those whose topics were found well in this session. */
  readonly admitted: ReadonlySet<string>
  /** Those whose topics nobody has looked at yet. */
  readonly fresh: ReadonlySet<string>
  /** False when it was there. */
  add(tenant: string): boolean
  /** Begins a session: all are looked at anew. */
  begin(kafka: Kafka): Promise<void>
  /** Makes or checks the topics of these. */
  admit(kafka: Kafka, tenants: Iterable<string>): Promise<void>
}

export function createAdmission(options: {
  readonly tenants: readonly string[]
  readonly routing: Routing
  readonly base: ReturnType<typeof clientOptions>
  readonly sleep: Deps['sleep']
  /** Before the first session works: when nobody can be exported then, it is no tenant's own trouble. */
  readonly starting: () => boolean
  readonly onAdmitted: (tenant: string) => void
  readonly onRefused: (error: RuncastError) => void
}): Admission {
  const { routing, base, sleep, starting, onAdmitted, onRefused } = options
  const tenants = new Set(options.tenants)
  const refused = new Map<string, RuncastError>()
  const admitted = new Set<string>()
  const fresh = new Set<string>()
  /** Why, as it was told. */
  const told = new Map<string, string>()

  const admit = async (kafka: Kafka, candidates: Iterable<string>) => {
    const looked = [...candidates]
    for (const tenant of looked) fresh.delete(tenant)
    const named = looked.filter(isNameable)
    const wrong = await ensureTopics(kafka, base, named.flatMap(routing.plans), sleep)
    for (const tenant of named) {
      const own = new Map(routing.plans(tenant).flatMap(({ topic }) => entryOf(wrong, topic)))
      if (own.size > 0) refused.set(tenant, topicsRefused(own))
      else {
        refused.delete(tenant)
        admitted.add(tenant)
        onAdmitted(tenant)
      }
    }
    const [error] = refused.values()
    if (starting() && admitted.size === 0 && error !== undefined) throw error
    tell()
  }

  /** False for a tenant that no topic can be named after. */
  const isNameable = (tenant: string): boolean => {
    try {
      routing.check([tenant])
      return true
    } catch (thrown) {
      refused.set(tenant, RuncastError.from(thrown))
      return false
    }
  }

  const tell = () => {
    for (const [tenant, { code, message }] of refused) {
      if (told.get(tenant) === message) continue
      told.set(tenant, message)
      onRefused(RuncastError.of(code, `the runs of the tenant ${JSON.stringify(tenant)} are not exported: ${message}`))
    }
  }

  return {
    tenants,
    refused,
    admitted,
    fresh,
    add(tenant) {
      if (tenants.has(tenant)) return false
      tenants.add(tenant)
      fresh.add(tenant)
      return true
    },
    begin(kafka) {
      admitted.clear()
      return admit(kafka, tenants)
    },
    admit,
  }
}

function entryOf(map: ReadonlyMap<string, string>, key: string): [string, string][] {
  const value = map.get(key)
  return value === undefined ? [] : [[key, value]]
}
