// Files that hold what agents were told and said: readable by their owner alone, whatever the umask of the process.
import { closeSync, openSync } from 'node:fs'

const ownerOnly = 0o600

/** Makes the file, if it is not there yet, before a library does that would let everybody read it. */
export function makePrivate(path: string): void {
  closeSync(openSync(path, 'a', ownerOnly))
}
