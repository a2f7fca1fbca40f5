// A LangGraph graph you already have, as a Runcast agent: one line. The model reads OPENAI_BASE_URL and
// OPENAI_API_KEY itself; a node that calls `interrupt` asks whoever reads the run.
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph'
import { ChatOpenAI } from '@langchain/openai'
import { fromLangGraph } from '../../src/agent/adapters/langgraph.ts'

const { OPENAI_MODEL = 'gpt-5-mini' } = process.env
const model = new ChatOpenAI({ model: OPENAI_MODEL })
const graph = new StateGraph(MessagesAnnotation)
  .addNode('answer', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addEdge(START, 'answer')
  .addEdge('answer', END)
  .compile()

export const assistant = fromLangGraph(graph, {
  name: 'assistant',
  description: 'Answers a prompt',
  graphInput: ({ prompt }: { prompt: string }) => ({ messages: [{ role: 'user', content: prompt }] }),
})
