// Asks for the API key of a server that wants one. It stays in this browser.
import { saveApiKey } from '../server.ts'

export function ApiKey({ reason }: { reason: string }) {
  return (
    <main className="gate">
      <form
        className="card"
        onSubmit={event => {
          event.preventDefault()
          saveApiKey((new FormData(event.currentTarget).get('key') as string | null) ?? '')
          location.reload()
        }}
      >
        <h1>An API key, please</h1>
        <p className="muted">{reason}</p>
        <label htmlFor="key">API key</label>
        <input id="key" name="key" type="password" autoComplete="current-password" required />
        <button type="submit" className="primary">
          Continue
        </button>
      </form>
    </main>
  )
}
