// The run inspector.
import type { Server } from '../server.ts'

export default function Inspector(_: { server: Server; runs: readonly string[] }) {
  return <p className="loading">…</p>
}
