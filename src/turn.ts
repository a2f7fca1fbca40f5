// Once per turn of the event loop, for the whole process: hundreds of runs that emit in the same turn share one
// callback, and whatever a run emits within a turn becomes one batch. Timers would only add latency.

let due: (() => void)[] = []

/** Calls back at the end of this turn of the event loop. Must be asked again for the next one. */
export function atEndOfTurn(act: () => void): void {
  if (due.push(act) === 1) setImmediate(runAll)
}

function runAll(): void {
  const acts = due
  due = []
  for (const act of acts) act()
}
