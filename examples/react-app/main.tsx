// A page that shows one run with `useRun` and nothing else: its words, its charts and calls by name, its questions, stop.
// In your own page the import reads 'runcast/react'. The run is named by the page's address: reload, and it goes on.
import { useState } from 'react'
import { createRoot } from 'react-dom/client'
import { connect } from '../../src/client/index.ts'
import { type Part, useRun } from '../../src/react/index.ts'

const server = connect(location.origin)

function App() {
  const [run, setRun] = useState(() => new URLSearchParams(location.search).get('run') ?? undefined)
  const { phase, view, text, error, cancel, answer } = useRun(location.origin, run)

  const ask = async (question: string) => {
    const { run_id } = await server.start(undefined, { question })
    history.replaceState(null, '', `?run=${run_id}`)
    setRun(run_id)
  }

  return (
    <main>
      <form
        onSubmit={event => {
          event.preventDefault()
          void ask(new FormData(event.currentTarget).get('question') as string)
        }}
      >
        <input name="question" aria-label="Question" defaultValue="How were sales in May?" />
        <button disabled={phase === 'live'}>Ask</button>
        <button type="button" disabled={phase !== 'live'} onClick={() => void cancel('stopped on the page')}>
          Stop
        </button>
      </form>
      <p role="status">{error?.message ?? view?.status ?? phase}</p>
      <p id="answer">{text}</p>
      <ul>
        {view?.parts.map(part => (
          <Item key={part.part_id} part={part} />
        ))}
      </ul>
      {view?.questions.map(({ input_id, prompt }) => (
        <p key={input_id}>
          {prompt} <button onClick={() => void answer(input_id, true)}>Yes</button>
          <button onClick={() => void answer(input_id, false)}>No</button>
        </p>
      ))}
    </main>
  )
}

function Item({ part }: { part: Part }) {
  if (part.kind === 'chart') return <li>chart: {part.title ?? part.chart_id}</li>
  if (part.kind === 'tool') return <li>{`${part.tool_name}: ${part.stage}`}</li>
  return null
}

const root = document.querySelector('#root')
if (root) createRoot(root).render(<App />)
