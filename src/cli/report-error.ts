// A thrown value as people read it: one clear line, a line for each of several problems, and never a stack unless asked.
import type { Problem } from '../config/problem.ts'
import { RuncastError } from '../error.ts'
import { coloursOf, counted, harmless, note } from './terminal.ts'

export function reportError(thrown: unknown): void {
  const { red, dim } = coloursOf(process.stderr)
  const error = RuncastError.from(thrown)
  const problems = problemsOf(error)
  const lines = harmless(error.message).split('\n')
  if (problems.length > 0) {
    note(`${red('error:')} ${problems[0]?.file} has ${counted(problems.length, 'problem')}:`)
    for (const line of lines) note(`  ${line}`)
  } else {
    note(`${red('error:')} ${lines.join('\n  ')}`)
  }
  if (error.code === 'unavailable' && error.details['source'] === undefined)
    note(dim('Is the server running? Start it with `runcast run`, or name it with --url.'))
  if (process.env['RUNCAST_DEBUG'] === '1') note(dim(String(error.stack ?? '')))
  else if (error.code === 'internal') note(dim('RUNCAST_DEBUG=1 shows where it comes from.'))
}

function problemsOf({ details }: RuncastError): readonly Problem[] {
  const { problems } = details as { problems?: unknown }
  return Array.isArray(problems) ? (problems as Problem[]) : []
}
