#!/usr/bin/env node
// The command `runcast`. Plain JavaScript, because it also has to run on a Node that is too old, to say so. It keeps
// compiled code between starts and leaves out the warnings of Node about its own parts; everything else is src/cli.
import { existsSync, mkdirSync, statSync } from 'node:fs'
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 22) || (major === 24 && minor < 6) || major === 23) {
  process.stderr.write(`error: this is Node ${process.versions.node}; runcast needs 22.22, or 24.6 and newer\n`)
  process.exit(1)
}

/** Mode bits of a folder in which its group, or everyone, may lay something. */
const othersWrite = 0o022

keepCompiled()

// node:sqlite is announced as experimental on every start; whoever runs a server cannot act on it.
const emitWarning = process.emitWarning
process.emitWarning = (warning, ...rest) => {
  const type = typeof rest[0] === 'object' ? rest[0]?.type : rest[0]
  if (type !== 'ExperimentalWarning') emitWarning.call(process, warning, ...rest)
}

// A clone has the sources, a package what was built of them.
const source = new URL('../src/cli/main.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('../dist/src/cli/main.js', import.meta.url).href)

/**
 * In the user's own cache folder: Node would take the machine's folder for temporary files, where somebody else may have
 * laid something that we would run. A start without it takes half as long again. NODE_COMPILE_CACHE goes before.
 */
function keepCompiled() {
  try {
    const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'runcast', 'compiled')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = statSync(folder)
    // Not so under a home or an XDG_CACHE_HOME that is another's, or everyone's. Windows has neither uid nor such modes.
    if (process.getuid && (uid !== process.getuid() || (mode & othersWrite) !== 0)) return
    module.enableCompileCache?.(folder)
  } catch {
    // A user without a home, or a home that cannot be written: every start compiles.
  }
}
