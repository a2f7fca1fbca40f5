// Finish reasons and token usage in our words, whatever a provider calls them. One place, because three adapters speak
// of the same models. It must never make up a number that was not told.
import type { Body, FinishReason, Metric } from '../../event.ts'

const finishReasons: Readonly<Record<string, FinishReason>> = {
  'tool-calls': 'tool_calls',
  tool_use: 'tool_calls',
  function_call: 'tool_calls',
  'content-filter': 'content_filter',
  max_tokens: 'length',
  max_output_tokens: 'length',
  end_turn: 'stop',
  stop_sequence: 'stop',
}

export function finishReasonOf(raw: string): FinishReason {
  return finishReasons[raw] ?? raw
}

/** Usage of one model call; absent = not told. */
export interface ToldUsage {
  readonly prompt?: number | null | undefined
  readonly completion?: number | null | undefined
  readonly total?: number | null | undefined
  readonly cached?: number | null | undefined
  readonly reasoning?: number | null | undefined
}

/** `metrics` of scope `llm`, which the view sums; nothing when nothing was told. */
export function* usageMetrics(
  { prompt, completion, total, cached, reasoning }: ToldUsage,
  { request, model, times = {} }: { request: string; model?: string | undefined; times?: Record<string, Metric> },
): Generator<Body, void, void> {
  const told = {
    tokens_prompt: prompt,
    tokens_completion: completion,
    tokens_total: total,
    tokens_cached: cached,
    tokens_reasoning: reasoning,
  }
  const metrics: Record<string, Metric> = {}
  for (const [name, value] of Object.entries(told)) {
    if (typeof value === 'number') metrics[name] = { value, unit: 'tokens', kind: 'counter' }
  }
  Object.assign(metrics, times)
  if (Object.keys(metrics).length === 0) return
  yield { type: 'metrics', scope: 'llm', scope_id: request, metrics, ...(model !== undefined && { tags: { model } }) }
}

/** Arguments of a call, parsed once when they are whole; undefined when the model wrote no JSON or was cut off. */
export function parsedArguments(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
