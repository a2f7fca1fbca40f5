// The agent that the mounting examples share.
import { defineAgent } from '../../src/index.ts'

export const greet = defineAgent({ name: 'greet' }, async function* (input: { who?: string } | null) {
  yield 'Hello, '
  yield `${input?.who ?? 'world'}!`
  return { greeted: input?.who ?? 'world' }
})
