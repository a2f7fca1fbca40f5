// Which of the things that the server can give a request wants, by its Accept or Accept-Encoding header. It must never
// refuse: a header that fits nothing gets what the server gives first, as if it had said nothing.

/** Below the least that a header can say of what it takes: what it does not name is still better than what it refuses. */
const unnamed = 0.0005

/** The best of `offers`, which stand in the server's order. The highest q wins, then who is named, then who is named first. */
export function preferred<T extends string>(header: string | undefined, offers: readonly [T, ...T[]]): T {
  const ranges = (header ?? '').toLowerCase().split(',').map(rangeOf)
  const ranked = offers.map(offer => ({ offer, ...rankOf(offer, ranges) }))
  return ranked.toSorted((a, b) => b.q - a.q || b.exact - a.exact || a.place - b.place)[0]?.offer ?? offers[0]
}

interface Range {
  readonly name: string
  readonly q: number
}

function rangeOf(text: string): Range {
  const [name = '', ...parameters] = text.split(';').map(part => part.trim())
  const q = parameters.find(parameter => parameter.startsWith('q='))?.slice('q='.length)
  return { name, q: q !== undefined && /^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(q) ? Number(q) : 1 }
}

/** Of several ranges that an offer is in, the one that names it best says how much it is wanted. */
function rankOf(offer: string, ranges: readonly Range[]): { q: number; exact: number; place: number } {
  const names = ['*', '*/*', `${offer.split('/')[0]}/*`, offer]
  const found = ranges.map(({ name, q }, place) => ({ q, exact: names.indexOf(name), place }))
  return (
    found.toSorted((a, b) => b.exact - a.exact).find(({ exact }) => exact >= 0) ?? { q: unnamed, exact: -1, place: 0 }
  )
}
