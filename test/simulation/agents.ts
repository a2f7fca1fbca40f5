// Agents of every shape, whose tokens are numbered 1, 2, 3 …, so that a log can be checked against what was emitted.
// They must take their time and their dice from the world, and note only what they were truly told.
import { type Agent, defineAgent } from '../../src/agent/define.ts'
import type { Context } from '../../src/agent/context.ts'
import type { Deps } from '../../src/runs.ts'
import type { World } from './world.ts'

export const shapes = ['yields', 'awaits', 'bursts', 'fails', 'asks', 'ignores', 'silent'] as const
/** The agent that may be begun more than once. */
export const deterministic = 'again'
export interface Input {
  readonly shape: (typeof shapes)[number]
  readonly count: number
  /** Longest pause between two tokens. */
  readonly pauseMs: number
  /** Characters beside the number. */
  readonly padding: number
}

export function agentsOf(world: World, { sleep }: Deps): Agent[] {
  const { promised } = world
  const numbered = (n: number, input: Input) => `${n}:${'x'.repeat(input.padding)}`
  const paused = (input: Input, signal?: AbortSignal) =>
    world.chance(0.5) ? undefined : sleep(world.below(input.pauseMs), signal)

  async function* tokens(input: Input, ctx: Context) {
    for (let n = 1; n <= input.count; n++) {
      await paused(input, ctx.signal)
      yield numbered(n, input)
    }
  }

  const act = (input: Input, ctx: Context) => {
    promised.executions.set(ctx.run_id, (promised.executions.get(ctx.run_id) ?? 0) + 1)
    return input.shape === 'yields' ? tokens(input, ctx) : acts[input.shape](input, ctx)
  }

  const acts = {
    async awaits(input: Input, ctx: Context) {
      for (let n = 1; n <= input.count; n++) {
        await ctx.token(numbered(n, input))
        promised.stored.set(ctx.run_id, n)
        await paused(input, ctx.signal)
      }
    },
    async bursts(input: Input, ctx: Context) {
      for (let n = 1; n <= input.count; n++) {
        void ctx.token(numbered(n, input))
        if (n % 40 === 0) await paused(input, ctx.signal)
      }
    },
    async fails(input: Input, ctx: Context) {
      await acts.bursts(input, ctx)
      throw new Error('simulated: the agent fails')
    },
    async asks(input: Input, ctx: Context) {
      void ctx.token(numbered(1, input))
      const answer = await ctx.ask('go on?')
      void ctx.token(numbered(2, input))
      return answer
    },
    async ignores(input: Input, ctx: Context) {
      for (let n = 1; n <= input.count; n++) {
        void ctx.token(numbered(n, input))
        await sleep(world.below(input.pauseMs))
      }
    },
    async silent() {},
  }
  return [
    defineAgent({ name: 'any' }, (input, ctx) => act(input as Input, ctx)),
    // Says the same whenever it is run, so that it may be run again after a crash.
    defineAgent({ name: deterministic, restart: 'replay' }, (input, ctx) =>
      act({ ...(input as Input), shape: 'awaits' }, ctx),
    ),
  ]
}

export function drawInput(world: World): Input {
  const shape = world.pick(shapes)
  const large = world.chance(0.1)
  return {
    shape,
    count: large ? world.below(400) : 1 + world.below(30),
    pauseMs: 1 + world.below(world.pick([2, 50, 1_000])),
    padding: large ? world.below(2_000) : world.below(20),
  }
}
