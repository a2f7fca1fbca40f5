// The machine's own Chromium, driven by playwright-core. Why: pages and EventSource are judged by the browser people
// use, without downloading one. It must never speak to anything but loopback on its own accord.
import { type Browser, chromium } from 'playwright-core'
import { findProgram } from './child.ts'

export const install = 'sudo apt-get install chromium'

/** No sandbox: CI runs as root. No QUIC and no background traffic: what a test counts must be its own requests. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export type { Browser }

/** Why no browser can be started here, or nothing. */
export function missing(): string | undefined {
  return executable() === undefined ? `Chromium is not installed: ${install}` : undefined
}

/** Close it (`await using`): an open browser keeps the process alive. */
export function startChromium(): Promise<Browser> {
  const path = executable()
  if (path === undefined) throw new Error(missing())
  return chromium.launch({ executablePath: path, args })
}

/** `RUNCAST_TEST_CHROMIUM` names another browser of the family. */
function executable(): string | undefined {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  return process.env.RUNCAST_TEST_CHROMIUM ?? names.map(name => findProgram(name)).find(path => path !== undefined)
}
