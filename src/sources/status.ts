// How a source is, for whoever shows it. A type alone, without the client of any broker: whoever serves without one has not
// installed it. What is unknown must never be told as 0.

export interface SourceStatus {
  /** `joining`: nothing assigned, yet or now. `catching_up`: behind where the topics ended when it began. */
  readonly state: 'joining' | 'catching_up' | 'live' | 'retrying' | 'stopped'
  /** Less than all = another member of the group has the rest: this source does not see it. */
  readonly coverage: { readonly assigned: number; readonly total: number | undefined }
  /** Records behind the end, of the assigned partitions; undefined when unknown. */
  readonly lag: number | undefined
  readonly records: number
  /** Records without a value: somebody's tombstones. */
  readonly tombstones: number
  readonly deadLetters: number
  /** Not readable and, by configuration, not kept. */
  readonly discarded: number
  readonly problems: Readonly<Record<string, number>>
}
