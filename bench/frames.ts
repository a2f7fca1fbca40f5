// The same bytes for every contender: one token event of a run.
export const content = 'token '

/** The frame as a hand-written server makes it: stringify, template, Buffer. */
export function frameOfRaw(run: string, n: number, text = content): Buffer {
  const event = {
    id: `${run}:${n}`,
    type: 'token',
    run_id: run,
    sequence: n,
    timestamp: new Date().toISOString(),
    content: text,
  }
  return Buffer.from(`event: token\ndata: ${JSON.stringify(event)}\nid: ${n}\n\n`)
}
