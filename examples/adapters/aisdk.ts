// An AI SDK agent you already have, as a Runcast agent: one line. Serve it by naming it in a Dockfile or to createRuns.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import { fromAISDK } from '../../src/agent/adapters/aisdk.ts'

const { OPENAI_BASE_URL = 'https://api.openai.com/v1', OPENAI_API_KEY, OPENAI_MODEL = 'gpt-5-mini' } = process.env
const provider = createOpenAICompatible({
  name: 'model',
  baseURL: OPENAI_BASE_URL,
  includeUsage: true,
  ...(OPENAI_API_KEY !== undefined && { apiKey: OPENAI_API_KEY }),
})

export const assistant = fromAISDK(
  ({ prompt }: { prompt: string }, { signal }) =>
    streamText({ model: provider(OPENAI_MODEL), prompt, abortSignal: signal, onError: () => {} }),
  { name: 'assistant', description: 'Answers a prompt' },
)
