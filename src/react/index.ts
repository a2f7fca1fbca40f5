// What is exported here is the whole of `runcast/react`: hooks over runcast/client. React is an optional peer.
export { type RunState, useRun, type UseRunOptions } from './use-run.ts'
export type { View } from '../state/fold.ts'
export type { Part } from '../state/view.ts'
