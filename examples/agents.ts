// The example agents as a Dockfile names them: generators of the other files, with names, inputs and examples of these.
// They exist so that `npm start` shows every kind of event. What an agent does stands in its own file, not here.
import * as z from 'zod'
import { type Agent, defineAgent } from '../src/agent/define.ts'
import {
  streamFailure as failure,
  streamItems as items,
  streamProgress as progress,
  streamQuery as query,
  streamText as words,
  type ToolParams,
} from './olane/tools.ts'
import { salesAnalyst as analyst } from './sales-analyst/agent.ts'
import { summarizer as summary, textCharsMax } from './summarizer/agent.ts'

/** A question longer than that is a text, not a question. */
const questionCharsMax = 2_000

export const salesAnalyst = defineAgent(
  {
    name: 'sales-analyst',
    // The same question gives the same answer, unless a model words it.
    ...(process.env['OPENAI_BASE_URL'] === undefined && { restart: 'replay' as const }),
    description: 'Answers questions about the orders of a shop with text and a chart, from a real query.',
    input: z.strictObject({
      question: z
        .string()
        .min(1)
        .max(questionCharsMax)
        .meta({
          examples: [
            'Create a chart with sales data',
            'Profit by category as a pie',
            'Top 5 states by sales in 2017',
            'Sales by month as a line',
          ],
        }),
    }),
  },
  (input, { signal }) => analyst(input, signal),
)

export const summarizer = defineAgent(
  {
    name: 'summarizer',
    restart: 'replay',
    description: 'Streams the most telling sentences of a text, or of a page on the web, word by word.',
    input: z
      .strictObject({
        text: z.string().max(textCharsMax).optional(),
        url: z.string().optional(),
        sentences: z.int().optional(),
      })
      .meta({
        examples: [
          {
            text: 'A run is a log of numbered events. Anyone can read it, live or late. A reader that was cut off comes back with the last number it saw. Nothing is lost and nothing comes twice.',
            sentences: 2,
          },
        ],
      }),
  },
  ({ text, url, sentences }, { signal }) =>
    summary(
      {
        ...(text !== undefined && { text }),
        ...(url !== undefined && { url }),
        ...(sentences !== undefined && { sentences }),
      },
      signal,
    ),
)

const params = z.strictObject({ count: z.int().min(0).optional(), delayMs: z.int().min(0).optional() }).nullish()
type Input = z.output<typeof params>

export const streamItems = tool('stream-items', 'Items, one at a time.', items)
export const streamText = tool('stream-text', 'A text, word by word.', words)
export const streamQuery = tool('stream-query', 'Rows of the sales data, in batches.', query)
export const streamProgress = tool('stream-progress', 'The progress of a long operation.', progress)
export const streamFailure = tool('stream-failure', 'Some items, and then a failure.', failure)

/** In a tool every yield is one data chunk, whatever its form. */
function tool(
  name: string,
  description: string,
  run: (params?: ToolParams, signal?: AbortSignal) => AsyncGenerator<unknown>,
): Agent<Input, unknown> {
  return defineAgent({ name, description, input: params, yieldsItems: true }, (given, { signal }) => {
    const { count, delayMs } = given ?? {}
    return run({ ...(count !== undefined && { count }), ...(delayMs !== undefined && { delayMs }) }, signal)
  })
}
