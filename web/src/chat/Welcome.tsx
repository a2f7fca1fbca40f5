// An empty chat: who answers, and questions that one may begin with, as the agent itself gives them.
import type { AgentChoice } from '../agents.ts'

/** More is a list to read, not a start. */
const examplesMax = 4

export function Welcome({ agent, send }: { agent: AgentChoice; send: (words: string) => void }) {
  const examples = agent.examples.slice(0, examplesMax)
  return (
    <section className="welcome" aria-labelledby="welcome">
      <img src="favicon.svg" alt="" width="48" height="48" />
      <h2 id="welcome">What would you like to know?</h2>
      <p className="muted">{agent.description ?? `${agent.name} answers.`}</p>
      {examples.length > 0 && (
        <ul className="examples">
          {examples.map(example => (
            <li key={example}>
              <button type="button" onClick={() => send(example)}>
                {example}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
