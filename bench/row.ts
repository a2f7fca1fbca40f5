// One line of a benchmark's table. Each bench file exports `run()` that returns rows and prints nothing;
// bench/main.ts prints them all.
export interface Row {
  id: string
  name: string
  ratio: number
  bar: number | null
  unit: string
  detail?: string
}
