// Saves what the page has as a file, by a link that nobody sees: a link to the server would not carry the API key.

/** The browser has begun to read it by then. */
const readMs = 10_000

export function save(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), readMs)
}
