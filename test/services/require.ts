// Where a test asks for what the machine may lack: a service of this folder, or any program. Missing, the test is
// skipped with the command that installs it; under RUNCAST_REQUIRE=all (CI) it fails. It must never pass silently.
import type { TestContext } from 'node:test'
import * as chromium from './chromium.ts'
import * as kafka from './kafka.ts'
import * as postgres from './postgres.ts'
import * as redis from './redis.ts'

/** What tests share: one of each per process, ended with it. Tests that kill or pause start their own instead. */
export interface Services {
  postgres: { readonly url: string; database(): Promise<string> }
  kafka: { readonly brokers: string[] }
  redis: { readonly url: string }
  chromium: chromium.Browser
}

const missing = {
  postgres: () => (process.env.RUNCAST_TEST_POSTGRES ? undefined : postgres.missing()),
  kafka: () => (process.env.RUNCAST_TEST_KAFKA ? undefined : kafka.missing()),
  redis: () => (process.env.RUNCAST_TEST_REDIS ? undefined : redis.missing()),
  chromium: chromium.missing,
} satisfies Record<keyof Services, () => string | undefined>

/** Each may be replaced by a server that runs already: RUNCAST_TEST_POSTGRES, _KAFKA (host:port,…), _REDIS. */
const start: { [N in keyof Services]: () => Promise<Services[N]> } = {
  async postgres() {
    const url = process.env.RUNCAST_TEST_POSTGRES
    return url ? { url, database: () => postgres.createDatabase(url) } : postgres.startPostgres()
  },
  async kafka() {
    const brokers = process.env.RUNCAST_TEST_KAFKA
    return brokers ? { brokers: brokers.split(',') } : kafka.startKafka()
  },
  async redis() {
    const url = process.env.RUNCAST_TEST_REDIS
    return url ? { url } : redis.startRedis()
  },
  chromium: chromium.startChromium,
}

const started = new Map<string, Promise<unknown>>()

/**
 * The shared service, or undefined when this test is skipped: `const redis = await serviceOrSkip(t, 'redis'); if (!redis) return`.
 * A browser is not shared: it is closed after the test that asked.
 */
export async function serviceOrSkip<N extends keyof Services>(
  t: TestContext,
  name: N,
): Promise<Services[N] | undefined> {
  if (!needs(t, name, missing[name]())) return undefined
  if (name === 'chromium') {
    const browser = await start.chromium()
    t.after(() => browser.close())
    return browser as Services[N]
  }
  const service = (started.get(name) as Promise<Services[N]> | undefined) ?? start[name]()
  started.set(name, service)
  return service
}

/** Whether the test may go on. `reason` says why not, if so: `if (!needs(t, 'protoc', missingProtoc())) return`. */
export function needs(t: TestContext, name: string, reason: string | undefined): boolean {
  if (reason === undefined) return true
  if (isRequired(name)) throw new Error(`RUNCAST_REQUIRE=${process.env.RUNCAST_REQUIRE} but ${reason}`)
  t.skip(reason)
  return false
}

/** RUNCAST_REQUIRE is `all` or a list such as `redis,kafka`. */
function isRequired(name: string): boolean {
  const required = (process.env.RUNCAST_REQUIRE ?? '').split(',')
  return required.includes('all') || required.includes(name)
}
