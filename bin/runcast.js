#!/usr/bin/env node
// The command `runcast`. Plain JavaScript, because it also has to run on a Node that is too old, to say so. It keeps
// compiled code between starts and leaves out the warnings of Node about its own parts; everything else is src/cli.
import { existsSync } from 'node:fs'
import module from 'node:module'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 22) || (major === 24 && minor < 6) || major === 23) {
  process.stderr.write(`error: this is Node ${process.versions.node}; runcast needs 22.22, or 24.6 and newer\n`)
  process.exit(1)
}

module.enableCompileCache?.()

// node:sqlite is announced as experimental on every start; whoever runs a server cannot act on it.
const emitWarning = process.emitWarning
process.emitWarning = (warning, ...rest) => {
  const type = typeof rest[0] === 'object' ? rest[0]?.type : rest[0]
  if (type !== 'ExperimentalWarning') emitWarning.call(process, warning, ...rest)
}

// A clone has the sources, a package what was built of them.
const source = new URL('../src/cli/main.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('../dist/src/cli/main.js', import.meta.url).href)
