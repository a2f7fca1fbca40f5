// The prices that costs are counted with: the example that Runcast has, or a file of the user's own. Prices change: a list says
// what day it is of, is never taken for the bill, and a model that is not on it costs nobody knows what.
import { readFileSync } from 'node:fs'
import { RuncastError } from '../error.ts'
import { checkPrices, type PriceList } from '../inspect/costs.ts'

/** What was counted with: as good as its day, and ours is an example. */
export function pricesText(file: string | undefined, { as_of }: PriceList): string {
  const day = as_of === undefined ? 'without a date' : `as of ${as_of}`
  return file === undefined
    ? `Runcast's example, ${day}, not checked since; give yours with --prices`
    : `${file}, ${day}`
}

export async function readPrices(file: string | undefined): Promise<PriceList> {
  if (file === undefined) {
    return checkPrices((await import('../inspect/prices.json', { with: { type: 'json' } })).default, 'prices.json')
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new RuncastError('not_found', `--prices: ${file} cannot be read: ${(cause as Error).message}`, { cause })
  }
  let prices: unknown
  try {
    prices = JSON.parse(text)
  } catch (cause) {
    throw new RuncastError('invalid_request', `--prices: ${file} is no JSON: ${(cause as Error).message}`, { cause })
  }
  return checkPrices(prices, file)
}
