// A chat page as the AI SDK's documents build it: `useChat` of `@ai-sdk/react` with the SDK's own transport, ours around it
// so that stop stops. It keeps its messages where a reload finds them. It must know nothing of Runcast besides.
import { useChat } from '@ai-sdk/react'
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  type UIDataTypes,
  type UIMessagePart,
  type UITools,
} from 'ai'
import { StrictMode, useEffect } from 'react'
import { createRoot } from 'react-dom/client'
import { stoppable } from '../src/client/aisdk-transport.ts'

const transport = stoppable(new DefaultChatTransport())
const kept = JSON.parse(sessionStorage.getItem('messages') ?? '[]') as []

function Page() {
  const { messages, sendMessage, stop, status, error, addToolApprovalResponse } = useChat({
    id: 'page',
    messages: kept,
    resume: true,
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
  })
  useEffect(() => sessionStorage.setItem('messages', JSON.stringify(messages)), [messages])
  return (
    <main>
      <button onClick={() => void sendMessage({ text: 'sales' })}>Send</button>
      <button onClick={() => void stop()}>Stop</button>
      <p role="status">{error?.message ?? status}</p>
      {messages.map(({ id, role, parts }) => (
        <article key={id} data-role={role}>
          {parts.map((part, index) => (
            <Part
              key={index}
              part={part}
              answer={(to, approved) => void addToolApprovalResponse({ id: to, approved })}
            />
          ))}
        </article>
      ))}
    </main>
  )
}

interface PartProps {
  readonly part: UIMessagePart<UIDataTypes, UITools>
  readonly answer: (id: string, approved: boolean) => void
}

function Part({ part, answer }: PartProps) {
  if (part.type === 'text') return <span className="said">{part.text}</span>
  if (part.type === 'data-chart') return <i>chart</i>
  if (part.type !== 'dynamic-tool') return null
  if (part.state !== 'approval-requested') return <b>{`${part.toolName} ${part.state}`}</b>
  const { id } = part.approval
  return <button onClick={() => answer(id, true)}>Yes</button>
}

const root = document.querySelector('#root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Page />
    </StrictMode>,
  )
}
