// A call of the `openai` package you already have, as a Runcast agent: one line. The client reads OPENAI_BASE_URL and
// OPENAI_API_KEY itself.
import OpenAI from 'openai'
import { fromOpenAI } from '../../src/agent/adapters/openai.ts'

const client = new OpenAI()
const { OPENAI_MODEL: model = 'gpt-5-mini' } = process.env

export const assistant = fromOpenAI(
  ({ prompt }: { prompt: string }, { signal }) =>
    client.responses.create({ model, stream: true, input: prompt }, { signal }),
  { name: 'assistant', description: 'Answers a prompt' },
)
