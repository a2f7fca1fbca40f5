// One line of a benchmark's result. Every bench file returns these, so that one place prints the table and judges the
// bars. It must never carry a bare time: machines differ, ratios of one run hardly do.

export interface Row {
  /** The bar's id in the list of bars (P1 …). */
  id: string
  /** What was compared with what. */
  name: string
  /** The measured number, in `unit`; larger is better. */
  ratio: number
  /** What the number must reach; null where it is only told. */
  bar: number | null
  unit: string
  /** The times or sizes behind the number. */
  detail?: string
  /** The bar is a ceiling: smaller is better. */
  atMost?: true
}
