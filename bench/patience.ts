// A bench must fail loudly when a contender errs, dies or falls silent: a hang looks like a slow machine for hours.

/** Nothing that a bench waits for takes a tenth of it. */
const patienceMs = 180_000

/** What was promised, or an error that says who did not keep it. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${what}: nothing within ${patienceMs / 1_000} s`)), patienceMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
