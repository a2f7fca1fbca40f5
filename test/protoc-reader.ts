// protoc as a reader of our bytes. Apart, because both protocols are judged by it; without it the test is skipped with
// the command that installs it, and RUNCAST_REQUIRE=all makes that a failure.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const install = 'apt-get install -y protobuf-compiler'

/** Reads a message as text, every field known to the schema; `undefined` after the test was skipped. */
export function protocReader(t: TestContext, type: string, file: string): ((bytes: Uint8Array) => string) | undefined {
  const protoc = onPath('protoc')
  if (protoc === undefined) {
    assert.notEqual(process.env['RUNCAST_REQUIRE'], 'all', `protoc is required: ${install}`)
    t.skip(`protoc is not installed: ${install}`)
    return undefined
  }
  return input => {
    const made = spawnSync(protoc, [`--decode=${type}`, '-I', join(root, 'proto'), file], { input })
    assert.equal(made.status, 0, made.stderr.toString())
    const text = made.stdout.toString()
    // A field that the schema does not have would stand there as a bare number.
    assert.doesNotMatch(text, /^\s*\d+:/m)
    return text
  }
}

/** A program on the path; those of npm packages aside, which may be downloaders of the real one. */
function onPath(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return folders
    .map(folder => join(folder, name))
    .find(file => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
